"""AlexNet, as torchvision ships it and as Krizhevsky published it, with a head for few classes."""

from typing import Literal

import torch
from torch import Tensor, nn

from dermolib._validation import PathLike, check_choice, check_number
from dermolib.models.architecture import check_input, finish
from dermolib.models.weights import load_weights

__all__ = ["alexnet"]

_IMAGENET_CLASSES = 1000
_KRIZHEVSKY_SIZE = 227
_USUAL_SIZE = 224
_SMALLEST_SIZE = 63
_DROPOUT = 0.5
_OUTPUT_STD = 0.01


def alexnet(
    num_classes: int = 8,
    *,
    variant: Literal["torchvision", "krizhevsky"] = "torchvision",
    head: Literal["append", "replace"] = "append",
    weights: PathLike | None = None,
) -> nn.Module:
    """Build AlexNet; it returns logits.

    With ``head="append"`` a linear layer of `num_classes` outputs follows the 1000 outputs of the
    ImageNet classifier, as in Table 3 of the AlexNet skin-lesion paper, without the table's softmax
    on the 1000 outputs (an error: hardly any gradient passes it) and on the last layer (it belongs
    to the loss). ``head="replace"`` puts a layer of `num_classes` outputs in the place of the 1000.

    ``variant="krizhevsky"`` has the sizes of Table 3: 96 filters first, and two groups in
    convolutions 2, 4 and 5. Neither variant has local response normalization; dropout is 0.5.

    Initial values, from torch's global generator: convolutions He's normal initialization, standard
    deviation √(2 / inputs); linear layers √(1 / inputs), as behind dropout, which doubles what it
    keeps; the last layer 0.01; biases 0. So plain SGD lowers the loss within a few steps, where
    torchvision's uniform initialization stays at log `num_classes` for a long time.

    Args:
        num_classes: Number of logits.
        variant: ``"torchvision"`` takes images of any size from 63 px up, ``"krizhevsky"`` takes
            227 x 227.
        head: ``"append"`` or ``"replace"``, see above.
        weights: See `dermolib.build_model`; ``"DEFAULT"`` for variant ``"torchvision"`` alone.

    Returns:
        Module from images (N, 3, H, W) to logits (N, `num_classes`), see `dermolib.build_model`.

    Raises:
        TypeError: `num_classes` is not an integer, or a batch is not floating point.
        ValueError: An option is unknown or out of range, or a batch has a shape that the network
            cannot take. Errors of `weights` are those of `dermolib.build_model`.

    References:
        Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural
        networks, 2012, https://doi.org/10.1145/3065386; Krizhevsky, One weird trick for
        parallelizing convolutional neural networks, 2014,
        https://doi.org/10.48550/arXiv.1404.5997 (torchvision's sizes); He et al., Delving deep into
        rectifiers, 2015, https://doi.org/10.1109/ICCV.2015.123.

    Examples:
        >>> model = alexnet()
        >>> model.eval()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 8])
        >>> model.architecture
        {'name': 'alexnet', 'num_classes': 8, 'variant': 'torchvision', 'head': 'append'}
    """
    check_number(num_classes, "num_classes", low=1, integer=True)
    check_choice(variant, "variant", ["torchvision", "krizhevsky"])
    check_choice(head, "head", ["append", "replace"])
    krizhevsky, append = variant == "krizhevsky", head == "append"
    model = _AlexNet(num_classes, krizhevsky=krizhevsky, append=append)
    _initialize(model)
    size = _KRIZHEVSKY_SIZE if krizhevsky else _USUAL_SIZE
    finish(model, "alexnet", num_classes, expects=size, variant=variant, head=head)
    check_input(model, least=_SMALLEST_SIZE, exactly=size if krizhevsky else None)
    published = None if krizhevsky else "alexnet"
    load_weights(model, weights, heads=["classifier.6", "head"], published=published)
    return model


class _AlexNet(nn.Module):
    """AlexNet with torchvision's names for its layers, so that torchvision's files fit."""

    penultimate_layer = "classifier.6"

    def __init__(self, num_classes: int, *, krizhevsky: bool, append: bool) -> None:
        super().__init__()
        outputs = _IMAGENET_CLASSES if append else num_classes
        self.features = _features(krizhevsky=krizhevsky)
        self.avgpool = nn.Identity() if krizhevsky else nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = _classifier(outputs, dropout_first=not krizhevsky)
        self.head = nn.Linear(_IMAGENET_CLASSES, num_classes) if append else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Turn a batch (N, 3, H, W) into logits (N, num_classes)."""
        features = self.avgpool(self.features(images))
        logits: Tensor = self.head(self.classifier(torch.flatten(features, 1)))
        return logits


def _features(*, krizhevsky: bool) -> nn.Sequential:
    first, second, third, fourth = (96, 256, 384, 384) if krizhevsky else (64, 192, 384, 256)
    groups = 2 if krizhevsky else 1
    return nn.Sequential(
        nn.Conv2d(3, first, 11, stride=4, padding=0 if krizhevsky else 2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(first, second, 5, padding=2, groups=groups),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1, groups=groups),
        nn.ReLU(),
        nn.Conv2d(fourth, 256, 3, padding=1, groups=groups),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )


def _classifier(outputs: int, *, dropout_first: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (256 * 6 * 6, 4096):
        hidden = [nn.Linear(inputs, 4096), nn.ReLU()]
        dropout = nn.Dropout(_DROPOUT)
        layers += [dropout, *hidden] if dropout_first else [*hidden, dropout]
    return nn.Sequential(*layers, nn.Linear(4096, outputs))


def _initialize(model: _AlexNet) -> None:
    parameters = list(model.parameters())
    for parameter in parameters:
        if parameter.ndim == 1:
            nn.init.zeros_(parameter)
        else:
            # He's gain for a ReLU, less a factor of √2 where dropout doubles what it keeps
            convolution = parameter.ndim == 4
            nn.init.kaiming_normal_(parameter, nonlinearity="relu" if convolution else "linear")
    nn.init.normal_(parameters[-2], std=_OUTPUT_STD)
