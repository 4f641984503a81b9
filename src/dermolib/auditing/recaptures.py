"""Second photographs of one lesion among the images of a collection.

Images become keypoints, these vote for a shortlist of pairs, and each pair is aligned and compared.
Each step is written into a folder block by block, from which the next one maps it into memory.
"""

import functools
import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from tqdm import tqdm

from dermolib._jobs import Job, is_silent, library_versions, one_thread, run_tasks
from dermolib._validation import (
    Image,
    Indices,
    Mask,
    PathLike,
    as_path,
    check_number,
    expected,
    listed,
    require,
    warn,
)
from dermolib.auditing.geometry import align
from dermolib.auditing.local_features import FEATURES, describe_image
from dermolib.auditing.shortlist import build_index, nearest_features, unique_pairs, vote
from dermolib.datasets.columns import clean_name
from dermolib.datasets.given_images import read_given
from dermolib.datasets.store import file_states, load_image
from dermolib.io import shrink_image, whole_file
from dermolib.preprocessing.segmentation import segment_lesion

__all__ = ["RECAPTURE_COLUMNS", "find_recaptures"]

RECAPTURE_COLUMNS: tuple[str, ...] = (
    "first", "second", "first_row", "second_row", "first_group", "second_group", "score",
    "agreement", "inliers", "scale", "angle", "shift_x", "shift_y", "kind", "metadata",
)  # fmt: skip
"""Columns of the table of `find_recaptures`."""

_KIND = "dermolib find_recaptures"
_FORMAT = "dermolib-recaptures-1"
_JOURNAL, _INDEX = "recaptures.jsonl", "index.npy"
_IMAGES = 128  # of a block of features: 11 MB
_PAIRS = 2048  # of a block of alignments
_MOST_BLOCKS = 32  # of features whose keypoints vote together
_CELLS = 2048  # of the index, for each block that votes with others
_MATCHES = np.dtype([
    ("first", "i4"), ("second", "i4"), ("inliers", "i4"), ("matrix", "f8", (2, 3)),
    ("overlap", "f4"), ("fine", "f4"), ("coarse", "f4"),
])  # fmt: skip
_LESION_SIDE = 256  # px of the longer side of the image in which a lesion is looked for
_OFF_CENTER = 0.25  # of width and height, by which the middle of a photograph of it may miss it
_YEARS = 5  # by which ages of one lesion may differ: published ages are rounded to five years
# Logistic regression of "one lesion" on log(inliers up to `_ENOUGH`), fine and coarse, of pairs of
# HAM10000 that were looked at, and of images of one lesion: `benchmarks/recaptures.py calibrate`
_ENOUGH = 10  # a ruler or a text alone may have any number of inliers
_INTERCEPT = -41.5
_WEIGHTS = np.array([17.2, 18.5, 9.0])
_PROBABLE = 0.5
_SUREST = 0.99  # more than that, the pairs that were looked at cannot show

_Block = npt.NDArray[Any]


@dataclass(frozen=True)
class _Given:
    """Images as they were given: N ids, paths or arrays, numbers and names of their groups."""

    ids: Sequence[str]
    images: Sequence[Any]
    groups: Indices
    names: Sequence[str]
    table: pd.DataFrame | None


