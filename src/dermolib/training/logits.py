"""Logits of full precision from a network that computes in half precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["float32_logits"]


@contextmanager
def float32_logits(model: nn.Module, num_classes: int) -> Iterator[None]:
    """Let the linear layers that give the logits compute in float32 inside the block.

    Of logits that are rounded to the 8 bits of bfloat16, the two highest of an image are equal now
    and then: the first class would win, or, by the rule of the official scorer, none. The other
    layers compute as they do.
    """
    sizes = {num_classes, 1} if num_classes == 2 else {num_classes}
    layers = [one for one in model.modules() if isinstance(one, nn.Linear)]
    hooks = [one.register_forward_hook(_in_float32) for one in layers if one.out_features in sizes]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _in_float32(layer: Any, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """Compute again what autocast has rounded."""
    if output.dtype not in (torch.bfloat16, torch.float16):
        return None
    bias = None if layer.bias is None else layer.bias.float()
    with torch.autocast(output.device.type, enabled=False):
        return nn.functional.linear(inputs[0].float(), layer.weight.float(), bias)
