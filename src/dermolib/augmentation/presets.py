"""Named presets of random transforms: an image and its lesion mask in, an augmented pair out.

Every preset first brings the image to `image_size` (by area when it shrinks; a crop comes before
that), so that no warp and no filter works on more pixels than the network sees, then applies its
random transforms (`dermolib.augmentation.recipes`), and last normalizes.

What stays true:

- The mask moves with the image. A hole of the cutout hides skin or lesion from the network and
  leaves the mask as it is: it says where the lesion lies, not what is visible of it.
- Where there is a mask, at least half of the lesion stays visible: in the frame and not under a
  hole. A draw that shows less is repeated up to four times; a sixth draw applies only what can lose
  nothing, the eight symmetries and the changes of color and sharpness. Pixels of the lesion are
  counted where they come from, so that reflected copies at the border, or enlargement, do not count
  twice. Gaps of one or two pixels are closed.
- What a warp uncovers is filled by reflection, never with black.
"""

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, overload

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt
import torch

from dermolib._validation import (
    Image,
    Mask,
    check_choice,
    check_image,
    check_mask,
    check_number,
    listed,
    require,
)
from dermolib.augmentation.pipelines import PASSED_ON, PipelineStep, call_by_place
from dermolib.augmentation.recipes import (
    RECIPES,
    REFERENCE_SIZE,
    SCALED_SIZES,
    keeps_every_pixel,
)
from dermolib.augmentation.transforms import PadIfNeeded
from dermolib.io import as_mask
from dermolib.models.settings import IMAGENET_MEAN, IMAGENET_STD, checked_mean, checked_std
from dermolib.preprocessing.aspect_ratio import FITS, PADDING, center, inner_size

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "SMALLEST", "Preset", "list_presets", "preset"]

SMALLEST = 16
"""Smallest side of an augmented image in px."""

Generators: TypeAlias = tuple[np.random.Generator, random.Random]
"""The two generators that all transforms of a recipe share."""

_ATTEMPTS = 6  # where the lesion must stay visible; the last one can lose nothing
_COUNTABLE = 1 << 24  # integers up to it are exact in 32-bit floats
_GAP = np.ones((3, 3), np.uint8)  # a warp that shrinks skips single pixels of its source
_Pixels: TypeAlias = npt.NDArray[np.uint8]
_Records: TypeAlias = list[tuple[str, dict[str, Any]]]  # name and parameters of what was applied


def list_presets() -> list[str]:
    """List the names that `preset` knows, the strongest first.

    Examples:
        >>> list_presets()
        ['strong', 'paper', 'light', 'evaluation']
    """
    return list(RECIPES)


