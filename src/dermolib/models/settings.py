"""How a network expects its images: size, mean and standard deviation of pixels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

from torch import nn

from dermolib._validation import check_number, check_type, expected, require

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "InputSettings",
    "Normalization",
    "checked_mean",
    "checked_std",
    "input_settings",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet, red, green, blue, in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet, red, green, blue, in [0, 1]."""

_CHANNELS = 3


class Normalization(TypedDict):
    """Mean and standard deviation of pixels, as options of a preset."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """The images that a network was trained on.

    Attributes:
        mean: Mean that is subtracted from red, green and blue, in [0, 1].
        std: Standard deviation that they are divided by, above 0 and up to 1.
        image_size: Height and width, in px. Most networks take other sizes too. How an image of
            another aspect ratio comes to it is not part of the settings: give `fit` to the presets
            of both training and prediction.
        interpolation: How images were resized, as timm names it, such as ``"bilinear"`` or
            ``"bicubic"``. For information: a preset shrinks by area.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: A number is out of its range.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    image_size: int = 224
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Check the values and convert them to plain ones."""
        object.__setattr__(self, "mean", checked_mean(self.mean))
        object.__setattr__(self, "std", checked_std(self.std))
        check_number(self.image_size, "image_size", low=1, integer=True)
        check_type(self.interpolation, "interpolation", str, "a name")

    @property
    def normalization(self) -> Normalization:
        """Mean and standard deviation, as `dermolib.preset` takes them."""
        return Normalization(mean=self.mean, std=self.std)


def input_settings(model: nn.Module) -> InputSettings:
    """Return the images that a network expects.

    For a network of timm they come from the configuration of its published weights. `alexnet`,
    `custom_cnn` and `resnet` expect ImageNet's mean and standard deviation. `MetadataFusion` and
    `FeatureExtractor` expect what the network inside does. For a module of your own, set its
    attribute ``input_settings``; nothing is assumed where it is missing.

    Args:
        model: Network of `build_model`, or one with the attribute.

    Returns:
        Settings.

    Raises:
        TypeError: `model` is not a module.
        ValueError: The settings are unknown, or not for square RGB images.

    Examples:
        >>> from dermolib import build_model
        >>> settings = input_settings(build_model("timm/tf_efficientnet_lite0"))
        >>> settings.normalization, settings.image_size
        ({'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}, 224)
    """
    check_type(model, "model", nn.Module, "a torch module", "See `build_model`.")
    inner: Any = model
    while isinstance(inner, nn.Module):
        own, published = (getattr(inner, a, None) for a in ("input_settings", "pretrained_cfg"))
        if isinstance(own, InputSettings):
            return own
        if isinstance(published, Mapping) and published.keys() >= {"mean", "std"}:
            return _settings_of_timm(inner, published)
        # `torch.compile`, torch's parallel wrappers, and this package's own
        names = ("_orig_mod", "module", getattr(inner, "wrapped_attribute", ""))
        inner = next((getattr(inner, name) for name in names if hasattr(inner, name)), None)
    got = f"a {type(model).__name__} with unknown settings"
    hint = (
        "Set its attribute `input_settings` to an `InputSettings` of the images it expects, or "
        "pass a `transform` where there is this option."
    )
    raise ValueError(expected("model", "a network with known input settings", got, hint))


def _settings_of_timm(model: nn.Module, published: Mapping[str, Any]) -> InputSettings:
    channels, height, width = published.get("input_size", (3, 224, 224))
    size = getattr(model, "architecture", {}).get("img_size") or (height, width)
    height, width = (size, size) if isinstance(size, int) else size
    what, got = "a network for square RGB images", f"{height} x {width} px, {channels} channels"
    require(channels == _CHANNELS and height == width, "model", what, got)
    known = {name: published[name] for name in ("mean", "std")}
    interpolation = published.get("interpolation", "bicubic")
    return InputSettings(**known, image_size=height, interpolation=interpolation)


def _checked_channels(values: Any, name: str, **limits: Any) -> tuple[float, float, float]:
    what = "three numbers, one for red, green and blue, of pixels in [0, 1]"
    check_type(values, name, Iterable, what)
    numbers = list(values)
    require(len(numbers) == _CHANNELS, name, what, f"{len(numbers)}")
    for channel, value in enumerate(numbers):
        check_number(value, f"{name}[{channel}]", high=1, **limits)
    red, green, blue = (float(value) for value in numbers)
    return red, green, blue


checked_mean = partial(_checked_channels, name="mean", low=0)
"""Convert a mean to plain numbers, or refuse it."""

checked_std = partial(_checked_channels, name="std", above=0)
"""Convert a standard deviation to plain numbers, or refuse it."""
