"""ResNet of torchvision, with a head for few classes."""

from torch import nn

from dermolib._validation import PathLike, check_number, expected, listed
from dermolib.models._architecture import finish
from dermolib.models._weights import load_weights
from dermolib.models.settings import expect_imagenet

__all__ = ["resnet"]

DEPTHS = (18, 34, 50, 101, 152)


def resnet(num_classes: int = 8, *, depth: int = 50, weights: PathLike | None = None) -> nn.Module:
    """Build torchvision's ResNet with a new last layer; it gives logits.

    Blocks of depth 50 and more carry their stride in the 3x3 convolution, as torchvision's do. A
    block adds its shortcut in place: gradients can be read at every ReLU, convolution and stage
    (``layer1`` to ``layer4``), but not at the batch norm that ends a block.

    Args:
        num_classes: Number of logits.
        depth: Number of layers: 18, 34, 50, 101 or 152.
        weights: None, ``"DEFAULT"`` for torchvision's best ImageNet weights (fetched once, digest
            checked; an interrupted download starts again), or the path of a state dict ending in
            .pth, .pt or .safetensors: of exactly this model, or of an ImageNet model with 1000
            classes, whose last layer is left out. None draws torchvision's initial values from
            torch's global generator, so `torch.manual_seed` repeats them.

    Returns:
        Module that takes a batch (N, 3, H, W), floating point, normalised with the mean and
        standard deviation of ImageNet where ImageNet weights are used, and gives logits
        (N, `num_classes`). No ReLU works in place. Attribute ``architecture`` rebuilds it.

    Raises:
        ConnectionError: The published weights cannot be fetched.
        FileNotFoundError: There is no file `weights`.
        TypeError: `num_classes` or `depth` is no integer, or `weights` is no path.
        ValueError: There is no such depth, or a file does not fit or cannot be read.

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
    if depth not in DEPTHS:
        raise ValueError(expected("depth", f"one of {listed(DEPTHS)}", repr(depth)))
    # seconds to import, and needed for this network alone
    from torchvision.models import (  # type: ignore[import-untyped] # no annotations published
        get_model,
        get_model_weights,
    )

    name = f"resnet{depth}"
    model: nn.Module = get_model(name, num_classes=num_classes)
    expect_imagenet(model)
    finish(model, name, num_classes)
    load_weights(model, weights, fresh=["fc"], url=lambda: get_model_weights(name).DEFAULT.url)
    return model
