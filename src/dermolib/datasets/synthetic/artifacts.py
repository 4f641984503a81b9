"""Counterfactual images: the same lesion with a ruler, ink, a patch, hair, corners or bubbles."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, overload

import numpy as np

from dermolib._validation import (
    Image,
    Mask,
    check_choice,
    check_flag,
    check_image,
    check_mask,
    check_number,
)
from dermolib.datasets.synthetic.hair import draw_hair, keep_visible
from dermolib.datasets.synthetic.tools import (
    Frame,
    draw_bubbles,
    draw_dark_corner,
    draw_ink,
    draw_patch,
    draw_ruler,
)

__all__ = ["ARTIFACT_KINDS", "with_artifact"]

_Drawer: TypeAlias = Callable[[Image, np.random.Generator], Image]

_TRIES = 8  # placements among which one is chosen that spares a lesion
_HIDDEN = 0.02  # of a lesion; a placement that hides less is taken


def _in_frame(draw: Callable[[Image, Frame, np.random.Generator], Image]) -> _Drawer:
    """Draw on an image that is the whole picture."""
    return lambda image, generator: draw(image, Frame.of(image), generator)


def _draw_some_hair(image: Image, generator: np.random.Generator) -> Image:
    """Draw hair, sparse to dense."""
    density = math.exp(generator.uniform(math.log(0.015), math.log(0.12)))
    return draw_hair(image, density=density, generator=generator)[0]


_DRAWERS: dict[str, _Drawer] = {
    "ruler": _in_frame(draw_ruler),
    "ink": _in_frame(draw_ink),
    "patch": _in_frame(draw_patch),
    "hair": _draw_some_hair,
    "dark_corner": _in_frame(draw_dark_corner),
    "bubble": _in_frame(draw_bubbles),
}

ARTIFACT_KINDS = tuple(_DRAWERS)
"""Kinds of artifacts that `with_artifact` draws."""


@overload
def with_artifact(
    image: Image,
    kind: str,
    *,
    seed: int = ...,
    lesion: Mask | None = ...,
    return_mask: Literal[False] = ...,
) -> Image: ...
@overload
def with_artifact(
    image: Image,
    kind: str,
    *,
    seed: int = ...,
    lesion: Mask | None = ...,
    return_mask: Literal[True],
) -> tuple[Image, Mask]: ...
def with_artifact(
    image: Image,
    kind: str,
    *,
    seed: int = 0,
    lesion: Mask | None = None,
    return_mask: bool = False,
) -> Image | tuple[Image, Mask]:
    """Draw an artifact over an image: what it would show had the photograph been taken with one.

    Position, size, color and number follow the seed, in proportion to the shorter side, so that one
    seed draws the same thing at any image size. Rulers and patches lie near the edges and ink
    around the middle, as in the ISIC archive.

    What stays true: the mask holds exactly the pixels that differ, each by at least
    `VISIBLE_CHANGE` levels in one channel; all others are bit-identical. An image of a few pixels
    may have no room for an artifact and come back unchanged.

    Args:
        image: Image (H, W, 3), uint8 RGB, of any size; it is not modified.
        kind: ``"ruler"``, ``"ink"``, ``"patch"``, ``"hair"``, ``"dark_corner"`` or ``"bubble"``.
        seed: Which of all such artifacts to draw, 0 or more.
        lesion: Lesion (H, W), bool. Of up to eight draws it gets the first that changes less than
            2 % of the lesion, or else the one that changes least. None: it may be covered.
        return_mask: Whether the mask of the pixels that changed is returned too.

    Returns:
        Image (H, W, 3), uint8 RGB; with `return_mask` also the mask (H, W), bool.

    Raises:
        TypeError: `image` is not uint8, `lesion` not bool, or `seed` not an integer.
        ValueError: `image` is not RGB, `lesion` has another shape, `kind` is unknown or `seed` is
            negative.

    Examples:
        >>> skin = np.full((150, 200, 3), (205, 165, 150), np.uint8)
        >>> marked, mask = with_artifact(skin, "ruler", seed=3, return_mask=True)
        >>> bool(mask.any()), bool((marked[~mask] == skin[~mask]).all())
        (True, True)
        >>> bool(marked[mask].mean() < skin.mean())  # its ticks are dark
        True
    """
    check_image(image)
    check_choice(kind, "kind", ARTIFACT_KINDS)
    check_number(seed, "seed", low=0, integer=True)
    check_flag(return_mask, "return_mask")
    if lesion is not None:
        lesion = check_mask(lesion, image.shape[:2], "lesion")
    generator = np.random.default_rng([int(seed), ARTIFACT_KINDS.index(kind)])
    drawn, mask = keep_visible(image, _DRAWERS[kind](image, generator))
    if lesion is not None and lesion.any():
        drawn, mask = _spare(image, kind, lesion, (drawn, mask), generator)
    return (drawn, mask) if return_mask else drawn


def _spare(
    image: Image,
    kind: str,
    lesion: Mask,
    first: tuple[Image, Mask],
    generator: np.random.Generator,
) -> tuple[Image, Mask]:
    """Draw again while too much of a lesion is hidden; return what hides least."""
    best, hidden = first, float(first[1][lesion].mean())
    for _ in range(_TRIES - 1):
        if hidden < _HIDDEN:
            break
        again = keep_visible(image, _DRAWERS[kind](image, generator))
        changed = float(again[1][lesion].mean())
        if changed < hidden:
            best, hidden = again, changed
    return best