@A.BasicTransform.register  # so that pipelines seed it along with their own steps
@dataclass(repr=False, eq=False)
class Preset(PipelineStep):
    """Random transforms of one name, with a random stream of their own, as `preset` builds them.

    The draws come from this object alone: no global generator is read or moved, and the image and
    mask that come in are never written to. A draw that is repeated for the lesion's sake leaves the
    stream where one draw leaves it. It pickles with its place in the stream. Threads must not share
    one; give each its own copy.

    It is a transform of torchvision too, and a step of pipelines of both: see its call.

    Attributes:
        name: As given, like `image_size`, `fit`, `seed`, `normalize`, `mean`, `std` and
            `min_visibility`.
        random: Whether two draws can differ.
        applied: Names of the random transforms that the last call applied, in their order.
        visibility: Fraction of the lesion that the last call left visible, 0..1; None where there
            was no mask, or an empty one.
        attempts: Number of draws that the last call took, 1..6; above 1 only where there is a mask.
    """

    name: str
    image_size: int | None
    fit: str
    seed: int | None
    normalize: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    min_visibility: float
    random: bool = field(init=False)
    applied: tuple[str, ...] = field(init=False, default=())
    visibility: float | None = field(init=False, default=None)
    attempts: int = field(init=False, default=1)
    _stream: Generators = field(init=False)
    _sequences: dict[int, "TransformSequence"] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Start the stream."""
        # Loaders ask for each sample, and building the steps would cost more than the draw
        self.random = bool(self._steps(REFERENCE_SIZE))
        self._stream = make_generators(self.seed)

    @property
    def transforms(self) -> list[Any]:
        """Transforms of albumentations in their order; `albumentations.Compose` draws the same.

        They are built at each access, so that changes to them change nothing here. Where each image
        keeps its size, these are the ones for images of 224 px.
        """
        steps = self._steps(self.image_size or REFERENCE_SIZE)
        if self.image_size is not None:
            crops = sum(isinstance(step, A.CropAndPad) for step in steps)
            steps[crops:crops] = _fitting(self.image_size, self.fit)
        if self.normalize:
            steps += [A.Normalize(mean=self.mean, std=self.std), A.ToTensorV2()]
        return steps

    def set_random_seed(self, seed: int | None) -> None:
        """Restart the stream of draws from a seed of 0 or more; None takes that of the preset."""
        if seed is not None:
            check_number(seed, "seed", low=0, integer=True)
        self._stream = make_generators(self.seed if seed is None else seed)

    def set_random_state(self, array: np.random.Generator, number: Any) -> None:
        """Take the next draws from these two generators, as all steps of a pipeline do."""
        self._stream = (array, number)

    @overload
    def __call__(
        self,
        *,
        image: Image,
        mask: Mask | npt.NDArray[np.uint8] | None = ...,
        draw_seed: int | Sequence[int] | None = ...,
        **others: Any,
    ) -> dict[str, Any]: ...

    @overload
    def __call__(self, image: Any, /, *others: Any) -> Any: ...

    def __call__(self, *placed: Any, **named: Any) -> Any:
        """Draw once.

        Args:
            placed: Called as torchvision calls its transforms, an image: an RGB image of PIL, a
                tensor (3, H, W), uint8, or an array, as below. After it labels, and up to one mask
                (H, W) or (1, H, W), as a tensor or array; what has fewer than two dimensions is
                passed on. Or a whole sample, a dictionary.
            named: ``image``, (H, W, 3), uint8 RGB. ``mask`` of the lesion, (H, W), bool, or uint8,
                read by the rule of `dermolib.io.as_mask`. ``draw_seed``, the seed of this one draw,
                one or several integers of 0 or more, which alone decide it; the stream stays where
                it is; None takes the next draw of the stream. ``label``, ``id`` and ``metadata`` of
                a sample are passed on, the same objects. Anything else is refused; albumentations
                would pass it through unchanged.

        Returns:
            ``image``: normalized float32 tensor (3, S, S), or uint8 array (S, S, 3) with
            ``normalize=False``; where a mask was given, ``mask``: bool tensor or array (S, S); and
            what is passed on. By place, the image alone or all in their order, each of the kind
            that came in; a normalized image is a tensor.

        Raises:
            TypeError: A dtype is wrong, or there is a further keyword.
            ValueError: The image is not RGB, or too small to keep its size; the mask has another
                size or several classes; or a seed is negative.
        """
        if not placed:
            return self._by_name(**named)
        what, got = "passed by name where others are", f"one by place beside {listed(named)}"
        require(
            not named, "image", what, got, "Call `preset(image=..., mask=...)`.", error=TypeError
        )
        return call_by_place(self._by_name, placed)

    def _by_name(
        self,
        *,
        image: Any = None,
        mask: Any = None,
        draw_seed: int | Sequence[int] | None = None,
        force_apply: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        """Draw for arrays; `force_apply` is what `albumentations.OneOf` says to all its steps."""
        del force_apply
        check_image(image)
        _check_call(draw_seed, others)
        if isinstance(mask, np.ndarray) and mask.dtype == np.uint8:
            mask = as_mask(mask)
        if mask is not None:
            mask = np.ascontiguousarray(check_mask(mask, image.shape[:2]))
        side = _side(image, self.image_size)
        if side not in self._sequences:
            self._sequences[side] = TransformSequence(self._steps(side), self.image_size, self.fit)
        from_stream = draw_seed is None or not self.random
        generators = self._stream if from_stream else make_generators(draw_seed)
        drawn = self._sequences[side].draw(
            np.ascontiguousarray(image), mask, generators, min_visibility=self.min_visibility
        )
        self.applied, self.visibility = drawn.applied, drawn.visibility
        self.attempts = drawn.attempts
        pixels: Any = drawn.image
        if self.normalize:
            pixels = _normalized(pixels, self.mean, self.std)
        elif np.may_share_memory(pixels, image):
            pixels = image.copy()  # where no transform applies, it must not be what came in
        lesion: Any = drawn.mask
        if lesion is not None and self.normalize:
            lesion = torch.from_numpy(lesion)
        masks = {} if lesion is None else {"mask": lesion}
        return {"image": pixels, **masks, **others}

    def __repr__(self) -> str:
        """Name the options and the transforms with their probabilities."""
        names = ("image_size", "fit", "seed", "normalize", "mean", "std", "min_visibility")
        options = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        steps = "".join(f"\n    {_outline(step)}" for step in self.transforms)
        return f"preset({self.name!r}, {options}):{steps}"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the sequences: they are built again, and may hold maps of image size."""
        return {**self.__dict__, "_sequences": {}}

    def _steps(self, side: int) -> list[Any]:
        return RECIPES[self.name](side, self.image_size is None)


