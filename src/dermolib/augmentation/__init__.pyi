from .offline import Augmentable as Augmentable
from .presets import IMAGENET_MEAN as IMAGENET_MEAN
from .presets import IMAGENET_STD as IMAGENET_STD
from .presets import Preset as Preset
from .transforms import DrawArtifact as DrawArtifact
from .transforms import RandomShadesOfGray as RandomShadesOfGray

__all__: list[str]
