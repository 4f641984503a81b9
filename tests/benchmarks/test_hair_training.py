from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dermolib.io import write_image
from dermolib.preprocessing.hair import unet
from drawing import noise_image
from hair_scenes import Photograph, draw_scene
from train_hair_unet import Scenes, loss_of, photograph_ids, train

FLAGS = ["dark_corner", "hair", "gel_border", "gel_bubble", "ruler", "ink", "patches"]


def make_folder(root: Path, rows: dict[str, str]) -> Path:
    """Write a small folder of images, each with the flags named after it."""
    table = pd.DataFrame({"ID": list(rows)})
    for flag in FLAGS:
        table[flag] = [int(flag in given.split()) for given in rows.values()]
    for seed, name in enumerate(rows):
        write_image(root / "images" / f"{name}.jpg", noise_image(64, 128, seed))
    table.to_csv(root / "artefacts.csv", index=False)
    return root


def settings(folder: Path, output: Path, **changes: object) -> Namespace:
    """Give the command line of a tiny run."""
    values = {"data": folder, "output": output, "teacher": None, "steps": 3, "batch": 2}
    more = {"stop": None, "size": 64, "lr": 1e-3, "seed": 0, "workers": 0, "bfloat16": False}
    return Namespace(**{**values, **more, **changes})


def weights_of(path: Path) -> list[np.ndarray]:
    """Read the weights of a run."""
    return [value.numpy() for value in load_file(path.with_suffix(".safetensors")).values()]


@pytest.mark.parametrize("seed", range(12))
def test_a_scene_is_made_of_its_seed_alone_and_teaches_where_hair_is(seed: int) -> None:
    photograph = Photograph(noise_image(120, 160, 0))

    scene = draw_scene(photograph, 96, np.random.default_rng(seed))
    again = draw_scene(photograph, 96, np.random.default_rng(seed))

    np.testing.assert_array_equal(scene.image, again.image)
    np.testing.assert_array_equal(scene.hair, again.hair)
    assert scene.image.shape == (96, 96, 3)
    assert scene.image.dtype == np.uint8
    # What is not taught is hair that nobody sees
    assert not (~scene.taught & ~scene.hair).any()


def test_what_a_network_saw_in_a_photograph_stays_in_place() -> None:
    image = np.full((128, 128, 3), 200, np.uint8)
    image[:, 60:68] = 20
    hair = np.zeros((128, 128), np.bool_)
    hair[:, 60:68] = True
    photograph = Photograph(image, hair, np.ones_like(hair))
    generator = np.random.default_rng(0)

    scenes = [draw_scene(photograph, 128, generator) for _ in range(40)]

    dark, light = [], []
    for scene in scenes:
        if scene.hair.any() and scene.taught.all():
            dark.append(scene.image[scene.hair].mean())
            light.append(scene.image[~scene.hair].mean())
    assert len(dark) > 10
    assert np.mean(dark) < np.mean(light) - 40


def test_scenes_are_numbered_across_an_interruption() -> None:
    photographs = [Photograph(noise_image(90, 90, seed)) for seed in range(3)]
    whole = Scenes(photographs, [], range(6), size=64, seed=1)
    rest = Scenes(photographs, [], range(4, 6), size=64, seed=1)

    image, hair, taught = rest[0]

    for value, other in zip((image, hair, taught), whole[4], strict=True):
        torch.testing.assert_close(value, other)


def test_every_second_spotless_image_is_kept_for_the_report(tmp_path: Path) -> None:
    rows = {"d": "", "a": "", "c": "", "b": "", "e": "hair", "f": "ruler", "g": "hair ruler"}
    folder = make_folder(tmp_path, rows)

    clean, hairy = photograph_ids(folder)

    assert clean == ["a", "c", "f"]
    assert hairy == ["e"]


def test_the_loss_of_a_right_answer_is_near_zero_and_what_is_not_taught_costs_nothing() -> None:
    hair = torch.tensor([[[[True, False, False, True]]]])
    taught = torch.tensor([[[[True, True, True, False]]]])
    right = torch.tensor([[[[20.0, -20, -20, -20]]]])

    loss, wrong = loss_of(right, hair, taught), loss_of(-right, hair, taught)

    assert loss.item() < 1e-6
    assert wrong.item() > 10


def test_a_run_that_is_interrupted_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", {"a": "", "b": "ruler", "c": "hair"})
    whole, halved = tmp_path / "whole", tmp_path / "halved"

    train(settings(folder, whole))
    train(settings(folder, halved, stop=2))
    train(settings(folder, halved))

    for value, other in zip(weights_of(whole), weights_of(halved), strict=True):
        np.testing.assert_array_equal(value, other)


def test_the_second_round_learns_from_the_first(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "data", {"a": "", "b": "hair", "c": "hair"})
    teacher = Path(unet.__file__).parent / "hair_unet.safetensors"
    output = tmp_path / "second"

    train(settings(folder, output, teacher=teacher, steps=1, lr=1e-6))

    taught, known = load_file(output.with_suffix(".safetensors")), load_file(teacher)
    assert taught.keys() == known.keys()
    for name in (name for name in known if "running" not in name):
        torch.testing.assert_close(taught[name], known[name], rtol=0, atol=1e-5)
