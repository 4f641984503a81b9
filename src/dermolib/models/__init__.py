"""A name to an `nn.Module`: networks that turn a batch of images into logits, never probabilities.

Own networks are `alexnet`, `custom_cnn` and `resnet`; `build_model` builds these and any network of
timm by name. `MetadataFusion` joins age, sex and site to any of them, and `input_settings` tells
how a network expects its images. Every model carries an attribute ``architecture``, a dict of plain
values from which ``build_model(**model.architecture)`` builds the same network again, and none
computes in place, so that gradients can be read at any layer.
"""

from dermolib.models.alexnet import alexnet
from dermolib.models.custom_cnn import custom_cnn
from dermolib.models.fusion import MetadataFusion
from dermolib.models.registry import build_model, list_models
from dermolib.models.resnet import resnet
from dermolib.models.settings import InputSettings, Normalization, input_settings

__all__ = [
    "InputSettings",
    "MetadataFusion",
    "Normalization",
    "alexnet",
    "build_model",
    "custom_cnn",
    "input_settings",
    "list_models",
    "resnet",
]
