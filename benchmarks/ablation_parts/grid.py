"""Which runs there are: factors, their levels, and the cells of a grid of them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from dermolib._validation import check_choice

__all__ = ["FACTORS", "Cell", "cells_of", "with_level"]

FACTORS: dict[str, tuple[str, ...]] = {
    "hair": ("none", "luv", "default"),
    "augmentation": ("none", "light", "paper", "paper-offline"),
    "balancing": ("sampler", "weights"),
    "constancy": ("off", "on"),
    "metadata": ("off", "on"),
}
"""Name of each factor to its levels; a difference is that of a later level and an earlier one."""


@dataclass(frozen=True, order=True)
class Cell:
    """One level of each factor, see `FACTORS`."""

    hair: str
    augmentation: str
    balancing: str
    constancy: str = "off"
    metadata: str = "off"

    def __post_init__(self) -> None:
        """Refuse unknown levels."""
        for factor, levels in FACTORS.items():
            check_choice(getattr(self, factor), factor, levels)

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels in the order of `FACTORS`."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def name(self) -> str:
        """All levels in one word, for files."""
        return "_".join(self.levels)


def cells_of(
    levels: Mapping[str, Sequence[str]], base: Cell, extras: Iterable[str] = ()
) -> list[Cell]:
    """List the cells of a full grid, and those that differ from a base cell in one factor alone."""
    grid = [Cell(*combination) for combination in itertools.product(*(levels[f] for f in FACTORS))]
    for factor in extras:
        check_choice(factor, "extras", FACTORS)
        grid += [with_level(base, factor, level) for level in FACTORS[factor]]
    return list(dict.fromkeys(grid))


def with_level(cell: Cell, factor: str, level: str) -> Cell:
    """Give the cell that differs in the level of one factor."""
    change: dict[str, Any] = {factor: level}
    return replace(cell, **change)
