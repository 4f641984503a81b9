"""The whole pipeline of a skin-lesion challenge, from images to a submission.

Run it without data on a synthetic challenge, or with the real one::

    python examples/isic_challenge.py
    python examples/isic_challenge.py --data DIR --output runs/real

It explores the tables, removes hair, splits by lesion, augments the training split offline, checks
that the model can overfit one batch, trains once without and once with augmentation, scores both on
the validation split, and writes the submission of the better one. All output is in one folder.
"""

import argparse
import json
import math
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from torch.utils.data import default_collate
from tqdm import tqdm

import dermolib
from dermolib import (
    DIAGNOSES,
    ISICDataset,
    Trainer,
    augment_offline,
    build_model,
    grouped_split,
    make_synthetic_challenge,
    occlusion_removal,
    preset,
)
from dermolib.datasets import read_challenge_table
from dermolib.evaluation import score
from dermolib.io import read_image, whole_file, write_image
from dermolib.reporting import (
    exploration_table,
    plot_confusion,
    plot_exploration,
    plot_history,
    plot_occlusion,
    plot_overfit,
    plot_samples,
    save_figure,
    write_submission,
)

FACTORS = {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3}  # the paper's Figure 5
SYNTHETIC_COUNTS = (40, 80, 40, 16, 40, 10, 10, 16)
OVERFIT_IMAGES = 64
RECORDED = ("epochs", "image_size", "batch_size", "learning_rate", "limit", "device", "seed")
CODES = [diagnosis.code for diagnosis in DIAGNOSES]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all steps and return what `metrics.json` holds."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    output: Path = options.output
    check(options)
    started = time.perf_counter()
    say("data")
    root = options.data or make_synthetic_challenge(
        output / "synthetic", images_per_class=SYNTHETIC_COUNTS, image_size=128, seed=options.seed
    )
    say("explore")
    explore(root, output)
    found = {name: load(root, name) for name in ("train", "test")}
    say("clean")
    train_all, test = (
        clean(limited(images, options), output, options) for images in found.values()
    )
    say("split by lesion")
    train, validation = split(train_all, output, options)
    say("augment offline")
    augmented = augment(train, validation, output, options)
    say("overfit one batch")
    overfit = check_overfit(train, output, options)
    say("train and evaluate")
    evaluation = preset("evaluation", image_size=options.image_size)
    arms = {
        "without augmentation": train.with_transform(evaluation),
        "with augmentation": augmented.with_transform(
            preset("paper", image_size=options.image_size, seed=options.seed)
        ),
    }
    validation = validation.with_transform(evaluation)
    trainers, scores, histories = {}, {}, {}
    for name, images in arms.items():
        trainers[name], histories[name], scores[name] = train_arm(
            name, images, validation, output, options
        )
    note = (
        "The loss of training is weighted by class and taken from what each run trains on; that of "
        f"validation is plain cross-entropy on the same {len(validation)} images for both."
    )
    save_figure(plot_history(histories, note=note), output / "figures" / "loss_curves.png")
    chosen = max(scores, key=lambda name: scores[name]["weighted_accuracy"])
    say("submit")
    probabilities = trainers[chosen].predict(test.with_transform(evaluation))
    write_submission(output / "submission.csv", list(test.ids), probabilities.argmax(dim=1).numpy())
    trainers[chosen].save(output / "model.pt")
    report = {
        "command": shlex.join(["python", "examples/isic_challenge.py", *arguments]),
        "options": {name: getattr(options, name) for name in RECORDED},
        "data": "real" if options.data else "synthetic",
        "images": {
            "train": len(train),
            "train with augmentation": len(augmented),
            "validation": len(validation),
            "test": len(test),
            "left out without a file": {
                name: len(images.dropped) for name, images in found.items()
            },
        },
        "split": f"80/20 by lesion, stratified by diagnosis, seed {options.seed}",
        "model": {"name": options.model, "parameters": parameters(trainers[chosen].model)},
        "overfit": overfit,
        "validation": scores,
        "note": (
            "Epoch and arm were chosen on the validation split, so its scores are optimistic. With "
            "augmentation means offline copies and the random preset in each epoch, and so more "
            "steps in the same number of epochs."
        ),
        "submission": {"arm": chosen, "file": "submission.csv"},
        "seconds": round(time.perf_counter() - started),
        "versions": {
            "dermolib": dermolib.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
    write_json(output / "metrics.json", report)
    summarize(report, output)
    return report


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the options; those left out depend on whether the data are real."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of the challenge (default: synthetic)")
    add(
        "--output",
        type=Path,
        default=Path("runs/isic_challenge"),
        help="new folder for all results",
    )
    add("--model", default="alexnet", help="a dermolib name, or timm/NAME (default: alexnet)")
    add("--weights", help='"DEFAULT" for published ones, or a file (default: none)')
    add("--epochs", type=positive, help="default: 30, synthetic 8")
    add("--image-size", type=positive, help="pixels (default: 224, synthetic 96)")
    add("--limit", type=positive, help="use at most this many images of each split")
    add("--learning-rate", type=float, default=0.01, help="highest of the cycle (default: 0.01)")
    add("--batch-size", type=positive, default=64, help="images in a batch (default: 64)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    add("--workers", type=positive, help="processes (default: cores up to 8, synthetic 1)")
    add("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    options = parser.parse_args(arguments)
    # A process costs seconds to start, which a few small images do not repay
    real = {"epochs": 30, "image_size": 224, "workers": min(8, joblib.cpu_count())}
    synthetic = {"epochs": 8, "image_size": 96, "workers": 1}
    for name, value in (real if options.data else synthetic).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, but got {text}")
    return number


def check(options: argparse.Namespace) -> None:
    """Try what can fail before anything is written: the folders, the options and the model."""
    output: Path = options.output
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"Expected `--output` to be a new or empty folder, but {output} is not.")
    if options.data:
        read_challenge_table(options.data)
    model = make_trainer(options).model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, options.image_size, options.image_size))


