"""Random, seeded image transforms: presets, whole batches, and offline class balancing."""

import os

from dermolib._lazy import attach

# albumentations asks the package index for a newer version of itself whenever it is imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__getattr__, __dir__, __all__ = attach(__name__, __file__)
