"""The ablation: what hair removal, augmentation, balancing, color and metadata each change.

    python benchmarks/ablation.py --data DIR --output runs/ablation
    python benchmarks/ablation.py --output runs/ablation --table-only --table ablation

Every cell of a grid of levels is trained with several seeds on one part of a split by lesion and
scored on the other. A finished run is a file in the output folder; the same command goes on after
a kill, with more seeds or levels too, and refuses a folder of another configuration. The table is
made of these files alone, as Markdown and CSV, with intervals clustered by lesion. The default is
a small network at 64 px, 78 runs; ``--model timm/NAME --image-size 224 --device cuda`` and the like
make it a large one.
"""

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from ablation_parts.runs import FACTORS, Cell, Challenge, Recipe, cells_of, train
from ablation_parts.table import csv_text, draw_effects, markdown, scores
from dermolib._jobs import Job
from dermolib._validation import DatasetNotFoundError, expected
from dermolib.io import whole_file
from dermolib.models.devices import pick_precision
from dermolib.reporting import save_figure
from hair_parts.images import default_data

_BASE = ("default", "light", "sampler", "off", "off")
_PLACES = ("--data", "--output", "--table", "--figure")
_PACKAGES = ("dermolib", "torch", "timm", "albumentations", "opencv-python-headless", "numpy")
_JOURNAL = "run.jsonl"
_FACTS: dict[str, Any] = {
    **dict.fromkeys(("seconds", "preparation_seconds", "train_loss"), float),
    **dict.fromkeys(("threads", "parameters"), int),
    "drawn_classes": list,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then make the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        if not given.table_only:
            run_all(given)
        write_table(given, _command(arguments))
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    except ValueError as error:
        parser.error(str(error))


def run_all(given: argparse.Namespace) -> None:
    """Do all runs that are not done yet, seed by seed, so that a part of them is a grid too."""
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    cells = cells_of({one: getattr(given, one) for one in FACTORS}, Cell(*given.base), given.extras)
    split: dict[str, Any] = {"held_out": given.held_out, "split_seed": given.split_seed}
    workers, size = max(1, given.workers), given.image_size
    challenge = Challenge(given.data, given.output, image_size=size, workers=workers, **split)
    recipe = _recipe(given)
    plain = asdict(recipe)
    if recipe.weights is not None:
        file = Path(recipe.weights)
        # By its content: the same file may lie elsewhere the next time
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""
        plain["weights"] = f"{file.name} {digest}".strip()
    versions = {name: version(name) for name in _PACKAGES}
    settings = {"splits": challenge.facts(), **split, "recipe": plain, "versions": versions}
    held = challenge.validation
    truth: dict[str, Any] = {
        "ids": held.ids.astype(str),
        "lesions": held.groups.astype(str),
        "labels": held.labels,
    }
    runs = given.output / "runs"
    with _job(given.output, settings).open() as job:
        todo = [
            (cell, seed)
            for seed in range(given.seeds)
            for cell in sorted(cells, key=lambda cell: (cell.hair, cell.constancy))
            if not (
                job.is_current(_name(cell, seed)) and (runs / f"{_name(cell, seed)}.npz").exists()
            )
        ]
        total = len(cells) * given.seeds
        for number, (cell, seed) in enumerate(todo, total - len(todo) + 1):
            probabilities, facts = train(challenge, recipe, cell, seed, workers=given.workers)
            name = _name(cell, seed)
            with whole_file(runs / f"{name}.npz") as temporary:
                np.savez_compressed(temporary, probabilities=probabilities, **truth)
            job.add([{"run": name, "levels": list(cell), "seed": seed, **facts}])
            print(f"{number}/{total} {name}: {facts['seconds']:.0f} s", flush=True)


def write_table(given: argparse.Namespace, command: str) -> None:
    """Make the table of what is done, print it, and write it where it is wanted."""
    journal = given.output / _JOURNAL
    if not journal.exists():
        raise DatasetNotFoundError(journal, "the output folder of benchmarks/ablation.py")
    with journal.open(encoding="utf-8") as file:
        settings = json.loads(file.readline())["settings"]
    job = _job(given.output, settings)
    with job.open():
        facts = pd.DataFrame([*filter(None, job.records(sorted(job.keys())))])
    if not len(facts):
        print("No run is done yet.")
        return
    stored = [_read(given.output / "runs" / f"{name}.npz") for name in facts["run"]]
    labels, lesions = stored[0]["labels"], stored[0]["lesions"]
    preds = np.stack([one["probabilities"].argmax(axis=1) for one in stored])
    runs = pd.DataFrame(facts["levels"].tolist(), columns=list(FACTORS)).assign(seed=facts["seed"])
    table = scores(runs, preds, labels, lesions)
    text = markdown(settings, facts, table, command=command)
    print(text)
    target = given.table or given.output / "ablation"
    for ending, content in ((".md", text), (".csv", csv_text(table))):
        with whole_file(target.with_suffix(ending)) as temporary:
            temporary.write_text(content, encoding="utf-8")
    if given.figure is not None:
        save_figure(draw_effects(table), given.figure)


def _job(folder: Path, settings: dict[str, Any]) -> Job:
    fields = {"levels": list, "seed": int, **_FACTS}
    return Job(folder, kind="ablation", settings=settings, key="run", fields=fields)


def _name(cell: Cell, seed: int) -> str:
    return f"{'_'.join(cell)}_seed{seed}"


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # Opened here, since NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in ("lesions", "labels", "probabilities")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        hint = "Delete it, and the same command does this run again."
        raise ValueError(expected(str(path), "the file of a run", error, hint)) from error


def _command(arguments: Sequence[str]) -> str:
    """Word the command without the places of this machine, which are nobody else's."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in _PLACES:
            next(rest)
        elif argument != "--table-only":
            kept.append(argument)
    return shlex.join(["python", "benchmarks/ablation.py", "--data", "DIR", *kept])


def _recipe(given: argparse.Namespace) -> Recipe:
    device = given.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    options = {field.name: getattr(given, field.name) for field in fields(Recipe)}
    return Recipe(
        **{**options, "device": device, "precision": pick_precision(device, given.precision)}
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Measure what each ingredient of the training changes."
    )
    add = parser.add_argument
    add("--data", type=Path, default=default_data(), help="folder of the images")
    add("--output", type=Path, default=Path("runs/ablation"), help="folder of the runs")
    for factor, levels in FACTORS.items():
        wanted = levels if factor in ("hair", "augmentation", "balancing") else levels[:1]
        shown = " ".join(wanted)
        add(
            f"--{factor}",
            nargs="+",
            choices=levels,
            default=wanted,
            help=f"levels of the grid (default: {shown})",
        )
    add(
        "--extras",
        nargs="*",
        choices=FACTORS,
        default=["constancy", "metadata"],
        help="factors of which the base cell gets all levels (default: constancy metadata)",
    )
    add(
        "--base",
        nargs=len(FACTORS),
        metavar="LEVEL",
        default=_BASE,
        help=f"base cell of the extras, a level of each factor (default: {' '.join(_BASE)})",
    )
    add("--seeds", type=_positive, default=3, help="runs of each cell (default: 3)")
    add("--split-seed", type=int, default=0, help="seed of the split (default: 0)")
    add("--held-out", type=float, default=0.2, help="fraction of the other part (default: 0.2)")
    add("--model", default="timm/test_resnet", help="network (default: timm/test_resnet)")
    add("--weights", help="file of weights to begin with (default: random weights)")
    add("--image-size", type=_positive, default=64, help="px (default: 64)")
    add("--steps", type=_positive, default=150, help="steps of every run (default: 150)")
    add("--batch-size", type=_positive, default=64, help="images of a step (default: 64)")
    add("--learning-rate", type=float, default=5e-3, help="highest of the cycle (default: 0.005)")
    add("--weight-decay", type=float, default=0.02, help="of AdamW (default: 0.02)")
    add("--gradient-clip", type=float, default=1.0, help="norm (default: 1)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    add("--precision", default="auto", help="arithmetic (default: auto)")
    add("--threads", type=_positive, help="threads of torch (default: as they choose)")
    add("--workers", type=int, default=0, help="processes that read images (default: 0)")
    add("--table-only", action="store_true", help="make the table of what is done, no runs")
    add("--table", type=Path, help="path of the table, without ending (default: in the output)")
    add("--figure", type=Path, help="draw the differences into this file")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more, but got {text}")
    return number


if __name__ == "__main__":
    main()
