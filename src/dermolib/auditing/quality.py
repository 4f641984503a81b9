"""Image quality: blank, blurred, under- or overexposed images, and those that are not dermoscopic.

Each flag has a score in 0..1. Those of blank and of exposure are read off directly; those of blur
and of what is not dermoscopic are logistic in measures of an image and in their squares, with the
weights of ``quality.csv``, which `benchmarks/quality.py` fits and judges.
"""

import functools
import itertools
from importlib.resources import files
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Image, check_image
from dermolib.preprocessing.blank import lit_and_varied

__all__ = [
    "APPEARANCE", "LEAST_LIT", "LIMIT", "QUALITY_FLAGS", "SHARPNESS", "appearance",
    "image_quality", "scores_of", "sharpness", "shrunk",
]  # fmt: skip

QUALITY_FLAGS: tuple[str, ...] = (
    "blank", "blurred", "underexposed", "overexposed", "not_dermoscopic",
)  # fmt: skip
"""Flags of `image_quality`, in the order of its scores."""

LIMIT = 0.5
"""Score above which an image is flagged."""

LEAST_LIT = 0.02
"""Fraction of an image that is neither black nor white; a small round field of view has a tenth."""

SHARPNESS: tuple[str, ...] = ("energy_1", "energy_2", "energy_3", "peak_1", "peak_2", "peak_3")
"""Measures of `sharpness`."""

APPEARANCE: tuple[str, ...] = (
    "lightness", "lightness_sd", "red_green", "red_green_sd", "blue_yellow", "blue_yellow_sd",
    "red_first", "saturation", "gray", "white", "black", "blue", "green", "yellow", "red",
    "edges", "upright", "edge_spread", "flat", "center_lightness", "center_edges", "rim_sd",
    "coarse", "fine", "color_axis",
)  # fmt: skip
"""Measures of `appearance`."""

_LEAST_VARIED = 0.02  # the default of `is_blank`
_DIM, _CLIPPED = 120, 0.2  # limits of the light of an image, and of its fraction without detail
_SATURATED = 250  # of the green channel; the red one is often saturated on good images of skin
_THUMBNAIL, _SMALLEST = 96, 16  # px of the longer side, and of the shorter one at least
_SIGMAS = (0.7, 1.4, 2.8)  # px between the bands of `sharpness`
_FARTHEST = 6.0  # standard deviations that a measure may lie off, so that squares stay tame

_Values: TypeAlias = npt.NDArray[Any]


def image_quality(image: Image) -> dict[str, float]:
    """Score an image for what makes it useless: each flag of `QUALITY_FLAGS` in 0..1.

    An image is flagged where a score is above 0.5:

    - ``"blank"``: almost all black or white, or of one color. Of the fraction of pixels that are
      neither black nor white, and of that which differs from the median color, 0.02 is the limit.
    - ``"blurred"``: nothing sharp in the image seen at 256 px, so that fine blur of a larger image
      does not count.
    - ``"underexposed"``: the light of the image, the 90th percentile of the brightest channel, is
      below 120; the score is 1 - light / 240.
    - ``"overexposed"``: more than 0.2 of the pixels have a green channel of 250 or more, and so no
      detail; the score is that fraction / 0.4, at most 1.
    - ``"not_dermoscopic"``: colors, edges and layout are not those of a dermoscopic image.

    Flags are hints for a person who looks at the image. Of 10,015 images of HAM10000, 10 are
    flagged as blurred (6 are soft to the eye, 4 are not), 2 as not dermoscopic (both are scalp
    under dense hair), and none as anything else. Of planted faults, these are found; precision is
    among images of which one in a hundred has the fault:

    - blur of sigma 1.5 px or more, of 200 px: recall 0.99, precision 0.97; of 1 px: recall 0.85;
      of motion by 8 px: 0.56;
    - 2.5 stops too dark: recall 1.00, precision 0.95; 2 stops: 0.65;
    - 2 stops too bright: recall 0.91, precision 0.94; 1.5 stops: 0.61;
    - documents, drawings and photographs from sources that the weights were not fitted on: recall
      0.96, precision 0.89; of parts of photographs: 0.70; of micrographs and the like: 0.58.

    Neither clinical close-ups nor images of very dark skin were at hand, so nothing is known of
    these: look before you drop what is flagged as underexposed.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.

    Returns:
        The score of each flag, 0..1.

    Raises:
        TypeError: `image` is not a uint8 array.
        ValueError: `image` is not RGB.

    Examples:
        >>> scores = image_quality(np.full((60, 80, 3), 90, np.uint8))
        >>> scores["underexposed"], scores["overexposed"]
        (0.625, 0.0)
    """
    scores = scores_of(check_image(image))
    return dict(zip(QUALITY_FLAGS, scores.tolist(), strict=True))


def scores_of(image: Image) -> _Values:
    """Compute the scores (5,) of a checked image in the order of `QUALITY_FLAGS`."""
    lit, varied = lit_and_varied(image)
    blank = 1 - min(1, lit / (2 * LEAST_LIT), varied / (2 * _LEAST_VARIED))
    small = shrunk(image)
    red, green, blue = cv2.split(small)
    # From counts, which takes a tenth of the time of sorting
    counts = np.bincount(cv2.max(cv2.max(red, green), blue).ravel()).cumsum()
    light = int(np.searchsorted(counts, 0.9 * counts[-1]))
    clipped = np.count_nonzero(green >= _SATURATED) / green.size
    dim, bright = 1 - min(1, light / (2 * _DIM)), min(1, clipped / (2 * _CLIPPED))
    blurred = _logistic("blurred", sharpness(small))
    foreign = _logistic("not_dermoscopic", appearance(small))
    return np.array([blank, blurred, dim, bright, foreign], np.float32)


