"""Whether two images show one lesion: keypoints that agree on a shift, a turn and a zoom.

Keypoints of two images are paired where each is the other's nearest by far, and RANSAC looks for
the similarity transform on which most pairs agree. Then one image is laid on the other, and what
they show is compared: the chance agreement of a few keypoints, a ruler or a hair shows no more.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Mask
from dermolib.auditing.local_features import PICTURE, unit_descriptors

__all__ = ["FEWEST", "Alignment", "align"]

FEWEST = 5
"""Inliers of an alignment at least; with fewer, images of any two lesions have one."""

_RATIO = 0.87  # of the distances of the nearest and the second nearest, at most
_REACH = 0.015  # of the longer side: how far an inlier may be from where the transform puts it
_SCALES = (0.2, 5.0)  # plausible zooms
_TRIALS = 2000  # of RANSAC
_CONFIDENCE = 0.995
_FINE, _COARSE = 2.0, 16.0  # px of the small image: structures up to these are compared
_NOISE = 1.5  # gray levels that structures must exceed
_COVERED = 0.99  # of a pixel that both show
_LEAST = 0.02  # of the small image that both must show for a comparison

# Least median of the correlations in tiles of what both show: what is printed or stuck on both is
# in few of them. Images that are hardly moved, in px of the small image, must agree better
_TILES = 4  # in each direction
_TYPICAL = 0.4  # coarse
_UNMOVED, _COPY = 16.0, (0.3, 0.7)  # fine or coarse

_Floats = npt.NDArray[np.float64]


class Alignment(NamedTuple):
    """How two images lie on each other, and how well they agree."""

    inliers: int  # keypoints that agree on the transform
    matrix: _Floats  # (2, 3), from px of the first to px of the second
    overlap: float  # area that both show, of the area that either shows, 0..1
    fine: float  # correlation of small structures there, at even contrast, -1..1
    coarse: float  # correlation of larger ones


def align(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Alignment | None:
    """Find how two images lie on each other, from their records of `FEATURES`.

    Returns:
        The alignment of most inliers; None where there is none of `FEWEST`.

    References:
        Lowe, Distinctive image features from scale-invariant keypoints, International Journal of
        Computer Vision 60(2), 2004, https://doi.org/10.1023/B:VISI.0000029664.99615.94; Fischler
        and Bolles, Random sample consensus, Communications of the ACM 24(6), 1981,
        https://doi.org/10.1145/358669.358692.
    """
    swapped = first.tobytes() > second.tobytes()  # so that the order of the rows changes nothing
    one, other = (second, first) if swapped else (first, second)
    rows, columns = _paired(unit_descriptors(one), unit_descriptors(other))
    if len(rows) < FEWEST:
        return None
    # In units of the longer side, so that the reach is one for all sizes
    size, other_size = (max(record["height"], record["width"]) for record in (one, other))
    start = one["points"][rows, :2] / np.float32(size)
    end = other["points"][columns, :2] / np.float32(other_size)
    cv2.setRNGSeed(0)
    matrix, inside = cv2.estimateAffinePartial2D(
        start,
        end,
        method=cv2.RANSAC,
        ransacReprojThreshold=_REACH,
        maxIters=_TRIALS,
        confidence=_CONFIDENCE,
    )
    inliers = int(np.count_nonzero(inside))  # there is no matrix where there are none
    if inliers < FEWEST or not _SCALES[0] <= np.hypot(*matrix[:, 0]) <= _SCALES[1]:
        return None
    matrix = matrix * [other_size / size, other_size / size, other_size]
    agreement = _compare(one, other, matrix)
    if agreement is None:
        return None
    return Alignment(inliers, cv2.invertAffineTransform(matrix) if swapped else matrix, *agreement)


def _paired(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair keypoints that are each other's nearest, and much nearer than the second nearest."""
    none = np.empty(0, np.intp)
    if min(len(first), len(second)) < FEWEST:
        return none, none
    cosine = first @ second.T
    rows, back = np.arange(len(first)), cosine.argmax(axis=0)
    columns = cosine.argmax(axis=1)
    nearest = 1 - cosine[rows, columns]
    cosine[rows, columns] = -1
    clear = nearest < _RATIO**2 * (1 - cosine.max(axis=1))
    chosen = np.flatnonzero(clear & (back[columns] == rows))
    return chosen, columns[chosen]


