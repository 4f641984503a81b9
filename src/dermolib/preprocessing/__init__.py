"""Image to image, deterministic: hair removed, the cast of the light, the dark border."""

import lazy_loader

# The torch module among these names must not bring torch to those who clean files
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
