"""Two images of each lesion, from tables to an official file: MILK10k, the challenge of 2025.

Run it without data on a drawn set, or with the real one::

    python examples/pairs_milk10k.py
    python examples/pairs_milk10k.py --data MILK10K --weights DEFAULT --image-size 224 --epochs 20

It opens the dermoscopic and the clinical image of each lesion as one sample, splits by lesion,
trains one network that sees both, scores it on the validation split, and writes the probabilities
of the test lesions as the challenge wants them. All output is in one folder.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from dermolib import (
    DIAGNOSES,
    ISICDataset,
    Trainer,
    build_model,
    grouped_split,
    make_loader,
    preset,
)
from dermolib.datasets import PairDataset
from dermolib.datasets.synthetic import draw_lesion
from dermolib.evaluation import score
from dermolib.io import whole_file, write_image
from dermolib.labels import LABEL_SPACES
from dermolib.models import FeatureExtractor
from dermolib.reporting import write_submission

SPACE = LABEL_SPACES["milk10k"]
# What each class is drawn as; the three others have no drawing
DRAWN = {"AKIEC": "AK", "SCCKA": "SCC", **{c: c for c in ("BCC", "BKL", "DF", "MEL", "NV", "VASC")}}
KINDS = ("dermoscopic", "clinical")


class TwoImages(nn.Module):
    """One backbone for both images of a lesion, whose features a linear layer joins.

    Args:
        model: Classifier whose layers before the last are the backbone.
        num_classes: Number of logits.
    """

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        """Take the backbone and make the head."""
        super().__init__()
        self.backbone = FeatureExtractor(model)
        self.head = nn.Linear(2 * self.backbone.size, num_classes)

    def forward(self, both: Tensor) -> Tensor:
        """Compute logits (N, K) of two images each (N, 6, H, W)."""
        features = [self.backbone(image) for image in both.chunk(2, dim=1)]
        logits: Tensor = self.head(torch.cat(features, dim=1))
        return logits


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all steps and return the scores."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    output: Path = options.output
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"Expected `--output` to be a new or empty folder, but {output} is not.")
    started = time.perf_counter()
    root = options.data or draw_milk10k(output / "drawn", options.lesions, options.seed)
    lesions, test = open_pairs(root, "train"), open_pairs(root, "test")
    split = grouped_split(lesions, fractions=(0.75, 0.25), seed=options.seed)
    print(split)
    split.save(output / "split.csv")
    train, validation = (lesions.subset(rows) for rows in split)

    trainer = make_trainer(options, output / "training")
    looks = {name: preset(name, image_size=options.image_size) for name in ("light", "evaluation")}
    trainer.fit(
        batches(train.with_transform(looks["light"]), options, shuffle=True),
        batches(validation.with_transform(looks["evaluation"]), options),
    )
    plain = looks["evaluation"]
    unseen = trainer.predict(batches(validation.with_transform(plain), options))
    scores = score(unseen, validation, label_space=SPACE, seed=options.seed)
    print(f"\n{scores}\n")
    with whole_file(output / "scores.json") as path:
        path.write_text(scores.to_json() + "\n")
    probabilities = trainer.predict(batches(test.with_transform(plain), options))
    submission = output / "submission.csv"
    write_submission(submission, list(test.ids), probabilities.numpy(), form="milk10k")
    seconds = time.perf_counter() - started
    print(f"{len(test)} test lesions in {submission}, {seconds:.0f} s in all")
    macro_f1 = scores["macro_f1"].score
    return {"macro_f1": macro_f1, "train": len(train), "test": len(test)}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--data", type=Path, help="folder of MILK10k (default: a drawn set)")
    add("--output", type=Path, default=Path("runs/pairs_milk10k"), help="new folder")
    add("--model", default="resnet18", help="a dermolib name, or timm/NAME (default: resnet18)")
    add("--weights", help='"DEFAULT" for published ones, or a file (default: none)')
    add("--epochs", type=int, default=6, help="default: 6")
    add("--image-size", type=int, default=64, help="pixels (default: 64)")
    add("--lesions", type=int, default=160, help="lesions to draw for training (default: 160)")
    add("--batch-size", type=int, default=16, help="lesions in a batch (default: 16)")
    add("--workers", type=int, default=0, help="processes that read images (default: 0)")
    add("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    add("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    return parser.parse_args(arguments)


def open_pairs(root: Path, split: str) -> PairDataset:
    """Open both images of each lesion of a split."""
    return PairDataset(*(ISICDataset.from_milk10k(root, split, kind=kind) for kind in KINDS))


def batches(pairs: PairDataset, options: argparse.Namespace, *, shuffle: bool = False) -> Any:
    """Load batches in which the two images of a lesion are the six channels of one."""
    return make_loader(
        pairs,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        shuffle=shuffle,
        collate_fn=stack,
    )


def stack(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put samples into a batch with images (N, 6, H, W)."""
    batch: dict[str, Any] = default_collate(list(samples))
    batch["image"] = torch.cat([batch["image"], batch.pop("clinical")], dim=1)
    return batch


