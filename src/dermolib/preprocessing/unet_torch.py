"""The hair network as a torch module: what is trained, and what runs on a GPU."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ["HairUNet"]

_CHANNELS = (16, 24, 32, 48)


class HairUNet(nn.Module):
    """U-Net of 104,348 parameters that says of each pixel whether hair covers it.

    The first layer halves the resolution and the last one gives four values for each of its
    pixels, so that no layer works at full size. Skip connections are added, as in LinkNet.

    Shapes: (N, 3, H, W), RGB scaled to [-1, 1], to logits (N, 1, H, W); H and W are multiples of
    `MULTIPLE`.

    References:
        Ronneberger et al., U-Net, MICCAI 2015, https://doi.org/10.1007/978-3-319-24574-4_28;
        Chaurasia and Culurciello, LinkNet, VCIP 2017, https://doi.org/10.1109/VCIP.2017.8305148;
        Shi et al., sub-pixel convolution, CVPR 2016, https://doi.org/10.1109/CVPR.2016.207.
    """

    MULTIPLE = 16

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        pairs = list(zip(_CHANNELS[:-1], _CHANNELS[1:], strict=True))
        self.stem = _block(3, _CHANNELS[0], kernel=6, stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_block(fine, coarse, stride=2), _block(coarse, coarse))
            for fine, coarse in pairs
        )
        self.context = _block(_CHANNELS[-1], _CHANNELS[-1], dilation=2)
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in reversed(pairs))
        self.up = nn.ModuleList(_block(fine, fine) for fine, _ in reversed(pairs))
        self.head = nn.Sequential(_block(_CHANNELS[0], _CHANNELS[0]), nn.Conv2d(_CHANNELS[0], 4, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logit of each pixel."""
        return functional.pixel_shuffle(self.quarters(images), 2)

    def quarters(self, images: torch.Tensor) -> torch.Tensor:
        """Give logits (N, 4, H/2, W/2): of the four pixels of each square of two by two."""
        values = self.stem(images)
        skips = []
        for down in self.down:
            skips.append(values)
            values = down(values)
        values = values + self.context(values)
        for narrow, up, skip in zip(self.narrow, self.up, reversed(skips), strict=True):
            values = functional.interpolate(narrow(values), scale_factor=2, mode="nearest")
            values = up(values + skip)
        logits: torch.Tensor = self.head(values)
        return logits


def _block(
    channels: int, filters: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2 if kernel % 2 else (kernel - stride) // 2
    convolution = nn.Conv2d(
        channels, filters, kernel, stride, padding, dilation=dilation, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True))
