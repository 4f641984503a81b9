"""Random parameters of whole batches: those of each sample follow from its own seed alone.

Seeds are hashed with the integers of SplitMix64, which wrap around at 64 bits on every device.

References:
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
    https://doi.org/10.1145/2660193.2660195.
"""

from typing import NamedTuple, TypeAlias

import torch
from torch import nn

__all__ = ["RANGES", "ParameterRange", "ParameterSampler", "Parameters"]

Parameters: TypeAlias = dict[str, torch.Tensor]
"""Name of a parameter to its values (N,), float32."""

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class ParameterRange(NamedTuple):
    """A parameter, uniform in low..high with a probability, else neutral.

    Those of one `gate` are drawn together: one number in 0..1 is compared with all probabilities.
    """

    low: float
    high: float
    neutral: float
    gate: str
    probability: float


def _affine(p: float, *, rotation: float, shift: float, shear: float) -> dict[str, ParameterRange]:
    limits = {"rotation": rotation, "shift_x": shift, "shift_y": shift}
    limits |= {"shear_x": shear, "shear_y": shear}
    ranges = {name: ParameterRange(-most, most, 0, "affine", p) for name, most in limits.items()}
    return {"scale": ParameterRange(0.9, 1.1, 1, "affine", p), **ranges}


def _holes() -> dict[str, ParameterRange]:
    """Cut one, two or three holes, equally often, into every other image."""
    limits = {"height": (0.08, 0.18), "width": (0.08, 0.18), "top": (0, 1), "left": (0, 1)}
    return {
        f"hole_{number}_{name}": ParameterRange(low, high, 0, "cutout", probability)
        for number, probability in enumerate((0.5, 1 / 3, 1 / 6))
        for name, (low, high) in limits.items()
    }


_SYMMETRIES = {
    name: ParameterRange(1, 1, 0, name, 0.5) for name in ("transpose", "flip_columns", "flip_rows")
}

RANGES: dict[str, dict[str, ParameterRange]] = {
    "paper": {
        **_SYMMETRIES,
        "lens": ParameterRange(-0.4, 0.4, 0, "distortion", 1 / 6),
        "rotation_before": ParameterRange(-45, 45, 0, "rotate", 0.5),
        **_affine(0.7, rotation=15, shift=0.1, shear=0),
        "brightness": ParameterRange(-0.2, 0.1, 0, "light", 0.7),
        "contrast": ParameterRange(0.8, 1.15, 1, "light", 0.7),
        "hue": ParameterRange(-8, 8, 0, "color", 0.5),
        "saturation": ParameterRange(-20, 20, 0, "color", 0.5),
        "value": ParameterRange(-10, 10, 0, "color", 0.5),
        **_holes(),
    },
    "light": {
        **_SYMMETRIES,
        **_affine(0.5, rotation=45, shift=0.05, shear=5),
        "lift": ParameterRange(-0.1, 0.1, 0, "light", 0.5),
        "contrast": ParameterRange(0.9, 1.1, 1, "light", 0.5),
        **{name: ParameterRange(0.93, 1.07, 1, "cast", 0.5) for name in ("red", "green", "blue")},
    },
    "evaluation": {},
}
"""Name of a preset to the ranges of its parameters."""


class ParameterSampler(nn.Module):
    """Map seeds (N,), int64, to the parameters of a preset of `RANGES`."""

    def __init__(self, name: str) -> None:
        """Register the ranges as tensors."""
        super().__init__()
        ranges = list(RANGES[name].values())
        gates = list(dict.fromkeys(one.gate for one in ranges))
        rows = [[one.low, one.high, one.neutral, one.probability] for one in ranges]
        # As integers, which stay as they are in `half()` and its like
        bits = torch.tensor(rows, dtype=torch.float32).view(-1, 4).T.contiguous().view(torch.int32)
        places = torch.tensor([gates.index(one.gate) for one in ranges], dtype=torch.int64)
        # Products in Python: a compiler would fold them into numbers of more than 64 bits
        counters = [_signed(number * _GAMMA) for number in range(1, len(gates) + len(ranges) + 1)]
        self.names = tuple(RANGES[name])
        self.ranges = nn.Buffer(bits, persistent=False)
        self.gates = nn.Buffer(places, persistent=False)
        self.counters = nn.Buffer(torch.tensor(counters, dtype=torch.int64), persistent=False)

    def forward(self, seeds: torch.Tensor) -> Parameters:
        """Draw for each seed."""
        bits = _mixed(_mixed(seeds + _signed(_GAMMA))[:, None] + self.counters)
        numbers = _top(bits, 24).to(torch.float32) * 2.0**-24
        low, high, neutral, probability = self.ranges.view(torch.float32)
        drawn = low + (high - low) * numbers[:, numbers.shape[1] - len(self.names) :]
        is_open = numbers.index_select(1, self.gates) < probability
        values = torch.where(is_open, drawn, neutral)
        return dict(zip(self.names, values.unbind(dim=1), strict=True))


def _mixed(bits: torch.Tensor) -> torch.Tensor:
    """Mix 64 bits so that each depends on all."""
    bits = (bits ^ _top(bits, 34)) * _signed(_FIRST)
    bits = (bits ^ _top(bits, 37)) * _signed(_SECOND)
    return bits ^ _top(bits, 33)


def _top(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Shift the top bits down; the mask takes off the sign that comes along."""
    return (bits >> (64 - count)) & ((1 << count) - 1)


def _signed(number: int) -> int:
    """Wrap a number around to 64 bits with a sign."""
    return (number + 2**63) % 2**64 - 2**63
