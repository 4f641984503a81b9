"""The hair network as a torch module: what is trained, and what runs on a GPU."""

import functools
import itertools
from importlib import resources
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from dermolib.models.weights import load_weights
from dermolib.preprocessing.hair import unet as like
from dermolib.preprocessing.hair.inpainting_torch import dilated
from dermolib.preprocessing.hair.luv_torch import keep_components
from dermolib.preprocessing.hair.snapping import STEPS_PER_LOGIT
from dermolib.preprocessing.hair.snapping_torch import snap_batch
from dermolib.preprocessing.hair.unet import check_unet_options, working_size

__all__ = ["HairUNet", "load_network", "unet_masks"]

_CHANNELS = (16, 24, 32, 48)


class HairUNet(nn.Module):
    """U-Net of 104,348 parameters that segments hair.

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
        pairs = list(itertools.pairwise(_CHANNELS))
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


def load_network(weights: Path | None = None) -> HairUNet:
    """Load the network on the CPU, from a file of weights or the one beside this module."""
    network = HairUNet()
    file = resources.files("dermolib.preprocessing.hair") / "hair_unet.safetensors"
    with resources.as_file(file) as path:
        load_weights(network, weights or path)
    return network.eval()


@functools.cache
def _network_on(device: torch.device) -> HairUNet:
    with torch.inference_mode(False):  # or other modes could not use it
        return load_network().requires_grad_(False).to(device)


def unet_masks(
    images: torch.Tensor, *, threshold: float, certain: float, min_area: float
) -> torch.Tensor:
    """Find hair in images (N, 3, H, W), uint8, as `find_hair_and_blur` does in one."""
    size = (images.shape[2], images.shape[3])
    low, high, min_area = check_unet_options(threshold, certain, min_area, size)
    working = working_size(size)
    images = images.contiguous()  # the last digits of sums depend on the layout in memory
    values = images.float()
    if working[0] < size[0]:
        values = functional.interpolate(values, working, mode="area").round()
    elif working != size:
        values = functional.interpolate(values, working, mode="bicubic").round().clamp(0, 255)
    steps = _steps(_network_on(images.device), values)
    zones = _zones(steps, low, high, min_area)
    return snap_batch(images, values, steps, zones, low)


def _zones(steps: torch.Tensor, low: int, high: int, min_area: float) -> torch.Tensor:
    """Find where hair may be in each image, as `find_hair` does."""
    less = max(1, low - like.BONUS)
    weak = steps >= less
    sure = keep_components(steps >= low, steps >= high, min_area)
    pieces = keep_components(weak, steps >= high - like.BONUS, min_area)
    hairy = sure.float().mean(dim=(1, 2), keepdim=True) > like.HAIRY
    return torch.where(hairy, pieces, weak & dilated(sure, like.NEAR))


def _steps(network: HairUNet, images: torch.Tensor) -> torch.Tensor:
    """Give the logits (N, H, W) in the steps of `find_hair`, as floating-point numbers."""
    height, width = images.shape[2:]
    below, right = -height % HairUNet.MULTIPLE, -width % HairUNet.MULTIPLE
    values = functional.pad(images / 127.5 - 1, (0, right, 0, below), mode="replicate")
    logits = network(values.contiguous(memory_format=torch.channels_last))
    steps: torch.Tensor = logits[:, 0, :height, :width] * STEPS_PER_LOGIT + 128
    return steps.round().clamp(0, 255)
