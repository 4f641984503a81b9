"""The benchmark of lesion masks: do they agree with masks that people drew, and what follows?

    python benchmarks/segmentation.py --data DIR

Five looks: eleven ways on all images of ISIC 2018 task 1, whose sorted ids alternate (the first,
third, and so on chose the constants of the classical method, the others report) and of which
`scripts/picture_splits.csv` says which the network has not seen; the masks of the challenge's
training images; outlines with and without each artifact, and how well artifacts are detected; the
time of both; and what the ABCD descriptors say of the diagnosis, by masks that people drew and by
masks that were found. ``--sheet FILE`` draws 40 outlines.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermolib import abcd_table
from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.evaluation import bootstrap_interval
from dermolib.features import ABCD_FEATURES
from hair_parts.images import default_data, part_of
from input_parts.pairs import Pair, challenge_pairs, read_pair, task_pairs
from segmentation_parts.pictures import artifact_tables, draw_sheet, split_of, time_table
from segmentation_parts.ways import CLASSICAL, PLAIN, UNET, WAYS
from tables import markdown

_TABLES = ("ways", "challenge", "artifacts", "time", "descriptors")
_FOLDS = 5
_TIMED = 20  # images
_ENOUGH = 0.65  # Jaccard index under which the ISIC challenge of 2018 counted a mask as 0
_LETTERS = {"A": ("asymmetry",), "B": ("border",), "C": ("color",), "D": ("diameter", "area")}


class Scores(NamedTuple):
    """Jaccard index of each image (N,), and the time without reading it in s (N,)."""

    jaccard: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """Dice coefficient of each image (N,)."""
        return 2 * self.jaccard / (1 + self.jaccard)

    @property
    def thresholded(self) -> npt.NDArray[np.float64]:
        """Jaccard index (N,), 0 where it is below what the challenge counted."""
        return np.where(self.jaccard >= _ENOUGH, self.jaccard, 0.0)


def jaccard(mask: Mask, truth: Mask) -> float:
    """Compute the Jaccard index; 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def score(pairs: Sequence[Pair], ways: dict[str, Callable[[Image], Mask]]) -> dict[str, Scores]:
    """Run ways in turns on pairs of an image and its mask."""
    indices: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for pair in pairs:
        image, truth = read_pair(*pair)
        for name, way in ways.items():
            start = time.perf_counter()
            mask = way(image)
            seconds[name].append(time.perf_counter() - start)
            indices[name].append(jaccard(mask, truth))
    return {name: Scores(np.array(indices[name]), np.array(seconds[name])) for name in ways}


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure lesion masks and descriptors.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--tables", nargs="+", choices=_TABLES, default=_TABLES, help="which ones")
    parser.add_argument("--sheet", type=Path, help="draw 40 outlines of test images there (PNG)")
    parser.add_argument("--limit", type=int, help="use at most so many images of each list")
    parser.add_argument("--workers", type=int, default=1, help="workers for the descriptors")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        for table in _tables(given.data, given.tables, given.limit, given.workers):
            print(table, flush=True)
        if given.sheet:
            pairs = split_of(task_pairs(given.data), "test")[: given.limit]
            draw_sheet(given.sheet, given.data, pairs, jaccard)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _tables(data: Path, tables: Sequence[str], limit: int | None, workers: int) -> Iterator[str]:
    if "ways" in tables:
        pairs = task_pairs(data)[:limit]
        yield _way_table(pairs, score(pairs, WAYS))
    if "challenge" in tables:
        pairs = challenge_pairs(data)[:limit]
        few = {name: WAYS[name] for name in (PLAIN, CLASSICAL, UNET)}
        yield _challenge_table(pairs, score(pairs, few))
    if "artifacts" in tables:
        yield from artifact_tables(data, split_of(task_pairs(data), "test")[:limit], jaccard)
    if "time" in tables:
        yield time_table(split_of(task_pairs(data), "test")[: min(limit or _TIMED, _TIMED)])
    if "descriptors" in tables:
        yield _descriptor_table(data, challenge_pairs(data)[:limit], workers)


def _tuning(pairs: list[Pair]) -> set[str]:
    return set(part_of([image.stem for image, _ in pairs], "tuning"))


def _mean(values: Any) -> str:
    return f"{np.mean(values):.3f}" if len(values) else "-"


def _way_table(pairs: list[Pair], scores: dict[str, Scores]) -> str:
    names = [image.stem for image, _ in pairs]
    tuning = np.isin(names, list(_tuning(pairs)))
    test = np.isin(names, [image.stem for image, _ in split_of(pairs, "test")])
    plain = scores[PLAIN].seconds
    rows = []
    for name, found in scores.items():
        parts = [_mean(found.jaccard[part]) for part in (tuning, ~tuning, test)]
        strict = _mean(found.thresholded[test])
        ms, ratio = 1e3 * np.median(found.seconds), np.median(found.seconds / plain)
        rows.append([name, *_summary(found), *parts, strict, f"{ms:.1f}", f"{ratio:.2f}"])
    head = [f"{len(pairs)} images of ISIC 2018 task 1", *_HEAD, "Jaccard, tuning half"]
    head += ["reporting half", f"{test.sum()} test images of the network", f"0 below {_ENOUGH}"]
    return markdown([*head, "ms", "time over plain Otsu"], rows)


