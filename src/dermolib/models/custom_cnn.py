"""The small network that the AlexNet skin-lesion paper tried first."""

from itertools import pairwise

from torch import Tensor, nn

from dermolib._validation import PathLike, check_number
from dermolib.models.architecture import check_input, finish
from dermolib.models.weights import load_weights

__all__ = ["custom_cnn"]

_CHANNELS = (3, 256, 128, 64)
_HIDDEN = 32
_HALVINGS = 2 ** (len(_CHANNELS) - 1)


def custom_cnn(
    num_classes: int = 8,
    *,
    image_size: int = 224,
    dropout: float = 0.3,
    weights: PathLike | None = None,
) -> nn.Module:
    """Build the network of Table 2 of the AlexNet skin-lesion paper; it returns logits.

    Three blocks of convolution, max pooling, dropout and ReLU, in this order, then two linear
    layers without an activation between them. At 224 px the last block gives 64 x 28 x 28 = 50,176
    values; the table's 49,152 is a slip.

    Args:
        num_classes: Number of logits.
        image_size: Height and width of the images, in px, 8 or more: it sets the number of inputs
            of the first linear layer.
        dropout: Fraction of values that training drops in each block, in 0..1.
        weights: See `dermolib.build_model`; none are published. Initial values are torch's own,
            from its global generator.

    Returns:
        Module from images (N, 3, `image_size`, `image_size`) to logits (N, `num_classes`), see
        `dermolib.build_model`.

    Raises:
        TypeError: A number is not a number, or a batch is not floating point.
        ValueError: A number is out of range, or a batch has another shape. Errors of `weights` are
            those of `dermolib.build_model`.

    Examples:
        >>> import torch
        >>> model = custom_cnn(image_size=64)
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 8])
    """
    check_number(num_classes, "num_classes", low=1, integer=True)
    check_number(image_size, "image_size", low=_HALVINGS, integer=True)
    check_number(dropout, "dropout", low=0, high=1)
    model = _CustomCNN(num_classes, image_size, dropout)
    options = {"image_size": int(image_size), "dropout": float(dropout)}
    finish(model, "custom_cnn", num_classes, expects=image_size, **options)
    check_input(model, exactly=image_size)
    load_weights(model, weights, heads=["classifier.2"])
    return model


class _CustomCNN(nn.Module):
    def __init__(self, num_classes: int, image_size: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(*(_block(*pair, dropout) for pair in pairwise(_CHANNELS)))
        values = _CHANNELS[-1] * (image_size // _HALVINGS) ** 2
        layers = (nn.Flatten(), nn.Linear(values, _HIDDEN), nn.Linear(_HIDDEN, num_classes))
        self.classifier = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Turn a batch (N, 3, image_size, image_size) into logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(convolution, nn.MaxPool2d(2), nn.Dropout(dropout), nn.ReLU())
