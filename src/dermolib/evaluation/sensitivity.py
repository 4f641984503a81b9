"""How far predictions move when an artifact is drawn over the image: does a network look at it?"""

import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import (
    Image,
    Mask,
    PathLike,
    check_choice,
    check_mask,
    check_number,
    check_type,
    expected,
    listed,
    require,
)
from dermolib.datasets.given_images import GivenImages, read_given
from dermolib.datasets.synthetic.artifacts import ARTIFACT_KINDS, with_artifact
from dermolib.evaluation.intervals import resampled_intervals
from dermolib.evaluation.predictions import as_probabilities, number_groups
from dermolib.evaluation.resampling import Weights
from dermolib.evaluation.support import FEW_GROUPS
from dermolib.io import read_image, read_mask, resize_image
from dermolib.labels import as_label_space, known_label_space
from dermolib.preprocessing.hair.inpainting import fill_mask

__all__ = ["artifact_sensitivity"]

_Floats: TypeAlias = npt.NDArray[np.float64]
_Predict: TypeAlias = Callable[[list[Image]], _Floats]

_WORST = 5  # images that are named
_ROWS = ("change", "top_class")


def artifact_sensitivity(
    model: Any,
    images: Any,
    *,
    kinds: Sequence[str] = ARTIFACT_KINDS,
    transform: Any = None,
    label_space: Any = None,
    malignant: Sequence[str] = (),
    lesions: Sequence[Mask | PathLike] | None = None,
    groups: Any = None,
    batch_size: int = 32,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how far predictions move when an artifact is drawn over the image.

    The lesion is the same before and after, so that a network which looks at lesions has no reason
    to answer differently. Two controls say how much a change means:

    * ``covered``: the same pixels in the color of the skin around them. It hides as much and shows
      no artifact. ``excess`` is what the artifact moves beyond that.
    * ``mirrored``: the image mirrored left to right, which means nothing. It says how restless the
      network is anyway.

    An artifact that the image shows already gets company, and then moves less: choose images
    without, by `dermolib.preprocessing.artifact_table`. What is drawn is simulated; a network may
    know real artifacts from these.

    Args:
        model: A torch module whose outputs are logits, such as one of `dermolib.build_model`; or a
            function of a list of images (H, W, 3), uint8 RGB, that returns probabilities (N, K).
        images: Data set, table, paths or images (H, W, 3), uint8 RGB. Masks of lesions in a data
            set are used as `lesions`, and its column ``lesion`` as `groups`, unless these are
            given.
        kinds: Kinds of artifacts, see `dermolib.with_artifact`.
        transform: For a torch module: called as ``transform(image=image)["image"]``, a tensor
            (3, H, W), such as a preset ``"evaluation"``. None squeezes images to the size of the
            module's `input_settings` and normalizes them by these.
        label_space: Classes of the probabilities, by name or as codes; None takes that of the data
            set, or numbers.
        malignant: Codes of classes whose summed probability has a row too, ``malignant``.
        lesions: Mask (H, W), bool, or mask file of the lesion in each image, which artifacts are
            drawn beside where there is room; None draws them anywhere.
        groups: Group of each image (N,), such as its lesion; None makes each image a group.
        batch_size: Number of images that the model gets at once, 1 or more.
        resamples: Number of resamples of groups behind the intervals, 1 or more.
        level: Level of the intervals, above 0 and below 1.
        seed: Seed of what is drawn, by image id, and of the resampling, 0 or more.

    Returns:
        Table with a row for each ``kind``, ``metric`` and ``class``: ``change`` is the probability
        that moves to other classes, 0..1 (half the sum of absolute differences), ``top_class`` the
        fraction of images whose most likely class is another one, and ``shift`` the mean difference
        of the probability of a class, -1..1. Columns: the mean ``value`` with its interval ``low``
        to ``high``, by group; ``covered`` and ``mirrored``; ``excess``, the mean difference of
        value and ``covered``, with its interval ``excess_low`` to ``excess_high``; ``n`` images and
        ``groups``; ``few``, True where intervals rest on fewer than 10 groups; and ``worst``, ids
        of the up to five images that change most, in rows of ``change``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no image, a kind or class is unknown, the model returns no
            probabilities, lengths differ, or an option is out of range.

    References:
        Winkler et al., Association between surgical skin markings in dermoscopic images and
        diagnostic performance of a deep learning convolutional neural network for melanoma
        recognition, JAMA Dermatology 155(10), 2019,
        https://doi.org/10.1001/jamadermatol.2019.1735; Rieger et al., Interpretations are useful,
        ICML 2020, https://doi.org/10.48550/arXiv.1909.13584, on colored patches.

    Examples:
        >>> skin = [np.full((64, 80, 3), (205, 165, 150 + shade), np.uint8) for shade in range(12)]
        >>> def darkness(images):  # a model that takes all that is dark for malignant
        ...     return [float((image.max(axis=2) < 100).mean()) for image in images]
        >>> table = artifact_sensitivity(darkness, skin, kinds=["dark_corner", "bubble"])
        >>> table[table["metric"] == "change"].set_index("kind")["value"].round(2).to_dict()
        {'dark_corner': 0.08, 'bubble': 0.0}
    """
    _check_options(kinds, batch_size, resamples, level, seed)
    given = read_given(images, hint="Put it into a list, or open the folder with `ISICDataset`.")
    require(given.items, "images", "one image or more", "none")
    numbers = number_groups(_groups_of(given, groups), len(given.items))
    with _as_function(model, transform) as predict:
        seen = _predict_all(predict, _Drawn(given, lesions, list(kinds), seed), batch_size)
    space = known_label_space(images) if label_space is None else as_label_space(label_space)
    count = seen.before.shape[1]
    codes = [*map(str, range(count))] if space is None else list(space.codes)
    what = f"a space of the {count} classes that the model predicts"
    require(len(codes) == count, "label_space", what, f"{len(codes)} classes")
    table = _Table(seen, codes, _places(malignant, codes))
    return table.summarize(given.ids, numbers, resamples=resamples, level=level, seed=seed)


def _check_options(kinds: Any, batch_size: int, resamples: int, level: float, seed: int) -> None:
    """Refuse options that are out of range."""
    check_type(kinds, "kinds", (list, tuple), "a list of kinds of artifacts")
    require(kinds, "kinds", "at least one kind", "none")
    for number, kind in enumerate(kinds):
        check_choice(kind, f"kinds[{number}]", ARTIFACT_KINDS)
    require(len({*kinds}) == len(kinds), "kinds", "different kinds", listed(kinds))
    check_number(batch_size, "batch_size", low=1, integer=True)
    check_number(resamples, "resamples", low=1, integer=True)
    check_number(level, "level", above=0, below=1)
    check_number(seed, "seed", low=0, integer=True)


def _groups_of(given: GivenImages, groups: Any) -> Any:
    """Take the lesions of a data set where no groups are given."""
    if groups is None and given.table is not None and "lesion" in given.table:
        return given.table["lesion"].to_numpy(object)
    return groups


def _places(malignant: Sequence[str], codes: list[str]) -> list[int]:
    """Find the malignant classes."""
    several = isinstance(malignant, (list, tuple))
    require(several, "malignant", "a list of codes", repr(malignant), error=TypeError)
    for number, code in enumerate(malignant):
        check_choice(code, f"malignant[{number}]", codes)
    return [codes.index(code) for code in dict.fromkeys(malignant)]


class _Drawn:
    """Images as they are, mirrored, with each artifact, and with its pixels covered by skin."""

    def __init__(self, given: GivenImages, lesions: Any, kinds: list[str], seed: int) -> None:
        """Check the masks."""
        self.given, self.kinds, self.seed = given, kinds, seed
        table = given.table
        if lesions is None and table is not None and "mask_path" in table:
            lesions = table["mask_path"].tolist()
        if lesions is not None:
            what = "a list of masks or mask files"
            got = f"an object of type {type(lesions).__name__}"
            listing = isinstance(lesions, (list, tuple, np.ndarray, pd.Series))
            require(listing, "lesions", what, got, error=TypeError)
            lesions = list(lesions)
            what, got = f"{len(given.items):,} masks, one for each image", f"{len(lesions):,}"
            require(len(lesions) == len(given.items), "lesions", what, got)
        self.lesions = lesions

    def versions(self, places: range) -> Iterator[list[Image]]:
        """Make the versions of some images one after the other: 2 and, for each kind, 2."""
        images = [self._image(place) for place in places]
        yield [image.copy() for image in images]  # the model may write into them
        yield [np.ascontiguousarray(image[:, ::-1]) for image in images]
        spared = [self._lesion(place, image) for place, image in zip(places, images, strict=True)]
        seeds = [self._seed(self.given.ids[place]) for place in places]
        for kind in self.kinds:
            drawn = [
                with_artifact(image, kind, seed=seed, lesion=lesion, return_mask=True)
                for image, seed, lesion in zip(images, seeds, spared, strict=True)
            ]
            yield [one for one, _ in drawn]
            yield [fill_mask(image, mask) for image, (_, mask) in zip(images, drawn, strict=True)]

    def _image(self, place: int) -> Image:
        """Give an array, or read a file."""
        item = self.given.items[place]
        require(not _is_empty(item), "images", "images with paths", f"none for row {place}")
        return item if isinstance(item, np.ndarray) else read_image(item)

    def _seed(self, id_: str) -> int:
        """Give an image a seed of its own, wherever it comes."""
        return int(np.random.default_rng([self.seed, zlib.crc32(id_.encode())]).integers(2**32))

    def _lesion(self, place: int, image: Image) -> Mask | None:
        """Read or check the mask of a lesion, where there is one."""
        lesion = None if self.lesions is None else self.lesions[place]
        if lesion is None or _is_empty(lesion):
            return None
        if isinstance(lesion, np.ndarray):
            return check_mask(lesion, image.shape[:2], f"lesions[{place}]")
        return read_mask(lesion, shape=(image.shape[0], image.shape[1]))


def _is_empty(value: Any) -> bool:
    """Tell whether a cell of a table has no path."""
    return not isinstance(value, np.ndarray) and (pd.isna(value) or not str(value))


class _Seen(NamedTuple):
    """Probabilities of N images and K classes, before and after."""

    kinds: list[str]
    before: _Floats  # (N, K)
    mirrored: _Floats
    drawn: _Floats  # (kinds, N, K)
    covered: _Floats


def _predict_all(predict: _Predict, drawn: _Drawn, batch_size: int) -> _Seen:
    """Predict all versions of all images, a batch in memory at a time."""
    parts = []
    for start in range(0, len(drawn.given.items), batch_size):
        places = range(start, min(start + batch_size, len(drawn.given.items)))
        versions = drawn.versions(places)
        parts.append([_checked(predict(batch), len(places)) for batch in versions])
    widths = {found.shape[1] for part in parts for found in part}
    what = "a function that returns the same number of classes each time"
    require(len(widths) == 1, "model", what, listed(sorted(widths)))
    found = np.concatenate([np.array(part) for part in parts], axis=1)
    return _Seen(drawn.kinds, found[0], found[1], found[2::2], found[3::2])


def _checked(returned: Any, count: int) -> _Floats:
    """Check the probabilities of a batch."""
    found = as_probabilities(returned, "model(images)")
    what = f"a row for each of {count} images"
    require(len(found) == count, "model(images)", what, f"{len(found)} rows")
    return found


@contextmanager
def _as_function(model: Any, transform: Any) -> Iterator[_Predict]:
    """Make a function from images to probabilities of a torch module, or take the one given."""
    torch = sys.modules.get("torch")  # who has a module has loaded it
    if torch is None or not isinstance(model, torch.nn.Module):
        what = "a torch module, or a function from a list of images to probabilities"
        got = f"an object of type {type(model).__name__}"
        require(callable(model), "model", what, got, error=TypeError)
        hint = "Let the function transform its images itself."
        what = "left out where the model is a function"
        require(transform is None, "transform", what, "one", hint)
        yield model
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield _network_function(model, transform or _transform_of(model))
    finally:
        for module, mode in modes.items():
            module.training = mode


def _transform_of(model: Any) -> Any:
    """Make the transform that a network expects."""
    import torch

    from dermolib.models.settings import input_settings  # needs torch, which a function need not

    settings = input_settings(model)
    side = settings.image_size
    mean, std = (np.array(one, np.float32) * 255 for one in (settings.mean, settings.std))

    def transform(image: Image) -> dict[str, Any]:
        pixels = (resize_image(image, (side, side)).astype(np.float32) - mean) / std
        return {"image": torch.from_numpy(np.moveaxis(pixels, 2, 0).copy())}

    return transform


def _network_function(model: Any, transform: Any) -> _Predict:
    """Call a network on transformed images, on the device where it is."""
    import torch

    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

    def predict(images: list[Image]) -> _Floats:
        tensors = [transform(image=image)["image"] for image in images]
        for tensor in tensors:
            fits = isinstance(tensor, torch.Tensor) and tensor.ndim == 3
            what = "a transform whose `image` is a tensor (3, H, W)"
            got = f"a {type(tensor).__name__} of shape {tuple(getattr(tensor, 'shape', ()))}"
            require(fits, "transform", what, got, error=TypeError)
        with torch.inference_mode():
            logits = model(torch.stack(tensors).to(device))
        what, got = "a tensor of logits", f"an object of type {type(logits).__name__}"
        hint = "Wrap the network in a module that returns its logits alone."
        require(isinstance(logits, torch.Tensor), "model(images)", what, got, hint, error=TypeError)
        logits = logits.float().cpu().numpy()
        if not np.isfinite(logits).all():
            hint = "Check the weights of the network."
            raise ValueError(expected("model(images)", "finite", "NaN or infinity", hint))
        return as_probabilities(logits, "model(images)", values="logits")

    return predict


class _Table:
    """Changes of each image, by kind: (N, columns), and what the columns are."""

    def __init__(self, seen: _Seen, codes: list[str], malignant: list[int]) -> None:
        """Compute the changes."""
        self.kinds = seen.kinds
        self.rows = [(metric, "") for metric in _ROWS] + [("shift", code) for code in codes]
        self.rows += [("shift", "malignant")] if malignant else []
        self.drawn = np.array([_changes(seen.before, one, malignant) for one in seen.drawn])
        self.covered = np.array([_changes(seen.before, one, malignant) for one in seen.covered])
        self.mirrored = _changes(seen.before, seen.mirrored, malignant)

    def summarize(
        self,
        ids: Sequence[str],
        numbers: npt.NDArray[np.intp],
        *,
        resamples: int,
        level: float,
        seed: int,
    ) -> pd.DataFrame:
        """Average over images, with intervals by group."""
        kinds, count, width = self.drawn.shape
        columns = np.concatenate([self.drawn, self.drawn - self.covered])
        flat = np.moveaxis(columns, 1, 0).reshape(count, -1)
        num_groups = int(numbers.max()) + 1
        sums = np.zeros((num_groups, flat.shape[1]))
        np.add.at(sums, numbers, flat)
        sizes = np.bincount(numbers, minlength=num_groups).astype(np.float64)

        def means(weights: Weights) -> _Floats:
            total = weights.astype(np.float64)
            return np.asarray((total @ sums) / (total @ sizes)[:, None])

        options: dict[str, Any] = {"resamples": resamples, "level": level, "seed": seed}
        ends = np.array(resampled_intervals(means, num_groups, **options))
        (value, low, high), excess = np.moveaxis(ends.reshape(3, 2, kinds * width), 1, 0)
        table = pd.DataFrame(
            {
                "kind": np.repeat(self.kinds, width),
                "metric": [metric for metric, _ in self.rows] * kinds,
                "class": [code for _, code in self.rows] * kinds,
                **{"value": value, "low": low, "high": high},
                "covered": self.covered.mean(axis=1).ravel(),
                "mirrored": np.tile(self.mirrored.mean(axis=0), kinds),
                **dict(zip(("excess", "excess_low", "excess_high"), excess, strict=True)),
                **{"n": count, "groups": num_groups, "few": num_groups < FEW_GROUPS},
            }
        )
        names = [self._worst(place, ids) for place in range(kinds)]
        rows = zip(table["kind"], table["metric"], strict=True)
        worst = dict(zip(self.kinds, names, strict=True))
        return table.assign(worst=[worst[k] if metric == "change" else "" for k, metric in rows])

    def _worst(self, place: int, ids: Sequence[str]) -> str:
        """Name the images that change most, most first."""
        change = self.drawn[place, :, 0]
        order = np.argsort(-change, kind="stable")[:_WORST]
        return listed(ids[one] for one in order if change[one] > 0)


def _changes(before: _Floats, after: _Floats, malignant: list[int]) -> _Floats:
    """Compute for each image (N,) change, other top class, shift of each class: (N, columns)."""
    shift = after - before
    other = after.argmax(axis=1) != before.argmax(axis=1)
    parts = [np.abs(shift).sum(axis=1, keepdims=True) / 2, other[:, None], shift]
    parts += [shift[:, malignant].sum(axis=1, keepdims=True)] if malignant else []
    return np.hstack(parts)