def preset(
    name: str,
    *,
    image_size: int | None,
    fit: str = "squeeze",
    seed: int | None = None,
    normalize: bool = True,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    min_visibility: float = 0.5,
) -> Preset:
    """Build the random transforms of that name; its page in the documentation has their tables.

    Args:
        name: One of `list_presets`.
        image_size: Height and width of the result in px, 16 or more. None keeps the size of each
            image, which must then be 16 px or more a side; a draw with a transposition swaps its
            height and width.
        fit: What is done to an image that is not square: ``"squeeze"``, ``"pad"`` or ``"crop"`` as
            in `dermolib.prepare`, and the same in all presets; it comes after the random crop of
            `strong` and before all else. Give training, validation and prediction the same.
        seed: Start of the stream of draws, 0 or more: the same seed gives the same stream. None
            takes fresh entropy. In a `torch.utils.data.DataLoader` with workers, pass
            `seed_worker` too, or every worker and every epoch draws the same.
        normalize: Whether the image becomes a normalized tensor, or stays uint8.
        mean: Mean of red, green and blue to subtract, as fractions of 255.
            ``**input_settings(model).normalization`` gives `mean` and `std` of a model, see
            `dermolib.models.input_settings`.
        std: Standard deviation to divide by, as fractions of 255, above 0.
        min_visibility: Fraction of the lesion, 0..1, that every draw keeps visible where a mask is
            given; 0 takes each draw as it comes, 1 allows only what can lose nothing. What
            ``fit="crop"`` cuts away is not counted.

    Returns:
        The preset, called as ``transform(image=image)``, ``transform(image=image, mask=mask)`` or,
        with a whole sample, ``transform(**sample)``.

    Raises:
        TypeError: A number has the wrong type, or `mean` or `std` is not a sequence of numbers.
        ValueError: The name or the fit is unknown, a number is out of its range, or `fit` is given
            where each image keeps its size.

    Examples:
        >>> import numpy as np
        >>> image = np.full((150, 200, 3), 180, np.uint8)
        >>> sample = preset("evaluation", image_size=224)(image=image, id="ISIC_0", label=1)
        >>> tuple(sample["image"].shape), sample["image"].dtype, sample["id"], sample["label"]
        ((3, 224, 224), torch.float32, 'ISIC_0', 1)
        >>> first, again = (preset("paper", image_size=64, seed=1)(image=image) for _ in "12")
        >>> bool((first["image"] == again["image"]).all())
        True
        >>> half = preset("evaluation", image_size=16, mean=[0.5] * 3, std=[0.5] * 3)
        >>> half(image=np.full((16, 16, 3), 255, np.uint8))["image"].unique()
        tensor([1.])
    """
    check_choice(name, "name", list_presets())
    if image_size is not None:
        check_number(image_size, "image_size", low=SMALLEST, integer=True)
    check_fit(fit, image_size)
    if seed is not None:
        check_number(seed, "seed", low=0, integer=True)
    check_number(min_visibility, "min_visibility", low=0, high=1)
    means, stds = checked_mean(mean), checked_std(std)
    return Preset(name, image_size, fit, seed, normalize, means, stds, min_visibility)


def check_fit(fit: str, image_size: int | None) -> None:
    """Refuse an unknown `fit`, or one that has nothing to do as images keep their size."""
    check_choice(fit, "fit", FITS)
    what = "left out where images keep their size"
    require(fit == "squeeze" or image_size, "fit", what, repr(fit), "Give an `image_size`.")


def _fitting(side: int, fit: str) -> list[Any]:
    """Make the transforms of albumentations that bring images to a square."""
    area: dict[str, Any] = {"area_for_downscale": "image_mask"}
    if fit == "squeeze":
        return [A.Resize(side, side, **area)]
    if fit == "crop":
        return [A.SmallestMaxSize(side, **area), A.CenterCrop(side, side)]
    border = {"border_mode": cv2.BORDER_CONSTANT, "fill": PADDING, "fill_mask": 0}
    return [A.LongestMaxSize(side, **area), PadIfNeeded(side, side, **border)]


