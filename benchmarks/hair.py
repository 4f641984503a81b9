"""The benchmark of hair removal: every method of dermolib and the scripts of today, in one table.

    python benchmarks/hair.py --output hair.md hair.csv
    python benchmarks/hair.py --part tuning --limit 6 --no-timing
    python benchmarks/hair.py --gallery hair.png

Hair of three kinds is drawn on hair-free images of ISIC 2018 task 1, so that the true mask and the
image below are known. The sorted ids of these images are dealt alternately: the first, third, and
so on choose parameters and may train (``--part tuning``), the others report.
"""

import argparse
import shlex
import sys
import zlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity
from tqdm import tqdm

from dermolib import fill_mask, list_fills
from dermolib._validation import DatasetNotFoundError, Image, Mask
from dermolib.evaluation import bootstrap_interval
from dermolib.io import whole_file
from dermolib.preprocessing.hair.registry import DEFAULT_METHOD
from hair_parts.gallery import draw_gallery
from hair_parts.images import PARTS, artifact_ids, default_data, hair_free_ids, load
from hair_parts.scripts import Remover, own_removers, removers
from hair_parts.simulation import KINDS, HairyImage, Kind, simulate_hair
from hair_parts.timing import DECODERS, Timing, time_removers
from tables import markdown

_WIDE = 0.2  # coverage of hair, where the table asks how much its definition matters
_PACKAGES = ("dermolib", "opencv-python-headless", "numpy", "scikit-image")
_FRACTIONS = {
    "no hair: image masked": "masked",
    "no hair: lesion masked": "masked_lesion",
    "flagged hair = 0: lesion changed": "changed_lesion",
}
_NOTES = f"""\
A pixel is hair where drawn strands cover half of it or more, before focus and translucence change
how it looks; the row with coverage {_WIDE} shows how much Dice depends on where hair ends. Dice,
recall, precision and PSNR are means over images; a mask that is empty has precision 0. *PSNR in
hair* compares with the image before hair was drawn, at these pixels; *off hair* does so for all
pixels that drawing left as they were, pooled: "equal" means that not one of them changed. Fractions
are means over images, with the 95th percentile and the worst image. *untouched* does nothing.
"""
_TIME_NOTES = """\
Times are for the middle 1024 x 1024 pixels of the four hairy native images that are larger, as JPEG
files of quality 92. One thread is measured in processor time on one core, two
by the clock. Decoders always take one thread.
"""
_FILL_NOTES = """\
PSNR and SSIM are those of the pixels that hair covers by half or more, whatever mask the fill got.
The true mask leaves the blurred edges of hair outside, from which a fill takes its colors.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure hair removal on drawn hair.")
    add = parser.add_argument
    add("--data", type=Path, default=default_data(), help="folder of the images")
    add("--part", choices=PARTS, default="reporting", help="images that are used")
    add("--limit", type=int, help="use at most so many images of each list")
    add("--methods", nargs="+", choices=list(removers()), default=list(removers()))
    add("--seed", type=int, default=0, help="seed of the hair (default: 0)")
    add("--no-timing", dest="timing", action="store_false", help="take no times")
    add("--no-fills", dest="fills", action="store_false", help="no table of fills")
    add("--output", type=Path, nargs="+", default=[], help="files ending in .md or .csv")
    add("--gallery", type=Path, help="draw eight real images, no table")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        if given.gallery is not None:
            draw_gallery(given.data, given.gallery)
        else:
            _measure(given, arguments or sys.argv[1:])
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")


def _measure(given: argparse.Namespace, arguments: list[str]) -> None:
    chosen = {name: removers()[name] for name in given.methods} | {"untouched": _untouched}
    ids = hair_free_ids(given.data, given.part, given.limit)
    lesions = artifact_ids(given.data, given.part, given.limit, given.seed)
    rows = [*_drawn_rows(given.data, ids, chosen, given.seed)]
    rows += _lesion_rows(given.data, lesions, chosen)
    setting = {
        "command": shlex.join(["python", "benchmarks/hair.py", *arguments]),
        "images with drawn hair": f"{len(ids)} of part {given.part}, 3 kinds each",
        "images flagged hair = 0 with other artifacts": len(lesions),
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }
    parts = ["# Hair removal", "\n".join(f"- {name}: {value}" for name, value in setting.items())]
    parts += [remover_table(pd.DataFrame(rows), list(chosen)), _NOTES]
    if given.timing:
        for threads in (1, 2):
            timing = time_removers(given.data.resolve(), given.methods, threads=threads)
            parts.append(_time_table(timing, threads))
        parts.append(_TIME_NOTES)
    if given.fills:
        filled = [*_fill_rows(given.data, ids, own_removers()[DEFAULT_METHOD], given.seed)]
        parts += ["## Fills", fill_table(pd.DataFrame(filled)), _FILL_NOTES]
        rows += filled
    text = "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
    print(text)
    for path in given.output:
        with whole_file(path) as temporary:
            values = pd.DataFrame(rows).to_csv(index=False) if path.suffix == ".csv" else text
            temporary.write_text(values, encoding="utf-8")


def _untouched(image: Image) -> tuple[Image, Mask]:
    """Remove nothing: what every remover has to beat."""
    return image, np.zeros(image.shape[:2], dtype=np.bool_)


def _draw(name: str, clean: Image, kind: Kind, seed: int) -> HairyImage:
    # By the id alone, so that an image gets the same hair in any selection
    return simulate_hair(clean, kind, seed=(seed, zlib.crc32(name.encode()), KINDS.index(kind)))


def _drawn_rows(
    data: Path, ids: Sequence[str], removers: dict[str, Remover], seed: int
) -> Iterator[dict[str, Any]]:
    """Score removers on drawn hair and on the same images without hair."""
    for name in tqdm(ids, desc="hair removers"):
        clean, lesion = load(data, name)
        for remover, remove in removers.items():
            mask = remove(clean)[1]
            fractions = {"masked": mask.mean(), "masked_lesion": mask[lesion].mean()}
            yield {"remover": remover, "image": name, "kind": "none", **fractions}
        for kind in KINDS:
            drawn = _draw(name, clean, kind, seed)
            for remover, remove in removers.items():
                scores = score(drawn, *remove(drawn.image))
                yield {"remover": remover, "image": name, "kind": kind, **scores}


def score(drawn: HairyImage, result: Image, found: Mask) -> dict[str, float]:
    """Compare a mask with the hair that was drawn, and a result with the image below."""
    true = drawn.mask()
    both, one, other = int((found & true).sum()), int(found.sum()), int(true.sum())
    left = (drawn.image == drawn.clean).all(axis=-1)
    return {
        "dice": dice(found, true),
        "dice_wide": dice(found, drawn.mask(least=_WIDE)),
        "recall": both / other if other else 1.0,
        "precision": both / one if one else float(other == 0),
        "psnr": psnr(_errors(result, drawn.clean, true)),
        "error": float(_errors(result, drawn.clean, left).sum()),
        "count": 3 * int(left.sum()),
    }


def dice(found: Mask, true: Mask) -> float:
    """Compute Dice of two masks; 1 where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else 1.0


