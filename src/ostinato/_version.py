"""The version, in a file of its own: the keys of cached kernels name it without importing the package."""

__version__ = "0.1.0"
