"""How a network expects its images, as the network itself tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from torch import nn

from dermolib._validation import check_number, expected
from dermolib.models.feature_extractor import FeatureExtractor
from dermolib.models.fusion import MetadataFusion
from dermolib.models.normalization import IMAGENET_MEAN, IMAGENET_STD, checked_mean, checked_std

__all__ = ["InputSettings", "Normalization", "input_settings"]

_ATTRIBUTE = "input_settings"
_TIMM = "pretrained_cfg"


class Normalization(TypedDict):
    """Two options of a preset: what is taken out of pixels, and what they are divided by."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """What the published weights of a network were trained on.

    Attributes:
        mean: Mean that is taken out of red, green and blue, as shares of 255.
        std: Standard deviation that is divided by, as shares of 255, above 0.
        image_size: Height and width, in pixels. Most networks take other sizes too.
        interpolation: How images were resized, in the words of timm, such as ``"bilinear"`` or
            ``"bicubic"``. It is told for pipelines that can follow it; a preset shrinks by area.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: A number is out of its range.

    Examples:
        >>> settings = InputSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        >>> settings.normalization
        {'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    image_size: int = 224
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        """Check the values and hold them as plain ones."""
        object.__setattr__(self, "mean", checked_mean(self.mean))
        object.__setattr__(self, "std", checked_std(self.std))
        check_number(self.image_size, "image_size", low=1, integer=True)
        if not isinstance(self.interpolation, str):
            got = f"an object of type {type(self.interpolation).__name__}"
            raise TypeError(expected("interpolation", "a name", got))

    @property
    def normalization(self) -> Normalization:
        """Mean and standard deviation, as `dermolib.augmentation.preset` takes them."""
        return Normalization(mean=self.mean, std=self.std)


def input_settings(model: nn.Module) -> InputSettings:
    """Tell how a network expects its images.

    A network of timm tells what its configuration says of the published weights;
    ``timm/tf_efficientnet_lite0`` and siblings, for one, expect a mean and standard deviation of
    0.5. `alexnet`, `custom_cnn` and `resnet` expect ImageNet's. `MetadataFusion` and
    `dermolib.models.FeatureExtractor` pass on what the network inside says. A module of yours says
    it with an attribute ``input_settings``; nothing is assumed of one that says nothing.

    Args:
        model: Network of `build_model`, or one with the attribute.

    Returns:
        Settings.

    Raises:
        TypeError: `model` is no module.
        ValueError: The network does not say, or is not made for square RGB images.

    Examples:
        >>> from dermolib import build_model
        >>> settings = input_settings(build_model("timm/tf_efficientnet_lite0"))
        >>> settings.mean, settings.image_size, settings.interpolation
        ((0.5, 0.5, 0.5), 224, 'bicubic')
        >>> from dermolib import preset
        >>> preset("light", image_size=settings.image_size, **settings.normalization).std
        (0.5, 0.5, 0.5)
    """
    if not isinstance(model, nn.Module):
        got = f"an object of type {type(model).__name__}"
        raise TypeError(expected("model", "a torch module", got, "See `build_model`."))
    for module in _inside(model):
        own = getattr(module, _ATTRIBUTE, None)
        if isinstance(own, InputSettings):
            return own
        published = getattr(module, _TIMM, None)
        if isinstance(published, Mapping) and published.keys() >= {"mean", "std"}:
            return _of_timm(module, published)
    got = f"a {type(model).__name__} that does not say"
    remedy = (
        f"Set its attribute `{_ATTRIBUTE}` to an `InputSettings` of the images it was made for."
    )
    raise ValueError(expected("model", "a network that says how it expects images", got, remedy))


def expect_imagenet(model: nn.Module, *, image_size: int = 224) -> None:
    """Note on a network that it expects images as the first networks for ImageNet did.

    Args:
        model: Network; changed in place.
        image_size: Height and width, in pixels.
    """
    setattr(model, _ATTRIBUTE, InputSettings(image_size=int(image_size)))


def _inside(model: nn.Module) -> list[nn.Module]:
    """List a network and what it wraps, from the outside in."""
    names = ["_orig_mod", "module"]  # of `torch.compile`, and of torch's parallel wrappers
    names += ["backbone"] if isinstance(model, MetadataFusion) else []
    names += ["model"] if isinstance(model, FeatureExtractor) else []
    for name in names:
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return [model, *_inside(inner)]
    return [model]


def _of_timm(model: nn.Module, published: Mapping[str, Any]) -> InputSettings:
    channels, height, width = published.get("input_size", (3, 224, 224))
    size = getattr(model, "architecture", {}).get("img_size") or (height, width)
    height, width = (size, size) if isinstance(size, int) else size
    if channels != 3 or height != width:
        got = f"one for {height} x {width} px and {channels} channels"
        raise ValueError(expected("model", "a network for square RGB images", got))
    return InputSettings(
        mean=published["mean"],
        std=published["std"],
        image_size=height,
        interpolation=published.get("interpolation", "bicubic"),
    )
