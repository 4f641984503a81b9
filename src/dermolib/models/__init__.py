"""Image classifiers by name; each maps a batch of images to logits."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
