"""ResNet of torchvision, with a head for few classes."""

from torch import nn

from dermolib._validation import PathLike, check_number, listed, require
from dermolib.models.architecture import check_input, finish
from dermolib.models.weights import load_weights

__all__ = ["resnet"]

DEPTHS = (18, 34, 50, 101, 152)
_IMAGE_SIZE = 224


def resnet(num_classes: int = 8, *, depth: int = 50, weights: PathLike | None = None) -> nn.Module:
    """Build torchvision's ResNet with a new last layer; it returns logits.

    Blocks of depth 50 and more carry their stride in the 3x3 convolution, as torchvision's do. A
    block adds its shortcut in place: gradients can be read at every ReLU, convolution and stage
    (``layer1`` to ``layer4``), but not at the batch norm that ends a block. Initial values are
    torchvision's, from torch's global generator.

    Args:
        num_classes: Number of logits.
        depth: Number of layers: 18, 34, 50, 101 or 152.
        weights: See `dermolib.build_model`.

    Returns:
        Module from images (N, 3, H, W) to logits (N, `num_classes`), see `dermolib.build_model`.

    Raises:
        TypeError: `num_classes` or `depth` is not an integer.
        ValueError: There is no such depth. Errors of `weights` are those of `dermolib.build_model`.

    References:
        He et al., Deep residual learning for image recognition, 2016,
        https://doi.org/10.1109/CVPR.2016.90.

    Examples:
        >>> model = resnet(depth=18)
        >>> model.fc
        Linear(in_features=512, out_features=8, bias=True)
        >>> model.architecture
        {'name': 'resnet18', 'num_classes': 8}
    """
    check_number(num_classes, "num_classes", low=1, integer=True)
    check_number(depth, "depth", integer=True)
    require(depth in DEPTHS, "depth", f"one of {listed(DEPTHS)}", repr(depth))
    # Seconds to import, and needed for this network alone
    from torchvision.models import get_model  # type: ignore[import-untyped] # no annotations

    name = f"resnet{depth}"
    model: nn.Module = get_model(name, num_classes=num_classes)
    finish(model, name, num_classes, expects=_IMAGE_SIZE)
    check_input(model)
    load_weights(model, weights, heads=["fc"], published=name)
    return model
