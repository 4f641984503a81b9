"""What the picture network is worth on images that it has not seen, and a sheet to look at."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from dermolib import segment_lesion
from dermolib._validation import Image, Mask
from dermolib.evaluation import bootstrap_interval
from dermolib.io import read_image, resize_image, write_image
from dermolib.preprocessing import ARTIFACTS, analyze, detect_artifacts
from input_parts.pairs import Pair, read_pair
from tables import markdown

__all__ = ["artifact_tables", "draw_sheet", "split_of", "time_table"]

SPLITS = Path(__file__).parents[2] / "scripts" / "picture_splits.csv"
_SIDE, _QUALITY, _ROUNDS = 1024, 92, 7
_PANEL, _COLUMNS = 240, 8  # px of a panel, and panels in a row
_WHITE, _GREEN, _RED = (255, 255, 255), (0, 255, 0), (255, 0, 0)


class Outlined(NamedTuple):
    """Jaccard index of one image by two methods, the confidence, and its probabilities."""

    classical: float
    unet: float
    confidence: float
    found: bool
    artifacts: list[float]


def split_of(pairs: Sequence[Pair], split: str) -> list[Pair]:
    """Keep the pairs that training had in a split; ``"unseen"`` are those in none but the test."""
    table = pd.read_csv(SPLITS, index_col="ID")["split"]
    splits = table.reindex([image.stem for image, _ in pairs])
    kept = ~splits.isin(["train", "validation"]) if split == "unseen" else splits == split
    return [pair for pair, keep in zip(pairs, kept, strict=True) if keep]


def artifact_tables(
    data: Path, pairs: Sequence[Pair], jaccard: Callable[[Mask, Mask], float]
) -> Iterator[str]:
    """Compare the outlines with and without each artifact, and score the probabilities."""
    flags = pd.read_csv(data / "isic2018_task1" / "artefacts.csv", index_col="ID")
    rows = [_outlined(pair, jaccard) for pair in pairs]
    shown = flags.loc[[image.stem for image, _ in pairs], list(ARTIFACTS)].to_numpy(np.bool_)
    indices = np.array([(row.classical, row.unet) for row in rows])
    values = np.array([row.artifacts for row in rows])
    head = [f"{len(pairs)} images", "with it"]
    head += [f"{name}, {way}" for name in ("classical", "unet") for way in ("with", "without")]
    head.append("unet, difference (95 % interval)")
    yield markdown(head, _flag_rows(shown, indices))
    yield markdown(
        ["artifact", "images", "AUC (95 % interval)", "mean probability", "with it", "without it"],
        _auc_rows(shown, values),
    )
    confidence = np.array([row.confidence for row in rows])
    found = np.array([row.found for row in rows])
    order = pd.Series(confidence).corr(pd.Series(indices[:, 1]), method="spearman")
    words = f"A lesion was found in {found.sum()} of {len(found)}; mean confidence "
    words += f"{confidence.mean():.3f}, mean Jaccard {indices[:, 1].mean():.3f}, "
    yield f"{words}rank correlation {order:.2f}.\n"


def _outlined(pair: Pair, jaccard: Callable[[Mask, Mask], float]) -> Outlined:
    image, truth = read_pair(*pair)
    seen = analyze(image, hair=False)
    classical = jaccard(segment_lesion(image, method="classical"), truth)
    found, artifacts = bool(seen.lesion.any()), [*seen.artifacts.values()]
    return Outlined(classical, jaccard(seen.lesion, truth), seen.confidence, found, artifacts)


def _flag_rows(
    shown: npt.NDArray[np.bool_], indices: npt.NDArray[np.float64]
) -> Iterator[list[str]]:
    for name, flag in zip(ARTIFACTS, shown.T, strict=True):
        means = [f"{indices[part, way].mean():.3f}" for way in (0, 1) for part in (flag, ~flag)]

        def difference(rows: Any, flag: Any = flag) -> float:
            one, part = indices[rows, 1], flag[rows]
            return float(one[part].mean() - one[~part].mean()) if 0 < part.sum() < len(part) else 0

        yield [name, str(flag.sum()), *means, _interval(difference, len(shown))]


def _auc_rows(shown: npt.NDArray[np.bool_], values: npt.NDArray[np.float64]) -> Iterator[list[str]]:
    areas = []
    for name, flag, value in zip(ARTIFACTS, shown.T, values.T, strict=True):

        def area(rows: Any, flag: Any = flag, value: Any = value) -> float:
            several = 0 < flag[rows].sum() < len(rows)
            return float(roc_auc_score(flag[rows], value[rows])) if several else 0.5

        areas.append(area(np.arange(len(flag))))
        means = (value.mean(), value[flag].mean(), value[~flag].mean())
        cells = [f"{flag.sum()} ({flag.mean():.0%})", _interval(area, len(flag))]
        yield [name, *cells, *(f"{mean:.2f}" for mean in means)]
    yield ["mean of seven, worst", "", f"{np.mean(areas):.3f}, {min(areas):.3f}", "", "", ""]


def _interval(measure: Callable[[Any], float], number: int) -> str:
    found = bootstrap_interval(measure, np.arange(number))
    return f"{found.score:.3f} ({found.low:.3f}..{found.high:.3f})"


def time_table(pairs: Sequence[Pair]) -> str:
    """Measure the processor time of calls, which take turns, on enlarged images, one thread."""
    ways: dict[str, Callable[[Image, npt.NDArray[np.uint8]], Any]] = {
        f"cv2.imdecode, quality {_QUALITY}": lambda _, data: cv2.imdecode(data, cv2.IMREAD_COLOR),
        "segment_lesion, classical": lambda image, _: segment_lesion(image, method="classical"),
        "segment_lesion, unet": lambda image, _: segment_lesion(image, method="unet"),
        "detect_artifacts": lambda image, _: detect_artifacts(image),
        "analyze(hair=False): mask, probabilities, artifacts": (
            lambda image, _: analyze(image, hair=False)
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for path, _ in pairs:
        image = resize_image(read_image(path), (_SIDE, _SIDE))
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        data = np.asarray(cv2.imencode(".jpg", image[..., ::-1], options)[1])
        for _ in range(_ROUNDS):
            for name, way in ways.items():
                start = time.process_time()
                way(image, data)
                seconds[name].append(time.process_time() - start)
    first = np.array(next(iter(seconds.values())))
    rows = [
        [name, f"{1e3 * np.median(one):.1f}", f"{np.median(np.array(one) / first):.2f}"]
        for name, one in seconds.items()
    ]
    head = [f"{len(pairs)} images of {_SIDE} x {_SIDE} px, one thread", "ms of processor time"]
    return markdown([*head, "over decoding"], rows)


def draw_sheet(
    path: Path, data: Path, pairs: Sequence[Pair], jaccard: Callable[[Mask, Mask], float]
) -> None:
    """Draw 40 images with the outline of the network (green) and that of a person (white).

    Rows, eight each: the best, those around the median, the worst, images with patches, with ink.
    """
    flags = pd.read_csv(data / "isic2018_task1" / "artefacts.csv", index_col="ID")
    indices = np.array([_outlined(pair, jaccard).unet for pair in pairs])
    order = np.argsort(indices)[::-1]
    half, count = len(order) // 2, _COLUMNS
    kinds = [order[:count], order[half - count // 2 : half + count // 2], order[-count:]]
    names = np.array([image.stem for image, _ in pairs])
    for flag in ("patches", "ink"):
        with_it = np.flatnonzero(flags.loc[names, flag].to_numpy(np.bool_))
        spread = np.linspace(0, len(with_it) - 1, min(count, len(with_it))).astype(np.intp)
        kinds.append(with_it[spread])
    sheet = np.full((len(kinds) * _PANEL, count * _PANEL, 3), 128, np.uint8)
    for row, places in enumerate(kinds):
        for column, place in enumerate(places):
            top, left = row * _PANEL, column * _PANEL
            panel = _panel(pairs[place], f"{names[place][-7:]} {indices[place]:.2f}")
            sheet[top : top + _PANEL - 4, left : left + _PANEL - 4] = panel
    write_image(path, sheet)


def _panel(pair: Pair, caption: str) -> Image:
    image, truth = read_pair(*pair)
    size = (_PANEL - 4, _PANEL - 4)
    panel = resize_image(image, size).copy()
    for mask, color in ((truth, _WHITE), (segment_lesion(image, method="unet"), _GREEN)):
        small = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, outlines, -1, color, 2 if color == _WHITE else 1)
    cv2.putText(panel, caption, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _RED, 1, cv2.LINE_AA)
    return panel
