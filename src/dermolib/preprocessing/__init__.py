"""Image to image, deterministic."""

from dermolib.preprocessing.lightness import lightness
from dermolib.preprocessing.occlusion import (
    REFERENCE_SIZE,
    list_occlusion_methods,
    occlusion_mask,
    occlusion_removal,
)

__all__ = [
    "REFERENCE_SIZE",
    "lightness",
    "list_occlusion_methods",
    "occlusion_mask",
    "occlusion_removal",
]
