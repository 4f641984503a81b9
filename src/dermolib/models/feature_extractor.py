"""What a classifier knows of an image before it decides: the input of its last linear layer."""

import copy
from typing import Any

from torch import Tensor, nn

from dermolib._validation import expected

__all__ = ["FeatureExtractor"]

_ATTRIBUTE = "penultimate_layer"
_REMEDY = f"Name the linear layer that takes the features in an attribute `{_ATTRIBUTE}` of it."


class FeatureExtractor(nn.Module):
    """A classifier without its last linear layer: images to features (N, D) instead of logits.

    The layers before are the very ones of `model`, not copies: weights, device, precision and the
    mode of each layer are shared, and training one trains the other. `model` itself is left as it
    is. The last linear layer is neither computed nor among the parameters here, so that each
    parameter that trains gets a gradient.

    It is the last `torch.nn.Linear` that `model` registers, for a network whose linear layer gives
    the logits. A network whose features are meant to be taken earlier says so with an attribute
    ``penultimate_layer``, the name of a linear layer: that one and all linear layers after it are
    left out. The `dermolib.models.alexnet` with an appended head names ``"classifier.6"``, so that
    its features are the 4096 before the ImageNet classifier, and not the 1000 logits.

    Args:
        model: Classifier that turns images into logits (N, K).

    Attributes:
        model: The network that is computed.
        size: Number of features, D.
        layer: Name in `model` of the linear layer that takes the features.
        takes_metadata: Whether the network takes metadata beside images, as
            `dermolib.models.MetadataFusion` does.

    Raises:
        TypeError: `model` is no module.
        ValueError: It has no linear layer, or none of the name that it gives.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 8))
        >>> features = FeatureExtractor(network)
        >>> features.size, features.layer, tuple(features(torch.zeros(2, 3, 2, 2)).shape)
        (5, '3', (2, 5))
    """

    def __init__(self, model: nn.Module) -> None:
        """Find the layer and build the network without it."""
        super().__init__()
        if not isinstance(model, nn.Module):
            got = f"an object of type {type(model).__name__}"
            raise TypeError(expected("model", "a torch module", got, "See `build_model`."))
        linear = {
            name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)
        }
        names = list(linear)
        self.layer = _layer(model, names)
        self.size = linear[self.layer].in_features
        self.takes_metadata = bool(getattr(model, "takes_metadata", False))
        left_out = names[names.index(self.layer) :]
        self.model = _without(model, [name.split(".") for name in left_out])

    def forward(self, images: Tensor, *others: Any, **options: Any) -> Tensor:
        """Compute the features.

        Args:
            images: Batch (N, 3, H, W), as `model` takes it.
            *others: What `model` takes beside images.
            **options: What `model` takes by name.

        Returns:
            Features (N, `size`).

        Raises:
            ValueError: The network does something else than give the output of its last linear
                layer as logits.
        """
        features: Any = self.model(images, *others, **options)
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        if got != (len(images), self.size):
            what = f"a classifier that gives what its linear layer {self.layer!r} gives"
            without = f"{got} instead of ({len(images)}, {self.size}) without that layer"
            raise ValueError(expected("model", what, without, _REMEDY))
        taken: Tensor = features
        return taken


def _layer(model: nn.Module, names: list[str]) -> str:
    if not names:
        what = "a classifier whose logits come from an `nn.Linear`"
        got = f"a {type(model).__name__} without such a layer"
        remedy = "Features of a network that ends in convolutions are its pooled maps; take those."
        raise ValueError(expected("model", what, got, remedy))
    name: str = getattr(model, _ATTRIBUTE, names[-1])
    if name not in names:
        what = f"the name of one linear layer of this {type(model).__name__}"
        raise ValueError(expected(_ATTRIBUTE, what, repr(name), f"The last is {names[-1]!r}."))
    return name


def _without(module: nn.Module, paths: list[list[str]]) -> nn.Module:
    """Copy what contains the layers at `paths`, which become identities, and share all else."""
    if [""] in paths or [] in paths:
        return nn.Identity()
    twin = copy.copy(module)
    children = dict(module.named_children())
    for name in {path[0] for path in paths}:
        children[name] = _without(children[name], [path[1:] for path in paths if path[0] == name])
    # a plain copy shares this dictionary with the original
    twin.__dict__["_modules"] = {**module._modules, **children}
    return twin
