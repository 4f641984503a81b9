"""Simulated hair whose mask is exact: what no annotator can give for a real image."""

import math

import cv2
import numpy as np

from dermolib._validation import Image, Mask, check_image, check_number, require
from dermolib.datasets.synthetic.drawing import Points, check_generator, paint, ribbon

__all__ = ["VISIBLE_CHANGE", "draw_hair", "keep_visible"]

VISIBLE_CHANGE = 4
"""Smallest change of a channel, of 255 levels, by which a pixel counts as covered by hair."""

_COLORS = np.array(
    [[28, 22, 22], [50, 34, 28], [92, 62, 42], [186, 150, 104], [176, 172, 168]], np.float64
)
_COLOR_FRACTIONS = (0.32, 0.32, 0.18, 0.10, 0.08)
_STEPS = 28


def draw_hair(
    image: Image, *, density: float = 0.05, generator: np.random.Generator
) -> tuple[Image, Mask]:
    """Draw curved, tapering strands of hair over an image and say exactly where they lie.

    Strands of one image share a color (black, brown, blond or grey), a direction of growth, a
    length and a width of about 1 % of the shorter side, and each strand varies around them.

    What stays true: the mask holds exactly the pixels that differ between the two images, each by
    at least `VISIBLE_CHANGE` levels in one channel; all others are bit-identical. A strand that
    has the color of what lies beneath is therefore in no mask.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        density: Fraction of the pixels to aim at, 0 (no hair) to 0.5 (hardly any skin in sight). It
            is met by whole strands, so that a small value on a small image is exceeded.
        generator: Source of all randomness.

    Returns:
        Image (H, W, 3), uint8 RGB, and mask (H, W), bool, True where hair changed the image.

    Raises:
        TypeError: `image` is not uint8, `density` is not a number or `generator` not a generator.
        ValueError: `image` is not RGB or `density` is not in 0..0.5.

    Examples:
        >>> skin = np.full((64, 64, 3), (205, 165, 150), np.uint8)
        >>> hairy, mask = draw_hair(skin, density=0.1, generator=np.random.default_rng(0))
        >>> bool(mask.any()), bool((hairy[~mask] == skin[~mask]).all())
        (True, True)
    """
    check_image(image)
    check_number(density, "density", low=0, high=0.5)
    check_generator(generator)
    if density == 0:
        return image.copy(), np.zeros(image.shape[:2], np.bool_)
    height, width = image.shape[:2]
    outlines, colors = _grow((height, width), density, generator)
    layer = paint((height, width), outlines, colors)
    kept = image.astype(np.float32) * (1 - layer[..., 3:])
    hairy = np.rint(kept + layer[..., :3] * np.float32(255)).astype(np.uint8)
    return keep_visible(image, hairy)


def keep_visible(clean: Image, changed: Image) -> tuple[Image, Mask]:
    """Undo changes that no eye sees, and give the mask of those that stay.

    Args:
        clean: Image (H, W, 3) before the change, uint8 RGB.
        changed: The same image after it.

    Returns:
        `changed`, with the pixels of `clean` wherever no channel moved by `VISIBLE_CHANGE` levels
        or more, and the mask (H, W) of the pixels that did.

    Raises:
        TypeError: One of the two is not uint8.
        ValueError: One of the two is not RGB, or their shapes differ.

    Examples:
        >>> clean = np.full((1, 2, 3), 100, np.uint8)
        >>> changed = clean + np.array([[[3], [4]]], np.uint8)
        >>> image, mask = keep_visible(clean, changed)
        >>> image[..., 0].tolist(), mask.tolist()
        ([[100, 104]], [[False, True]])
    """
    check_image(clean, "clean")
    check_image(changed, "changed")
    what = f"an image of shape {clean.shape}"
    require(clean.shape == changed.shape, "changed", what, changed.shape)
    red, green, blue = cv2.split(cv2.absdiff(clean, changed))
    mask: Mask = cv2.max(cv2.max(red, green), blue) >= VISIBLE_CHANGE
    kept = clean.copy()
    cv2.copyTo(changed, mask.view(np.uint8), kept)
    return kept, mask


def _grow(
    shape: tuple[int, int], density: float, generator: np.random.Generator
) -> tuple[list[Points], list[tuple[float, ...]]]:
    """Grow strands until their area within the image reaches the density."""
    side, stubble = min(shape), generator.random() < 0.15
    angle = generator.uniform(0, 2 * math.pi)
    spread = generator.choice([0.25, 0.6, 2.0])
    length = side * (generator.uniform(0.1, 0.2) if stubble else generator.uniform(0.5, 1.2))
    bend = 0.1 if stubble else generator.uniform(0.2, 1.4)
    width = max(side * generator.uniform(0.006, 0.013), 0.9)
    color = _COLORS[generator.choice(len(_COLORS), p=_COLOR_FRACTIONS)]
    opacity = generator.uniform(0.7, 1.0)
    along = np.linspace(0, 1, _STEPS)
    left = density * shape[0] * shape[1]
    outlines: list[Points] = []
    colors: list[tuple[float, ...]] = []
    while left > 0:
        # A strand turns steadily and sways a little
        sway = 0.25 * generator.normal() * np.sin(2 * math.pi * (along + generator.random()))
        turn = angle + spread * generator.normal() + bend * generator.normal() * along + sway
        stride = length * generator.uniform(0.6, 1.3) / _STEPS
        points = np.cumsum(stride * np.column_stack([np.cos(turn), np.sin(turn)]), axis=0)
        points += generator.uniform((0, 0), (shape[1], shape[0])) - points[_STEPS // 2]
        taper = np.minimum(1, 0.55 + 3 * along) * np.minimum(1, 3 * (1 - along)) ** 0.6
        widths = width * generator.uniform(0.75, 1.2) * taper
        tint = np.clip(color * generator.normal(1, 0.12) + generator.normal(0, 3, 3), 4, 250)
        outlines.append(ribbon(points, widths))
        colors.append((*tint * opacity, 255 * opacity))
        if width > 2.5:
            outlines.append(ribbon(points, widths * 0.3))
            shine = np.clip(tint * 1.25 + 12, 4, 250)
            colors.append((*shine * opacity, 255 * opacity))
        # Its edges cover one pixel more than its width
        within = ((points >= 0) & (points < (shape[1], shape[0]))).all(axis=1)
        stride = float(np.linalg.norm(points[1] - points[0]))
        left -= max(stride * float((widths[within] + 1).sum()), 1.0)
    return outlines, colors
