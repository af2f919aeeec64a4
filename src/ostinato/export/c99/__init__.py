"""One file of C99 with the code of a network: for compilers without LLVM, and for whoever audits the code."""

from .source import c_source

__all__ = ["c_source"]
