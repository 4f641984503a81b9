"""How many validation images of lesion-grouped splits show a lesion that is also trained on.

    python benchmarks/torn_splits.py --data DIR [--predictions NAME=FILE ...]

Splits are the four folds of `benchmarks/submissions.py` and the held-out part of
`benchmarks/ablation.py`, made by the published lesion ids. An image is torn from its lesion where
`ham10000_recaptures` joins its lesion with one in the training part. FILES are predictions of
validation images, ``.npz`` with ``ids`` and ``probabilities``; each is scored with and
without the torn images. The result is `results/torn_splits.md`.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib import ISICDataset, grouped_split
from dermolib.auditing import join_groups
from dermolib.datasets import ham10000_recaptures
from dermolib.evaluation import score
from dermolib.io import whole_file
from hair_parts.images import default_data
from submission_parts.data import open_challenge

_RESULTS = Path(__file__).parent / "results" / "torn_splits.md"
_HELD_OUT = 0.2  # of the ablation


def main(arguments: Sequence[str] | None = None) -> None:
    """Count torn images and score predictions, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=default_data(), help="folder of the real data")
    add("--predictions", nargs="*", default=(), metavar="NAME=FILE", help="of validation images")
    add("--results", type=Path, default=_RESULTS, help="file of the tables")
    given = parser.parse_args(arguments)
    challenge = open_challenge(given.data / "isic_challenge")
    train = challenge.train
    joined = _joined(train)
    lines = ["| split | validation images | torn | lesions |", "|---|---:|---:|---:|"]
    for name, rows, others in _splits(train, challenge.folds):
        torn = rows[np.isin(joined[rows], joined[others])]
        lesions = len(np.unique(joined[torn]))
        lines.append(
            f"| {name} | {len(rows):,} | {len(torn)} ({len(torn) / len(rows):.1%}) | {lesions} |"
        )
    for named in given.predictions:
        name, _, path = named.partition("=")
        lines += ["", *_scored(name, Path(path), train, joined)]
    text = "\n".join(lines) + "\n"
    with whole_file(given.results) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def _joined(train: ISICDataset) -> npt.NDArray[np.int64]:
    """Number the lesions after the corrections; pairs may be joined through a test image."""
    pairs = ham10000_recaptures()
    pairs = pairs[pairs["judgment"].isin(["sure", "likely"])]
    lesions = join_groups(train, pairs)["lesion"]
    known = np.where(lesions == "", train.ids, lesions)
    return np.asarray(pd.factorize(known)[0], np.int64)


def _splits(
    train: ISICDataset, folds: Sequence[npt.NDArray[np.intp]]
) -> Iterator[tuple[str, npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield name, validation rows and training rows of each split."""
    every = np.arange(len(train))
    for number, rows in enumerate(folds):
        yield f"fold {number} of {len(folds)}", rows, np.setdiff1d(every, rows)
    rest, held = grouped_split(train, fractions=(1 - _HELD_OUT, _HELD_OUT), seed=0)
    yield "held-out fifth", held, rest


def _scored(
    name: str, path: Path, train: ISICDataset, joined: npt.NDArray[np.int64]
) -> Iterator[str]:
    """Yield the lines of a table of scores with and without torn images."""
    with np.load(path, allow_pickle=False) as file:
        ids, probabilities = file["ids"], file["probabilities"]
    rows = pd.Index(train.ids).get_indexer(ids)
    others = np.setdiff1d(np.arange(len(train)), rows)
    kept = ~np.isin(joined[rows], joined[others])
    yield f"| {name} | images | balanced accuracy (95 % interval) |"
    yield "|---|---:|---:|"
    labels = train.labels[rows]
    for words, chosen in (("all", np.ones_like(kept)), ("without torn", kept)):
        found = score(
            probabilities[chosen],
            labels[chosen],
            groups=joined[rows[chosen]],
            label_space="challenge",
        )
        one = found.table.set_index("metric").loc["balanced_accuracy"]
        line = f"{one['value']:.3f} ({one['low']:.3f}..{one['high']:.3f})"
        yield f"| {words} | {chosen.sum():,} | {line} |"
    right = pd.Series(probabilities.argmax(axis=1) == labels)
    by_class = right[kept].groupby(labels[kept]).mean()
    yield ""
    yield f"Of the torn images of {name}, {right[~kept].mean():.3f} are right; of others"
    yield f"in the same mix of classes, {by_class[labels[~kept]].mean():.3f}."


if __name__ == "__main__":
    main()