def _errors(result: Image, truth: Image, where: Mask) -> Any:
    return (result[where].astype(np.float64) - truth[where]) ** 2


def psnr(errors: Any) -> float:
    """Turn squared errors of values in 0..255 into a PSNR in dB; inf where there are none."""
    mean = _mean(errors)
    return float(10 * np.log10(255**2 / mean)) if mean else float("inf")


def _mean(values: Any) -> float:
    return float(np.mean(values)) if np.size(values) else float("nan")


def _lesion_rows(
    data: Path, ids: Sequence[str], removers: dict[str, Remover]
) -> Iterator[dict[str, Any]]:
    """Measure which fraction of the lesion changes on images that have no hair."""
    for name in tqdm(ids, desc="lesions"):
        image, lesion = load(data, name)
        for remover, remove in removers.items():
            changed = (remove(image)[0] != image).any(axis=-1)[lesion].mean()
            yield {"remover": remover, "image": name, "kind": "flagged", "changed_lesion": changed}


def _fill_rows(
    data: Path, ids: Sequence[str], remove: Remover, seed: int
) -> Iterator[dict[str, Any]]:
    """Score every fill with the true mask, the true one and 2 px more, and that of a remover."""
    for name in tqdm(ids, desc="fills"):
        clean, _ = load(data, name)
        for kind in KINDS:
            drawn = _draw(name, clean, kind, seed)
            true = drawn.mask()
            # Blurred edges of hair lie outside the true mask, and spoil a fill
            more: Mask = cv2.dilate(true.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            masks = {"true": true, "true and 2 px more": more}
            masks[f"`{DEFAULT_METHOD}`"] = remove(drawn.image)[1]
            for source, mask in masks.items():
                for fill in list_fills():
                    result = fill_mask(drawn.image, mask, fill=fill)
                    scores = {"psnr": psnr(_errors(result, clean, true))}
                    scores["ssim"] = _mean(ssim_map(result, clean)[true])
                    yield {"fill": fill, "mask": source, "image": name, "kind": kind, **scores}


def ssim_map(result: Image, truth: Image) -> Any:
    """Compute the structural similarity (H, W) as published, mean of the three channels."""
    options = {"gaussian_weights": True, "use_sample_covariance": False, "full": True}
    return structural_similarity(truth, result, channel_axis=2, **options)[1].mean(axis=-1)


def remover_table(scores: pd.DataFrame, names: list[str]) -> str:
    """Write one table: a row for each measure, a column for each remover."""
    drawn = scores[scores["kind"].isin(KINDS)]
    means = drawn.groupby(["remover", "kind"])[["dice", "dice_wide", "recall", "precision", "psnr"]]
    by_kind = means.mean().unstack().loc[names]
    mean = by_kind.T.groupby(level=0).mean().T
    by_image = drawn.groupby(["remover", "image"])["dice"].mean()
    pooled = drawn.groupby("remover")[["error", "count"]].sum()
    off_hair = {name: psnr(row["error"] / row["count"]) for name, row in pooled.iterrows()}
    rows = [
        *([f"Dice, {kind}", *_cells(by_kind["dice", kind], ".3f")] for kind in KINDS),
        ["**Dice, mean of the three**", *_cells(mean["dice"], ".3f", "**")],
        ["95 % interval over images", *(_interval(by_image[name].to_numpy()) for name in names)],
        [f"Dice, mean, hair from coverage {_WIDE} on", *_cells(mean["dice_wide"], ".3f")],
        ["recall, mean", *_cells(mean["recall"], ".3f")],
        ["precision, mean", *_cells(mean["precision"], ".3f")],
        *([f"PSNR in hair, dB, {kind}", *_cells(by_kind["psnr", kind], ".1f")] for kind in KINDS),
        ["**PSNR in hair, mean, dB**", *_cells(mean["psnr"], ".1f", "**")],
        ["PSNR off hair, dB", *(f"{off_hair[name]:.1f}" for name in names)],
    ]
    for title, column in _FRACTIONS.items():
        values = [100 * scores.loc[scores["remover"] == name, column].dropna() for name in names]
        cells = (f"{one.mean():.2f} / {one.quantile(0.95):.2f} / {one.max():.2f}" for one in values)
        rows.append([f"{title}, % (mean / 95th / worst)", *cells])
    return markdown(["", *names], rows).replace("| inf ", "| equal ")


def _cells(values: Any, form: str, mark: str = "") -> list[str]:
    return [f"{mark}{value:{form}}{mark}" for value in values]


def _interval(values: Any) -> str:
    interval = bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(len(values)))
    return f"{interval.low:.3f}..{interval.high:.3f}"