def sharpness(image: Image) -> _Values:
    """Measure how strong the details of an image are in three bands: on the whole, and at most."""
    levels: list[_Values] = [shrunk(image)[..., 1].astype(np.float32)]
    levels += [cv2.GaussianBlur(levels[0], (0, 0), sigma) for sigma in _SIGMAS]
    bands = [cv2.absdiff(fine, coarse) for fine, coarse in itertools.pairwise(levels)]
    energies = [cv2.norm(band) / np.sqrt(band.size) for band in bands]
    peaks = [_quantile(band, 0.998) for band in bands]
    return np.asarray(np.log(np.array([*energies, *peaks], np.float32) + np.float32(0.1)))


def appearance(image: Image) -> _Values:
    """Measure colors, edges and layout of an image at 96 px, in the order of `APPEARANCE`."""
    colors = shrunk(image, _THUMBNAIL).astype(np.float32) / 255
    red, green, blue = cv2.split(colors)
    value, dark = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    lit = value > 0.15
    if np.count_nonzero(lit) < 10:
        lit = np.ones_like(lit)
    red_first = (red >= green - 0.02) & (red >= blue - 0.02)
    saturation = (value - dark) / np.maximum(value, 1e-3)
    gray = cv2.cvtColor(colors, cv2.COLOR_RGB2GRAY)
    coarse = cv2.GaussianBlur(colors, (0, 0), 4)
    flat = cv2.cvtColor(coarse, cv2.COLOR_RGB2GRAY)
    off = coarse[lit] - coarse[lit].mean(axis=0)
    _, second, first = np.linalg.eigvalsh(off.T @ off / (len(off) - 1)).clip(0) + 1e-4
    measures = [
        *_color_measures(colors, red_first, saturation, lit),
        *_edge_measures(gray, lit),
        np.log(flat.std() + 0.01),
        np.log((gray - flat).std() + 0.003),
        np.log(first / second),
    ]
    return np.array(measures, np.float32)


def _color_measures(
    colors: _Values, red_first: _Values, saturation: _Values, lit: _Values
) -> list[float]:
    """Measure the colors within the field of view: CIELAB, and how many pixels are of which."""
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2Lab)
    light, first, second = cv2.split(lab)  # lightness, green to red, and blue to yellow
    mask = lit.astype(np.uint8)
    spread = np.hstack(cv2.meanStdDev(lab, mask=mask)).ravel()
    kinds = [red_first, cv2.magnitude(first, second) < 5, light > 93]
    tints = [second < -3, first < -3, second > 45, first > 40]
    count = np.count_nonzero(lit)
    fractions = [np.count_nonzero(kind & lit) / count for kind in (*kinds, *tints)]
    mean = float(cv2.mean(saturation, mask=mask)[0])
    return [*spread, fractions[0], mean, *fractions[1:3], 1 - count / lit.size, *fractions[3:]]


def _edge_measures(gray: _Values, lit: _Values) -> list[float]:
    """Measure how strong, straight and spread edges are, and how center and rim differ."""
    right, down = cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)
    edges = cv2.magnitude(right, down)
    # cos(4 angle) of each edge, weighted by its strength: 1 where all are upright or level
    upright = 1 - 8 * np.square(right * down) / np.maximum(np.square(np.square(edges)), 1e-12)
    center, rim = (part & lit for part in _center_and_rim(*gray.shape))
    layout = [0.0, 0.0, 0.0]
    if center.any() and rim.any():
        layout = [part[center].mean() - part[rim].mean() for part in (gray, edges)]
        layout.append(gray[rim].std())
    mean = edges.mean() + 0.003
    strong, aligned = _quantile(edges, 0.98) + 0.003, (upright * edges).sum() / (edges.sum() + 1e-6)
    spread = np.log((edges.std() + 0.003) / mean)
    return [np.log(strong), aligned, spread, (edges < 0.01).mean(), *layout]


@functools.lru_cache(maxsize=8)  # most images of a collection have one shape
def _center_and_rim(height: int, width: int) -> tuple[_Values, _Values]:
    """Mark the middle and the rim of an image."""
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    radius = np.hypot(rows, columns)
    return radius < 0.5, radius > 0.8


def _quantile(values: _Values, fraction: float) -> float:
    """Compute a quantile of many values without interpolation, which sorts no more than needed."""
    place = int(fraction * (values.size - 1))
    return float(np.partition(values, place, axis=None)[place])


def shrunk(image: Image, side: int = 256) -> Image:
    """Shrink an image to a longer side; one that is very small or narrow is enlarged to 16 px."""
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = (max(_SMALLEST, round(scale * length)) for length in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _logistic(flag: str, measures: _Values) -> float:
    """Score an image by the weights of a flag."""
    intercept, weights = _weights()[flag]
    mean, scale, linear, squared = weights
    off = ((measures - mean) / scale).clip(-_FARTHEST, _FARTHEST)
    sum_ = intercept + off @ linear + np.square(off) @ squared
    return float(1 / (1 + np.exp(-sum_)))


@functools.cache
def _weights() -> dict[str, tuple[float, _Values]]:
    """Read the intercept of each flag that is fitted, and its weights (4, M)."""
    columns = ["mean", "scale", "linear", "squared"]
    with files("dermolib.auditing").joinpath("quality.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, index_col=["flag", "measure"])
    found = {}
    for flag, names in (("blurred", SHARPNESS), ("not_dermoscopic", APPEARANCE)):
        part = table.loc[flag]
        intercept = part["linear"].to_dict()["intercept"]
        found[flag] = float(intercept), part.loc[list(names), columns].to_numpy(np.float32).T
    return found