def _challenge_table(pairs: list[Pair], scores: dict[str, Scores]) -> str:
    names = [image.stem for image, _ in pairs]
    unseen = np.isin(names, [image.stem for image, _ in split_of(pairs, "unseen")])
    rows = [
        [name, *_summary(found), f"{found.jaccard[unseen].mean():.3f}"]
        for name, found in scores.items()
    ]
    head = [f"{len(pairs)} images of isic_challenge/Train", *_HEAD]
    return markdown([*head, f"Jaccard, {unseen.sum()} that no method has seen"], rows)


_HEAD = ["mean Jaccard (95 % interval)", "median", "mean Dice"]
_HEAD += [f"0 below {_ENOUGH}", f"below {_ENOUGH}, %"]


def _interval(measure: Callable[[Any], float], groups: npt.NDArray[Any]) -> str:
    found = bootstrap_interval(measure, groups)
    return f"{found.score:.3f} ({found.low:.3f}..{found.high:.3f})"


def _summary(found: Scores) -> list[str]:
    index = found.jaccard
    means = index.mean(), np.median(index), found.dice.mean(), found.thresholded.mean()
    interval = _interval(lambda rows: float(index[rows].mean()), np.arange(len(index)))
    return [interval, *(f"{m:.3f}" for m in means[1:]), f"{100 * (index < _ENOUGH).mean():.1f}"]


def _descriptor_table(data: Path, pairs: list[Pair], workers: int) -> str:
    folder = data / "isic_challenge"
    labels = pd.read_csv(folder / "metadataTrain.csv", index_col="ID")["CLASS"]
    lesions = pd.read_csv(folder / "lesion_ids.csv", index_col="ID")["LESION_ID"]
    options: dict[str, Any] = {"workers": workers, "progress": False}
    tables = {
        "drawn by people": abcd_table(_samples(pairs, masks=True), **options),
        **{
            name: abcd_table(_samples(pairs, masks=False), segment=WAYS[name], **options)
            for name in (CLASSICAL, UNET)
        },
    }
    ids = [image.stem for image, _ in pairs]
    groups = lesions.reindex(ids).fillna(pd.Series(ids, index=ids))
    rows = _descriptor_rows(tables, labels.loc[ids].to_numpy(), groups.to_numpy(object))
    head = ["masks", "descriptors", "classifier", "balanced accuracy (95 % interval)"]
    empty = int(tables[UNET].isna().all(axis=1).sum())
    title = f"{len(ids)} images, {groups.nunique()} lesions, five folds; "
    title += f"{empty} masks of the network are empty.\n"
    return f"{title}\n{markdown(head, rows)}"


def _descriptor_rows(
    tables: dict[str, pd.DataFrame], labels: npt.NDArray[np.int64], lesions: npt.NDArray[np.object_]
) -> Iterator[list[str]]:
    """Classify by the descriptors of each table, and by those of single letters of the first."""
    linear = LogisticRegression(class_weight="balanced", max_iter=5000)
    logistic = make_pipeline(SimpleImputer(), StandardScaler(), linear)
    boosting = HistGradientBoostingClassifier(
        class_weight="balanced", max_iter=150, learning_rate=0.05, random_state=0
    )
    every = list(ABCD_FEATURES)
    runs = [(masks, "all", every, "logistic", logistic) for masks in tables]
    runs += [(masks, "all", every, "boosting", boosting) for masks in tables]
    for letter, start in _LETTERS.items():
        names = [name for name in every if name.startswith(start)]
        runs.append((next(iter(tables)), letter, names, "logistic", logistic))
    for masks, what, names, kind, model in runs:
        features = tables[masks][names].to_numpy()
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
        found = cross_val_predict(model, features, labels, groups=lesions, cv=folds)

        def accuracy(rows: Any, found: Any = found) -> float:
            right, truth = found[rows] == labels[rows], labels[rows]
            return float(np.mean([right[truth == number].mean() for number in np.unique(truth)]))

        yield [masks, f"{what} ({len(names)})", kind, _interval(accuracy, lesions)]


def _samples(pairs: list[Pair], *, masks: bool) -> Iterator[dict[str, object]]:
    for pair in pairs:
        image, mask = read_pair(*pair)
        sample: dict[str, object] = {"id": pair[0].stem, "image": image}
        yield {**sample, "mask": mask} if masks else sample


if __name__ == "__main__":
    main()
