"""The command line. Each command calls one function of the package."""

from .app import app, main

__all__ = ["app", "main"]
