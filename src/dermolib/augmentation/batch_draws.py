"""Random numbers of whole batches: each sample's draw follows from its own seed alone.

Seeds are hashed with the integers of SplitMix64, which wrap around at 64 bits on every device. So a
CPU and a GPU get the same bits, no generator is read or moved, and neither the place in the batch
nor its size plays a part.

References:
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
    https://doi.org/10.1145/2660193.2660195.
"""

from typing import NamedTuple, TypeAlias

import torch
from torch import nn

__all__ = ["NODES", "TABLES", "DrawTable", "Drawn", "Draws"]

Draws: TypeAlias = dict[str, torch.Tensor]
"""Name of a drawn number to its values (N,), float32; ``"elastic"`` is (N, 2, NODES, NODES)."""

NODES = 19
"""Nodes along a side on which an elastic warp is drawn: 16 cells, and one beyond each border."""

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


class Drawn(NamedTuple):
    """One number of a draw: uniform in low..high while its gate is open, else neutral.

    Each gate is one number in 0..1 per sample; this one is open for a part of that range. Numbers
    that share a gate open together or exclude each other.
    """

    low: float
    high: float
    neutral: float
    gate: str
    opens: float
    closes: float


def _grid_steps() -> dict[str, Drawn]:
    names = [f"{axis}_step_{number}" for axis in "xy" for number in range(5)]
    return {name: Drawn(0.7, 1.3, 1, "distortion", 1 / 6, 1 / 3) for name in names}


def _holes() -> dict[str, Drawn]:
    """Open one, two or three holes, equally often."""
    table = {}
    for number, share in enumerate((0.5, 1 / 3, 1 / 6)):
        for name in ("height", "width"):
            table[f"hole_{number}_{name}"] = Drawn(0.08, 0.18, 0, "cutout", 0, share)
        for name in ("top", "left"):
            table[f"hole_{number}_{name}"] = Drawn(0, 1, 0, "cutout", 0, share)
    return table


_SYMMETRIES = {
    name: Drawn(1, 1, 0, name, 0, 0.5) for name in ("transpose", "flip_columns", "flip_rows")
}


def _affine(
    share: float, *, tilt: float = 45, shift: float = 0.1, shear: float = 0
) -> dict[str, Drawn]:
    """Open one gate for all that an affine warp takes."""
    limits = {"tilt": tilt, "shift_x": shift, "shift_y": shift, "shear_x": shear, "shear_y": shear}
    table = {name: Drawn(-limit, limit, 0, "affine", 0, share) for name, limit in limits.items()}
    return {"scale": Drawn(0.9, 1.1, 1, "affine", 0, share), **table}


TABLES: dict[str, dict[str, Drawn]] = {
    "paper": {
        **_SYMMETRIES,
        "optical": Drawn(-0.4, 0.4, 0, "distortion", 0, 1 / 6),
        **_grid_steps(),
        "elastic": Drawn(1, 1, 0, "distortion", 1 / 3, 1 / 2),
        "rotate": Drawn(-45, 45, 0, "rotate", 0, 0.5),
        **_affine(0.7, tilt=15),
        "brightness": Drawn(-0.2, 0.1, 0, "light", 0, 0.7),
        "contrast": Drawn(0.8, 1.15, 1, "light", 0, 0.7),
        "hue": Drawn(-8, 8, 0, "color", 0, 0.5),
        "saturation": Drawn(-20, 20, 0, "color", 0, 0.5),
        "value": Drawn(-10, 10, 0, "color", 0, 0.5),
        **_holes(),
    },
    "light": {
        **_SYMMETRIES,
        **_affine(0.5, shift=0.05, shear=5),
        "lift": Drawn(-0.1, 0.1, 0, "light", 0, 0.5),
        "contrast": Drawn(0.9, 1.1, 1, "light", 0, 0.5),
        **{name: Drawn(0.93, 1.07, 1, "cast", 0, 0.5) for name in ("red", "green", "blue")},
    },
    "evaluation": {},
}
"""Name of a preset to the numbers that it draws, each by its name."""


class DrawTable(nn.Module):
    """Draw the numbers of one preset.

    Args:
        name: Name among `TABLES`.
    """

    columns: torch.Tensor
    gates: torch.Tensor
    counters: torch.Tensor

    def __init__(self, name: str) -> None:
        """Bring the table to the form of tensors."""
        super().__init__()
        table = TABLES[name]
        self.names = tuple(table)
        self.elastic = "elastic" in table
        names = list(dict.fromkeys(number.gate for number in table.values()))
        gates = [names.index(number.gate) for number in table.values()]
        columns = [[n.low, n.high, n.neutral, n.opens, n.closes] for n in table.values()]
        count = len(names) + len(table) + self.elastic * 2 * NODES * NODES
        # Products in Python: a compiler would fold them into numbers of more than 64 bits
        products = [_signed(number * _GAMMA) for number in range(1, count + 1)]
        self.gate_count = len(names)
        self.chance_count = len(names) + len(table)
        self.register_buffer("columns", torch.tensor(columns).view(-1, 5).T, persistent=False)
        self.register_buffer("gates", torch.tensor(gates, dtype=torch.int64), persistent=False)
        counters = torch.tensor(products, dtype=torch.int64)
        self.register_buffer("counters", counters, persistent=False)

    def forward(self, seeds: torch.Tensor) -> Draws:
        """Draw for each seed.

        Args:
            seeds: Seeds (N,), int64, on the device of this module.

        Returns:
            Draws.
        """
        bits = _mixed(_mixed(seeds + _signed(_GAMMA))[:, None] + self.counters)
        chances = _top(bits[:, : self.chance_count], 24).to(torch.float32) * 2.0**-24
        low, high, neutral, opens, closes = self.columns
        gate = chances.index_select(1, self.gates)
        value = low + (high - low) * chances[:, self.gate_count :]
        values = torch.where((gate >= opens) & (gate < closes), value, neutral)
        draws = dict(zip(self.names, values.unbind(dim=1), strict=True))
        if self.elastic:
            nodes = _normal(bits[:, self.chance_count :]).view(-1, 2, NODES, NODES)
            draws["elastic"] = nodes * draws["elastic"].view(-1, 1, 1, 1)
        return draws


def _normal(bits: torch.Tensor) -> torch.Tensor:
    """Turn hashes into nearly normal numbers of mean 0 and standard deviation 1.

    A sum of four uniform numbers, taken in whole numbers, is the same on every device.
    """
    parts = torch.stack([(bits >> shift) & 0xFFFF for shift in (0, 16, 32, 48)])
    total = parts.sum(dim=0) - 2 * 0xFFFF
    return total.to(torch.float32) * (3**0.5 / 2**16)


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