def find_recaptures(
    images: Any,
    *,
    groups: Sequence[Any] | npt.NDArray[Any] | pd.Series | None = None,
    features: Any = None,
    neighbors: int = 10,
    min_score: float = 0.5,
    destination: PathLike | None = None,
    workers: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Find pairs of images of different groups that show the same lesion, or the same skin.

    A recapture is a second photograph, not a copy: nearer or farther, shifted, turned, under
    another light. Keypoints of each image vote for the images of other groups that have keypoints
    like them; each pair of this shortlist is aligned by a shift, a turn and a zoom, and what the
    two show there is compared. Copies are found too, unless they are mirrored or turned into
    another aspect ratio: for these there is `find_duplicates`. Nothing is trained or downloaded.

    The result depends neither on the order of the images nor on the number of workers. Memory
    grows by about 500 bytes per image, and `destination` by 90 kB. What is lost: pairs without a
    common pattern of a few keypoints, as of small, blurred or featureless lesions, zooms beyond a
    factor of about 3, and lesions that changed.

    Args:
        images: `dermolib.ISICDataset` or table with ``id`` and ``image_path`` and, where known,
            ``lesion``, ``age``, ``sex`` and ``site``; or paths, or arrays (H, W, 3), uint8 RGB.
        groups: Group of each image (N,), usually its lesion: pairs within a group are known and
            left out. None or empty for an image of its own. By default the lesions of the table.
        features: Features (N, D) of a network, such as ``extract_features(model, dataset)``, whose
            nearest neighbors are the shortlist instead. By default keypoints vote, which finds
            more.
        neighbors: Images of the shortlist of each image, 1 or more. More of them take longer.
        min_score: Pairs of a lower score are left out, 0..1.
        destination: Folder for the work, in which a call that was interrupted is continued; on a
            cluster one that all workers see. By default a temporary one.
        workers: Number of parallel workers, 1 or more.
        progress: Whether to show progress bars on the standard error.

    Returns:
        A table with a row for each pair: those with a score of 0.5 or more first, and among these
        the ones that agree most. ``first`` and ``second`` are the ids (of paths the file names
        without endings, or the paths where these repeat; of arrays the numbers), ``first_row`` and
        ``second_row`` their numbers, ``first_group`` and ``second_group`` their groups. ``score``:
        fraction of pairs with this score that are true, at most 0.99, as judged on pairs of
        HAM10000 that people looked at. ``agreement``: area that both show, of the area that either
        shows, times the correlation of what they show. ``inliers``: keypoints that agree on the
        transform from px (x, y) of the first image to those of the second, ``x' = scale (cos(angle)
        x - sin(angle) y) + shift_x`` and ``y' = scale (sin(angle) x + cos(angle) y) + shift_y``,
        with the angle in degrees. ``kind``: ``"recapture"``, or ``"shared skin"`` where the lesions
        lie beside each other on it: one patient, two lesions. ``metadata``: whether sex, site and
        age (within 5 years) ``"agree"`` or ``"differ"``, or are ``"unknown"``.

    Raises:
        TypeError: `images` are neither images, paths nor a table, or an argument is of another
            type.
        ValueError: An image is not RGB, `groups` or `features` are not one for each image, an
            option is out of range, or `destination` holds something else.

    Warns:
        UserWarning: Images cannot be read: they are in no pair.

    References:
        Second photographs under two lesion ids in HAM10000: Abhishek, Jain and Hamarneh,
        Investigating the quality of DermaMNIST and Fitzpatrick17k dermatological image datasets,
        Scientific Data 12, 2025, https://doi.org/10.1038/s41597-025-04382-5. Voting under a common
        turn and zoom: Jegou, Douze and Schmid, Improving bag-of-features for large scale image
        search, International Journal of Computer Vision 87, 2010,
        https://doi.org/10.1007/s11263-009-0285-2.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> skin = cv2.GaussianBlur(rng.integers(0, 256, (200, 240, 3), np.uint8), (0, 0), 3)
        >>> skin = cv2.normalize(skin, None, 60, 220, cv2.NORM_MINMAX)
        >>> other = np.ascontiguousarray(np.rot90(skin[20:180, 30:210]))
        >>> pairs = find_recaptures([skin, other, 255 - skin[::-1]], progress=False)
        >>> pairs[["first_row", "second_row"]].to_numpy().tolist(), pairs["angle"].round().tolist()
        ([[0, 1]], [-90.0])
    """
    check_number(neighbors, "neighbors", low=1, integer=True)
    check_number(min_score, "min_score", low=0, high=1)
    check_number(workers, "workers", low=1, integer=True)
    given = _read_given(images, groups)
    values = _read_features(features, len(given.ids))
    options = {"workers": workers, "progress": progress}
    with _folder(destination) as folder, one_thread():
        matches = _find_matches(given, values, folder, neighbors, options)
        kept, scores = _scored(matches, min_score)
        return _table(given, kept, scores, _kinds(given, kept, options))


@contextmanager
def _folder(destination: PathLike | None) -> Iterator[Path]:
    """Give the folder of the work, one for the length of the block where none is named."""
    if destination is not None:
        yield as_path(destination, "destination")
        return
    with TemporaryDirectory(prefix="dermolib-") as folder:
        yield Path(folder) / "recaptures"


def _read_given(images: Any, groups: Any) -> _Given:
    """Read what was given as images: a dataset or table, paths, or arrays."""
    hint = "List the files of a folder: `sorted(Path(folder).rglob('*.jpg'))`."
    ids, items, table = read_given(images, hint=hint)
    if groups is None and table is not None:
        groups = table.get("lesion")
    what = f"one group for each of {len(items)} images"
    got = f"an object of type {type(groups).__name__}"
    fits = isinstance(groups, Iterable) and not isinstance(groups, str | bytes | Mapping)
    require(groups is None or fits, "groups", what, got, error=TypeError)
    names = [""] * len(items) if groups is None else [clean_name(name) for name in groups]
    require(len(names) == len(items), "groups", what, f"{len(names)}")
    own = [name or (number,) for number, name in enumerate(names)]
    return _Given(ids, items, pd.factorize(pd.Series(own, dtype=object))[0], names, table)


def _read_features(features: Any, number: int) -> npt.NDArray[np.float32] | None:
    """Check features of a network, one row for each image."""
    if features is None:
        return None
    values = getattr(features, "values", features)  # a method of a tensor
    what = f"numbers (N, D), one row for each of {number} images"
    try:
        values = np.asarray(features if callable(values) else values)
    except ValueError as error:  # rows of several lengths
        raise ValueError(expected("features", what, error)) from error
    got = f"{values.dtype} of shape {values.shape}"
    fits = values.ndim == 2 and len(values) == number and values.dtype.kind in "fiu"
    require(fits, "features", what, got, "Pass the result of `extract_features`.")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    require(np.isfinite(values).all(), "features", "finite 32-bit numbers", "NaN or infinity")
    return values


def _find_matches(
    given: _Given,
    features: npt.NDArray[np.float32] | None,
    folder: Path,
    neighbors: int,
    options: dict[str, Any],
) -> _Block:
    """Describe all images, choose pairs and align them; gives `_MATCHES`."""
    number = len(given.ids)
    settings = {
        "format": _FORMAT,
        "images": number,
        "content": _digest(_contents(given)),
        "groups": _digest([given.groups.tobytes()]),
        "features": "" if features is None else _digest([features.tobytes()]),
        "neighbors": int(neighbors),
        "versions": library_versions(),
    }
    fields = {"digests": list}
    parts = [given.images[start : start + _IMAGES] for start in range(0, number, _IMAGES)]
    pairs = number * min(neighbors, number)
    most = {"features": len(parts), "votes": len(parts), "pairs": -(-pairs // _PAIRS)}
    files = [f"{_key(kind, place)}.npy" for kind in most for place in range(most[kind])]
    job = Job(
        folder,
        kind=_KIND,
        settings=settings,
        key="block",
        fields=fields,
        journal=_JOURNAL,
        files=[_INDEX, *files],
    )
    with job.open():
        blocks = _run_blocks(job, "features", _describe_block, [(part,) for part in parts], options)
        _warn_unread(given, blocks)
        if features is None:
            candidates = _voted(job, blocks, given.groups, neighbors, options)
        else:
            candidates = unique_pairs([*nearest_features(features, given.groups, neighbors)])
        pieces = [candidates[start : start + _PAIRS] for start in range(0, len(candidates), _PAIRS)]
        tasks = [(blocks, piece) for piece in pieces]
        aligned = _run_blocks(job, "pairs", _align_block, tasks, options)
        return np.concatenate([np.empty(0, _MATCHES), *map(np.load, aligned)])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _contents(given: _Given) -> Iterator[bytes]:
    """Yield what tells images from others: ids, states of files, and pixels of arrays."""
    for name, one in zip(given.ids, given.images, strict=True):
        yield f"{name}\0".encode(errors="surrogatepass")
        if isinstance(one, np.ndarray):
            yield np.ascontiguousarray(one).tobytes()
            continue
        try:
            ((_, state),) = file_states([one])
            yield f"{one}\0{state.st_size} {state.st_mtime_ns}".encode(errors="surrogatepass")
        except (OSError, ValueError):  # such files are reported where they are read
            yield b"missing"


def _key(kind: str, number: int) -> str:
    return f"{kind}-{number:05d}"


def _run_blocks(
    job: Job,
    kind: str,
    function: Callable[..., str],
    tasks: Sequence[tuple[Any, ...]],
    options: dict[str, Any],
) -> list[Path]:
    """Let a function write a file for each task that has none yet, and give all files."""
    keys = [_key(kind, number) for number in range(len(tasks))]
    paths = [job.folder / f"{key}.npy" for key in keys]
    known = [key for key in keys if job.is_current(key)]
    done = job.intact(known, lambda key: [job.folder / f"{key}.npy"])
    todo = [number for number, key in enumerate(keys) if key not in done]
    silent = is_silent(options["progress"])
    with tqdm(total=len(keys), initial=len(done), unit="block", desc=kind, disable=silent) as bar:
        calls = ((paths[number], *tasks[number]) for number in todo)
        results = run_tasks(function, calls, workers=options["workers"], kept=True)
        for number, digest in zip(todo, results, strict=True):
            job.add([{"block": keys[number], "digests": [digest]}])
            bar.update()
    return paths


def _write(path: Path, values: _Block) -> str:
    """Write an array whole, and give the digest of its file, as `digest_file`."""
    data = io.BytesIO()  # into a file, NumPy would not say that the disk is full
    np.save(data, values, allow_pickle=False)
    with whole_file(path) as temporary:
        temporary.write_bytes(data.getbuffer())
    return hashlib.sha256(data.getbuffer()).hexdigest()


def _describe_block(path: Path, images: Sequence[Any]) -> str:
    """Write the features of images; one that cannot be read has no height."""
    block = np.zeros(len(images), FEATURES)
    for number, one in enumerate(images):
        image = one if isinstance(one, np.ndarray) else _read(one)
        if image is not None:
            block[number] = describe_image(image)
    return _write(path, block)


def _read(path: Any) -> Image | None:
    """Read an image, None where it cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of tags that Pillow does not understand
            return load_image(path) if str(path) else None
    except (OSError, ValueError):
        return None


