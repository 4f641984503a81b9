r"""Train the hair network of `dermolib.preprocessing` on simulated hair, and on hair found by it.

Two rounds, from the root of the repository:

    python scripts/train_hair_unet.py --data DIR --output runs/first --seed 0
    python scripts/train_hair_unet.py --data DIR --output runs/second --seed 1 \
        --teacher runs/first.safetensors

DIR holds the ISIC 2018 Task 1 images (CC0) with hand-made flags of their artefacts. The first round
draws hair over the photographs whose flag says that there is none. In the second, the network of
the first round looks at the hairy photographs too, turned and at two sizes; where it is sure,
hair or none, the new network is taught by it, and elsewhere by nothing. Of the images without any
artefact every second one is left out in both rounds: the benchmark reports on those.

The same seed gives the same scenes with any number of workers, and an interrupted run goes on where
it stopped. A further round takes the network of the one before as its teacher. The weights in the
package come from three rounds with ``--bfloat16``: 5,000 steps, 5,500 steps with ``--seed 1 --lr
3e-3`` (the first 1,250 of them on a schedule of 7,000), 4,000 steps with ``--seed 2 --lr 2e-3``;
between them the scenes gained frames, shorter stubble and harder shadows, and later the rulers,
ink, patches and bubbles of `dermolib.with_artifact`, so that today's script gives other weights.
Exporting to ONNX at the end needs the package ``onnx``.
"""

import argparse
import copy
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dermolib.io import read_image, whole_file
from dermolib.preprocessing.hair.unet_torch import HairUNet, load_network
from hair_scenes import Photograph, draw_scene

_SURE_HAIR = 0.8
_SURE_NONE = 0.12
_HAIRY_SHARE = 0.35
_WARM_UP = 100
_SAVE_EVERY = 250


