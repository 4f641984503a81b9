"""Melanoma or not, as ISIC 2020 asks: from its table to its submission file, in two minutes.

Run it without data on a drawn set in the layout of ISIC 2020, or with the real one::

    python examples/binary_task.py
    python examples/binary_task.py --data DIR --output runs/isic2020 --image-size 224 --epochs 20

It labels the rows in the label space ``binary``, splits them by patient, trains on balanced
batches, scores it with intervals by patient, and writes the submission ``image_name,target``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib import ISICDataset, Trainer, build_model, grouped_split, preset
from dermolib.datasets.synthetic import draw_sample
from dermolib.evaluation import score
from dermolib.io import whole_file, write_image
from dermolib.reporting import write_submission

DIAGNOSES = {"melanoma": 0, "nevus": 1, "seborrheic keratosis": 4}  # and what they are drawn as
FREQUENCIES = (0.15, 0.7, 0.15)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all steps and return the area under the ROC curve."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    output: Path = options.output
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"Expected `--output` to be a new or empty folder, but {output} is not.")
    root = options.data or draw_challenge(output / "drawn", options.patients, options.seed)

    evaluation = preset("evaluation", image_size=options.image_size)
    training = preset("paper", image_size=options.image_size, seed=options.seed)
    data = ISICDataset.from_isic2020(root, label_space="binary").with_transform(evaluation)
    test = ISICDataset.from_isic2020(root, "test", label_space="binary").with_transform(evaluation)
    rows = grouped_split(data, fractions=(0.75, 0.25), seed=options.seed)
    train, validation = data.subset(rows[0]), data.subset(rows[1], split="validation")
    for name, part in (("train", train), ("validation", validation)):
        benign, malignant = part.class_counts()
        patients = len(set(part.groups))
        print(f"{name}: {benign} benign and {malignant} malignant images of {patients} patients")

    extra = {"image_size": options.image_size} if options.model == "custom_cnn" else {}
    model = build_model(options.model, num_classes=len(data.label_space), **extra)
    trainer = Trainer(
        model,
        epochs=options.epochs,
        batch_size=32,
        device=options.device,
        sampler="balanced",
        seed=options.seed,
        output=output / "run",
    )
    trainer.fit(train.with_transform(training), validation)

    scores = score(trainer.predict(validation), validation)
    print(f"\n{scores}\n")
    with whole_file(output / "scores.json") as path:
        path.write_text(scores.to_json() + "\n")
    ids, probabilities = list(test.ids), trainer.predict(test).numpy()
    write_submission(output / "submission.csv", ids, probabilities, form="isic2020")
    print(f"{len(ids)} predictions in {output / 'submission.csv'}")
    area = scores["roc_auc", "malignant"]
    return {"auc": area.score, "interval": [area.low, area.high], "patients": scores.groups}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of ISIC 2020 (default: a drawn one)")
    add("--patients", type=int, default=120, help="drawn to train with (default: 120)")
    add("--output", type=Path, default=Path("runs/binary_task"), help="new folder for all results")
    add("--model", default="custom_cnn", help="a dermolib name, or timm/NAME (default: custom_cnn)")
    add("--image-size", type=int, default=64, help="pixels (default: 64)")
    add("--epochs", type=int, default=6, help="default: 6")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    add("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    return parser.parse_args(arguments)


def draw_challenge(root: Path, number: int, seed: int) -> Path:
    """Draw images of patients in the layout of ISIC 2020; scores on them say nothing about skin."""
    generator = np.random.default_rng(seed)
    for split, patients in {"train": number, "test": number // 4}.items():
        rows: list[dict[str, Any]] = []
        for patient in range(patients):
            age = int(generator.integers(4, 18)) * 5
            sex = str(generator.choice(["female", "male"]))
            for _ in range(generator.integers(2, 6)):
                diagnosis = str(generator.choice([*DIAGNOSES], p=FREQUENCIES))
                name = f"ISIC_{split[:2]}_{len(rows):05d}"
                drawn = draw_sample(DIAGNOSES[diagnosis], image_size=80, generator=generator)
                write_image(root / split / f"{name}.jpg", drawn.image)
                row: dict[str, Any] = {
                    "image_name": name,
                    "patient_id": f"IP_{split[:2]}_{patient:04d}",
                }
                row |= {"sex": sex, "age_approx": age, "anatom_site_general_challenge": "torso"}
                if split == "train":
                    malignant = diagnosis == "melanoma"
                    row |= {"diagnosis": diagnosis, "target": int(malignant)}
                    row["benign_malignant"] = "malignant" if malignant else "benign"
                rows.append(row)
        with whole_file(root / f"{split}.csv") as path:
            pd.DataFrame(rows).to_csv(path, index=False)
    return root


if __name__ == "__main__":
    try:
        main()
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))