def _compare(
    first: npt.NDArray[Any], second: npt.NDArray[Any], matrix: _Floats
) -> tuple[float, float, float] | None:
    """Lay the second small image on the first; give overlap and correlations.

    None where most of what both show differs: what they have in common may be a text, a sticker, a
    ruler or dirt.
    """
    areas = [int(record["width"]) * int(record["height"]) for record in (first, second)]
    small, large = (_to_picture(record) for record in (first, second))
    whole = (large @ np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(small))[:2]
    picture, other = (record["picture"].astype(np.float32) for record in (first, second))
    frame = _laid(np.ones_like(other), whole) > _COVERED
    both = (picture > 0) & (_laid((other > 0).astype(np.float32), whole) > _COVERED)
    common = areas[0] * float(frame.mean())
    overlap = common / (areas[0] + areas[1] / np.linalg.det(matrix[:, :2]) - common)
    if both.mean() < _LEAST:
        return overlap, 0.0, 0.0
    pictures = picture, _laid(other, whole)
    fine, coarse = (
        [_structures(one, both, width, even=width == _FINE) for one in pictures]
        for width in (_FINE, _COARSE)
    )
    tiles = _tiles(both)
    typical = [_typical_correlation(one, other, tiles) for one, other in (fine, coarse)]
    moved = np.abs(whole - np.eye(2, 3)).max(axis=0) @ [PICTURE, PICTURE, 1]
    if typical[1] < _TYPICAL or (moved < _UNMOVED and np.less(typical, _COPY).all()):
        return None
    return overlap, _correlation(*fine), _correlation(*coarse)


def _to_picture(record: npt.NDArray[Any]) -> _Floats:
    """Give the matrix (3, 3) from px of an image to px of its small one."""
    x, y = PICTURE / record["width"], PICTURE / record["height"]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def _laid(picture: npt.NDArray[np.float32], matrix: _Floats) -> npt.NDArray[np.float32]:
    """Draw a picture where a transform to it says that it lies on another."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, picture.shape, flags=flags), np.float32)


def _structures(
    picture: npt.NDArray[np.float32], where: Mask, width: float, *, even: bool = False
) -> npt.NDArray[np.float32]:
    """Give the structures (P,) up to a width in px where an image is seen.

    With `even`, those of all places have the same contrast: a rim or an outline counts no more than
    the skin.
    """
    weight = where.astype(np.float32)
    seen = cv2.GaussianBlur(weight, (0, 0), width).clip(1e-3)
    rest = (picture - cv2.GaussianBlur(picture * weight, (0, 0), width) / seen) * weight
    if even:
        rest /= np.sqrt(cv2.GaussianBlur(rest**2, (0, 0), width) / seen + _NOISE**2)
    return np.asarray(rest[where], np.float32)


def _tiles(where: Mask) -> npt.NDArray[np.intp]:
    """Number the tiles (P,) of the box around the pixels that are set."""
    rows, columns = (
        (places - places.min()) * _TILES // (np.ptp(places) + 1) for places in np.nonzero(where)
    )
    return np.asarray(rows * _TILES + columns, np.intp)


def _typical_correlation(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], tiles: npt.NDArray[np.intp]
) -> float:
    """Give the median of the correlations within tiles (P,)."""
    chosen = (tiles == number for number in np.unique(tiles))
    return float(np.median([_correlation(first[one], second[one]) for one in chosen]))


def _correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Correlate structures; two without any are equal."""
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if not all(lengths):
        return float(not any(lengths))
    return float(first @ second) / (lengths[0] * lengths[1])
