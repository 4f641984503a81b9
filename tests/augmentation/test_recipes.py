"""Recipes: the tables of the documentation are what is drawn, and every transform is sound."""

import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pytest

from dermolib import preset
from dermolib.augmentation import RandomShadesOfGray
from dermolib.augmentation.recipes import RECIPES, keeps_every_pixel
from dermolib.augmentation.transforms import Transpose
from drawing import noise_image

_PAGE = Path(__file__).parents[2] / "docs" / "augmentation.md"
RANDOM = [name for name in RECIPES if name != "evaluation"]
PAPER = {
    *("Transpose", "HorizontalFlip", "VerticalFlip", "Rotate", "Affine", "CoarseDropout"),
    *("OpticalDistortion", "GridDistortion", "ElasticTransform", "CLAHE", "HueSaturationValue"),
    *("RandomBrightnessContrast", "MotionBlur", "MedianBlur", "GaussianBlur", "GaussNoise"),
}
STRONG = PAPER - {"Rotate"} | {"CropAndPad", "RandomShadesOfGray", "ImageCompression"}
LIGHT = {
    *("Transpose", "HorizontalFlip", "VerticalFlip", "Affine"),
    *("RandomBrightnessContrast", "MultiplicativeNoise"),
}

LIMITS = {  # attributes and their unit in the tables
    "OpticalDistortion": {"distort_limit": 1},
    "GridDistortion": {"distort_limit": 100, "num_steps": 1},
    "ElasticTransform": {"sigma": 1, "displacement": 1},
    "Affine": {"rotate": 1, "scale": 100, "translate_percent": 100, "shear": 1},
    "Rotate": {"limit": 1},
    "RandomShadesOfGray": {"strength": 1, "norm": 1},
    "RandomBrightnessContrast": {"brightness_limit": 100, "contrast_limit": 100},
    "CLAHE": {"clip_limit": 1, "tile_grid_size": 1},
    "HueSaturationValue": {"hue_shift_limit": 1, "sat_shift_limit": 1, "val_shift_limit": 1},
    "MotionBlur": {"blur_limit": 1},
    "MedianBlur": {"blur_limit": 1},
    "GaussianBlur": {"sigma_limit": 1},
    "GaussNoise": {"std_range": 100},
    "ImageCompression": {"quality_range": 1},
    "CoarseDropout": {"num_holes_range": 1, "hole_height_range": 100, "hole_width_range": 100},
    "MultiplicativeNoise": {"multiplier": 1},
}


def leaves(transforms: list[Any]) -> list[Any]:
    """Flatten transforms that are nested in choices."""
    nested = [leaves(getattr(step, "transforms", [])) or [step] for step in transforms]
    return [step for inner in nested for step in inner]


def names(transforms: list[Any]) -> list[str]:
    return [type(step).__name__ for step in leaves(transforms)]


def limits(step: Any) -> set[str]:
    """Give the numbers that the table must show of a transform."""
    found = set()
    for name, unit in LIMITS.get(type(step).__name__, {}).items():
        value = getattr(step, name)
        value = value["x"] if isinstance(value, dict) else value
        pair = value if isinstance(value, (tuple, list)) else (value,)
        found |= {f"{round(unit * number, 6):g}" for number in pair if any(pair)}
    return found


@pytest.mark.parametrize("name", RANDOM)
def test_the_table_of_the_page_shows_every_transform_its_probability_and_its_ranges(
    name: str,
) -> None:
    section = _PAGE.read_text(encoding="utf-8").split(f"## `{name}`")[1].split("\n## ")[0]
    lines = [line.split("|")[1:-1] for line in section.splitlines() if line[:1] == "|"][2:]
    expected = []
    for step in RECIPES[name](224, False):
        inner = getattr(step, "transforms", [])
        expected.append((step, "one" if inner else type(step).__name__, f"{step.p:g}"))
        expected += [(child, type(child).__name__, "") for child in inner]

    for (step, kind, probability), line in zip(expected, lines, strict=True):
        assert (re.findall(r"\w+", line[0])[0], line[1].strip()) == (kind, probability)
        assert limits(step) <= {*re.findall(r"-?\d+(?:\.\d+)?", " ".join(line[2:]))}, kind


