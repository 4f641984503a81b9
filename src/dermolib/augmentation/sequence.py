"""The transforms of a recipe in sequence, and how much of the lesion a draw leaves visible."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask
from dermolib.augmentation.recipes import keeps_every_pixel

__all__ = ["Augmented", "Generators", "TransformSequence", "make_generators"]

Generators: TypeAlias = tuple[np.random.Generator, random.Random]
"""The two generators that all transforms of a recipe share."""

_ATTEMPTS = 6  # where the lesion must stay visible; the last one can lose nothing
_Pixels: TypeAlias = npt.NDArray[np.uint8]
_Numbers: TypeAlias = npt.NDArray[np.float32]
_Records: TypeAlias = list[tuple[str, dict[str, Any]]]  # name and parameters of what was applied
_COUNTABLE = 1 << 24  # integers up to it are exact in 32-bit floats
_GAP = np.ones((3, 3), np.uint8)  # a warp that shrinks skips single pixels of its source


class Augmented(NamedTuple):
    """One draw: image, mask, the transforms applied, the visible fraction of the lesion."""

    image: Image
    mask: Mask | None
    applied: tuple[str, ...]
    visibility: float | None
    attempts: int = 1


def make_generators(seed: int | Sequence[int] | None) -> Generators:
    """Make the two generators that all transforms of a recipe share.

    Seeded through `Compose.set_random_seed`, each transform of albumentations 2.0.8 gets a
    generator of its own from the same seed: transpose and both flips then always coincide, and only
    two of the eight symmetries ever come out.
    """
    array = np.random.default_rng(seed)
    return array, random.Random(int(array.integers(2**63)))  # noqa: S311 - draws, not secrets


class TransformSequence:
    """Random transforms, crops first, and the size that images are resized to, if any."""

    def __init__(self, steps: list[Any], image_size: int | None) -> None:
        """Sort the transforms by what they do to the lesion."""
        self._size = None if image_size is None else (image_size, image_size)
        self._crops = [step for step in steps if isinstance(step, A.CropAndPad)]
        self._steps = [step for step in steps if not isinstance(step, A.CropAndPad)]
        self._careful = [step for step in steps if keeps_every_pixel(step)]
        self._all = steps
        self._harmless = {_name(step) for step in _flat(steps) if keeps_every_pixel(step)}

    def draw(
        self, image: Image, mask: Mask | None, generators: Generators, *, min_visibility: float
    ) -> Augmented:
        """Draw until enough of the lesion is visible; the last attempt can lose nothing.

        A repeated draw takes its numbers from generators that branch off after the first one, so
        that the given ones stand where one draw leaves them.
        """
        self._seed(generators)
        drawn = self._draw(image, mask, careful=False)
        for attempts in range(2, _ATTEMPTS + 1):
            if drawn.visibility is None or drawn.visibility >= min_visibility:
                break
            if attempts == 2:
                branch = copy.deepcopy(generators[0])
                self._seed(make_generators(int(branch.integers(2**63))))
            drawn = self._draw(image, mask, careful=attempts == _ATTEMPTS)
            drawn = drawn._replace(attempts=attempts)
        return drawn

    @property
    def random(self) -> bool:
        """Whether two draws can differ."""
        return bool(self._all)

    def _seed(self, generators: Generators) -> None:
        generators[1].random()  # as `A.Compose` does: from the same generators both draw the same
        for step in self._all:
            step.set_random_state(*generators)

    def _draw(self, image: Image, mask: Mask | None, *, careful: bool) -> Augmented:
        crops, steps = ([], self._careful) if careful else (self._crops, self._steps)
        records: _Records = []
        if mask is None:
            image = self._resized(_run(crops, image, None, records)[0])
            image = _run(steps, image, None, records)[0]
            return Augmented(image, None, _names(records), None)
        # of 0 and 255, so that shrinking by area is a majority vote
        image, marks = _run(crops, image, mask.view(np.uint8) * np.uint8(255), records)
        image, lesion = self._resized(image), self._resized(marks, mask=True) >= 128
        image, numbers = _run(steps, image, _numbered(lesion), records)
        visibility = None
        if mask.any():
            harmless = self._harmless.issuperset(_names(records))
            visibility = 1.0 if harmless else _visibility(mask, lesion, numbers, records)
        return Augmented(image, numbers > 0, _names(records), visibility)

    def _resized(self, pixels: _Pixels, *, mask: bool = False) -> _Pixels:
        """Resize an image or a mask of 0 and 255, bit for bit as `A.Resize` does."""
        if self._size is None or pixels.shape[:2] == self._size:
            return pixels
        shrinks = self._size[0] < pixels.shape[0] or self._size[1] < pixels.shape[1]
        grows = cv2.INTER_NEAREST if mask else cv2.INTER_LINEAR
        way = cv2.INTER_AREA if shrinks else grows
        return cv2.resize(pixels, self._size[::-1], interpolation=way).astype(np.uint8, copy=False)


def _run(
    steps: list[Any], image: Image, mask: _Pixels | _Numbers | None, records: _Records
) -> tuple[Image, Any]:
    """Apply transforms, and note the name and the parameters of each that was applied."""
    data: dict[str, Any] = {"image": image, "mask": mask, "applied_transforms": records}
    for step in steps:
        data = step(**data)
        # one of several notes itself
        if getattr(step, "params", None):
            records.append((_name(step), step.params))
    return data["image"], data["mask"]


def _name(step: Any) -> str:
    return type(step).__name__


def _names(records: _Records) -> tuple[str, ...]:
    return tuple(name for name, _ in records)


def _flat(steps: list[Any]) -> Iterator[Any]:
    for step in steps:
        yield step
        yield from _flat(getattr(step, "transforms", []))


def _numbered(lesion: Mask) -> _Numbers:
    """Number the pixels of the lesion from 1 on, all others 0, as floats: the fastest to warp.

    What a warp makes of the numbers says where each pixel comes from. Where there are more pixels
    than floats can count, neighbors share a number.
    """
    numbers = (np.arange(lesion.size) // _shared(lesion.size) + 1).astype(np.float32)
    placed: _Numbers = numbers.reshape(lesion.shape)
    placed *= lesion.astype(np.float32)
    return placed


def _shared(size: int) -> int:
    return 1 + size // _COUNTABLE


def _visibility(mask: Mask, lesion: Mask, numbers: _Numbers, records: _Records) -> float:
    """Compute the fraction of the lesion that a draw shows: in the frame and not under a hole.

    Pixels of the lesion are counted where they come from, so that a reflected copy, or one that is
    enlarged, counts once.
    """
    inside = 1.0
    crops = [params["crop_params"] for _, params in records if params.get("crop_params")]
    if crops:
        left, top, right, bottom = crops[0]
        inside = np.count_nonzero(mask[top:bottom, left:right]) / np.count_nonzero(mask)
    marks = lesion.view(np.uint8)
    whole = cv2.countNonZero(marks)
    if not whole:
        return inside
    shown = numbers > 0
    for _, params in records:
        for left, top, right, bottom in params.get("holes", ()):
            shown[top:bottom, left:right] = False
    shared = _shared(lesion.size)
    seen = np.zeros(lesion.size // shared + 2, np.uint8)
    seen[numbers[shown].astype(np.intp)] = 1
    seen = seen[1:] if shared == 1 else np.repeat(seen[1:], shared)
    pixels = seen[: lesion.size].reshape(lesion.shape)
    closed = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, _GAP)
    return float(inside * (cv2.countNonZero(cv2.bitwise_and(closed, marks)) / whole))
