"""Train a classifier: the Trainer, its losses and samplers."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
