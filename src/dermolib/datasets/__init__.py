"""Data sets: tables, readers of collections, splits by lesion, loaders, stores, downloads."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
