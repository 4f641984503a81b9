"""A classifier without its last linear layer: the features that it decides by."""

import copy
from typing import Any

from torch import Tensor, nn

from dermolib._validation import check_type, expected, require

__all__ = ["FeatureExtractor"]

_ATTRIBUTE = "penultimate_layer"


class FeatureExtractor(nn.Module):
    """A classifier without its last linear layer: images to features (N, D) instead of logits.

    All other layers are those of `model`, not copies: weights, device, precision and the mode of
    each layer are shared. `model` itself is left as it is. The last linear layer is neither
    computed nor among the parameters here.

    It is the last `torch.nn.Linear` that `model` registers. A network whose features should be
    taken earlier has an attribute ``penultimate_layer``, the name of a linear layer: that one and
    all linear layers after it are left out. So the features of `dermolib.models.alexnet` are the
    4096 before the ImageNet classifier, also where another layer is appended to that.

    Args:
        model: Classifier that turns images into logits (N, K).

    Attributes:
        model: The network that is computed.
        size: Number of features, D.
        layer: Name in `model` of the linear layer that takes the features.
        takes_metadata: Whether the network takes metadata beside images, as `MetadataFusion` does.

    Raises:
        TypeError: `model` is not a module.
        ValueError: It has no linear layer, or none of the name that it gives.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 8))
        >>> features = FeatureExtractor(network)
        >>> features.size, features.layer, tuple(features(torch.zeros(2, 3, 2, 2)).shape)
        (5, '3', (2, 5))
    """

    wrapped_attribute = "model"

    def __init__(self, model: nn.Module) -> None:
        """Find the layer and build the network without it."""
        super().__init__()
        check_type(model, "model", nn.Module, "a torch module", "See `build_model`.")
        linear = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
        kind, names = type(model).__name__, list(linear)
        what, got = "a classifier whose logits come from an `nn.Linear`", f"a {kind} without one"
        require(names, "model", what, got, "Pool the maps of its last convolution instead.")
        self.layer = getattr(model, _ATTRIBUTE, names[-1])
        what, hint = f"the name of one linear layer of this {kind}", f"The last is {names[-1]!r}."
        require(self.layer in names, _ATTRIBUTE, what, repr(self.layer), hint)
        self.size = linear[self.layer].in_features
        self.takes_metadata = bool(getattr(model, "takes_metadata", False))
        left_out = names[names.index(self.layer) :]
        self.model = _without(model, [name.split(".") for name in left_out])

    def forward(self, images: Tensor, *others: Any, **options: Any) -> Tensor:
        """Compute the features (N, `size`) of what `model` takes: images (N, 3, H, W), and others.

        Raises:
            ValueError: The output of the network is not that of its last linear layer.
        """
        features: Any = self.model(images, *others, **options)
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        if got != (len(images), self.size):
            what = f"a classifier that returns the output of its linear layer {self.layer!r}"
            without = f"{got} instead of ({len(images)}, {self.size}) without that layer"
            hint = f"Name the linear layer that takes the features in its attribute `{_ATTRIBUTE}`."
            raise ValueError(expected("model", what, without, hint))
        taken: Tensor = features
        return taken


def _without(module: nn.Module, paths: list[list[str]]) -> nn.Module:
    """Copy what contains the layers at `paths`, which become identities, and share all else."""
    if [""] in paths or [] in paths:
        return nn.Identity()
    twin = copy.copy(module)
    children = dict(module.named_children())
    for name in {path[0] for path in paths}:
        children[name] = _without(children[name], [path[1:] for path in paths if path[0] == name])
    # A plain copy shares this dictionary with the original
    twin.__dict__["_modules"] = {**module._modules, **children}
    return twin
