"""The ablation: what hair removal, augmentation, balancing, colour and metadata each change.

    python benchmarks/ablation.py --data DIR --output runs/ablation
    python benchmarks/ablation.py --output runs/ablation --table-only --table ablation

Every cell of a grid of levels is trained with several seeds on one side of a split by lesion and
scored on the other. A finished run is a file in the output folder; the same command goes on after
a kill, with more seeds or levels too, and refuses a folder of another configuration. The table is
made of these files alone, as Markdown and CSV, with intervals clustered by lesion. The default is
a small network at 64 px, 78 runs; ``--model timm/NAME --image-size 224 --device cuda`` and the like
make it a large one.
"""

import argparse
import hashlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import torch

from ablation_parts.grid import FACTORS, Cell, cells_of
from ablation_parts.images import Challenge
from ablation_parts.records import Records
from ablation_parts.running import Recipe, train
from ablation_parts.scoring import Scores
from ablation_parts.table import csv_text, draw_effects, markdown, write_text
from dermolib._jobs import exclusive_lock
from dermolib._validation import DatasetNotFoundError
from dermolib.models.devices import pick_precision
from dermolib.reporting import save_figure
from hair_parts.images import default_data

_BASE = ("default", "light", "sampler", "off", "off")
_PLACES = ("--data", "--output", "--table", "--figure")
_PACKAGES = ("dermolib", "torch", "timm", "albumentations", "opencv-python-headless", "numpy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then make the table."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    given = parser.parse_args(arguments)
    records = Records(given.output)
    try:
        if not given.table_only:
            with exclusive_lock(given.output), _threads(given.threads):
                run_all(given, records)
        write_table(given, records, _command(arguments))
    except DatasetNotFoundError as error:
        parser.error(f"{error} Name the folder with --data or DERMOLIB_DATA.")
    except ValueError as error:
        parser.error(str(error))


def run_all(given: argparse.Namespace, records: Records) -> None:
    """Do all runs that are not done yet, seed by seed, so that a part of them is a grid too."""
    levels = {factor: getattr(given, factor) for factor in FACTORS}
    cells = cells_of(levels, Cell(*given.base), given.extras)
    challenge = Challenge(
        given.data,
        given.output,
        image_size=given.image_size,
        held_out=given.held_out,
        split_seed=given.split_seed,
        workers=max(1, given.workers),
    )
    recipe = _recipe(given)
    records.claim(_configuration(given, challenge, recipe), challenge)
    todo = [
        (cell, seed)
        for seed in range(given.seeds)
        for cell in sorted(cells, key=lambda cell: (cell.hair, cell.constancy))
        if not records.has(cell, seed)
    ]
    total = len(cells) * given.seeds
    for number, (cell, seed) in enumerate(todo, total - len(todo) + 1):
        run = train(challenge, recipe, cell, seed, workers=given.workers)
        records.add(run)
        print(f"{number}/{total} {cell.name} seed {seed}: {run.facts['seconds']:.0f} s", flush=True)


def write_table(given: argparse.Namespace, records: Records, command: str) -> None:
    """Make the table of what is done, print it, and write it where it is wanted."""
    configuration, runs = records.configuration(), records.runs()
    if not runs:
        print("No run is done yet.")
        return
    _, lesions, labels = records.validation()
    scores = Scores(labels, lesions, runs)
    cells, effects = scores.cells(), scores.effects()
    text = markdown(configuration, runs, cells, effects, command=command)
    print(text)
    target = given.table or given.output / "ablation"
    write_text(target.with_suffix(".md"), text)
    write_text(target.with_suffix(".csv"), csv_text(cells, effects))
    if given.figure is not None:
        save_figure(draw_effects(effects), given.figure)


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
    return Recipe(
        model=given.model,
        weights=given.weights,
        image_size=given.image_size,
        steps=given.steps,
        batch_size=given.batch_size,
        learning_rate=given.learning_rate,
        weight_decay=given.weight_decay,
        gradient_clip=given.gradient_clip,
        device=device,
        precision=pick_precision(device, given.precision),
    )


def _configuration(
    given: argparse.Namespace, challenge: Challenge, recipe: Recipe
) -> dict[str, Any]:
    """Note what all runs have in common; seeds and levels may be added later."""
    plain = asdict(recipe)
    if recipe.weights is not None:
        file = Path(recipe.weights)
        # By its content: the same file may lie elsewhere the next time
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""
        plain["weights"] = f"{file.name} {digest}".strip()
    return {
        "sides": challenge.facts(),
        "held_out": given.held_out,
        "split_seed": given.split_seed,
        "recipe": plain,
        "versions": {name: version(name) for name in _PACKAGES},
    }


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch and OpenCV compute on so many threads for the length of the block."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    if count is not None:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


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
    add("--held-out", type=float, default=0.2, help="share of the other side (default: 0.2)")
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
    add("--threads", type=_positive, help="threads of torch and OpenCV (default: as they choose)")
    add("--workers", type=int, default=0, help="processes that read images (default: 0)")
    add("--table-only", action="store_true", help="make the table of what is done, no runs")
    add("--table", type=Path, help="path of the table, without ending (default: in the output)")
    add("--figure", type=Path, help="draw the differences into this file")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, but got {text}")
    return number


if __name__ == "__main__":
    main()
