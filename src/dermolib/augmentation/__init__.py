"""Image to image, random and seeded: presets, and class balancing offline.

- `preset`, `list_presets`: named random transforms that take an image and its lesion mask.
- `RandomShadesOfGray`: colour constancy by a random share, for any pipeline of albumentations.
- `BatchAugmentation`: the same for whole batches at once, on the device where they are.
- `make_loader`: batches whose draws follow from seed, epoch and row, with any number of workers.
- `seed_worker`: what makes workers and epochs differ in a `torch.utils.data.DataLoader` of yours.
- `plan_offline`, `augment_offline`: new image files for the classes that have too few.
"""

import os

# albumentations asks the package index for a newer version of itself whenever it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from dermolib._seeding import seed_worker
from dermolib.augmentation.batch import BatchAugmentation
from dermolib.augmentation.color_constancy import RandomShadesOfGray
from dermolib.augmentation.copies import is_blank
from dermolib.augmentation.offline import Augmentable, augment_offline, plan_offline
from dermolib.augmentation.presets import IMAGENET_MEAN, IMAGENET_STD, Preset, list_presets, preset
from dermolib.loaders import make_loader

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Augmentable",
    "BatchAugmentation",
    "Preset",
    "RandomShadesOfGray",
    "augment_offline",
    "is_blank",
    "list_presets",
    "make_loader",
    "plan_offline",
    "preset",
    "seed_worker",
]
