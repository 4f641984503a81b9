import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic.hair import draw_hair
from dermolib.preprocessing.hair import unet
from dermolib.preprocessing.hair.unet import find_hair, working_size
from dermolib.preprocessing.hair.unet_torch import HairUNet, load_network
from drawing import noise_image

OPTIONS = {"threshold": 0.5, "certain": 0.6, "min_area": 20.0}


def skin(height: int, width: int, seed: int = 0) -> Image:
    """Draw blotchy skin without hair."""
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 8, (height // 32 + 2, width // 32 + 2, 3))
    blotches = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    values = blotches + np.array([205, 165, 145]) + generator.normal(0, 2, blotches.shape)
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def dice(found: Mask, true: Mask) -> float:
    """Compare two masks."""
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def test_opencv_and_torch_give_the_same_logits() -> None:
    image = noise_image(96, 160, 3)
    network = load_network()

    steps = unet._forward(image)
    with torch.no_grad():
        values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        logits = network(values)[0, 0].numpy()

    expected = np.clip(np.rint(logits * 16 + 128), 0, 255)
    assert np.abs(steps - expected).max() <= 1
    assert (steps == expected).mean() > 0.999


def test_the_weights_are_small_and_the_network_has_the_published_size() -> None:
    folder = Path(unet.__file__).parent

    assert (folder / "hair_unet.safetensors").stat().st_size < 500_000
    assert sum(p.numel() for p in HairUNet().parameters()) == 104_348


def test_drawn_hair_is_found() -> None:
    scores = []
    for seed in range(4):
        clean = skin(320, 400, seed)
        hairy, true = draw_hair(clean, density=0.06, generator=np.random.default_rng(seed))
        scores.append(dice(find_hair(hairy, **OPTIONS), true))

    assert min(scores) > 0.7
    assert np.mean(scores) > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_skin_without_hair_has_an_empty_mask(seed: int) -> None:
    assert not find_hair(skin(300, 380, seed), **OPTIONS).any()


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (16, 16), (33, 700)])
def test_an_image_of_one_colour_has_an_empty_mask(level: int, shape: tuple[int, int]) -> None:
    mask = find_hair(np.full((*shape, 3), level, np.uint8), **OPTIONS)

    assert mask.shape == shape
    assert not mask.any()


@pytest.mark.parametrize(
    ("shape", "working"),
    [
        ((512, 512), (512, 512)),
        ((600, 900), (600, 900)),
        ((150, 200), (300, 400)),
        ((300, 300), (512, 512)),
        ((4000, 6000), (512, 768)),
        ((1, 10), (2, 20)),
    ],
)
def test_the_network_looks_at_a_size_near_512(
    shape: tuple[int, int], working: tuple[int, int]
) -> None:
    assert working_size(shape) == working


@pytest.mark.parametrize("factor", [0.5, 2, 3.3])
def test_the_mask_scales_with_the_image(factor: float) -> None:
    hairy, _ = draw_hair(skin(512, 600), density=0.05, generator=np.random.default_rng(5))
    size = (round(600 * factor), round(512 * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    other = np.asarray(cv2.resize(hairy, size, interpolation=way), np.uint8)

    mask = find_hair(hairy, **OPTIONS)
    scaled = find_hair(other, **OPTIONS)

    back = cv2.resize(scaled.astype(np.float32), (600, 512), interpolation=cv2.INTER_AREA) >= 0.5
    assert dice(back, mask) > 0.8


def test_a_quarter_turn_turns_the_mask() -> None:
    hairy, _ = draw_hair(skin(256, 320), density=0.05, generator=np.random.default_rng(2))

    mask = find_hair(hairy, **OPTIONS)
    turned = find_hair(np.rot90(hairy), **OPTIONS)

    assert dice(np.rot90(turned, -1), mask) > 0.85


@pytest.mark.parametrize("tall", [False, True])
def test_a_long_image_is_looked_at_in_strips_that_fit_together(
    tall: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, _ = draw_hair(skin(200, 1500), density=0.05, generator=np.random.default_rng(1))
    image = np.ascontiguousarray(long.swapaxes(0, 1)) if tall else long
    strips = unet._logits(image)
    monkeypatch.setattr(unet, "_STRIP", 10_000)

    whole = unet._logits(image)

    np.testing.assert_array_equal(strips.shape, image.shape[:2])
    assert (np.abs(strips.astype(int) - whole) <= 1).mean() > 0.999


def test_small_and_uncertain_pieces_are_dropped() -> None:
    steps = np.zeros((8, 20), np.uint8)
    steps[1, 1:9] = 140
    steps[1, 4] = 200
    steps[4, 1:9] = 140
    steps[6, 1:4] = 200

    kept = unet._drop_pieces(steps, 128, 180, 5)

    np.testing.assert_array_equal(kept[1], steps[1])
    assert not kept[4].any()
    assert not kept[6].any()


@settings(deadline=None, max_examples=10)
@given(low=st.floats(0.05, 0.9), more=st.floats(0, 0.09))
def test_a_higher_threshold_finds_a_part_of_what_a_lower_one_finds(low: float, more: float) -> None:
    hairy, _ = draw_hair(skin(96, 128), density=0.1, generator=np.random.default_rng(0))

    wide = find_hair(hairy, threshold=low, certain=low, min_area=0)
    narrow = find_hair(hairy, threshold=low + more, certain=low + more, min_area=0)

    assert not (narrow & ~wide).any()


def test_threads_work_side_by_side() -> None:
    images = [draw_hair(skin(128, 160, s), generator=np.random.default_rng(s))[0] for s in range(4)]
    alone = [find_hair(image, **OPTIONS) for image in images]
    barrier = threading.Barrier(4)

    def together(image: Image) -> Mask:
        barrier.wait()
        return find_hair(image, **OPTIONS)

    with ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(together, images))

    np.testing.assert_array_equal(masks, alone)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 0}, "Expected `threshold` to be a number in 0.001..0.999, but got 0."),
        ({"certain": 2}, "Expected `certain` to be a number in 0.001..0.999, but got 2."),
        ({"min_area": -1}, "Expected `min_area` to be a number of 0 or more, but got -1."),
    ],
)
def test_an_unfit_option_is_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        find_hair(noise_image(32, 32, 0), **{**OPTIONS, **options})
