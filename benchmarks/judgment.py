"""A worked judgment: the challenge's models compared, calibrated, and looked at by subgroup.

    python benchmarks/judgment.py --data DIR --predictions NAME=FILE NAME=FILE ...
    python benchmarks/judgment.py --page-only

FILES are out-of-fold predictions of `dermolib.evaluation.cross_validate`, such as
those in the folders `members` and `alexnet-folds` of `benchmarks/submissions.py`. Results are
`results/judgment.json` and two figures; the page `docs/judgment_example.md` is made of them and of
`results/ablation.csv`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib import occlusion_mask
from dermolib.evaluation import average_predictions
from dermolib.io import whole_file
from dermolib.labels import DIAGNOSES
from dermolib.preprocessing.border import border_mask
from dermolib.reporting import save_figure
from hair_parts.images import default_data
from judgment_parts.analysis import Judged, judge
from judgment_parts.figures import draw
from judgment_parts.page import render
from submission_parts.data import Challenge, open_challenge

_RESULTS = Path(__file__).parent / "results"
_PAGE = Path(__file__).parents[1] / "docs" / "judgment_example.md"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute the results, unless only the page is wanted, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=default_data(), help="folder of the real data")
    add("--described", default="", help="what the models are, in sentences for the page")
    add("--predictions", nargs="+", metavar="NAME=FILE", help="out-of-fold predictions")
    add("--results", type=Path, default=_RESULTS, help="folder for results and figures")
    add("--page", type=Path, default=_PAGE, help="file of the page")
    add("--page-only", action="store_true", help="write the page of the results that there are")
    given = parser.parse_args(arguments)
    file = given.results / "judgment.json"
    if not given.page_only:
        if len(given.predictions or ()) < 2:
            parser.error("--predictions takes two files or more")
        challenge = open_challenge((given.data or default_data()) / "isic_challenge")
        judged = _judged(challenge, given.predictions)
        results = {"described": given.described, "all_images": len(challenge.train)}
        results |= judge(judged)
        _write(file, json.dumps(results, indent=1) + "\n")
        for name, figure in draw(judged).items():
            save_figure(figure, given.results / f"judgment_{name}.png")
    ablation = pd.read_csv(given.results / "ablation.csv")
    _write(given.page, render(json.loads(file.read_text(encoding="utf-8")), ablation))


def _judged(challenge: Challenge, named: Sequence[str]) -> Judged:
    """Collect what the models say of the images that all of them have left out."""
    tables = {}
    for text in named:
        name, _, file = text.partition("=")
        tables[name] = pd.read_csv(file, dtype={"id": str})
    codes, first = [diagnosis.code for diagnosis in DIAGNOSES], next(iter(tables.values()))
    ids = [one for one in first["id"] if all(one in set(table["id"]) for table in tables.values())]
    models: dict[str, Any] = {
        name: table.set_index("id").loc[ids, codes].to_numpy() for name, table in tables.items()
    }
    models["mean"] = average_predictions([*models.values()])
    places = {one: place for place, one in enumerate(challenge.train.ids)}
    part = challenge.train.subset([places[one] for one in ids])
    images = (part[row]["image"] for row in range(len(part)))
    fractions = [(occlusion_mask(image).mean(), border_mask(image).mean()) for image in images]
    table = part.table.reset_index(drop=True)
    table[["hair", "border"]] = np.array(fractions)
    counts = np.asarray(challenge.train.class_counts()) - part.class_counts()
    return Judged(models, part.labels, np.asarray(part.groups), table, "mean", counts)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
