"""Hair as lines: what is thin across and long along, darker or lighter than what lies beside it.

Nothing is trained. At each place and in each of 16 directions the mean along a short line is
compared with that of its two neighbors (a matched filter that an edge does not answer, since both
sides count), and divided by how much of the place's texture is not a line. From there a path is
followed in both directions, bending a little, and what it meets is added up: a hair is met again
and again, a blob, a pore or a line of the pigment network once. Where the sum is large the mask
takes each pixel that has more than a part of its hair's contrast.

Dark and light lines in red and blue are four planes, dark ones first. Two-sided line filters:
Chaudhuri et al., IEEE Transactions on Medical Imaging 8(3), 1989, https://doi.org/10.1109/42.34715,
and Koller et al., ICCV 1995, https://doi.org/10.1109/ICCV.1995.466846. Paths through position and
direction: Sha'ashua and Ullman, ICCV 1988, https://doi.org/10.1109/CCV.1988.590008.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_number
from dermolib.preprocessing.hair.closing import disk

__all__ = ["find_lines"]

_Array = npt.NDArray[Any]

_FRAME = 512  # shorter side of the frame that is searched; half of that for the paths
_SMALLEST = 32  # shorter side below which a hair is thinner than a tenth of a pixel
_LONGEST = 4  # longer side of a piece over the shorter one
_RED, _BLUE = 0, 2
_CHANNELS = (_RED, _BLUE)  # pigment and vessels are faint in red, blond hair is plain in blue
_TRUST = (0.8, 0.68)
_ANGLES = 16
_UNIT = 16  # steps of strength in a byte for a contrast as large as the noise
_DOUBLINGS = (1, 2, 4)  # eight pixels along a line are summed in three additions
_SCALES = ((0.4, 1.5), (0.5, 2.5))  # blur, and distance of the two sides, of fine and coarse hair
_FLOOR = 1.8  # levels of contrast that count as noise in a perfectly smooth place
_BLOCK = 32
_TEXTURE = 0.75  # of the noise, of what answers beyond a line's share
_LINE_SHARE = 3.5  # answers of a line over all directions, in units of its largest
_QUANTILE = 0.95
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
    """Find hair in an image (H, W, 3), uint8; see `occlusion_removal` for the options.

    The image is searched at a shorter side of 512 pixels, whatever its own, and the mask is brought
    back by interpolation. One whose shorter side has fewer than 32 pixels gives an empty mask.
    """
    check_number(high, "high", low=0, high=3)
    check_number(low, "low", low=0, high=float(high))
    check_number(min_length, "min_length", low=0)
    check_number(edge, "edge", low=0.05, high=0.95)
    check_number(light, "light", low=0, high=2)
    mask: Mask = np.zeros(image.shape[:2], np.bool_)
    if min(image.shape[:2]) < _SMALLEST:
        return mask
    for rows, columns, within in _pieces(image.shape[:2]):
        found = _find(image[rows, columns], low, high, min_length, edge, light)
        mask[rows, columns][within] = found[within]
    return mask


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
    image: Image, low: float, high: float, min_length: float, edge: float, light: float
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
    pairs = [_ridges(half, trust, light) for half, trust in zip(halves, _TRUST, strict=True)]
    strength, contrast = (
        np.stack(planes, axis=1).reshape(-1, *planes[0].shape[1:])
        for planes in zip(*pairs, strict=True)
    )
    score = _follow(strength.max(axis=0))
    middle = _middles(strength, score, low, high, min_length)
    if not middle.any():
        return np.zeros((height, width), np.bool_)
    margin = _draw(channels, halves, strength, contrast, middle, edge)[: size[1], : size[0]]
    if scale != 1:
        way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        margin = cv2.resize(margin, (width, height), interpolation=way)
    mask: Mask = margin > 128
    return mask


def _ridges(image: _Array, trust: float, light: float) -> tuple[_Array, _Array]:
    """Measure dark and light lines in one channel, halved.

    Returns:
        Strength (2, 16, h, w), uint8, in units of 1 / `_UNIT` of the noise, and the contrast
        (2, h, w) of the strongest direction, int16, in levels times 128.
    """
    height, width = image.shape
    above = _most_of_light(image)
    strength = np.zeros((2, _ANGLES, height, width), np.uint8)
    contrast = np.zeros((2, height, width), np.int16)
    answers = np.empty_like(strength, np.int16)
    levels = image.astype(np.int16) * np.int16(16)
    for blur, distance in _SCALES:
        smooth = cv2.GaussianBlur(levels, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
        margin = math.ceil(distance)
        for angle, sums in enumerate(_along(smooth, margin)):
            down, left = _offset(angle, distance)
            here, one, other = (
                sums[margin + y : margin + y + height, margin + x : margin + x + width]
                for y, x in ((0, 0), (-down, left), (down, -left))
            )
            cv2.subtract(cv2.min(one, other), here, dst=answers[0, angle])
            lighter = cv2.subtract(here, cv2.max(one, other))
            cv2.min(lighter, above, dst=answers[1, angle])
        for polarity, weight in enumerate((trust, trust * light)):
            of_one = answers[polarity]
            np.maximum(contrast[polarity], of_one.max(axis=0), out=contrast[polarity])
            factor = np.float32(weight * _UNIT) / (_noise(of_one) + np.float32(_FLOOR * 128))
            for target, answer in zip(strength[polarity], of_one, strict=True):
                cv2.max(target, cv2.multiply(answer, factor, dtype=cv2.CV_8U), dst=target)
    return strength, contrast


def _most_of_light(image: _Array) -> _Array:
    """Bound the contrast of light lines, in levels times 90: skin between dark hairs is not hair.

    It is what an opening takes away after a closing has filled what is dark.
    """
    points = disk(3)
    filled = cv2.morphologyEx(image, cv2.MORPH_CLOSE, points)
    above = cv2.subtract(filled, cv2.morphologyEx(filled, cv2.MORPH_OPEN, points))
    return above.astype(np.int16) * np.int16(90)


def _offset(angle: int, distance: float) -> tuple[int, int]:
    """Give whole steps to the right and down that lead closest to `distance` along an angle."""
    turn = math.pi * angle / _ANGLES
    return round(distance * math.cos(turn)), round(distance * math.sin(turn))


def _along(levels: _Array, margin: int) -> Iterator[_Array]:
    """Sum eight pixels along a line in each direction, with a margin around the image."""
    height, width = levels.shape[0] + 2 * margin, levels.shape[1] + 2 * margin
    far = sum(_DOUBLINGS) + 1
    border = (far + margin,) * 4
    padded = cv2.copyMakeBorder(levels, *border, cv2.BORDER_REPLICATE)
    stride = padded.shape[1]
    for angle in range(_ANGLES):
        # All rows as one long row, where a shift in both directions is a single one
        sums, first = padded.reshape(-1), far * stride + far
        steps = [_offset(angle, doubling) for doubling in _DOUBLINGS]
        for right, down in steps:
            shift = abs(down * stride + right)
            sums = sums[:-shift] + sums[shift:]
            first += min(0, down * stride + right)
        reach_x, reach_y = np.sum(steps, axis=0) / 2
        first -= round(reach_y) * stride + round(reach_x)
        yield sums[first : first + height * stride].reshape(height, stride)[:, :width]


def _noise(answers: _Array) -> _Array:
    """Measure texture around each place: what answers in more directions than a line does.

    A line answers in few directions, so that the sum over all is a small multiple of the largest.
    That multiple is taken away, and dense hair is not noise to itself.
    """
    few = np.maximum(answers[:, ::2, ::2], 0)
    beyond = few.sum(axis=0, dtype=np.int32) - _LINE_SHARE * few.max(axis=0)
    height, width = beyond.shape
    block = _BLOCK // 2
    down, right = max(1, round(height / block)), max(1, round(width / block))
    rows, columns = height // down, width // right
    blocks = beyond[: rows * down, : columns * right].reshape(down, rows, right, columns)
    blocks = blocks.swapaxes(1, 2).reshape(down, right, -1)
    rank = int(_QUANTILE * blocks.shape[2])
    level: Any = np.maximum(np.partition(blocks, rank, axis=2)[..., rank], 0).astype(np.float32)
    level = cv2.GaussianBlur(level, (0, 0), 0.8, borderType=cv2.BORDER_REPLICATE)
    noise: _Array = cv2.resize(level * np.float32(_TEXTURE), answers.shape[:0:-1])
    return noise


def _follow(strength: _Array) -> _Array:
    """Add up the strength (16, h, w) that the best path through each place and direction meets.

    The score (16, h, w) is `_PLACES` times the mean along the path, in units of 1 / `_STEPS`.
    """
    height, width = strength.shape[1:]
    found = np.rint(_STEPS * (np.arange(256) / _UNIT - _FREE)).clip(0, _MOST).astype(np.uint8)
    here = cv2.LUT(strength.reshape(-1, width), found).reshape(strength.shape)
    margin = _STRIDE + 1
    padded = np.zeros((2 * _ANGLES, height + 2 * margin, width + 2 * margin), np.uint8)
    so_far = padded[:, margin:-margin, margin:-margin]
    so_far[:_ANGLES] = so_far[_ANGLES:] = here
    ahead = np.empty((2 * _ANGLES, height, width), np.uint8)
    for stride in range(_STRIDES):
        for angle in range(2 * _ANGLES):
            right, down = _offset(angle, _STRIDE)
            window = (
                slice(margin + down, margin + down + height),
                slice(margin + right, margin + right + width),
            )
            bent = cv2.max(padded[angle - 1][window], padded[(angle + 1) % (2 * _ANGLES)][window])
            cv2.max(bent, padded[angle][window], dst=ahead[angle])
        if stride < _STRIDES - 1:
            for angle in range(2 * _ANGLES):
                cv2.add(ahead[angle], here[angle % _ANGLES], dst=so_far[angle])
    both = cv2.add(ahead[:_ANGLES].reshape(-1, width), ahead[_ANGLES:].reshape(-1, width))
    return cv2.add(both, here.reshape(-1, width)).reshape(here.shape)


def _middles(strength: _Array, score: _Array, low: float, high: float, min_length: float) -> _Array:
    """Choose the places and directions (4, 16, h, w) where a hair runs.

    A place needs a strength of its own that fits its path, since a path from beside a hair soon
    runs along it.
    """
    per_mean = _STEPS * _PLACES
    scores = np.arange(256)
    need = np.ceil(_UNIT * (_FREE + _OWN * scores / per_mean))
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
    channels: list[_Array],
    halves: list[_Array],
    strength: _Array,
    contrast: _Array,
    middle: _Array,
    edge: float,
) -> _Array:
    """Give each pixel of the frame the certainty, 0..255, that it is hair: above 128 it is.

    Along its hair's direction each pixel is averaged, which keeps the edge of a hair sharp and
    takes noise away.
    """
    height, width = channels[0].shape
    nearest = _nearest(strength, middle)
    spread = cv2.resize(nearest, (width, height), interpolation=cv2.INTER_NEAREST)
    full, half = _sums(channels), _sums(halves)
    rows, columns = np.nonzero(spread != _NONE)
    average = np.zeros((height, width), np.int16)
    code = spread[rows, columns] % (len(channels) * _ANGLES)
    average[rows, columns] = full(rows, columns, code)
    certainty = np.zeros((height, width), np.uint8)
    for plane in np.flatnonzero(middle.any(axis=(1, 2, 3))):
        dark, channel = plane < len(channels), plane % len(channels)
        rows, columns = np.nonzero(middle[plane].any(axis=0))
        code = nearest[rows, columns] % _ANGLES + _ANGLES * channel
        sign = np.int16(1 if dark else -1)
        depth = contrast[plane][rows, columns] / np.float32(16)
        beside = sign * half(rows, columns, code) + depth
        corners = ((0, 0), (0, 1), (1, 0), (1, 1))
        cores = [sign * full(2 * rows + y, 2 * columns + x, code) for y, x in corners]
        # The level where hair ends, as the mean of what is known nearby, where a high contrast
        # counts more than a low one
        known: Any = np.zeros((3, *nearest.shape), np.float32)
        known[0] = 1e-6
        known[0][rows, columns] += depth**2
        known[1][rows, columns] = depth**2 * beside
        known[2][rows, columns] = depth**2 * np.maximum(beside - np.min(cores, axis=0), 0)
        total, level, fall = (cv2.GaussianBlur(one, (0, 0), _SPREAD) for one in known)
        limit: Any = (level - np.maximum(edge * fall, 8 * _FAINTEST * total)) / total
        limit = cv2.resize(limit, (width, height))
        excess = limit - average if dark else limit + average
        here = cv2.inRange(spread, int(plane) * _ANGLES, int(plane) * _ANGLES + _ANGLES - 1)
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
        for angle in range(_ANGLES):
            alone = cv2.copyTo(strength[plane, angle], middle[plane, angle].view(np.uint8))
            grown = cv2.dilate(alone, around)
            nearest[grown > best] = plane * _ANGLES + angle
            cv2.max(best, grown, dst=best)
    return nearest


def _sums(channels: list[_Array]) -> Callable[[_Array, _Array, _Array], _Array]:
    """Give a function that sums eight pixels along a line at rows and columns.

    Its code is the channel times 16 plus the direction.
    """
    border = (_MARGIN,) * 4
    padded = np.stack([cv2.copyMakeBorder(one, *border, cv2.BORDER_REPLICATE) for one in channels])
    width, turn = padded.shape[2], np.pi * np.arange(_ANGLES) / _ANGLES
    distance = (np.arange(8) - 3.5)[:, None]
    steps = np.rint(np.sin(turn) * distance) * width + np.rint(np.cos(turn) * distance)
    starts = np.repeat(np.arange(len(channels)) * padded[0].size, _ANGLES)
    offsets = (np.tile(steps, len(channels)) + starts).astype(np.intp)

    def at(rows: _Array, columns: _Array, code: _Array) -> _Array:
        first = (rows + _MARGIN) * width + columns + _MARGIN
        total = np.zeros(len(first), np.int16)
        for offset in offsets:
            total += padded.take(first + offset[code])
        return total

    return at
