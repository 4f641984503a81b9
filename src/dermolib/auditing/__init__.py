"""Audit a data set: leakage between splits, duplicates, bad rows and files."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