def _normalized(image: Image, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Do the work of `A.Normalize` and `A.ToTensorV2` plane by plane: the same bits, sooner."""
    means = np.array(mean, np.float32) * np.float32(255)
    scales = np.reciprocal(np.array(std, np.float32) * np.float32(255))
    planes = np.empty((3, *image.shape[:2]), np.float32)
    for plane, channel, middle, scale in zip(planes, cv2.split(image), means, scales, strict=True):
        np.subtract(channel, middle, out=plane)
        plane *= scale
    return torch.from_numpy(planes)


def _side(image: Image, image_size: int | None) -> int:
    """Return the side that lengths scale with, in coarse steps: each builds a sequence."""
    if image_size is not None:
        return image_size
    side = int(min(image.shape[:2]))
    what = f"an image of {SMALLEST} px or more a side where its size is kept"
    require(side >= SMALLEST, "image", what, f"shape {image.shape}", "Give an `image_size`.")
    low, high = SCALED_SIZES
    return min(max(low, round(side / low) * low), high)


def _check_call(draw_seed: int | Sequence[int] | None, others: dict[str, Any]) -> None:
    unknown = [f"`{name}`" for name in others if name not in PASSED_ON]
    what = "`image` and, if needed, `mask`, `label`, `id`, `metadata` and `draw_seed`"
    hint = "Boxes, keypoints and further images are not transformed by a preset."
    require(not unknown, "targets", what, listed(unknown), hint, error=TypeError)
    for part in draw_seed if isinstance(draw_seed, Sequence) else [draw_seed or 0]:
        check_number(part, "draw_seed", low=0, integer=True)


def _outline(step: Any) -> str:
    name = f"{type(step).__name__}(p={step.p:g})"
    inner = [_outline(child) for child in getattr(step, "transforms", [])]
    return f"{name} [{', '.join(inner)}]" if inner else name


Preset.can_be_loaded(preset)


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

    def __init__(self, steps: list[Any], image_size: int | None, fit: str = "squeeze") -> None:
        """Sort the transforms by what they do to the lesion."""
        self._fit = fit
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

    def _seed(self, generators: Generators) -> None:
        generators[1].random()  # as `A.Compose` does: from the same generators both draw the same
        for step in self._all:
            step.set_random_state(*generators)

    def _draw(self, image: Image, mask: Mask | None, *, careful: bool) -> Augmented:
        crops, steps = ([], self._careful) if careful else (self._crops, self._steps)
        records: _Records = []
        marks = numbers = visibility = None
        if mask is not None:
            marks = mask.view(np.uint8) * np.uint8(255)  # shrinking by area is a majority vote
        image, marks = _run(crops, image, marks, records)
        image = self._resized(image, cv2.INTER_LINEAR, PADDING)
        if mask is not None:
            lesion = self._resized(marks, cv2.INTER_NEAREST, 0) >= 128
            numbers = _numbered(lesion)
        image, numbers = _run(steps, image, numbers, records)
        applied = tuple(name for name, _ in records)
        if mask is not None and mask.any():
            harmless = self._harmless.issuperset(applied)
            visibility = 1.0 if harmless else _visibility(mask, lesion, numbers, records)
        return Augmented(image, None if mask is None else numbers > 0, applied, visibility)

    def _resized(self, pixels: _Pixels, enlarged: int, fill: Any) -> _Pixels:
        """Bring an image or a mask of 0 and 255 to the size, bit for bit as `_fitting` does."""
        if self._size is None or pixels.shape[:2] == self._size:
            return pixels
        inner = inner_size(pixels.shape, self._size, self._fit)
        if pixels.shape[:2] != inner:
            shrinks = inner[0] < pixels.shape[0] or inner[1] < pixels.shape[1]
            way = cv2.INTER_AREA if shrinks else enlarged
            pixels = cv2.resize(pixels, inner[::-1], interpolation=way).astype(np.uint8, copy=False)
        return center(pixels, self._size, fill)


def _run(steps: list[Any], image: Image, mask: Any, records: _Records) -> tuple[Image, Any]:
    """Apply transforms, and note the name and the parameters of each that was applied."""
    data: dict[str, Any] = {"image": image, "applied_transforms": records}
    data |= {} if mask is None else {"mask": mask}
    for step in steps:
        data = step(**data)
        # one of several notes itself
        if getattr(step, "params", None):
            records.append((_name(step), step.params))
    return data["image"], data.get("mask")


def _name(step: Any) -> str:
    return type(step).__name__


def _flat(steps: list[Any]) -> Iterator[Any]:
    for step in steps:
        yield step
        yield from _flat(getattr(step, "transforms", []))


def _numbered(lesion: Mask) -> npt.NDArray[np.floating]:
    """Number the pixels of the lesion from 1 on, all others 0, as floats: the fastest to warp.

    What a warp makes of the numbers says where each pixel comes from.
    """
    dtype = np.float32 if lesion.size <= _COUNTABLE else np.float64
    numbers: npt.NDArray[Any] = np.arange(1, lesion.size + 1, dtype=dtype).reshape(lesion.shape)
    numbers *= lesion.astype(dtype)
    return numbers


def _visibility(mask: Mask, lesion: Mask, numbers: Any, records: _Records) -> float:
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
    seen = np.zeros(lesion.size + 1, np.uint8)
    seen[numbers[shown].astype(np.intp)] = 1
    pixels = seen[1:].reshape(lesion.shape)
    closed = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, _GAP)
    return float(inside * (cv2.countNonZero(cv2.bitwise_and(closed, marks)) / whole))
