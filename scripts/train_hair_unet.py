"""Train the hair network of `dermolib.preprocessing` on simulated hair.

    python scripts/train_hair_unet.py --data ../shared/data/isic2018_task1 --output hair_unet

Hair-free photographs come from the ISIC 2018 Task 1 images (CC0): those whose hand-made flag says
that no hair is seen. Of the images without any artefact, every second one is left out: the
benchmark reports on those. What is drawn over them is in ``hair_scenes.py``. The same seed gives
the same scenes with any number of workers; an interrupted run goes on where it stopped.
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dermolib.images import read_image, whole_file
from dermolib.preprocessing.unet_torch import HairUNet
from hair_scenes import draw_scene


class Scenes(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Scenes without end: each index is a seed of its own."""

    def __init__(self, photographs: list[np.ndarray], *, first: int, last: int, size: int, seed: int) -> None:
        """Hold the photographs and the numbers of the scenes."""
        self.photographs = photographs
        self.first, self.last, self.size, self.seed = first, last, size, seed

    def __len__(self) -> int:
        """Count the scenes."""
        return self.last - self.first

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw one scene: image (3, S, S), hair and taught (1, S, S)."""
        generator = np.random.default_rng([self.seed, self.first + index])
        photograph = self.photographs[int(generator.integers(len(self.photographs)))]
        scene = draw_scene(photograph, self.size, generator)
        image = torch.from_numpy(np.moveaxis(scene.image, 2, 0).copy())
        return image, torch.from_numpy(scene.hair[None]), torch.from_numpy(scene.taught[None])


def hair_free_ids(folder: Path) -> list[str]:
    """List the images without hair, less those on which the benchmark reports."""
    flags = pd.read_csv(folder / "artefacts.csv").sort_values("ID", ignore_index=True)
    clean = flags[flags.drop(columns="ID").sum(axis=1) == 0]["ID"].tolist()
    reported = set(clean[1::2])
    return [name for name in flags[flags["hair"] == 0]["ID"] if name not in reported]


def loss_of(logits: torch.Tensor, hair: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Sum cross-entropy and one minus the Dice of the batch, over what is taught."""
    logits, target, weight = logits.float(), hair.float(), taught.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight)
    chance = logits.sigmoid() * weight
    target = target * weight
    dice = (2 * (chance * target).sum() + 1) / (chance.sum() + target.sum() + 1)
    return entropy * 2 + 1 - dice


def train(arguments: argparse.Namespace) -> None:
    """Train to the last step, with a checkpoint beside the result on the way."""
    torch.manual_seed(arguments.seed)
    model = HairUNet().to(memory_format=torch.channels_last)
    average = AveragedModel(
        model, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=1e-3)
    warm = 100

    def rate(step: int) -> float:
        return min(1, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, step / arguments.steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    checkpoint = arguments.output.with_suffix(".ckpt")
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        done = state["steps"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    folder = arguments.data
    photographs = [read_image(folder / "images" / f"{name}.jpg") for name in hair_free_ids(folder)]
    scenes = Scenes(
        photographs,
        first=done * arguments.batch,
        last=arguments.steps * arguments.batch,
        size=arguments.size,
        seed=arguments.seed,
    )
    loader = DataLoader(
        scenes, batch_size=arguments.batch, num_workers=arguments.workers,
        worker_init_fn=_one_thread, persistent_workers=arguments.workers > 0,
    )
    bar = tqdm(loader, initial=done, total=arguments.steps, mininterval=20)
    recent = 0.0
    for step, (images, hair, taught) in enumerate(bar, done + 1):
        values = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            logits = model(values)
        loss = loss_of(logits, hair, taught)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        recent = 0.98 * recent + 0.02 * loss.item() if recent else loss.item()
        bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
        if step % 250 == 0 or step == arguments.steps:
            state = {name: part.state_dict() for name, part in parts.items()}
            with whole_file(checkpoint) as path:
                torch.save({"steps": step, **state}, path)
            weights = {
                name: value.contiguous() for name, value in average.module.state_dict().items()
                if not name.endswith("num_batches_tracked")
            }
            with whole_file(arguments.output.with_suffix(".safetensors")) as path:
                save_file(weights, path)


def _one_thread(worker: int) -> None:
    del worker
    cv2.setNumThreads(1)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path("hair_unet"))
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
