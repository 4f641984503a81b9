"""Deterministic image processing: hair removal, color constancy, borders, lesion masks."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
