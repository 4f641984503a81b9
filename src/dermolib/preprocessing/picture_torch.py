"""The picture network as a torch module: what is trained, and what runs on a GPU."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

__all__ = ["PictureNetwork", "Reading"]

# Of each stage of EfficientNet-Lite0: expansion, kernel, stride, channels, blocks. The last stage
# of the original and two of the four blocks of the one before are left out.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 2),
)
_WIDTHS = (96, 64, 40)  # channels of the decoder, coarse to fine
_FOUND = 64  # channels from which artifacts are found
_ARTIFACTS = 7


class Reading(NamedTuple):
    """What the network says of N images, all in logits."""

    lesion: torch.Tensor  # (N, 1, S/2, S/2)
    presence: torch.Tensor  # (N, 1), that there is a lesion
    artifacts: torch.Tensor  # (N, 7)
    where: torch.Tensor  # (N, 7, S/8, S/8)


class _Block(nn.Module):
    """Inverted residual of MobileNetV2: expand, filter each channel, project."""

    def __init__(self, channels: int, filters: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        wide = channels * expansion
        # TensorFlow's padding: for stride 2 the odd pixel is added on the right and below
        low, high = (kernel - stride) // 2, (kernel - stride + 1) // 2
        layers: list[nn.Module] = []
        if expansion > 1:
            layers += [nn.Conv2d(channels, wide, 1, bias=False), _norm(wide), nn.ReLU6()]
        layers += [
            nn.ZeroPad2d((low, high, low, high)),
            nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False),
            _norm(wide),
            nn.ReLU6(),
        ]
        layers += [nn.Conv2d(wide, filters, 1, bias=False), _norm(filters)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and channels == filters

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(values)
        return values + found if self.adds else found


class PictureNetwork(nn.Module):
    """One encoder for the lesion and the artifacts of a dermoscopic image.

    The encoder is the first 15 layers of EfficientNet-Lite0, from stride 2 to 32; a light decoder
    brings the lesion back to half the size of the input, and each artifact has a map at an eighth
    of it, whose smooth maximum and the encoder's mean decide whether it is there.

    Shapes: (N, 3, S, S), RGB in 0..255, to a `Reading`; S is a multiple of 32.

    References:
        Tan and Le, EfficientNet, ICML 2019, https://doi.org/10.48550/arXiv.1905.11946;
        Ronneberger et al., U-Net, MICCAI 2015, https://doi.org/10.1007/978-3-319-24574-4_28.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.stem = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 32, 3, 2, bias=False), _norm(32), nn.ReLU6()
        )
        self.stages = nn.ModuleList()
        channels = 32
        for expansion, kernel, stride, filters, count in _STAGES:
            blocks = []
            for number in range(count):
                step = stride if number == 0 else 1
                blocks.append(_Block(channels, filters, expansion, kernel, step))
                channels = filters
            self.stages.append(nn.Sequential(*blocks))
        coarse, middle, fine = _WIDTHS
        self.deepest = _mixed(192, coarse, 1)
        self.narrow = nn.ModuleList(
            [nn.Conv2d(coarse, coarse, 1), nn.Conv2d(coarse, middle, 1), nn.Conv2d(middle, fine, 1)]
        )
        self.across = nn.ModuleList(
            [nn.Conv2d(112, coarse, 1), nn.Conv2d(40, middle, 1), nn.Conv2d(24, fine, 1)]
        )
        self.up = nn.ModuleList(
            [_mixed(coarse, coarse), _mixed(middle, middle), _mixed(fine, fine)]
        )
        self.outline = nn.Conv2d(fine, 4, 1)
        self.hints = nn.ModuleList(
            [nn.Conv2d(24, _FOUND, 3, 2, 1), nn.Conv2d(40, _FOUND, 1), nn.Conv2d(112, _FOUND, 1)]
        )
        self.hints.append(nn.Conv2d(192, _FOUND, 1))
        self.finder = _mixed(_FOUND, _FOUND)
        self.where = nn.Conv2d(_FOUND, _ARTIFACTS, 1)
        self.whole = nn.Sequential(nn.Dropout(0.2), nn.Linear(192, _ARTIFACTS + 1))
        self.sharpness = nn.Parameter(torch.full((1, _ARTIFACTS, 1, 1), 1.0))
        self.register_buffer("scale", torch.ones(_ARTIFACTS + 1))
        self.register_buffer("shift", torch.zeros(_ARTIFACTS + 1))

    def forward(self, images: torch.Tensor) -> Reading:
        """Read images."""
        values = self.stem((images - 127) / 128)
        stages = []
        for stage in self.stages:
            values = stage(values)
            stages.append(values)
        return self.read(stages[1], stages[2], stages[4], stages[5])

    def read(
        self,
        quarter: torch.Tensor,
        eighth: torch.Tensor,
        sixteenth: torch.Tensor,
        last: torch.Tensor,
    ) -> Reading:
        """Read the encoder's features, named for their size in that of the input."""
        values = self.deepest(last)
        for narrow, across, up, skip in zip(
            self.narrow, self.across, self.up, (sixteenth, eighth, quarter), strict=True
        ):
            values = up(_twice(narrow(values)) + across(skip))
        lesion = functional.pixel_shuffle(self.outline(values), 2)
        near, own, far, farthest = self.hints
        hints = near(quarter) + own(eighth) + _twice(far(sixteenth) + _twice(farthest(last)))
        where = self.where(self.finder(functional.relu(hints)))
        power = functional.softplus(self.sharpness) + 0.1
        highest = where.amax((2, 3), keepdim=True)
        smooth = (((where - highest) * power).exp().mean((2, 3), keepdim=True)).log() / power
        whole = self.whole(last.mean((2, 3)))
        pooled = (highest + smooth).flatten(1)
        found = torch.cat([whole[:, :1], whole[:, 1:] + pooled], 1) * self.scale + self.shift
        return Reading(lesion, found[:, :1], found[:, 1:], where)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _mixed(channels: int, filters: int, kernel: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True))


def _twice(values: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(values, scale_factor=2, mode="nearest")