def _warn_unread(given: _Given, blocks: Sequence[Path]) -> None:
    heights = [np.load(path, mmap_mode="r")["height"] for path in blocks]
    unread = [
        given.ids[row] for row in np.flatnonzero(np.concatenate([[1], *heights])[1:] == 0).tolist()
    ]
    if unread:
        what = f"{len(unread)} of {len(given.ids)} images cannot be read ({listed(unread)})"
        warn(f"{what}; they are in no pair. `audit` says why.")


def _voted(
    job: Job, blocks: list[Path], groups: Indices, neighbors: int, options: dict[str, Any]
) -> _Block:
    """Let the keypoints of all images vote for pairs of them."""
    path = job.folder / _INDEX
    with whole_file(path) as temporary:
        index = build_index(blocks, temporary)
    index = index._replace(path=path)
    together = min(_MOST_BLOCKS, max(1, (len(index.starts) - 1) // _CELLS))
    starts = range(0, len(blocks), together)
    tasks = [
        (blocks[start : start + together], start * _IMAGES, index, groups, neighbors)
        for start in starts
    ]
    return unique_pairs([*map(np.load, _run_blocks(job, "votes", _vote_block, tasks, options))])


def _vote_block(path: Path, blocks: Sequence[Path], *arguments: Any) -> str:
    return _write(path, vote(np.concatenate([*map(np.load, blocks)]), *arguments))


def _align_block(path: Path, blocks: Sequence[Path], pairs: _Block) -> str:
    """Write the alignments of pairs that have one."""
    found = []

    # Not beyond this call: another run may write other features under the same path
    @functools.lru_cache(maxsize=64)  # files that are open at once
    def mapped(block: int) -> _Block:
        return np.asarray(np.load(blocks[block], mmap_mode="r"))

    for pair in pairs[["first", "second"]].tolist():
        first, second = pair
        one, other = (mapped(row // _IMAGES)[row % _IMAGES] for row in pair)
        aligned = align(one, other)
        if aligned is not None:
            found.append((first, second, *aligned))
    return _write(path, np.array(found, _MATCHES))


def _scored(matches: _Block, min_score: float) -> tuple[_Block, npt.NDArray[np.float64]]:
    """Keep the matches of at least a score: the probable ones first, by how well they agree."""
    columns = [np.log(matches["inliers"].clip(1, _ENOUGH)), matches["fine"], matches["coarse"]]
    logits = np.column_stack(columns) @ _WEIGHTS + _INTERCEPT
    scores = np.minimum(expit(logits), _SUREST)
    kept = np.flatnonzero(scores >= min_score)
    order = kept[np.lexsort((-_agreement(matches[kept]), scores[kept] < _PROBABLE))]
    return matches[order], scores[order]


def _agreement(matches: _Block) -> npt.NDArray[np.float64]:
    return np.asarray(matches["overlap"] * matches["coarse"].clip(0), np.float64)


def _kinds(given: _Given, matches: _Block, options: dict[str, Any]) -> list[str]:
    """Say of each pair whether its lesions lie on each other or side by side."""
    rows = np.unique([matches["first"], matches["second"]])
    calls = ((given.images[row],) for row in rows)
    lesions = dict(zip(rows, run_tasks(_lesion, calls, workers=options["workers"]), strict=True))
    return [
        "recapture" if _meet(lesions[first], lesions[second], matrix) else "shared skin"
        for first, second, matrix in zip(
            matches["first"], matches["second"], matches["matrix"], strict=True
        )
    ]


def _lesion(image: Any) -> tuple[Mask, float]:
    """Outline the lesion in a small image, and give the scale of that."""
    image = image if isinstance(image, np.ndarray) else load_image(image)
    small = shrink_image(image, _LESION_SIDE)
    return segment_lesion(small, method="classical"), small.shape[1] / image.shape[1]


def _meet(first: tuple[Mask, float], second: tuple[Mask, float], matrix: Any) -> bool:
    """Tell whether two lesions, which are aligned, are one.

    They are where the center of one is on the other, or where both photographs are centered on
    nearly the same spot: an outline may be wrong, but a lesion is photographed in the middle.
    """
    inverse = cv2.invertAffineTransform(matrix)
    ways = ((first, second, matrix), (second, first, inverse))
    return any(_center_on(*way) or _centered(*way) for way in ways)


def _centered(one: tuple[Mask, float], other: tuple[Mask, float], matrix: Any) -> bool:
    middle, size = (np.array(mask.shape[::-1]) / scale for mask, scale in (one, other))
    place = matrix[:, :2] @ (middle / 2) + matrix[:, 2]
    return bool((np.abs(place / size - 0.5) < _OFF_CENTER).all())


def _center_on(one: tuple[Mask, float], other: tuple[Mask, float], matrix: Any) -> bool:
    rows, columns = np.nonzero(one[0])
    if not len(rows) or not other[0].any():  # nothing that would lie elsewhere
        return True
    center = np.array([columns.mean(), rows.mean()]) / one[1]
    x, y = np.rint((matrix[:, :2] @ center + matrix[:, 2]) * other[1]).astype(int)
    height, width = other[0].shape
    return bool(0 <= y < height and 0 <= x < width and other[0][y, x])


def _table(
    given: _Given, matches: _Block, scores: npt.NDArray[np.float64], kinds: list[str]
) -> pd.DataFrame:
    """Describe pairs in words and numbers."""
    first, second = matches["first"], matches["second"]
    matrix = matches["matrix"]
    columns: dict[str, Any] = {}
    for word, rows in (("first", first), ("second", second)):
        columns[word] = np.array(given.ids, object)[rows]
        columns[f"{word}_row"] = rows.astype(np.intp)
        columns[f"{word}_group"] = np.array(given.names, object)[rows]
    columns |= {
        "score": scores.round(3),
        "agreement": _agreement(matches).round(3),
        "inliers": matches["inliers"].astype(np.intp),
        "scale": np.hypot(matrix[:, 0, 0], matrix[:, 1, 0]),
        "angle": np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])),
        "shift_x": matrix[:, 0, 2],
        "shift_y": matrix[:, 1, 2],
        "kind": np.array(kinds, object),
        "metadata": _metadata(given.table, first, second),
    }
    return pd.DataFrame(columns)[[*RECAPTURE_COLUMNS]]


def _metadata(table: pd.DataFrame | None, first: Indices, second: Indices) -> npt.NDArray[Any]:
    """Say whether age, sex and site of two images agree, where both are known."""
    known, differ = np.zeros((2, len(first)), np.bool_)
    for name in ("age", "sex", "site"):
        if table is None or name not in table:
            continue
        values = table[name].astype(object).map(clean_name)
        if name == "age":
            values = pd.to_numeric(values, "coerce")
        known_here = (values.notna() & (values != "")).to_numpy(np.bool_)
        both = known_here[first] & known_here[second]
        one, other = values.to_numpy()[first], values.to_numpy()[second]
        known |= both
        differ |= both & (np.abs(one - other) > _YEARS if name == "age" else one != other)
    return np.where(differ, "differ", np.where(known, "agree", "unknown")).astype(object)
