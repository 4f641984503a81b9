"""The benchmark of borders: is the field of view found, and what does a crop to it cost?

    python benchmarks/border.py --data DIR
    python benchmarks/border.py --data DIR --gallery border.jpg

Four looks: real images against the flag ``dark_corner`` and against a reading by eye; borders that
are drawn, so that the field is known; lesions that the frame cuts, which are no border; time. The
sorted ids are dealt alternately: the first, third, and so on chose the constants
(``--part tuning``), the others report.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from border_parts.drawn import BORDERS, cut_lesions, draw_border
from border_parts.found import KINDS, Found, find
from border_parts.gallery import draw_gallery
from border_parts.images import (
    Sample,
    challenge_samples,
    flagged_samples,
    load,
)
from border_parts.timing import time_steps
from dermolib._validation import DatasetNotFoundError, Mask
from dermolib.preprocessing import Box
from hair_parts.images import PARTS, Part, default_data

_THRESHOLDS = (0.2, 0.3, 0.4, 0.6, 0.8)
_DRAWN = 200  # images for each kind of drawn border
_LARGE = 0.1  # share of the image that a lesion fills before the frame cuts it


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure the crop to the field of view.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--part", choices=PARTS, default="reporting", help="images that are used")
    parser.add_argument("--limit", type=int, help="use at most so many images of each list")
    parser.add_argument("--no-timing", dest="timing", action="store_false", help="take no times")
    parser.add_argument("--gallery", type=Path, help="draw a sheet of real images, no tables")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        if given.gallery is not None:
            draw_gallery(given.data, given.gallery)
        else:
            for table in _tables(given.data, given.part, given.limit, timing=given.timing):
                print(table, flush=True)
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _tables(data: Path, part: Part, limit: int | None, *, timing: bool) -> Iterable[str]:
    samples = flagged_samples(data, part)[:limit]
    found = [find(sample) for sample in _progress(samples)]
    yield _real_table(samples, found)
    yield _threshold_table(samples)
    challenge = challenge_samples(data)[:limit]
    yield _challenge_table([find(sample) for sample in _progress(challenge)])
    clean = [sample for sample in samples if not sample.flagged and sample.border == "none"]
    yield _drawn_table(clean)
    yield _cut_table([sample for sample in samples if sample.border == "none"])
    if timing:
        yield _time_table(time_steps(samples))


def _real_table(samples: Sequence[Sample], found: Sequence[Found]) -> str:
    flagged = np.array([sample.flagged for sample in samples])
    border = np.array([sample.border for sample in samples])
    masked = np.array([one.share > 0 for one in found])
    rows = []
    for name, chosen in [
        (f"flagged dark_corner ({flagged.sum()})", flagged),
        (f"not flagged ({(~flagged).sum()})", ~flagged),
        *(
            (f"read by eye: {what} ({(border == what).sum()})", border == what)
            for what in ("clear", "trace", "none")
        ),
    ]:
        changed = (np.array([one.changed(kind) for one in found]) for kind in KINDS)
        rows.append([name, *(_percent(hit[chosen]) for hit in (masked, *changed))])
    hits = [masked, *(np.array([one.changed(kind) for one in found]) for kind in KINDS)]
    rows.append(["of these flagged", *(_percent(flagged[hit]) for hit in hits)])
    head = ["share of images, %", "border found", *(f"cropped, {kind}" for kind in KINDS)]
    return _table(head, rows) + "\n" + _loss_table(found)


def _loss_table(found: Sequence[Found]) -> str:
    rows = []
    for kind in KINDS:
        cropped = [one for one in found if one.changed(kind)]
        lost = np.array([one.lost[kind] for one in cropped])
        kept = np.array([one.kept[kind] for one in cropped])
        every = np.array([one.lost[kind] for one in found])
        rows.append(
            [kind, str(len(cropped)), _percent(kept), _mean_worst(lost), _percent(every, 3)]
        )
    head = [
        "crop",
        "images cropped",
        "of these kept, %",
        "of their lesions lost, % (mean / worst)",
        "lost over all images, %",
    ]
    return _table(head, rows)


def _threshold_table(samples: Sequence[Sample]) -> str:
    flagged = np.array([sample.flagged for sample in samples])
    border = np.array([sample.border for sample in samples])
    rows = []
    for threshold in _THRESHOLDS:
        found = [find(sample, threshold=threshold) for sample in samples]
        hit = np.array([one.share > 0 for one in found])
        lost = [max((one.lost[kind] for one in found), default=0.0) for kind in KINDS]
        rows.append(
            [
                str(threshold),
                _percent(hit[flagged]),
                _percent(flagged[hit]),
                *(_percent(hit[border == what]) for what in ("clear", "trace", "none")),
                *(_percent(np.array([worst])) for worst in lost),
            ]
        )
    head = ["threshold", "recall for the flag, %", "precision for the flag, %"]
    head += [f"found, {what}, %" for what in ("clear", "trace", "none")]
    return _table(head + [f"worst lesion loss, {kind}, %" for kind in KINDS], rows)


def _challenge_table(found: Sequence[Found]) -> str:
    masked = sum(one.share > 0 for one in found)
    title = f"isic_challenge/Train: {len(found)} images, a border found in {masked}.\n\n"
    return title + _loss_table(found)


def _drawn_table(samples: Sequence[Sample]) -> str:
    rows = []
    for border in BORDERS:
        rng = np.random.default_rng(0)
        chosen = [samples[i] for i in np.linspace(0, len(samples) - 1, _DRAWN).astype(int)]
        values = []
        for sample in chosen:
            image, lesion = load(sample)
            drawn, field = draw_border(image, border, rng)
            found = find(sample, image=drawn, lesion=lesion & field)
            bounding, inscribed = (found.boxes[kind] for kind in KINDS)
            values.append(
                [
                    found.share > 0,
                    _overlap(bounding, _bounds(field)),
                    found.lost["bounding"],
                    found.lost["inscribed"],
                    1 - inscribed.crop(field).mean(),
                    inscribed.crop(field).sum() / field.sum(),
                ]
            )
        hit, overlap, *lost, left, kept = np.array(values, float).T
        rows.append(
            [
                border,
                _percent(hit),
                f"{overlap.mean():.3f} / {overlap.min():.3f}",
                *(_mean_worst(one) for one in lost),
                _mean_worst(left),
                _percent(kept),
            ]
        )
    head = ["drawn border", "found, %", "overlap of the bounding box (mean / worst)"]
    head += [f"lesion lost, {kind}, % (mean / worst)" for kind in KINDS]
    head += ["border left in inscribed, % (mean / worst)", "field kept by inscribed, %"]
    return _table(head, rows)


def _cut_table(samples: Sequence[Sample]) -> str:
    found = []
    for sample in samples:
        image, lesion = load(sample)
        if lesion.mean() >= _LARGE:
            found += [
                find(sample, image=part, lesion=cut) for part, cut in cut_lesions(image, lesion)
            ]
    rows = []
    for kind in KINDS:
        lost = np.array([one.lost[kind] for one in found])
        changed = np.array([one.changed(kind) for one in found])
        rows.append([kind, _percent(changed, 2), _mean_worst(lost)])
    head = [
        f"{len(found)} images whose frame cuts the lesion",
        "cropped, %",
        "lesion lost, % (mean / worst)",
    ]
    return _table(head, rows)


def _time_table(times: dict[str, tuple[float, float]]) -> str:
    rows = [[name, f"{ms:.2f}", f"{ratio:.3f}"] for name, (ms, ratio) in times.items()]
    return _table(["1024 x 1024, one thread", "ms", "time over cv2.imdecode"], rows)


def _bounds(field: Mask) -> Box:
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def _overlap(one: Box, other: Box) -> float:
    """Compute the intersection over the union of two boxes that meet."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    shared = (min(one.bottom, other.bottom) - top) * (min(one.right, other.right) - left)
    return float(shared / (np.prod(one.shape) + np.prod(other.shape) - shared))


def _percent(values: Sequence[float] | Mask, digits: int = 1) -> str:
    return f"{100 * np.mean(values):.{digits}f}" if len(values) else "none"


def _mean_worst(values: Sequence[float] | Mask) -> str:
    return f"{_percent(values, 2)} / {100 * np.max(values):.2f}" if len(values) else "none"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _progress(samples: Sequence[Sample]) -> Iterable[Sample]:
    for number, sample in enumerate(samples):
        if number % 500 == 499:
            print(f"{number + 1} of {len(samples)} images", file=sys.stderr)
        yield sample


if __name__ == "__main__":
    main()
