"""From what the network sees on its small grid to the mask of a lesion, and how sure that is."""

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_number
from dermolib.preprocessing.blank import is_blank
from dermolib.preprocessing.picture import Picture, look
from dermolib.preprocessing.thresholds import AGREEMENT, fill_largest, votes_on

__all__ = [
    "OPTIMISM",
    "PRESENCE",
    "THRESHOLD",
    "check_lesion_options",
    "confidence",
    "find_by_network",
    "judged",
    "lesion_mask",
    "look_for_lesion",
    "probability_map",
]

THRESHOLD, PRESENCE = 0.5, 0.5
_STEPS = 16  # of 256, for each unit of a logit: -8..8, probabilities of 0.0003..0.9997
_MIDDLE = 128
OPTIMISM = 0.90  # of what the probabilities promise, what masks of the validation images reach
_SAY = 4.0  # of the votes of all thresholds, in logits
_FINER = 2  # times the grid, to which a cubic makes it smooth before it is brought to size

_Real = npt.NDArray[np.float32]
_Gray = npt.NDArray[np.uint8]


def find_by_network(
    image: Image, *, threshold: float = THRESHOLD, presence: float = PRESENCE
) -> Mask:
    """Outline the lesion of an image (H, W, 3), uint8; see `segment_lesion` for the options."""
    check_lesion_options(threshold, presence)
    picture = look_for_lesion(image)
    return lesion_mask(picture, image.shape[:2], threshold=threshold, presence=presence)


def check_lesion_options(threshold: float, presence: float) -> None:
    """Refuse options that are out of range."""
    check_number(threshold, "threshold", low=0.001, high=0.999)
    check_number(presence, "presence", low=0, high=1)


def look_for_lesion(image: Image) -> Picture:
    """Let the network look at an image (H, W, 3), uint8."""
    return judged(look(image), image)


def judged(picture: Picture, image: Image) -> Picture:
    """Let thresholds have a say in what the network sees: they know no source from another.

    An image that shows nothing has no lesion, whatever the network says.
    """
    if is_blank(image):
        return picture._replace(presence=0.0)
    grid = picture.lesion.shape[::-1]
    votes = np.asarray(cv2.resize(votes_on(image), grid, interpolation=cv2.INTER_LINEAR))
    logits = _logits(picture.lesion) + _SAY * (votes - AGREEMENT)
    return picture._replace(lesion=np.asarray(1 / (1 + np.exp(-logits)), np.float32))


def lesion_mask(
    picture: Picture,
    size: tuple[int, ...],
    *,
    threshold: float = THRESHOLD,
    presence: float = PRESENCE,
) -> Mask:
    """Bring the lesion to the size (H, W) of its image, False everywhere where there is none."""
    height, width = size
    low = _step_of(threshold)
    steps = _lesion_steps(picture, low) if picture.presence >= presence else None
    if steps is None:
        return np.zeros((height, width), np.bool_)
    lesion = (_enlarge(steps, (height, width)) >= low).astype(np.uint8)
    return fill_largest(lesion)


def probability_map(picture: Picture, size: tuple[int, ...]) -> _Real:
    """Bring the probabilities of the lesion to the size (H, W) of its image, by their logits."""
    height, width = size
    table = 1 / (1 + np.exp((_MIDDLE - np.arange(256)) / _STEPS))
    found = cv2.LUT(_enlarge(_steps(picture), (height, width)), table.astype(np.float32))
    return np.asarray(found, np.float32)


def confidence(picture: Picture, mask: Mask) -> float:
    """Expect the Jaccard index of a mask (H, W), 0 of an empty one."""
    rows, columns = picture.lesion.shape
    levels = mask.view(np.uint8) * np.uint8(255)
    small = cv2.resize(levels, (columns, rows), interpolation=cv2.INTER_AREA)
    covered = np.asarray(small, np.float32) / np.float32(255)
    both = float((picture.lesion * covered).sum())
    either = float(covered.sum() + picture.lesion.sum()) - both
    return OPTIMISM * picture.presence * both / either if mask.any() else 0.0


def _step_of(probability: float) -> int:
    return round(_STEPS * float(np.log(probability / (1 - probability)))) + _MIDDLE


def _steps(picture: Picture) -> _Gray:
    """Give the logits of the grid in steps, as bytes."""
    steps = np.rint(_logits(picture.lesion) * _STEPS + _MIDDLE)
    return np.asarray(np.clip(steps, 0, 255), np.uint8)


def _logits(chances: _Real) -> _Real:
    values = np.clip(chances, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(values / (1 - values)), np.float32)


def _lesion_steps(picture: Picture, low: int) -> _Gray | None:
    """Keep the piece that is most probably lesion, by the sum; None where there is no piece."""
    steps = _steps(picture)
    found = (steps >= low).astype(np.uint8)
    count, piece = cv2.connectedComponents(found, connectivity=4)
    if count == 1:
        return None
    sums = np.bincount(piece.ravel(), weights=picture.lesion.ravel())
    others = (piece > 0) & (piece != 1 + sums[1:].argmax())
    return np.where(others, np.uint8(low - 1), steps)


def _enlarge(steps: _Gray, size: tuple[int, int]) -> _Gray:
    """Bring a grid to a size: a cubic first, so that no corners show, then what is fast."""
    height, width = size
    finer = (_FINER * steps.shape[1], _FINER * steps.shape[0])
    if height > finer[1] and width > finer[0]:
        steps = np.asarray(cv2.resize(steps, finer, interpolation=cv2.INTER_CUBIC), np.uint8)
    smaller = height <= steps.shape[0] and width <= steps.shape[1]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(steps, (width, height), interpolation=way), np.uint8)
