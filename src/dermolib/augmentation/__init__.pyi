from .color_constancy import RandomShadesOfGray as RandomShadesOfGray
from .copies import is_blank as is_blank
from .offline import Augmentable as Augmentable
from .presets import IMAGENET_MEAN as IMAGENET_MEAN
from .presets import IMAGENET_STD as IMAGENET_STD
from .presets import Preset as Preset

__all__: list[str]
