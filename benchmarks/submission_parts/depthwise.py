"""Depthwise convolutions whose gradients a CPU computes in reasonable time.

PyTorch 2.15 with oneDNN takes most of the time of an EfficientNet's training step on a CPU for two
gradients, in bfloat16 above all: that of the input of a depthwise convolution with a stride (173 ms
for 32 images of 96 channels and 80 x 80 px, where the same without a stride takes 14 ms), and that
of a 5 x 5 kernel (37 ms for 144 channels of 20 x 20 px; in float32 15 ms). Here the first is the
gradient of a convolution without a stride, of values with zeros between them, and the second is
computed in float32. What is computed stays the same: only the order of rounding differs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["quicken"]


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution of a padded input."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride = stride
        return functional.conv2d(image, weight, stride=stride, groups=image.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        image, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_image = of_weight = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0]:
                of_image = _of_image(gradient, image, weight, ctx.stride)
            if ctx.needs_input_grad[1]:
                of_weight = _of_weight(gradient, image, weight, ctx.stride)
        return of_image, of_weight, None


def _of_image(gradient: Tensor, image: Tensor, weight: Tensor, stride: int) -> Tensor:
    size = weight.shape[-1]
    if stride > 1:
        shape = (*image.shape[:2], image.shape[2] - size + 1, image.shape[3] - size + 1)
        spread = gradient.new_zeros(shape).contiguous(memory_format=torch.channels_last)
        spread[:, :, ::stride, ::stride] = gradient
        gradient = spread
    flipped = weight.flip(-1, -2)
    return functional.conv2d(gradient, flipped, padding=size - 1, groups=image.shape[1])


def _of_weight(gradient: Tensor, image: Tensor, weight: Tensor, stride: int) -> Tensor:
    kept = weight.dtype
    if weight.shape[-1] > 3:
        gradient, image, weight = gradient.float(), image.float(), weight.float()
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, image, weight, None, [stride] * 2, [0, 0], [1, 1], False, [0, 0],
        image.shape[1], [False, True, False],
    )[1]  # fmt: skip
    return found.to(kept)


class _QuickDepthwise(nn.Conv2d):
    """A depthwise convolution of timm, padded as before."""

    same: bool

    def forward(self, image: Tensor) -> Tensor:
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            weight = weight.to(torch.get_autocast_dtype("cpu"))
        size, stride = self.kernel_size[0], self.stride[0]
        if self.same:
            padding = [*_same(image.shape[3], size, stride), *_same(image.shape[2], size, stride)]
        else:
            padding = [int(self.padding[0])] * 4
        padded = functional.pad(image.to(weight.dtype), padding)
        result: Tensor = _Depthwise.apply(padded, weight, stride)
        return result


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """Pad as TensorFlow does: the result has length / stride values, rounded up."""
    lacking = max((-(-length // stride) - 1) * stride + size - length, 0)
    return lacking // 2, lacking - lacking // 2


def quicken(model: nn.Module) -> nn.Module:
    """Let the depthwise convolutions of a network compute their gradients in another way.

    Args:
        model: Network of timm; changed in place. Names and weights stay.

    Returns:
        The network.
    """
    for module in model.modules():
        if type(module).__name__ not in {"Conv2d", "Conv2dSame"} or not isinstance(
            module, nn.Conv2d
        ):
            continue
        depthwise = module.groups == module.in_channels == module.out_channels > 1
        if depthwise and module.bias is None and module.dilation == (1, 1):
            same = type(module).__name__ == "Conv2dSame"
            module.__class__ = _QuickDepthwise
            module.same = same  # type: ignore[assignment]  # an attribute of the new class
    return model
