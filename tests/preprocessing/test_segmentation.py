"""Lesion masks: methods by name or as functions, and what each refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dermolib import segment_lesion
from dermolib._validation import Image, Mask
from dermolib.io import read_image, read_mask
from dermolib.preprocessing import analyze
from drawing import noise_image, skin_image

ROOT = Path(__file__).parents[2]

GRAY = np.full((6, 8, 3), 128, np.uint8)


def left_part(image: Image, *, columns: int = 3) -> Mask:
    """Take the columns on the left for the lesion."""
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[:, :columns] = True
    return mask


def test_a_function_finds_the_mask_with_its_options() -> None:
    assert segment_lesion(GRAY, method=left_part).sum() == 18
    assert segment_lesion(GRAY, method=left_part, columns=1).sum() == 6


def test_the_shape_that_albumentations_hands_over_is_left_out() -> None:
    mask = segment_lesion(GRAY, method=left_part, shape=GRAY.shape)

    assert mask.sum() == 18


def writes(image: Image) -> Mask:
    image[:] = 0
    return left_part(image)


def fails(image: Image) -> Mask:
    raise KeyError(image.shape)


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((4, 4)), {}, TypeError, "`image` to be an RGB image .* dtype float64"),
        (np.zeros((4, 4), np.uint8), {}, ValueError, r"`image` to be an RGB .* shape \(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), {}, ValueError, r"`image` to be an RGB .* shape \(0, 4"),
        (GRAY, {"method": "unett"}, ValueError, "`method` to be one of 'classical'"),
        (GRAY, {"method": "classical", "agree": 1}, TypeError, "`agree` .* mean 'agreement'"),
        (GRAY, {"method": left_part, "rows": 1}, TypeError, "options of 'left_part', columns"),
        (GRAY, {"method": lambda _: GRAY > 0}, ValueError, r"a mask \(6, 8\) of dtype bool"),
        (GRAY, {"method": lambda _: GRAY[..., 0]}, TypeError, r"a mask \(6, 8\) of dtype bool"),
        (GRAY, {"method": lambda: GRAY}, TypeError, "`method` to be a function of an image"),
        (GRAY, {"method": writes}, ValueError, "`writes` .* unchanged"),
        (GRAY, {"method": fails}, RuntimeError, "KeyError"),
    ],
)
def test_what_is_unfit_is_refused(
    image: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        segment_lesion(image, **options)


def no_lesion(kind: str) -> Image:
    """Draw what has no lesion."""
    if kind == "noise":
        return noise_image(300, 300, 0)
    if kind == "gradient":
        return np.tile(np.linspace(60, 200, 400).astype(np.uint8)[:, None], (300, 1, 3))
    if kind == "stripes":
        return np.tile(np.arange(400, dtype=np.uint8)[:, None] // 20 % 2 * 200, (300, 1, 3))
    return skin_image(400, 500) if kind == "skin" else np.full((200, 200, 3), 128, np.uint8)


@pytest.mark.parametrize("kind", ["noise", "gradient", "stripes", "skin", "gray"])
def test_where_there_is_no_lesion_none_is_outlined(kind: str) -> None:
    image = no_lesion(kind)

    assert not segment_lesion(image).any()
    assert analyze(image, hair=False).confidence == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3000, 2), (4000, 3000)])
def test_an_image_of_any_size_gets_a_mask_of_its_size(size: tuple[int, int]) -> None:
    assert segment_lesion(np.zeros((*size, 3), np.uint8)).shape == size


def unseen_images(count: int) -> list[str]:
    """Name images that the network saw neither in training nor in validation."""
    splits = pd.read_csv(ROOT / "scripts" / "picture_splits.csv", index_col="ID")["split"]
    names = splits.index[splits == "test"]
    return [str(name) for name in names[:: len(names) // count]]


def jaccard(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.data
def test_real_lesions_are_outlined_better_than_by_thresholds(data_dir: Path) -> None:
    folder, found = data_dir / "isic2018_task1", list[tuple[float, float, float]]()

    for name in unseen_images(30):
        image = read_image(folder / "images" / f"{name}.jpg")
        truth = read_mask(folder / "masks" / f"{name}_segmentation.png")
        seen, classical = analyze(image, hair=False), segment_lesion(image, method="classical")
        found.append((jaccard(seen.lesion, truth), jaccard(classical, truth), seen.confidence))

    network, thresholds, confidence = np.mean(found, axis=0)
    assert network > 0.8
    assert network > thresholds
    assert confidence == pytest.approx(network, abs=0.1)


@pytest.mark.data
def test_a_lesion_at_the_edge_and_one_that_fills_the_frame_are_found(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    image = read_image(folder / "images" / "ISIC_0000003.jpg")
    truth = read_mask(folder / "masks" / "ISIC_0000003_segmentation.png")
    rows, columns = (int(place.mean()) for place in np.nonzero(truth))

    half = segment_lesion(image[:, :columns])
    whole = segment_lesion(image[rows - 60 : rows + 60, columns - 60 : columns + 60])

    assert jaccard(half, truth[:, :columns]) > 0.8
    assert whole.mean() > 0.8