def _time_table(timing: Timing, threads: int) -> str:
    label = f"{threads} thread" + ("s" if threads > 1 else "")
    titles = {"ms": "ms per megapixel"} | {name: f"time over {name}" for name in DECODERS}
    rows = [
        [f"{title}, {label}", *(f"{values[key]:.2f}" for values in timing.values())]
        for key, title in titles.items()
    ]
    return markdown(["", *timing], rows)


def fill_table(scores: pd.DataFrame) -> str:
    """Write one table: a row for each fill and source of masks, a column for each measure."""
    by_kind = (
        scores.groupby(["mask", "fill", "kind"], sort=False)[["psnr", "ssim"]].mean().unstack()
    )
    masks, fills = zip(*by_kind.index, strict=True)
    columns = {"fill": [f"`{fill}`" for fill in fills], "mask": list(masks)}
    for measure, form, mean_form in (("psnr", ".1f", ".2f"), ("ssim", ".3f", ".3f")):
        values: Any = by_kind[measure]
        for kind in KINDS:
            columns[f"{measure.upper()} {kind}"] = _cells(values[kind], form)
        columns[f"**{measure.upper()} mean**"] = _cells(values.mean(axis=1), mean_form, "**")
    return markdown(list(columns), zip(*columns.values(), strict=True))


if __name__ == "__main__":
    main()