def say(step: str) -> None:
    """Head the output of a step."""
    print(f"\n== {step}", flush=True)


def load(root: Path, name: str) -> ISICDataset:
    """Open one split of the challenge; rows without an image file are dropped with a warning."""
    dataset = ISICDataset.from_challenge(root, name, missing="drop")
    lesions = len(set(dataset.groups))
    print(f"{name}: {len(dataset)} images with a file, of {lesions} lesions")
    return dataset


def limited(dataset: ISICDataset, options: argparse.Namespace) -> ISICDataset:
    """Draw as many rows as `--limit` allows, in their order."""
    if options.limit is None or options.limit >= len(dataset):
        return dataset
    generator = np.random.default_rng(options.seed)
    return dataset.subset(np.sort(generator.permutation(len(dataset))[: options.limit]))


def explore(root: Path, output: Path) -> None:
    """Draw the tables of the challenge as they are, images or not."""
    tables = {name: read_challenge_table(root, name) for name in ("train", "test")}
    counts = np.bincount(tables["train"]["label"], minlength=len(DIAGNOSES))
    table = exploration_table(counts)
    with whole_file(output / "class_counts.csv") as path:
        table.to_csv(path, index=False)
    print(table.to_string(index=False))
    save_figure(plot_exploration(tables), output / "figures" / "exploration.png")


def clean(dataset: ISICDataset, output: Path, options: argparse.Namespace) -> ISICDataset:
    """Write every image without hair and point the dataset to these files."""
    folder = output / "clean" / dataset.split
    jobs = (
        joblib.delayed(clean_one)(path, folder / f"{Path(path).stem}.png")
        for path in dataset.table["image_path"]
    )
    parallel = joblib.Parallel(n_jobs=options.workers, return_as="generator")
    fractions = np.array(
        list(tqdm(parallel(jobs), total=len(dataset), disable=not sys.stderr.isatty()))
    )
    touched = (fractions > 0).mean()
    print(f"{dataset.split}: {fractions.mean():.2%} of the pixels masked, {touched:.0%} of images")
    with whole_file(output / "clean" / f"{dataset.split}.csv") as path:
        pd.DataFrame({"ID": dataset.ids, "MASKED_FRACTION": fractions.round(6)}).to_csv(
            path, index=False
        )
    if dataset.split == "train":
        most = np.argsort(fractions)[::-1][:4]
        images = [read_image(dataset.table["image_path"][row]) for row in most]
        pairs = [occlusion_removal(image, method="luv", return_mask=True) for image in images]
        figure = plot_occlusion(
            images, [mask for _, mask in pairs], [result for result, _ in pairs]
        )
        save_figure(figure, output / "figures" / "hair_removal.png")
    return dataset.with_images(folder)


def clean_one(source: str, target: Path) -> float:
    """Remove hair from one file; return the fraction of its pixels that was masked."""
    image, mask = occlusion_removal(read_image(source), method="luv", return_mask=True)
    write_image(target, image)
    return float(mask.mean())


def split(
    dataset: ISICDataset, output: Path, options: argparse.Namespace
) -> tuple[ISICDataset, ISICDataset]:
    """Split 80 to 20 so that no lesion is in both splits, and write the split to a file."""
    rows = grouped_split(dataset, fractions=(0.8, 0.2), seed=options.seed)
    splits = dict(zip(("train", "validation"), rows, strict=True))
    table = pd.concat(
        pd.DataFrame({"ID": dataset.ids[rows], "LESION": dataset.groups[rows], "SPLIT": name})
        for name, rows in splits.items()
    )
    with whole_file(output / "split.csv") as path:
        table.to_csv(path, index=False)
    train, validation = (dataset.subset(rows, split=name) for name, rows in splits.items())
    print(f"train {train.class_counts().tolist()}, validation {validation.class_counts().tolist()}")
    return train, validation


