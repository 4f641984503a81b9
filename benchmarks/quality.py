"""The benchmark of image quality: fit the weights of `image_quality`, and judge its flags.

    python benchmarks/quality.py --data DIR --foreign DIR --fit src/dermolib/auditing/quality.csv
    python benchmarks/quality.py --data DIR --foreign DIR

Without ``--fit`` it prints tables: flags of real dermoscopic images as they are, and the fraction
of planted faults that is found. Weights are fitted on the training images of the challenge and on
every second image of ISIC 2018 Task 1; the others report. The folder ``--foreign`` has a folder of
pictures for each source; how it was made is written in benchmarks/README.md. The pictures that
scikit-image and scikit-learn bring, and what is drawn, are never fitted on. So that each source
reports once as a new one, ``--fit`` also prints what is found of it by weights fitted without it.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.auditing import quality
from dermolib.io import read_image
from hair_parts.images import default_data
from quality_parts.planted import BLUR, EXPOSURE, HARMLESS, compressed, read_foreign
from tables import markdown
from unknown_parts.planted import KINDS

_PLANTED = {"fit": (600, 300), "report": (300, 200)}  # images of both folders that are changed
_SPARED = {"blurred": 0.999, "not_dermoscopic": 0.9995}  # fraction of images of the fit, unflagged
_STRENGTH = 0.1  # C of the logistic regression
_FARTHEST = 6.0  # as in `image_quality`

_Values = npt.NDArray[np.float64]
_Measure = Callable[[Image], npt.NDArray[np.float32]]
_Sets = dict[str, _Values]


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Fit and judge the flags of image quality.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--foreign", type=Path, required=True, help="pictures of other things")
    parser.add_argument("--fit", type=Path, metavar="CSV", help="fit weights and write them")
    parser.add_argument("--limit", type=int, help="use at most so many images of each folder")
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        images = _list_images(given.data, given.limit)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    foreign, sources = read_foreign(given.foreign)
    (_fit if given.fit else _report)(images, foreign, sources, given)


def _list_images(data: Path, limit: int | None) -> dict[str, list[Path]]:
    """List the images of each folder that are fitted on, and of each that reports."""
    patterns = {"Train": "isic_challenge/Train", "Test": "isic_challenge/Test",
                "Task 1": "isic2018_task1/images", "native": "hairy_native"}  # fmt: skip
    found = {name: sorted((data / place).glob("*.jpg"))[:limit] for name, place in patterns.items()}
    if not all(found.values()):
        raise DatasetNotFoundError(data, f"folders {', '.join(patterns.values())}")
    halves = {"Task 1, fit": found["Task 1"][::2], "Task 1": found["Task 1"][1::2]}
    return found | halves


def _planted(
    images: Mapping[str, list[Path]], part: str, changes: Mapping[str, Any], given: Any
) -> list[tuple[str, Path, Any, int]]:
    """Choose images at random and a change for each: tasks of `_measure_changed`."""
    names = ("Train", "Task 1, fit") if part == "fit" else ("Test", "Task 1")
    generator = np.random.default_rng(len(part))
    chosen = []
    for name, most in zip(names, _PLANTED[part], strict=True):
        order = generator.permutation(len(images[name]))[: given.limit or most]
        chosen += [images[name][place] for place in order.tolist()]
    return [
        (name, path, change, number)
        for name, change in changes.items()
        for number, path in enumerate(chosen)
    ]


def _measure_changed(measure: _Measure, path: Path, change: Any, seed: int) -> Any:
    cv2.setNumThreads(1)
    image = read_image(path)
    if change is not None:
        generator = np.random.default_rng(seed)
        image = compressed(change(image, generator), generator)
    return measure(image)


def _measure(measure: _Measure, tasks: Iterable[tuple[str, Path, Any, int]], given: Any) -> _Sets:
    """Measure changed images, in one array for each name."""
    tasks = list(tasks)
    run = joblib.Parallel(n_jobs=given.workers, batch_size=64)
    rows = run(joblib.delayed(_measure_changed)(measure, *task[1:]) for task in tasks)
    names = [task[0] for task in tasks]
    return {
        name: np.array([row for row, own in zip(rows, names, strict=True) if own == name])
        for name in dict.fromkeys(names)
    }


def _real(images: Mapping[str, list[Path]], *names: str) -> list[tuple[str, Path, None, int]]:
    return [(name, path, None, 0) for name in names for path in images[name]]


def _both(image: Image) -> npt.NDArray[np.float32]:
    """Measure all that weights are fitted on, as `image_quality` does."""
    small = quality.shrunk(image)
    return np.concatenate([quality.sharpness(small), quality.appearance(small)])


def _fit(
    images: Mapping[str, list[Path]], foreign: list[Image], sources: list[str], given: Any
) -> None:
    names = ("Train", "Task 1, fit")
    real = _measure(_both, _real(images, *names), given)
    harmless, blurred = (
        _measure(_both, _planted(images, "fit", changes, given), given)
        for changes in (HARMLESS, BLUR)
    )
    others = np.array([_both(image) for image in foreign])
    held = {name: _measure_all(_both, KINDS[name]()[0]) for name in KINDS if name != "one color"}
    count = len(quality.SHARPNESS)
    sound = np.concatenate([*real.values(), *harmless.values()])
    as_is = np.concatenate([*real.values()])
    faulty = np.concatenate([*blurred.values()])
    blur, _ = _fit_one("blurred", quality.SHARPNESS, sound[:, :count], faulty[:, :count],
                           as_is[:, :count])  # fmt: skip
    sound, as_is, own = (
        np.concatenate([sound, faulty])[:, count:],
        as_is[:, count:],
        others[:, count:],
    )
    flag, measures = "not_dermoscopic", quality.APPEARANCE
    rows = []
    for source in dict.fromkeys(sources):
        here = np.array(sources) == source
        _, found = _fit_one(flag, measures, sound, own[~here], as_is)
        rows.append([source, f"{here.sum():,}", _percent(found(own[here]) > 0)])
    table, found = _fit_one(flag, measures, sound, own, as_is)
    rows += [[name, f"{len(part):,}", _percent(found(part[:, count:]) > 0)]
             for name, part in held.items()]  # fmt: skip
    print(markdown(["source that was not fitted on", "pictures", "found, %"], rows))
    pd.concat([blur, table]).to_csv(given.fit, index=False, float_format="%.5g")


def _fit_one(
    flag: str, names: Sequence[str], sound: _Values, faulty: _Values, as_is: _Values
) -> tuple[pd.DataFrame, Callable[[_Values], _Values]]:
    """Fit the weights of a flag, and place its limit so that real images are spared."""
    mean, scale = sound.mean(axis=0), np.maximum(sound.std(axis=0), 1e-3)

    def terms(values: _Values) -> _Values:
        off = ((values - mean) / scale).clip(-_FARTHEST, _FARTHEST)
        return np.hstack([off, off**2])

    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=5000)
    truth = np.repeat([0, 1], [len(sound), len(faulty)])
    model.fit(terms(np.concatenate([sound, faulty])), truth)
    limit = max(0.0, float(np.quantile(model.decision_function(terms(as_is)), _SPARED[flag])))
    linear, squared = np.split(model.coef_[0], 2)
    table = pd.DataFrame({
        "flag": flag, "measure": names, "mean": mean, "scale": scale, "linear": linear,
        "squared": squared,
    })  # fmt: skip
    first = {"flag": flag, "measure": "intercept", "linear": model.intercept_[0] - limit}
    print(f"{flag}: the limit is at {limit:.2f}", file=sys.stderr)

    def found(values: _Values) -> _Values:
        return np.asarray(model.decision_function(terms(values)) - limit)

    return pd.concat([pd.DataFrame([first], columns=table.columns), table]), found


def _measure_all(measure: _Measure, images: Iterable[Image]) -> _Values:
    return np.array([measure(image) for image in images])


def _report(
    images: Mapping[str, list[Path]], foreign: list[Image], sources: list[str], given: Any
) -> None:
    names = ("Train", "Test", "Task 1, fit", "Task 1", "native")
    real = _measure(quality.scores_of, _real(images, *names), given)
    flagged = {name: scores > quality.LIMIT for name, scores in real.items()}
    head = ["flagged, as they are", *(f"{name} ({len(flagged[name]):,})" for name in names)]
    rows = [
        [flag, *(f"{flagged[name][:, column].sum()}" for name in names)]
        for column, flag in enumerate(quality.QUALITY_FLAGS)
    ]
    print(markdown(head, rows), flush=True)
    rows = [
        [images[name][place].stem, name, flag, f"{real[name][place, column]:.2f}"]
        for column, flag in enumerate(quality.QUALITY_FLAGS)
        for name in names
        for place in np.flatnonzero(flagged[name][:, column]).tolist()
    ]
    print(markdown(["image", "folder", "flag", "score"], rows), flush=True)
    rows = []
    for faults in (BLUR, EXPOSURE, HARMLESS):
        changed = _measure(quality.scores_of, _planted(images, "report", faults, given), given)
        rows += [_found_row(name, scores) for name, scores in changed.items()]
    rows += [_found_row(f"of {name}, fitted on", _measure_all(quality.scores_of, part))
             for name, part in _by_source(foreign, sources).items()]  # fmt: skip
    rows += [_found_row(name, _measure_all(quality.scores_of, KINDS[name]()[0]))
             for name in KINDS]  # fmt: skip
    print(markdown(["planted", "images", *(f"{flag}, %" for flag in quality.QUALITY_FLAGS)], rows))


def _by_source(foreign: list[Image], sources: list[str]) -> dict[str, list[Image]]:
    return {
        name: [image for image, own in zip(foreign, sources, strict=True) if own == name]
        for name in dict.fromkeys(sources)
    }


def _found_row(name: str, scores: _Values) -> list[str]:
    """Give how many have each flag."""
    flagged = scores > quality.LIMIT
    return [name, f"{len(scores):,}", *(_percent(column) for column in flagged.T)]


def _percent(flags: npt.NDArray[np.bool_]) -> str:
    return f"{100 * flags.mean():.1f}"


if __name__ == "__main__":
    main()
