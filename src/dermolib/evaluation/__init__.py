"""Judge a fitted model: intervals clustered by lesion, kernel SVM on features."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
