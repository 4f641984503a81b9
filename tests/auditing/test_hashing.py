import itertools
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from dermolib._validation import Image
from dermolib.auditing.hashing import HASH_BYTES, SCALE, orientations, perceptual_hash
from dermolib.datasets.synthetic.lesions import draw_lesion
from dermolib.io import read_image
from drawing import noise_image

Hash = npt.NDArray[np.uint8]

TOLERANCE = 0.1  # the default of `find_duplicates`
TURNS: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned left": np.rot90,
    "turned right": lambda image: np.rot90(image, 3),
    "turned over": lambda image: np.rot90(image, 2),
    "swapped": lambda image: image.swapaxes(0, 1),
    "swapped and turned over": lambda image: np.rot90(image, 2).swapaxes(0, 1),
}


def lesion(seed: int, size: tuple[int, int] = (150, 200)) -> Image:
    return draw_lesion(seed % 8, image_size=size, generator=np.random.default_rng(seed))[0]


def distance(one: Hash, other: Hash) -> float:
    """Compare with every orientation, the textbook way."""
    differences = np.stack(list(orientations(one))).view(np.int8).astype(int) - other.view(np.int8)
    return float(np.sqrt((differences**2).sum(axis=1)).min() / SCALE)


def half(image: Image) -> Image:
    height, width = image.shape[:2]
    resized = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def jpeg(image: Image, quality: int = 60) -> Image:
    data = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def test_a_wave_is_one_coefficient_in_its_place() -> None:
    wave = np.cos(np.pi * 3 * (np.arange(32) + 0.5) / 32)
    image = np.rint(128 + 100 * wave)[None, :, None].repeat(32, 0).repeat(3, 2).astype(np.uint8)

    block = perceptual_hash(image).view(np.int8).reshape(8, 8)

    assert block[0, 3] >= 125
    assert np.abs(block).sum() - block[0, 3] <= 2


def test_the_coefficients_are_those_of_the_cosine_transform() -> None:
    image = lesion(0, (32, 32))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    expected = dctn(grey, norm="ortho")[:8, :8] / 32
    expected[0, 0] = 0

    block = perceptual_hash(image).view(np.int8).reshape(8, 8)

    scale = 127 / np.sqrt((expected**2).sum() + 8**2)
    assert np.abs(block - scale * expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("turn", TURNS)
def test_a_flipped_or_turned_image_has_one_of_the_eight_fingerprints(turn: str) -> None:
    image = lesion(1, (32, 32))

    turned = perceptual_hash(np.ascontiguousarray(TURNS[turn](image)))

    assert distance(perceptual_hash(image), turned) * SCALE <= 1  # a value may round otherwise


@settings(max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    seed=st.integers(0, 99),
    turn=st.sampled_from(sorted(TURNS)),
)
def test_an_image_of_any_size_gets_a_fingerprint_that_turns_with_it(
    height: int, width: int, seed: int, turn: str
) -> None:
    image = noise_image(height, width, seed)
    before = image.copy()

    found = perceptual_hash(image)

    assert found.shape == (HASH_BYTES,)
    assert found.dtype == np.uint8
    assert found[0] == 0
    assert 128 not in found
    assert np.linalg.norm(found.view(np.int8).astype(float)) <= SCALE + 4.5  # sqrt(64) halves
    assert distance(found, perceptual_hash(np.ascontiguousarray(TURNS[turn](image)))) <= 0.05
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("turn", TURNS)
def test_half_the_size_a_strong_compression_and_a_turn_together_are_survived(turn: str) -> None:
    images = [lesion(seed) for seed in range(24)]

    distances = [
        distance(perceptual_hash(image), perceptual_hash(jpeg(TURNS[turn](half(image)))))
        for image in images
    ]

    assert max(distances) < TOLERANCE


def test_light_and_contrast_make_little_difference_where_an_image_has_contrast() -> None:
    image = lesion(4)

    dimmed = perceptual_hash((0.8 * image.astype(float)).astype(np.uint8))
    paled = perceptual_hash((60 + 0.7 * image.astype(float)).astype(np.uint8))

    assert distance(perceptual_hash(image), dimmed) < 0.03
    assert distance(perceptual_hash(image), paled) < 0.05


def test_different_lesions_are_far_from_each_other() -> None:
    hashes = [perceptual_hash(lesion(seed)) for seed in range(24)]

    assert min(distance(*pair) for pair in itertools.combinations(hashes, 2)) > 1.5 * TOLERANCE


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 150, 130)])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (150, 200)])
def test_an_image_of_one_colour_has_no_fingerprint(
    colour: tuple[int, int, int], size: tuple[int, int]
) -> None:
    image = np.full((*size, 3), colour, np.uint8)

    assert not perceptual_hash(image).any()


@pytest.mark.parametrize(("step", "seen"), [(2, False), (20, True)])
def test_an_image_has_features_where_it_varies_by_two_levels(step: int, seen: bool) -> None:
    image = np.full((64, 64, 3), 100, np.uint8)
    image[:, 32:] += np.uint8(step)

    assert bool(perceptual_hash(image).any()) is seen


def test_the_eight_orientations_begin_with_the_fingerprint_and_form_a_group() -> None:
    found = perceptual_hash(lesion(4))

    eight = [one.tobytes() for one in orientations(found)]

    assert eight[0] == found.tobytes()
    assert len(set(eight)) == 8
    for one in orientations(found):
        assert {other.tobytes() for other in orientations(one)} == set(eight)


def test_many_fingerprints_are_turned_at_once() -> None:
    hashes = np.stack([perceptual_hash(lesion(seed)) for seed in range(3)])

    together = np.stack(list(orientations(hashes)), axis=1)

    apart = np.stack([list(orientations(one)) for one in hashes])
    np.testing.assert_array_equal(together, apart)


def test_what_is_no_image_is_refused() -> None:
    sentence = "Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got"

    with pytest.raises(TypeError, match=re.escape(f"{sentence} dtype float64.")):
        perceptual_hash(np.zeros((4, 4, 3)))  # type: ignore[arg-type] # what is refused
    with pytest.raises(ValueError, match=re.escape(f"{sentence} shape (0, 4, 3).")):
        perceptual_hash(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.data
def test_changed_copies_of_real_images_are_recognised(data_dir: Path) -> None:
    files: list[Path] = sorted((data_dir / "isic_challenge" / "Train").glob("*.jpg"))[::75]

    recognised = []
    for number, file in enumerate(files):
        image = read_image(file)
        turn = list(TURNS.values())[number % len(TURNS)]
        changed = jpeg(turn(half(image)))
        recognised.append(distance(perceptual_hash(image), perceptual_hash(changed)) <= TOLERANCE)

    assert np.mean(recognised) >= 0.99
