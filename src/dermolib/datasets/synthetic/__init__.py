"""A drawn challenge: lesions of eight classes and hair, with exact masks of both."""

from dermolib._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
