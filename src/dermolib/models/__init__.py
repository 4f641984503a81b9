"""A name to an `nn.Module`: networks that turn a batch of images into logits, never probabilities.

Own networks are `alexnet`, `custom_cnn` and `resnet`; `build_model` builds these and any network of
timm by name. Every model carries an attribute ``architecture``, a dict of plain values from which
``build_model(**model.architecture)`` builds the same network again, and none computes in place, so
that gradients can be read at any layer.
"""

from dermolib.models.alexnet import alexnet
from dermolib.models.custom_cnn import custom_cnn
from dermolib.models.registry import build_model, list_models
from dermolib.models.resnet import resnet

__all__ = ["alexnet", "build_model", "custom_cnn", "list_models", "resnet"]