class Scenes(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """Scenes in a fixed order: the number of each is its seed."""

    def __init__(
        self,
        clean: list[Photograph],
        hairy: list[Photograph],
        numbers: range,
        *,
        size: int,
        seed: int,
    ) -> None:
        """Hold the photographs and the numbers of the scenes."""
        self.clean, self.hairy = clean, hairy
        self.numbers, self.size, self.seed = numbers, size, seed

    def __len__(self) -> int:
        """Count the scenes."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw one scene: image (3, S, S), hair and taught (1, S, S)."""
        generator = np.random.default_rng([self.seed, self.numbers[index]])
        from_hairy = bool(self.hairy) and generator.random() < _HAIRY_SHARE
        photographs = self.hairy if from_hairy else self.clean
        photograph = photographs[int(generator.integers(len(photographs)))]
        scene = draw_scene(photograph, self.size, generator)
        image = torch.from_numpy(np.moveaxis(scene.image, 2, 0).copy())
        return image, torch.from_numpy(scene.hair[None]), torch.from_numpy(scene.taught[None])


def photograph_ids(folder: Path) -> tuple[list[str], list[str]]:
    """List the images without hair, less those reported on, and the hairy ones without tools."""
    flags = pd.read_csv(folder / "artefacts.csv").sort_values("ID", ignore_index=True)
    spotless = flags[flags.drop(columns="ID").sum(axis=1) == 0]["ID"].tolist()
    reported = set(spotless[1::2])
    clean = [name for name in flags[flags["hair"] == 0]["ID"] if name not in reported]
    # A teacher may take the marks of a ruler for hair, and would teach that
    tools = flags[["ruler", "ink", "patches"]].sum(axis=1) > 0
    return clean, flags[(flags["hair"] == 1) & ~tools]["ID"].tolist()


def scaled(images: torch.Tensor) -> torch.Tensor:
    """Bring bytes (N, 3, H, W) to what the network takes."""
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def look(teacher: HairUNet, image: npt.NDArray[np.uint8], *, bfloat16: bool) -> Photograph:
    """Let a trained network say where in a photograph it is sure."""
    whole = torch.from_numpy(np.moveaxis(image, 2, 0).copy())[None]
    larger = functional.interpolate(whole.float(), scale_factor=1.25, mode="bilinear").byte()
    chance = torch.zeros(whole.shape[2:])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        for view, turns in ((whole, 0), (whole, 1), (whole.flip(3), 2), (larger, 3)):
            found = teacher(scaled(view.rot90(turns, (2, 3)))).float().sigmoid()
            found = found.rot90(-turns, (2, 3))
            found = found.flip(3) if turns == 2 else found
            chance += functional.interpolate(found, whole.shape[2:], mode="bilinear")[0, 0] / 4
    values = chance.numpy()
    return Photograph(image, values > 0.5, (values > _SURE_HAIR) | (values < _SURE_NONE))


def loss_of(logits: torch.Tensor, hair: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Sum cross-entropy and one minus the Dice of the batch, over what is taught."""
    logits, target, weight = logits.float(), hair.float(), taught.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight)
    chance, target = logits.sigmoid() * weight, target * weight
    dice = (2 * (chance * target).sum() + 1) / (chance.sum() + target.sum() + 1)
    return 2 * entropy + 1 - dice


def read_photographs(arguments: argparse.Namespace) -> tuple[list[Photograph], list[Photograph]]:
    """Read what scenes are drawn over."""
    clean, hairy = (
        [read_image(arguments.data / "images" / f"{name}.jpg") for name in names]
        for names in photograph_ids(arguments.data)
    )
    if arguments.teacher is None:
        return [Photograph(image) for image in clean], []
    teacher = load_network(arguments.teacher).to(memory_format=torch.channels_last)
    looked = [look(teacher, image, bfloat16=arguments.bfloat16) for image in tqdm(hairy)]
    return [Photograph(image) for image in clean], looked


def train(arguments: argparse.Namespace) -> None:
    """Train to the last step, with a checkpoint beside the result on the way."""
    torch.manual_seed(arguments.seed)
    model = HairUNet() if arguments.teacher is None else load_network(arguments.teacher).train()
    model.to(memory_format=torch.channels_last)
    follow = get_ema_multi_avg_fn(0.998)  # type: ignore[no-untyped-call] # torch has no annotation
    average = AveragedModel(model, multi_avg_fn=follow, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=1e-3)

    def rate(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1, step / arguments.steps)))
        return min(1, (step + 1) / _WARM_UP) * (0.01 + 0.99 * cosine)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    done = resume(arguments.output.with_suffix(".ckpt"), parts)
    clean, hairy = read_photographs(arguments)
    numbers = range(done * arguments.batch, arguments.steps * arguments.batch)
    scenes = Scenes(clean, hairy, numbers, size=arguments.size, seed=arguments.seed)
    loader = DataLoader(
        scenes,
        batch_size=arguments.batch,
        num_workers=arguments.workers,
        worker_init_fn=_one_thread,
    )
    bar = tqdm(loader, initial=done, total=arguments.steps, mininterval=20)
    recent = math.nan
    for step, (images, hair, taught) in enumerate(bar, done + 1):
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bfloat16):
            logits = model(scaled(images))
        loss = loss_of(logits, hair, taught)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch has no annotation
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(model)
        recent = loss.item() if math.isnan(recent) else 0.98 * recent + 0.02 * loss.item()
        bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
        if step % _SAVE_EVERY == 0 or step in (arguments.steps, arguments.stop):
            save(arguments.output, step, parts)
        if step == arguments.stop:
            break


def resume(checkpoint: Path, parts: dict[str, Any]) -> int:
    """Load a checkpoint where there is one, and give the number of steps done."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["steps"])


def save(output: Path, step: int, parts: dict[str, Any]) -> None:
    """Write the checkpoint and the averaged weights, each whole."""
    with whole_file(output.with_suffix(".ckpt")) as path:
        torch.save({"steps": step, **{name: p.state_dict() for name, p in parts.items()}}, path)
    weights = {
        name: value.contiguous()
        for name, value in parts["average"].module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    with whole_file(output.with_suffix(".safetensors")) as path:
        save_file(weights, path)


class _Quarters(torch.nn.Module):
    """The network between its rearrangements, which cost OpenCV more than NumPy.

    It takes squares of two by two pixels as twelve channels, upper row first and red, green and
    blue of one pixel after another, as bytes less 127.5.
    """

    def __init__(self, network: HairUNet) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        whole = network.state_dict()["stem.0.weight"] / 127.5
        filters, _, side, _ = whole.shape
        squares = torch.nn.Conv2d(12, filters, side // 2, padding=side // 4, bias=False)
        parts = whole.reshape(filters, 3, side // 2, 2, side // 2, 2).permute(0, 3, 5, 1, 2, 4)
        squares.weight = torch.nn.Parameter(parts.reshape(squares.weight.shape).contiguous())
        self.network.stem[0] = squares

    def forward(self, squares: torch.Tensor) -> torch.Tensor:
        return self.network.quarters(squares)


def export(weights: Path, path: Path) -> None:
    """Write trained weights as ONNX.

    The size in the file is that of an example: OpenCV takes any other too, while versions before 5
    do not read a file that leaves the size open.
    """
    network = load_network(weights)
    with whole_file(path) as temporary:
        torch.onnx.export(
            _Quarters(network).eval(),
            (torch.zeros(1, 12, 128, 128),),
            str(temporary),
            input_names=["squares"],
            output_names=["quarters"],
            dynamo=False,
        )


def _one_thread(worker: int) -> None:
    del worker
    cv2.setNumThreads(1)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder isic2018_task1")
    parser.add_argument("--output", type=Path, required=True, help="result, without its ending")
    parser.add_argument("--teacher", type=Path, help="network of the first round")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--stop", type=int, help="stop here; the same command goes on later")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=256, help="side of a scene in pixels")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="for processors that have it")
    arguments = parser.parse_args()
    train(arguments)
    export(arguments.output.with_suffix(".safetensors"), arguments.output.with_suffix(".onnx"))


if __name__ == "__main__":
    main()