def make_trainer(options: argparse.Namespace, output: Path) -> Trainer:
    """Build the network from the seed and a trainer for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        model = TwoImages(build_model(options.model, weights=options.weights), len(SPACE))
    return Trainer(
        model,
        num_classes=len(SPACE),
        class_names=SPACE.codes,
        class_weights="balanced",
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=1e-3,
        output=output,
        device=options.device,
        seed=options.seed,
    )


def draw_milk10k(root: Path, lesions: int, seed: int) -> Path:
    """Draw lesions in the layout of MILK10k: two images each, tables for training and for test.

    The clinical image shows the same lesion from another angle and with less detail. A score on
    drawings says nothing about skin.
    """
    generator = np.random.default_rng(seed)
    for part, count in (("Training", lesions), ("Test", max(1, lesions // 4))):
        codes = [list(DRAWN)[number % len(DRAWN)] for number in range(count)]
        names = [f"IL_{part[0]}{number:06d}" for number in generator.permutation(count)]
        rows: list[tuple[Any, ...]] = []
        for lesion, code in zip(names, codes, strict=True):
            own = int(generator.integers(2**32))
            age, sex = 5 * int(generator.integers(1, 18)), str(generator.choice(["male", "female"]))
            for kind, size in (("clinical: close-up", 32), ("dermoscopic", 64)):
                name = f"ISIC_{len(rows):04d}{part[0]}"
                image = draw(code, own, view=size, size=size)
                write_image(root / f"MILK10k_{part}_Input" / lesion / f"{name}.jpg", image)
                rows.append((lesion, kind, name, age, sex, "trunk"))
        columns = ["lesion_id", "image_type", "isic_id", "age_approx", "sex", "site"]
        table = pd.DataFrame(rows, columns=columns)
        table.to_csv(root / f"MILK10k_{part}_Metadata.csv", index=False)
        if part == "Training":
            truth = pd.DataFrame([[float(code == one) for one in SPACE.codes] for code in codes])
            truth.columns = pd.Index(SPACE.codes)
            truth.insert(0, "lesion_id", names)
            truth.to_csv(root / "MILK10k_Training_GroundTruth.csv", index=False)
    return root


def draw(code: str, lesion: int, *, view: int, size: int) -> np.ndarray[Any, Any]:
    """Draw a lesion of a class as one of its images."""
    label = [diagnosis.code for diagnosis in DIAGNOSES].index(DRAWN[code])
    own, angle = np.random.default_rng(lesion), np.random.default_rng((lesion, view))
    image, _ = draw_lesion(label, image_size=size, generator=own, view=angle)
    return image.repeat(64 // size, axis=0).repeat(64 // size, axis=1)


if __name__ == "__main__":
    try:
        main()
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))
