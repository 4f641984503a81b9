"""The benchmark of borders: is the field of view found, and what does a crop to it cost?

    python benchmarks/border.py --data DIR

Four looks: real images against the flag ``dark_corner`` and against a reading by eye; borders that
are drawn, so that the field is known; lesions that the frame cuts, which are not a border; time.
The sorted ids alternate: the first, third, and so on chose the constants (``--part tuning``), the
others report.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from border_parts.drawn import BORDERS, cut_lesions, draw_border
from dermolib import crop_border, shades_of_gray
from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.io import read_image
from dermolib.preprocessing import Box, border_mask, field_of_view
from hair_parts.images import PARTS, Part, default_data, part_of
from input_parts.pairs import challenge_pairs, read_pair, task_pairs
from tables import markdown

_KINDS = ("bounding", "inscribed")
_READ = ("clear", "trace", "none")  # of a border, by eye
_THRESHOLDS = (0.2, 0.3, 0.4, 0.6, 0.8)
_DRAWN = 200  # images for each kind of drawn border
_LARGE = 0.1  # fraction of the image that a lesion fills before the frame cuts it
_TIMED, _ROUNDS, _SIZE = 6, 15, 1024  # images with and without a border, rounds, px


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the crop to the field of view.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--part", choices=PARTS, default="reporting", help="images that are used")
    parser.add_argument("--limit", type=int, help="use at most so many images of each list")
    parser.add_argument("--no-timing", dest="timing", action="store_false", help="take no times")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        for table in _tables(given.data, given.part, given.limit, timing=given.timing):
            print(table, flush=True)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def flagged_images(data: Path, part: Part) -> pd.DataFrame:
    """List the images of ISIC 2018 task 1 in one part: paths, flag, and border read by eye."""
    images = pd.DataFrame(task_pairs(data), columns=["image", "lesion"])
    images.index = pd.Index([path.stem for path in images["image"]])
    images = images.loc[part_of(list(images.index), part)]
    flags = pd.read_csv(data / "isic2018_task1" / "artefacts.csv", index_col="ID")["dark_corner"]
    path = Path(__file__).with_name("border_parts") / "reading.csv"
    reading = pd.read_csv(path, index_col="ID", dtype=str, keep_default_na=False)["border"]
    border = reading.reindex(images.index).fillna("none")
    return images.assign(flagged=flags[images.index] == 1, border=border)


def find(image: Image, lesion: Mask, *, threshold: float = 0.3) -> dict[str, Any]:
    """Find the border (`area`, 0..1), and for each crop its box and what it keeps and loses."""
    found: dict[str, Any] = {"area": float(border_mask(image, threshold=threshold).mean())}
    for kind in _KINDS:
        box = field_of_view(image, kind=kind, threshold=threshold)
        kept = float(box.crop(lesion).sum() / lesion.sum()) if lesion.any() else 1.0
        found[f"box {kind}"], found[f"lost {kind}"] = box, 1 - kept
        found[f"kept {kind}"] = float(np.prod(box.shape) / lesion.size)
    return found


def _read(images: pd.DataFrame) -> Iterator[tuple[Image, Mask]]:
    return starmap(read_pair, zip(images["image"], images["lesion"], strict=True))


def _find_all(images: pd.DataFrame, *, threshold: float = 0.3) -> pd.DataFrame:
    rows = [find(*pair, threshold=threshold) for pair in _read(images)]
    return images.join(pd.DataFrame(rows, index=images.index))


def _tables(data: Path, part: Part, limit: int | None, *, timing: bool) -> Iterator[str]:
    images = flagged_images(data, part)[:limit]
    found = _find_all(images)
    yield f"{_real_table(found)}\n{_loss_table(found)}"
    yield _threshold_table(images)
    pairs = pd.DataFrame(challenge_pairs(data), columns=["image", "lesion"])
    challenge = _find_all(pairs[:limit])
    hits = int((challenge["area"] > 0).sum())
    title = f"isic_challenge/Train: {len(challenge)} images, a border found in {hits}."
    yield f"{title}\n\n{_loss_table(challenge)}"
    yield _drawn_table(images[~images["flagged"] & (images["border"] == "none")])
    yield _cut_table(images[images["border"] == "none"])
    if timing:
        yield _time_table(images)


def _real_table(found: pd.DataFrame) -> str:
    flagged, border = found["flagged"], found["border"]
    hits = [found["area"] > 0, *(found[f"kept {kind}"] < 1 for kind in _KINDS)]
    groups = {"flagged dark_corner": flagged, "not flagged": ~flagged}
    groups |= {f"read by eye: {what}": border == what for what in _READ}
    rows = [
        [f"{name} ({chosen.sum()})", *(_percent(hit[chosen]) for hit in hits)]
        for name, chosen in groups.items()
    ]
    rows.append(["of these flagged", *(_percent(flagged[hit]) for hit in hits)])
    cropped = (f"cropped, {kind}" for kind in _KINDS)
    return markdown(["fraction of images, %", "border found", *cropped], rows)


def _loss_table(found: pd.DataFrame) -> str:
    rows = []
    for kind in _KINDS:
        kept, lost = found[f"kept {kind}"], found[f"lost {kind}"]
        cut = kept < 1
        losses = [_mean_worst(lost[cut]), _percent(lost, 3)]
        rows.append([kind, str(cut.sum()), _percent(kept[cut]), *losses])
    head = ["crop", "images cropped", "of these kept, %", "of their lesions lost, % (mean / worst)"]
    return markdown([*head, "lost over all images, %"], rows)


def _threshold_table(images: pd.DataFrame) -> str:
    flagged, rows = images["flagged"], []
    for threshold in _THRESHOLDS:
        found = _find_all(images, threshold=threshold)
        hit = found["area"] > 0
        read = (_percent(hit[images["border"] == what]) for what in _READ)
        worst = (f"{100 * found[f'lost {kind}'].max():.1f}" for kind in _KINDS)
        rows.append([str(threshold), _percent(hit[flagged]), _percent(flagged[hit]), *read, *worst])
    head = ["threshold", "recall for the flag, %", "precision for the flag, %"]
    head += [f"found, {what}, %" for what in _READ]
    return markdown(head + [f"worst lesion loss, {kind}, %" for kind in _KINDS], rows)


def _drawn_table(images: pd.DataFrame) -> str:
    rows = []
    chosen = images.iloc[np.linspace(0, len(images) - 1, _DRAWN).astype(int)]
    for border in BORDERS:
        rng = np.random.default_rng(0)
        values = []
        for image, lesion in _read(chosen):
            drawn, field = draw_border(image, border, rng)
            found = find(drawn, lesion & field)
            inside = found["box inscribed"].crop(field)
            overlap = _overlap(found["box bounding"], field)
            lost = [found[f"lost {kind}"] for kind in _KINDS]
            left, kept = 1 - inside.mean(), inside.sum() / field.sum()
            values.append([found["area"] > 0, overlap, *lost, left, kept])
        hit, overlaps, *losses, kept = np.array(values, float).T
        shown = f"{overlaps.mean():.3f} / {overlaps.min():.3f}"
        rows.append([border, _percent(hit), shown, *map(_mean_worst, losses), _percent(kept)])
    head = ["drawn border", "found, %", "overlap of the bounding box (mean / worst)"]
    head += [f"lesion lost, {kind}, % (mean / worst)" for kind in _KINDS]
    head += ["border left in inscribed, % (mean / worst)", "field kept by inscribed, %"]
    return markdown(head, rows)


def _cut_table(images: pd.DataFrame) -> str:
    large = ((image, lesion) for image, lesion in _read(images) if lesion.mean() >= _LARGE)
    found = pd.DataFrame([find(*cut) for pair in large for cut in cut_lesions(*pair)])
    rows = [
        [kind, _percent(found[f"kept {kind}"] < 1, 2), _mean_worst(found[f"lost {kind}"])]
        for kind in _KINDS
    ]
    head = [f"{len(found)} images whose frame cuts the lesion", "cropped, %"]
    return markdown([*head, "lesion lost, % (mean / worst)"], rows)


def _time_table(images: pd.DataFrame) -> str:
    """Time the steps on one thread, in turns with decoding the same JPEG file."""
    rows = []
    for what, label in (("clear", "border"), ("none", "no border")):
        taken: dict[str, list[float]] = {}
        for row in images[images["border"] == what][:_TIMED].itertuples():
            _take_turns(read_image(str(row.image)), taken)
        decoding = np.array(next(iter(taken.values())))
        for name, seconds in taken.items():
            ratio = np.median(np.array(seconds) / decoding)
            rows.append([f"{name}, {label}", f"{1e3 * np.median(seconds):.2f}", f"{ratio:.3f}"])
    return markdown([f"{_SIZE} x {_SIZE}, one thread", "ms", "time over cv2.imdecode"], rows)


def _take_turns(image: Image, taken: dict[str, list[float]]) -> None:
    large = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_CUBIC)
    file = cv2.imencode(".jpg", large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    pixels = np.asarray(large, np.uint8)
    calls: dict[str, Callable[[], object]] = {
        "cv2.imdecode": partial(cv2.imdecode, file, cv2.IMREAD_COLOR),
        "a copy of the image": pixels.copy,
        **{f"field_of_view, {k}": partial(field_of_view, pixels, kind=k) for k in _KINDS},
        "crop_border": partial(crop_border, pixels),
        "shades_of_gray": partial(shades_of_gray, pixels),
    }
    for turn in range(_ROUNDS + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first warms up
                taken.setdefault(name, []).append(time.perf_counter() - start)


def _overlap(box: Box, field: Mask) -> float:
    """Compute the intersection over the union of a box and the bounding box of a field."""
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    true, found = np.zeros((2, *field.shape), np.bool_)
    true[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    box.crop(found)[:] = True
    return float((true & found).sum() / (true | found).sum())


def _percent(values: Any, digits: int = 1) -> str:
    return f"{100 * np.mean(values):.{digits}f}" if len(values) else "none"


def _mean_worst(values: Any) -> str:
    return f"{_percent(values, 2)} / {100 * np.max(values):.2f}" if len(values) else "none"


if __name__ == "__main__":
    main()