def augment(
    train: ISICDataset, validation: ISICDataset, output: Path, options: argparse.Namespace
) -> ISICDataset:
    """Write augmented copies of the rare classes and join them to the training rows."""
    folder = output / "aug"
    augment_offline(
        train,
        folder,
        factors=FACTORS,
        preset="paper",
        seed=options.seed,
        workers=options.workers,
        held_out=validation,
        progress=sys.stderr.isatty(),
    )
    both = train.with_augmented(folder)
    print(f"{len(both) - len(train)} images made; now {both.class_counts().tolist()}")
    made = both.table[both.table["parent_id"] != ""]
    if not len(made):
        return both
    shown = made.iloc[np.linspace(0, len(made) - 1, min(12, len(made))).astype(int)]
    images = [read_image(path) for path in shown["image_path"]]
    figure = plot_samples(images, titles=[CODES[label] for label in shown["label"]])
    save_figure(figure, output / "figures" / "augmented.png")
    return both


def check_overfit(train: ISICDataset, output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Check that the model can overfit one batch (the paper's Figure 6)."""
    rows = np.random.default_rng(options.seed).permutation(len(train))[:OVERFIT_IMAGES]
    images = train.subset(rows).with_transform(preset("evaluation", image_size=options.image_size))
    batch = default_collate([images[row] for row in range(len(images))])
    epochs = 200 if options.data else 80
    history = make_trainer(options).overfit_batch(batch, epochs=epochs)
    save_figure(plot_overfit(history.rows), output / "figures" / "overfit.png")
    last = history.rows[-1]
    learned = last["accuracy"] > 0.95  # with drop-out active, a few answers may still differ
    if not learned:
        print(f"not overfitted in {len(history)} epochs: accuracy {last['accuracy']:.2f}")
    return {"images": len(images), "learned": learned, **last}


def make_trainer(options: argparse.Namespace, output: Path | None = None) -> Trainer:
    """Build a model from the seed and a trainer for it."""
    extra = {"image_size": options.image_size} if options.model == "custom_cnn" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = build_model(options.model, weights=options.weights, **extra)
    return Trainer(
        model,
        optimizer="sgd",
        learning_rate=options.learning_rate,
        weight_decay=5e-4,
        schedule="onecycle",
        gradient_clip=5.0,
        epochs=options.epochs,
        batch_size=options.batch_size,
        workers=options.workers,
        class_weights="balanced",
        output=output,
        device=options.device,
        seed=options.seed,
    )


def train_arm(
    name: str,
    train: ISICDataset,
    validation: ISICDataset,
    output: Path,
    options: argparse.Namespace,
) -> tuple[Trainer, list[dict[str, float]], dict[str, Any]]:
    """Train one arm and score its best epoch on the validation split."""
    started = time.perf_counter()
    trainer = make_trainer(options, output / "training" / name.replace(" ", "_"))
    history = trainer.fit(train, validation)
    seconds = time.perf_counter() - started
    probabilities = trainer.predict(validation)
    predicted = probabilities.argmax(dim=1).numpy()
    scores = score(probabilities, validation, seed=options.seed)
    with whole_file(output / f"scores_{name.replace(' ', '_')}.json") as path:
        path.write_text(scores.to_json() + "\n")
    interval = scores["balanced_accuracy"]
    matrix = np.zeros((len(DIAGNOSES), len(DIAGNOSES)), dtype=np.int64)
    np.add.at(matrix, (validation.labels, predicted), 1)
    file = f"confusion_{name.replace(' ', '_')}.png"
    save_figure(
        plot_confusion(matrix, names=CODES, title=f"{name}, n = {scores.n}"),
        output / "figures" / file,
    )
    print(f"\n{name}: {scores}\n")
    return (
        trainer,
        history.rows,
        {
            "weighted_accuracy": interval.score,
            "classes": f"{int((matrix.sum(axis=1) > 0).sum())} of {len(matrix)} have images here",
            "steps": len(history) * math.ceil(len(train) / options.batch_size),
            "best_epoch": best_epoch(history.rows),
            "interval": asdict(interval),
            "accuracy": scores["accuracy"].score,
            "seconds": round(seconds),
        },
    )


def best_epoch(rows: list[dict[str, float]]) -> int:
    """Name the epoch whose weights were kept: the first of the highest score."""
    return int(max(rows, key=lambda row: row["validation_weighted_accuracy"])["epoch"])


def parameters(model: torch.nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a report whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def summarize(report: dict[str, Any], output: Path) -> None:
    """Print the scores and where the output is."""
    print()
    for name, scores in report["validation"].items():
        interval = scores["interval"]
        print(
            f"{name:>22}: weighted accuracy {scores['weighted_accuracy']:.3f} "
            f"(95 % {interval['low']:.3f}..{interval['high']:.3f}, n = {interval['n']}, "
            f"{interval['groups']} lesions)"
        )
    print(f"{report['images']['test']} predictions in {output / 'submission.csv'}")
    print(f"figures and metrics.json in {output}, {report['seconds']} s in all")


if __name__ == "__main__":
    try:
        main()
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))
