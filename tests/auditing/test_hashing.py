"""The perceptual hash: known coefficients, the eight orientations, and what it survives."""

import itertools
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from dermolib._validation import Image
from dermolib.auditing.hashing import HASH_BYTES, SCALE, orientations, perceptual_hash
from dermolib.datasets.synthetic import draw_lesion
from dermolib.io import read_image
from drawing import noise_image

Hash = npt.NDArray[np.uint8]

TOLERANCE = 0.1  # the default of `find_duplicates`


def lesion(seed: int, size: tuple[int, int] = (150, 200)) -> Image:
    return draw_lesion(seed % 8, image_size=size, generator=np.random.default_rng(seed))[0]


def orient(image: Image, orientation: int) -> Image:
    """Flip and rotate an image into one of its eight orientations."""
    flipped = image[:, ::-1] if orientation >= 4 else image
    return np.ascontiguousarray(np.rot90(flipped, orientation % 4))


def distance(one: Hash, other: Hash) -> float:
    """Compare with every orientation, the textbook way."""
    differences = np.stack(list(orientations(one))).view(np.int8).astype(int) - other.view(np.int8)
    return float(np.sqrt((differences**2).sum(axis=1)).min() / SCALE)


def behind(
    image: Image, radius: float, *, middle: tuple[float, float] = (0.5, 0.5), soft: float = 0
) -> Image:
    """Hide all but a round field of view; its radius is a fraction of the shorter side."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    away = np.hypot(rows - middle[0] * height, columns - middle[1] * width)
    shown = np.clip((radius * min(height, width) - away) / max(soft, 1e-9) + 0.5, 0, 1)[..., None]
    return np.asarray(np.rint(shown * image + (1 - shown) * 6), np.uint8)


def faint(image: Image) -> Image:
    """Halve the contrast, as that of a faint lesion on skin of even color."""
    middle = np.median(image, axis=(0, 1))
    return np.asarray(np.rint(middle + 0.5 * (image - middle)), np.uint8)


def degrade(image: Image, orientation: int) -> Image:
    """Halve, rotate or flip, and compress strongly."""
    size = image.shape[1] // 2, image.shape[0] // 2
    half = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    data = cv2.imencode(".jpg", orient(half, orientation), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def test_a_wave_is_one_coefficient_in_its_place() -> None:
    wave = np.cos(np.pi * 4 * (np.arange(32) + 0.5) / 32)
    image = np.rint(128 + 100 * wave)[None, :, None].repeat(32, 0).repeat(3, 2).astype(np.uint8)

    block = perceptual_hash(image).view(np.int8).reshape(8, 8)

    assert block[0, 4] >= 125
    assert np.abs(block).sum() - block[0, 4] <= 2


def test_the_coefficients_are_those_of_the_cosine_transform() -> None:
    image = lesion(0, (32, 32))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    expected = dctn(gray, norm="ortho")[:8, :8] / 32
    expected[0, 0] = 0

    block = perceptual_hash(image).view(np.int8).reshape(8, 8)

    scale = 127 / np.sqrt((expected**2).sum() + 8**2)
    assert np.abs(block - scale * expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("orientation", range(8))
def test_every_orientation_of_an_image_is_recognized(orientation: int) -> None:
    image = lesion(1, (32, 32))
    exact = distance(perceptual_hash(image), perceptual_hash(orient(image, orientation)))
    degraded = [
        distance(perceptual_hash(one), perceptual_hash(degrade(one, orientation)))
        for one in map(lesion, range(24))
    ]

    assert exact * SCALE <= 1  # one value may be rounded otherwise
    assert max(degraded) < TOLERANCE


@settings(max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.integers(0, 99),
    orientation=st.integers(0, 7),
)
def test_an_image_of_any_size_has_a_hash_that_rotates_with_it(
    height: int, width: int, seed: int, orientation: int
) -> None:
    image = noise_image(height, width, seed)
    before = image.copy()

    found = perceptual_hash(image)

    assert (found.shape, found[0]) == ((HASH_BYTES,), 0)
    assert found.dtype == np.uint8
    assert 128 not in found
    assert np.linalg.norm(found.view(np.int8).astype(float)) <= SCALE + 4.5  # sqrt(64) halves
    assert distance(found, perceptual_hash(orient(image, orientation))) <= 0.05
    np.testing.assert_array_equal(image, before)


def test_brightness_and_contrast_make_little_difference() -> None:
    image = lesion(4)

    for most, changed in ((0.03, 0.8 * image), (0.05, 60 + 0.7 * image)):
        assert distance(perceptual_hash(image), perceptual_hash(changed.astype(np.uint8))) < most


def test_different_lesions_are_far_from_each_other() -> None:
    hashes = [perceptual_hash(lesion(seed)) for seed in range(24)]

    assert min(distance(*pair) for pair in itertools.combinations(hashes, 2)) > 1.5 * TOLERANCE


FIELDS: dict[str, dict[str, Any]] = {
    "small": {"radius": 0.35},
    "whole": {"radius": 0.48},
    "cut": {"radius": 0.58},
    "off center": {"radius": 0.42, "middle": (0.45, 0.4)},
    "shaded rim": {"radius": 0.55, "soft": 30},
}


@pytest.mark.parametrize("size", [(150, 200), (224, 224)], ids=str)
@pytest.mark.parametrize("field", FIELDS)
def test_images_behind_one_field_of_view_are_told_from_each_other_and_found_again(
    field: str, size: tuple[int, int]
) -> None:
    images = [behind(faint(lesion(seed, size)), **FIELDS[field]) for seed in range(30)]
    hashes = [perceptual_hash(image) for image in images]
    copies = [perceptual_hash(degrade(image, seed % 8)) for seed, image in enumerate(images)]
    brighter = [perceptual_hash(np.minimum(image, 235) + np.uint8(20)) for image in images]

    assert min(distance(*pair) for pair in itertools.combinations(hashes, 2)) > TOLERANCE
    assert max(map(distance, hashes, copies)) < TOLERANCE
    assert sum(away < TOLERANCE for away in map(distance, hashes, brighter)) >= 29


@pytest.mark.parametrize("shade", [1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0])
def test_the_hash_changes_little_from_one_shade_of_the_corners_to_the_next(shade: float) -> None:
    """No brightness decides at once between border and skin."""
    image = lesion(3)
    corners = behind(np.full_like(image, 255), 0.7)[..., :1] < 128
    darker, slightly = (
        np.where(corners, image * factor, image).astype(np.uint8)
        for factor in (shade, max(0.0, shade - 0.03))
    )

    assert distance(perceptual_hash(darker), perceptual_hash(slightly)) < TOLERANCE


def test_skin_of_one_color_behind_a_field_of_view_has_no_features() -> None:
    skin = np.full((150, 200, 3), (200, 150, 130), np.uint8)

    assert not perceptual_hash(behind(skin, 0.45)).any()


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (200, 150, 130)])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (150, 200)])
def test_the_hash_of_an_image_of_one_color_is_zero(
    color: tuple[int, int, int], size: tuple[int, int]
) -> None:
    assert not perceptual_hash(np.full((*size, 3), color, np.uint8)).any()


@pytest.mark.parametrize(("step", "seen"), [(2, False), (20, True)])
def test_an_image_has_features_where_it_varies_by_two_levels(step: int, seen: bool) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[:, 32:] += np.uint8(step)

    assert bool(perceptual_hash(image).any()) is seen


def test_the_orientations_of_many_hashes_begin_with_them_and_form_a_group() -> None:
    hashes = np.stack([perceptual_hash(lesion(seed)) for seed in range(3)])
    together = np.stack(list(orientations(hashes)), axis=1)

    for found, eight in zip(hashes, together, strict=True):
        np.testing.assert_array_equal(eight, list(orientations(found)))
        np.testing.assert_array_equal(eight[0], found)
        group = {one.tobytes() for one in eight}
        assert len(group) == 8
        assert all({other.tobytes() for other in orientations(one)} == group for one in eight)


@pytest.mark.parametrize(
    ("image", "kind", "got"),
    [
        (np.zeros((4, 4, 3)), TypeError, "dtype float64."),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "shape (0, 4, 3)."),
    ],
)
def test_what_is_no_image_is_refused(image: Any, kind: type[Exception], got: str) -> None:
    sentence = f"Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got {got}"

    with pytest.raises(kind, match=re.escape(sentence)):
        perceptual_hash(image)


@pytest.mark.data
def test_degraded_copies_of_real_images_are_recognized(data_dir: Path) -> None:
    files: list[Path] = sorted((data_dir / "isic_challenge" / "Train").glob("*.jpg"))[::75]
    images = [read_image(file) for file in files]

    distances = [
        distance(perceptual_hash(image), perceptual_hash(degrade(image, number % 8)))
        for number, image in enumerate(images)
    ]

    assert np.mean(np.array(distances) <= TOLERANCE) >= 0.99
