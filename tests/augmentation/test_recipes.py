"""Recipes: the tables of the documentation are what is drawn, and every transform is sound."""

import inspect
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pytest

from dermolib import preset
from dermolib.augmentation import RandomShadesOfGray, recipes
from dermolib.augmentation.recipes import RECIPES, keeps_every_pixel
from dermolib.augmentation.warps import Transpose
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

Rows = list[tuple[str, str]]


def leaves(transforms: list[Any]) -> list[Any]:
    """Flatten transforms that are nested in choices."""
    nested = [leaves(getattr(step, "transforms", [])) or [step] for step in transforms]
    return [step for inner in nested for step in inner]


def names(transforms: list[Any]) -> list[str]:
    return [type(step).__name__ for step in leaves(transforms)]


def rows_of(name: str) -> Rows:
    """Name each transform of a preset with the probability that its table must show."""
    rows = []
    for step in RECIPES[name](224, False):
        inner = getattr(step, "transforms", [])
        rows.append(("one" if inner else type(step).__name__, f"{step.p:g}"))
        rows += [(type(child).__name__, "") for child in inner]
    return rows


def rows_of_docstring(name: str) -> Rows:
    text = inspect.cleandoc(recipes.__doc__ or "").split(f'Preset ``"{name}"``')[1]
    table = text.split("\nPreset ")[0].split(f"{'=' * 30} {'=' * 4} {'=' * 62}\n")[2]
    lines = [line for line in table.splitlines() if line[:30].strip()]
    return [(line.split()[0], line[31:35].strip()) for line in lines]


def rows_of_page(name: str) -> Rows:
    section = _PAGE.read_text(encoding="utf-8").split(f"## `{name}`")[1].split("\n## ")[0]
    cells = [line.strip("| ").split("|") for line in section.splitlines() if line[:1] == "|"]
    return [(re.findall(r"\w+", row[0])[0], row[1].strip()) for row in cells[2:]]


@pytest.mark.parametrize("name", RANDOM)
def test_the_tables_show_every_transform_and_its_probability_in_order(name: str) -> None:
    expected = rows_of(name)

    assert rows_of_docstring(name) == expected
    assert rows_of_page(name) == expected


def test_the_page_shows_the_ranges_of_the_docstring() -> None:
    text = " ".join((recipes.__doc__ or "").split())
    page = _PAGE.read_text(encoding="utf-8")
    ranges = re.findall(r"^\| [^|]+ \| [\d. ]*\| ([^|]+) \|$", page, flags=re.MULTILINE)

    assert len(ranges) > 30
    assert [found for found in ranges if found != "range" and found not in text] == []


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
    strong = {type(step).__name__: step for step in leaves(RECIPES["strong"](224, False))}
    paper = {type(step).__name__: step for step in leaves(RECIPES["paper"](224, False))}

    limits = {
        "OpticalDistortion": "distort_limit",
        "GridDistortion": "distort_limit",
        "Affine": "rotate",
        "RandomBrightnessContrast": "brightness_limit contrast_limit",
        "CLAHE": "clip_limit",
        "HueSaturationValue": "hue_shift_limit sat_shift_limit val_shift_limit",
        "MotionBlur": "blur_limit",
        "GaussianBlur": "sigma_limit",
        "GaussNoise": "std_range",
        "CoarseDropout": "hole_height_range hole_width_range",
    }
    for step, names_of_step in limits.items():
        for name in names_of_step.split():
            low, high = getattr(paper[step], name)
            lower, higher = getattr(strong[step], name)
            assert higher - lower >= high - low, (step, name)
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
