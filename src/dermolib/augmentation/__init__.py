"""Image to image, random and seeded: presets, and class balancing offline.

- `preset`, `list_presets`: named random transforms that take an image and its lesion mask.
- `seed_worker`: what makes the workers and the epochs of a `torch.utils.data.DataLoader` differ.
- `plan_offline`, `augment_offline`: new image files for the classes that have too few.
"""

import os

# albumentations asks the package index for a newer version of itself whenever it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from dermolib._seeding import seed_worker
from dermolib.augmentation.copies import is_blank
from dermolib.augmentation.offline import Augmentable, augment_offline, plan_offline
from dermolib.augmentation.presets import IMAGENET_MEAN, IMAGENET_STD, Preset, list_presets, preset

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Augmentable",
    "Preset",
    "augment_offline",
    "is_blank",
    "list_presets",
    "plan_offline",
    "preset",
    "seed_worker",
]