def test_the_example_of_the_page_runs() -> None:
    block = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    image, mask = noise_image(30, 40, 0), np.eye(30, 40, dtype=bool)
    names: dict[str, Any] = {"image": image, "mask": mask}
    names["dataset"] = [{"image": image, "mask": mask, "label": 3, "id": "A", "metadata": {}}]

    exec(block, names)  # noqa: S102 - a page of ours

    assert set(names["sample"]) == {"image", "mask", "label", "id", "metadata"}


@pytest.mark.parametrize(
    ("name", "expected"), [("strong", STRONG), ("paper", PAPER), ("light", LIGHT)]
)
def test_a_preset_has_its_transforms_and_applies_each_at_times(
    name: str, expected: set[str]
) -> None:
    image = noise_image(40, 40, 0)
    transform = preset(name, image_size=32, seed=0, normalize=False)
    applied = Counter[str]()

    for _ in range(300):
        transform(image=image)
        applied.update(transform.applied)

    assert set(names(RECIPES[name](224, False))) == expected
    assert set(applied) == expected


def test_the_strong_preset_is_wider_than_that_of_the_paper() -> None:
    strong, paper = (
        {type(step).__name__: step for step in leaves(RECIPES[name](224, False))}
        for name in ("strong", "paper")
    )

    for step in {*LIMITS} & {*strong} & {*paper}:
        for name in {*LIMITS[step]} - {"scale", "translate_percent", "shear", "num_holes_range"}:
            ours, theirs = getattr(strong[step], name), getattr(paper[step], name)
            if isinstance(ours, tuple):
                assert ours[1] - ours[0] >= theirs[1] - theirs[0], (step, name)
    assert strong["Affine"].scale["x"] == (0.8, 1.2)
    assert strong["ElasticTransform"].displacement > paper["ElasticTransform"].displacement


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("side", [16, 224, 1500])
@pytest.mark.parametrize("keep_size", [True, False])
def test_no_argument_is_ignored_and_crops_come_first_and_holes_last(
    name: str, side: int, keep_size: bool
) -> None:
    steps = RECIPES[name](side, keep_size)

    places = {type(step).__name__: place for place, step in enumerate(steps)}

    assert [step.invalid_args for step in leaves(steps) if step.invalid_args] == []
    assert places.get("CropAndPad", 0) == 0
    assert places.get("CoarseDropout", len(steps) - 1) == len(steps) - 1


def test_symmetries_and_colors_keep_every_pixel_and_warps_and_holes_do_not() -> None:
    blurs = A.OneOf([A.MotionBlur(), A.GaussNoise()])
    mixed = A.OneOf([A.MotionBlur(), A.GridDistortion()])
    keeping = [Transpose(), A.HorizontalFlip(), A.VerticalFlip(), RandomShadesOfGray(), blurs]
    losing = [A.Rotate(), A.Affine(), A.CoarseDropout(), A.CropAndPad(percent=-0.1), mixed]

    assert [keeps_every_pixel(step) for step in keeping] == [True] * 5
    assert [keeps_every_pixel(step) for step in losing] == [False] * 5


def test_lengths_in_pixels_scale_with_the_image_from_56_to_1024_px() -> None:
    def sigma(image_size: int) -> float:
        steps = leaves(preset("paper", image_size=image_size).transforms)
        return float(next(step.sigma for step in steps if hasattr(step, "sigma")))

    assert (sigma(224), sigma(448)) == (8, 16)
    assert (sigma(16), sigma(56)) == (2, 2)
    assert sigma(1024) == sigma(2048)


def test_a_median_is_never_taken_over_more_than_5_px() -> None:
    for name, side in product(("strong", "paper"), (56, 224, 1024)):
        steps = {type(step).__name__: step for step in leaves(RECIPES[name](side, False))}
        assert steps["MedianBlur"].blur_limit == (3, 3 if side == 56 else 5)
