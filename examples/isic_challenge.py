"""The whole road of a skin-lesion challenge, from images to a submission.

Run it without data on a synthetic challenge, or with the real one::

    python examples/isic_challenge.py
    python examples/isic_challenge.py --data DIR --output runs/real

It explores the tables, removes hair, splits by lesion, augments the training side offline, checks
that the model can learn one batch by heart, trains once without and once with augmentation, scores
both on the validation side, and writes the submission of the better one. Everything it makes lies
under the output folder.
"""

import argparse
import json
import platform
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
    weighted_accuracy,
)
from dermolib.datasets import read_challenge_table
from dermolib.evaluation import bootstrap_interval
from dermolib.images import read_image, whole_file, write_image
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
CODES = [diagnosis.code for diagnosis in DIAGNOSES]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all steps and return what `metrics.json` holds."""
    options = parse(arguments)
    output: Path = options.output
    if output.exists() and any(output.iterdir()):
        sys.exit(f"Expected `--output` to be new or empty, but {output} holds files. Name another.")
    started = time.perf_counter()
    say("data")
    root = options.data or make_synthetic_challenge(
        output / "synthetic", images_per_class=SYNTHETIC_COUNTS, image_size=128, seed=options.seed
    )
    say("explore")
    train_full, test_full = (limited(load(root, side), options) for side in ("train", "test"))
    explore(root, output)
    say("clean")
    train_all = clean(train_full, output, options)
    test = clean(test_full, output, options)
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
    save_figure(plot_history(histories), output / "figures" / "loss_curves.png")
    chosen = max(scores, key=lambda name: scores[name]["weighted_accuracy"])
    say("submit")
    probabilities = trainers[chosen].predict(test.with_transform(evaluation))
    write_submission(output / "submission.csv", list(test.ids), probabilities.argmax(dim=1).numpy())
    trainers[chosen].save(output / "model.pt")
    report = {
        "command": " ".join(["isic_challenge.py", *(arguments or sys.argv[1:])]),
        "data": "real" if options.data else "synthetic",
        "images": {
            "train": len(train),
            "train with augmentation": len(augmented),
            "validation": len(validation),
            "test": len(test),
        },
        "split": f"80/20 by lesion, stratified by diagnosis, seed {options.seed}",
        "model": {"name": options.model, "parameters": parameters(trainers[chosen].model)},
        "overfit": overfit,
        "validation": scores,
        "note": "The epoch was chosen on the validation side, so its scores are optimistic.",
        "submission": {"arm": chosen, "file": "submission.csv"},
        "seconds": round(time.perf_counter() - started),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_json(output / "metrics.json", report)
    summarise(report, output)
    return report


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the options; those left out depend on whether the data are real."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the challenge (default: synthetic)")
    parser.add_argument("--output", type=Path, default=Path("runs/isic_challenge"))
    parser.add_argument("--model", default="alexnet", help="a dermolib name, or timm/NAME")
    parser.add_argument("--weights", help='"DEFAULT" for published ones, or a file')
    parser.add_argument("--epochs", type=int, help="default: 30, synthetic 8")
    parser.add_argument("--image-size", type=int, help="pixels (default: 224, synthetic 96)")
    parser.add_argument("--limit", type=int, help="use this many images of each side at most")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--workers", type=int, help="processes (default: cores up to 8, synthetic 1)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.epochs = options.epochs or (30 if options.data else 8)
    # A process costs seconds to start, which a few small images do not repay
    options.workers = options.workers or (min(8, joblib.cpu_count()) if options.data else 1)
    options.image_size = options.image_size or (224 if options.data else 96)
    return options


def say(step: str) -> None:
    """Head the output of a step."""
    print(f"\n== {step}", flush=True)


def load(root: Path, side: str) -> ISICDataset:
    """Open one side of the challenge; rows whose image is not there are left out with a warning."""
    dataset = ISICDataset.from_challenge(root, side, missing="drop")
    print(f"{side}: {len(dataset)} images, {len(set(dataset.groups))} lesions")
    return dataset


def limited(dataset: ISICDataset, options: argparse.Namespace) -> ISICDataset:
    """Draw as many rows as `--limit` allows, in their order."""
    if options.limit is None or options.limit >= len(dataset):
        return dataset
    generator = np.random.default_rng(options.seed)
    return dataset.subset(np.sort(generator.permutation(len(dataset))[: options.limit]))


def explore(root: Path, output: Path) -> None:
    """Draw the tables of the challenge as they are, images or not."""
    tables = {side: read_challenge_table(root, side) for side in ("train", "test")}
    counts = np.bincount(tables["train"]["label"], minlength=len(DIAGNOSES))
    table = exploration_table(counts)
    with whole_file(output / "class_counts.csv") as path:
        table.to_csv(path, index=False)
    print(table.to_string(index=False))
    save_figure(
        plot_exploration(tables["train"], tables["test"]), output / "figures" / "exploration.png"
    )


def clean(dataset: ISICDataset, output: Path, options: argparse.Namespace) -> ISICDataset:
    """Write every image without hair and point the dataset to these files."""
    folder = output / "clean" / dataset.split
    jobs = (
        joblib.delayed(clean_one)(path, folder / f"{Path(path).stem}.png")
        for path in dataset.table["image_path"]
    )
    parallel = joblib.Parallel(n_jobs=options.workers, return_as="generator")
    shares = np.array(
        list(tqdm(parallel(jobs), total=len(dataset), disable=not sys.stderr.isatty()))
    )
    touched = (shares > 0).mean()
    print(f"{dataset.split}: {shares.mean():.2%} of the pixels masked, {touched:.0%} of images")
    with whole_file(output / "clean" / f"{dataset.split}.csv") as path:
        pd.DataFrame({"ID": dataset.ids, "SHARE": shares.round(6)}).to_csv(path, index=False)
    if dataset.split == "train":
        most = np.argsort(shares)[::-1][:4]
        images = [read_image(dataset.table["image_path"][row]) for row in most]
        pairs = [occlusion_removal(image, method="luv", return_mask=True) for image in images]
        figure = plot_occlusion(
            images, [mask for _, mask in pairs], [result for result, _ in pairs]
        )
        save_figure(figure, output / "figures" / "hair_removal.png")
    return dataset.with_images(folder)


def clean_one(source: str, target: Path) -> float:
    """Remove hair from one file; the share of its pixels that was masked."""
    image, mask = occlusion_removal(read_image(source), method="luv", return_mask=True)
    write_image(target, image)
    return float(mask.mean())


def split(
    dataset: ISICDataset, output: Path, options: argparse.Namespace
) -> tuple[ISICDataset, ISICDataset]:
    """Split 80 to 20 so that no lesion stands on both sides, and write down who went where."""
    rows = grouped_split(dataset, fractions=(0.8, 0.2), seed=options.seed)
    sides = dict(zip(("train", "validation"), rows, strict=True))
    table = pd.concat(
        pd.DataFrame({"ID": dataset.ids[rows], "LESION": dataset.groups[rows], "SPLIT": side})
        for side, rows in sides.items()
    )
    with whole_file(output / "split.csv") as path:
        table.to_csv(path, index=False)
    train, validation = (dataset.subset(rows, split=side) for side, rows in sides.items())
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
    made = both.table[both.table["source"] != ""]
    shown = made.iloc[np.linspace(0, len(made) - 1, min(12, len(made))).astype(int)]
    images = [read_image(path) for path in shown["image_path"]]
    figure = plot_samples(images, titles=[CODES[label] for label in shown["label"]])
    save_figure(figure, output / "figures" / "augmented.png")
    return both


def check_overfit(train: ISICDataset, output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ask whether the model can learn one batch by heart (the paper's Figure 6)."""
    rows = np.random.default_rng(options.seed).permutation(len(train))[:OVERFIT_IMAGES]
    images = train.subset(rows).with_transform(preset("evaluation", image_size=options.image_size))
    batch = default_collate([images[row] for row in range(len(images))])
    epochs = 200 if options.data else 40
    history = make_trainer(options).overfit_batch(batch, epochs=epochs)
    save_figure(plot_overfit(history.rows), output / "figures" / "overfit.png")
    return {"images": len(images), **history.rows[-1]}


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
    """Train one arm and score its best epoch on the validation side."""
    started = time.perf_counter()
    trainer = make_trainer(options, output / "training" / name.replace(" ", "_"))
    history = trainer.fit(train, validation)
    seconds = time.perf_counter() - started
    probabilities = trainer.predict(validation)
    labels = torch.from_numpy(validation.labels)
    predicted = probabilities.argmax(dim=1)

    def score(rows: np.ndarray[Any, Any]) -> float:
        return float(weighted_accuracy(predicted[rows], labels[rows], num_classes=len(DIAGNOSES)))

    interval = bootstrap_interval(score, validation.groups, seed=options.seed)
    matrix = np.zeros((len(DIAGNOSES), len(DIAGNOSES)), dtype=np.int64)
    np.add.at(matrix, (validation.labels, predicted.numpy()), 1)
    file = f"confusion_{name.replace(' ', '_')}.png"
    save_figure(plot_confusion(matrix, names=CODES), output / "figures" / file)
    print(
        f"{name}: weighted accuracy {interval.score:.3f} ({interval.low:.3f}..{interval.high:.3f})"
    )
    return (
        trainer,
        history.rows,
        {
            "weighted_accuracy": interval.score,
            "interval": asdict(interval),
            "accuracy": float((predicted == labels).double().mean()),
            "recalls": dict(zip(CODES, recalls(matrix), strict=True)),
            "seconds": round(seconds),
        },
    )


def recalls(matrix: np.ndarray[Any, Any]) -> list[float | None]:
    """Compute the recall of each class; None where it has no image."""
    return [
        float(row[index] / row.sum()) if row.sum() else None for index, row in enumerate(matrix)
    ]


def parameters(model: torch.nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a report whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def summarise(report: dict[str, Any], output: Path) -> None:
    """Tell what came out."""
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
    main()
