"""Hair as lines: what is thin across and long along, darker or lighter than what lies beside it.

Nothing is trained. At each place and in each of 16 directions the mean along a short line is
compared with that of its two neighbours (a matched filter that an edge does not answer, since both
sides count), and divided by how much of the place's texture is no line. From there a path is
followed in both directions, bending a little, and what it meets is added up: a hair is met again
and again, a blob, a pore or a line of the pigment network once. Where the sum is large the mask
takes each pixel that has more than a part of its hair's contrast.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_image, check_number
from dermolib.preprocessing.hair.ridges import ANGLES, UNIT, Evidence, gather, offset, ridges

__all__ = ["check_line_options", "find_lines"]

_Array = npt.NDArray[Any]

_FRAME = 512  # shorter side of the frame that is searched; half of that for the paths
_SMALLEST = 32  # shorter side below which a hair is thinner than a tenth of a pixel
_LONGEST = 4  # longer side of a piece over the shorter one
_RED, _BLUE = 0, 2
_CHANNELS = (_RED, _BLUE)  # pigment and vessels are faint in red, blond hair is plain in blue
_TRUST = (0.8, 0.68)
_STRIDE = 4
_STRIDES = 12
_PLACES = 2 * _STRIDES + 1
_FREE = 1.2  # strength that any texture has, and that adds nothing to a path
_STEPS = 3.0  # steps of score for a strength of 1
_MOST = 10  # so that the sum over all places fits in a byte
_OWN = 0.93  # least excess of strength of a place over the mean along its path
_RIVAL = 1.4  # a gap between light hairs answers as a dark line does, but less
_SPREAD = 3.3
_NONE = 255
_FAINTEST = 1.0  # level
_MARGIN = 5


def find_lines(
    image: Image,
    *,
    low: float = 0.78,
    high: float = 0.85,
    min_length: float = 50,
    edge: float = 0.35,
    light: float = 1.0,
) -> Mask:
    """Find hair, dark or light, as long thin lines. The image is not modified.

    The image is searched at a shorter side of 512 pixels, whatever its own, and the mask is brought
    back by interpolation, so that sizes are relative to the image. A path of about 200 pixels of
    that frame has a score: how far the contrast of the line exceeds the texture around it, on
    average along the path, where 0 is what texture does by itself. An image whose shorter side has
    fewer than 32 pixels gives an empty mask.

    What is taken for hair as well: the long line of a ruler, a long straight vessel or scratch, the
    rim of gel, pen strokes, parallel ridges of palms and soles. What is missed: tightly curled and
    short cut hair, hair of the colour of what lies below, hair much thinner than a pixel of the
    frame, and hair wider than 10 of them.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        low: Score from which a place belongs to a hair that is certain elsewhere, 0..`high`.
        high: Score that a hair reaches somewhere, 0..3.
        min_length: Extent of the shortest hair in pixels at a shorter side of 512, 0 or more.
        edge: Share of its hair's contrast from which a pixel is hair, 0.05..0.95.
        light: Weight of lines that are lighter than what lies beside them, 0 (none) to 2.

    Returns:
        Mask (H, W), bool.

    Raises:
        TypeError: `image` is no uint8 array, or an option is no number.
        ValueError: `image` is not RGB, or an option is out of range.

    References:
        Two-sided line filters: Chaudhuri et al., IEEE Transactions on Medical Imaging 8(3), 1989,
        https://doi.org/10.1109/42.34715, and Koller et al., ICCV 1995,
        https://doi.org/10.1109/ICCV.1995.466846. Paths through position and direction: Sha'ashua
        and Ullman, ICCV 1988, https://doi.org/10.1109/CCV.1988.590008.

    Examples:
        >>> image = np.full((256, 256, 3), 200, dtype=np.uint8)
        >>> image[:, 100:103] = 60
        >>> mask = find_lines(image)
        >>> bool(mask[:, 100:103].all()), int(mask.sum()) <= 256 * 5
        (True, True)
    """
    check_image(image)
    check_line_options(low=low, high=high, min_length=min_length, edge=edge, light=light)
    mask: Mask = np.zeros(image.shape[:2], np.bool_)
    if min(image.shape[:2]) < _SMALLEST:
        return mask
    for rows, columns, within in _pieces(image.shape[:2]):
        piece = image[rows, columns]
        found = _find(piece, low=low, high=high, min_length=min_length, edge=edge, light=light)
        mask[rows, columns][within] = found[within]
    return mask


def check_line_options(
    *, low: float, high: float, min_length: float, edge: float, light: float
) -> None:
    """Refuse options of `find_lines` that are out of range.

    Args:
        low: A number in 0..`high`.
        high: A number in 0..3.
        min_length: A number of 0 or more.
        edge: A number in 0.05..0.95.
        light: A number in 0..2.

    Raises:
        TypeError: An option is no number.
        ValueError: An option is out of range.
    """
    check_number(high, "high", low=0, high=3)
    check_number(low, "low", low=0, high=float(high))
    check_number(min_length, "min_length", low=0)
    check_number(edge, "edge", low=0.05, high=0.95)
    check_number(light, "light", low=0, high=2)


def _pieces(shape: tuple[int, int]) -> Iterator[tuple[slice, slice, tuple[slice, slice]]]:
    """Cut a long image across: rows and columns of each piece, and what of it no other covers."""
    side = min(shape)
    every = slice(None)
    tall = shape[0] >= shape[1]
    for start in range(0, max(shape), _LONGEST * side):
        before = min(start, side)
        piece = slice(start - before, start + (_LONGEST + 1) * side)
        within = slice(before, before + _LONGEST * side)
        yield (piece, every, (within, every)) if tall else (every, piece, (every, within))


def _find(
    image: Image, *, low: float, high: float, min_length: float, edge: float, light: float
) -> Mask:
    height, width = image.shape[:2]
    scale = _FRAME / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    frame: _Array = np.ascontiguousarray(image)
    if scale != 1:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        frame = cv2.resize(frame, size, interpolation=way)
    # An even number of rows and columns, which halves without a change of scale
    frame = cv2.copyMakeBorder(frame, 0, size[1] % 2, 0, size[0] % 2, cv2.BORDER_REPLICATE)
    channels = [np.ascontiguousarray(frame[..., channel]) for channel in _CHANNELS]
    halved = (frame.shape[1] // 2, frame.shape[0] // 2)
    halves = [cv2.resize(one, halved, interpolation=cv2.INTER_AREA) for one in channels]
    evidence = gather(
        [ridges(half, trust, light) for half, trust in zip(halves, _TRUST, strict=True)]
    )
    score = _follow(evidence.strength.max(axis=0))
    middle = _middles(evidence.strength, score, low=low, high=high, min_length=min_length)
    if not middle.any():
        return np.zeros((height, width), np.bool_)
    margin = _draw(channels, halves, evidence, middle, edge)[: size[1], : size[0]]
    if scale != 1:
        way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        margin = cv2.resize(margin, (width, height), interpolation=way)
    mask: Mask = margin > 128
    return mask


def _follow(strength: _Array) -> _Array:
    """Add up what the best path through each place and direction meets.

    Args:
        strength: Strength (16, h, w) of the strongest plane.

    Returns:
        Score (16, h, w): `_PLACES` times the mean along the path, in units of 1 / `_STEPS`.
    """
    height, width = strength.shape[1:]
    found = np.rint(_STEPS * (np.arange(256) / UNIT - _FREE)).clip(0, _MOST).astype(np.uint8)
    here = cv2.LUT(strength.reshape(-1, width), found).reshape(strength.shape)
    margin = _STRIDE + 1
    padded = np.zeros((2 * ANGLES, height + 2 * margin, width + 2 * margin), np.uint8)
    so_far = padded[:, margin:-margin, margin:-margin]
    so_far[:ANGLES] = so_far[ANGLES:] = here
    ahead = np.empty((2 * ANGLES, height, width), np.uint8)
    for stride in range(_STRIDES):
        for angle in range(2 * ANGLES):
            right, down = offset(angle, _STRIDE)
            window = (
                slice(margin + down, margin + down + height),
                slice(margin + right, margin + right + width),
            )
            bent = cv2.max(padded[angle - 1][window], padded[(angle + 1) % (2 * ANGLES)][window])
            cv2.max(bent, padded[angle][window], dst=ahead[angle])
        if stride < _STRIDES - 1:
            for angle in range(2 * ANGLES):
                cv2.add(ahead[angle], here[angle % ANGLES], dst=so_far[angle])
    both = cv2.add(ahead[:ANGLES].reshape(-1, width), ahead[ANGLES:].reshape(-1, width))
    return cv2.add(both, here.reshape(-1, width)).reshape(here.shape)


def _middles(
    strength: _Array, score: _Array, *, low: float, high: float, min_length: float
) -> _Array:
    """Choose the places and directions (4, 16, h, w) where a hair runs.

    A place needs a strength of its own that fits its path, since a path from beside a hair soon
    runs along it.
    """
    per_mean = _STEPS * _PLACES
    scores = np.arange(256)
    need = np.ceil(UNIT * (_FREE + _OWN * scores / per_mean))
    need = np.where(scores > low * per_mean, need.clip(0, 255), 255).astype(np.uint8)
    middle = strength > cv2.LUT(score.reshape(-1, score.shape[2]), need).reshape(score.shape)
    dark, light = np.split(np.arange(len(strength)), 2)
    for one, other in zip(dark, light, strict=True):
        rival: Any = cv2.dilate(strength[other].max(axis=0), np.ones((7, 7), np.uint8))
        middle[one] &= strength[one] >= cv2.convertScaleAbs(rival, alpha=_RIVAL)
    found: Any = middle.any(axis=(0, 1))
    count, part, stats, _ = cv2.connectedComponentsWithStats(found.view(np.uint8), connectivity=8)
    extent = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    kept = np.zeros(count, np.bool_)
    kept[part[found & (score.max(axis=0) > high * per_mean)]] = True
    kept &= 2 * extent >= min_length
    middle &= kept[part] & found
    return middle


def _draw(
    channels: list[_Array], halves: list[_Array], evidence: Evidence, middle: _Array, edge: float
) -> _Array:
    """Give each pixel of the frame the certainty, 0..255, that it is hair: above 128 it is.

    Along its hair's direction each pixel is averaged, which keeps the edge of a hair sharp and
    takes noise away.
    """
    height, width = channels[0].shape
    nearest = _nearest(evidence.strength, middle)
    spread = cv2.resize(nearest, (width, height), interpolation=cv2.INTER_NEAREST)
    full, half = _Averages(channels), _Averages(halves)
    rows, columns = np.nonzero(spread != _NONE)
    average = np.zeros((height, width), np.int16)
    average[rows, columns] = full.at(rows, columns, spread[rows, columns] % full.codes)
    certainty = np.zeros((height, width), np.uint8)
    for plane in np.flatnonzero(middle.any(axis=(1, 2, 3))):
        dark, channel = plane < len(channels), plane % len(channels)
        rows, columns = np.nonzero(middle[plane].any(axis=0))
        code = nearest[rows, columns] % ANGLES + ANGLES * channel
        sign = np.int16(1 if dark else -1)
        contrast = evidence.contrast[plane][rows, columns] / np.float32(16)
        beside = sign * half.at(rows, columns, code) + contrast
        core = np.min(
            [
                sign * full.at(2 * rows + down, 2 * columns + right, code)
                for down in (0, 1)
                for right in (0, 1)
            ],
            axis=0,
        )
        limit = _limit((rows, columns), contrast, beside, core, edge, nearest.shape)
        limit = cv2.resize(limit, (width, height))
        excess = limit - average if dark else limit + average
        here = cv2.inRange(spread, int(plane) * ANGLES, int(plane) * ANGLES + ANGLES - 1)
        cv2.copyTo((128 + excess / 2).clip(0, 255).astype(np.uint8), here, certainty)
    return certainty


def _nearest(strength: _Array, middle: _Array) -> _Array:
    """Give each place beside the middle of a hair its plane times 16 plus direction.

    Elsewhere it is `_NONE`; where several are near it is the strongest.
    """
    best = np.zeros(strength.shape[2:], np.uint8)
    nearest = np.full_like(best, _NONE)
    around = np.ones((3, 3), np.uint8)
    for plane in np.flatnonzero(middle.any(axis=(1, 2, 3))):
        for angle in range(ANGLES):
            alone = cv2.copyTo(strength[plane, angle], middle[plane, angle].view(np.uint8))
            grown = cv2.dilate(alone, around)
            nearest[grown > best] = plane * ANGLES + angle
            cv2.max(best, grown, dst=best)
    return nearest


class _Averages:
    """Sums of eight pixels along a direction, at places of choice, in one of several channels."""

    def __init__(self, channels: list[_Array]) -> None:
        padded = [
            cv2.copyMakeBorder(one, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_REPLICATE)
            for one in channels
        ]
        self.pixels = np.concatenate([one.ravel() for one in padded])
        self.width = padded[0].shape[1]
        self.codes = len(channels) * ANGLES
        turn = np.pi * np.arange(ANGLES) / ANGLES
        distance = (np.arange(8) - 3.5)[:, None]
        steps = np.rint(np.sin(turn) * distance) * self.width + np.rint(np.cos(turn) * distance)
        starts = np.arange(len(channels)) * padded[0].size
        self.offsets = np.concatenate([steps + start for start in starts], axis=1).astype(np.intp)

    def at(self, rows: _Array, columns: _Array, code: _Array) -> _Array:
        """Sum eight pixels; `code` is the channel times 16 plus the direction."""
        first = (rows + _MARGIN) * self.width + columns + _MARGIN
        total = np.zeros(len(first), np.int16)
        for offsets in self.offsets:
            total += self.pixels[first + offsets[code]]
        return total


def _limit(
    places: tuple[_Array, _Array],
    contrast: _Array,
    beside: _Array,
    core: _Array,
    edge: float,
    shape: tuple[int, int],
) -> _Array:
    """Spread from the middles of hairs the level where hair ends, in levels times 8.

    It is the mean of what is known nearby, where plain contrast counts more than faint.
    """
    weight = contrast**2
    known: Any = np.zeros((3, *shape), np.float32)
    known[0] = 1e-6
    known[0][places] += weight
    known[1][places] = weight * beside
    known[2][places] = weight * np.maximum(beside - core, 0)
    planes: list[Any] = [cv2.GaussianBlur(one, (0, 0), _SPREAD) for one in known]
    total, level, depth = planes
    limit: _Array = (level - np.maximum(edge * depth, 8 * _FAINTEST * total)) / total
    return limit
