import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import occlusion_mask
from dermolib._validation import Image, Mask

# Private, since masks show neither how OpenCV and torch differ nor how strips and pieces do
from dermolib.preprocessing.hair import unet
from dermolib.preprocessing.hair.unet_torch import HairUNet, load_network
from drawing import hairy_image, noise_image, skin_image


def find_hair(image: Image) -> Mask:
    return occlusion_mask(image, method="unet")


def test_opencv_and_torch_give_the_same_logits() -> None:
    image = noise_image(96, 160, 3)

    steps = unet._forward(image)
    with torch.no_grad():
        values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        logits = load_network()(values)[0, 0].numpy()

    expected = np.clip(np.rint(logits * 16 + 128), 0, 255)
    assert np.abs(steps - expected).max() <= 1
    assert (steps == expected).mean() > 0.999


def test_the_weights_are_small_and_the_network_has_the_published_size() -> None:
    folder = Path(unet.__file__).parent

    assert (folder / "hair_unet.safetensors").stat().st_size < 500_000
    assert sum(p.numel() for p in HairUNet().parameters()) == 104_348


def test_drawn_hair_is_found_and_skin_left_alone() -> None:
    scores = []
    for seed in range(4):
        hairy, true = hairy_image(320, 400, seed)
        found = find_hair(hairy)
        scores.append(2 * (found & true).sum() / (found.sum() + true.sum()))
        assert not find_hair(skin_image(300, 380, seed)).any()

    assert min(scores) > 0.7
    assert np.mean(scores) > 0.8


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
def test_the_network_sees_a_size_near_512(shape: tuple[int, int], working: tuple[int, int]) -> None:
    assert unet.working_size(shape) == working


@pytest.mark.parametrize("tall", [False, True])
def test_a_long_image_is_searched_in_strips_that_fit_together(
    tall: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    long, _ = hairy_image(200, 1500, 1)
    image = np.ascontiguousarray(long.swapaxes(0, 1)) if tall else long
    strips = unet._logits(image)
    monkeypatch.setattr(unet, "_STRIP", 10_000)

    whole = unet._logits(image)

    assert strips.shape == image.shape[:2]
    assert (np.abs(strips.astype(int) - whole) <= 1).mean() > 0.999


def test_small_and_uncertain_pieces_are_dropped() -> None:
    steps = np.zeros((8, 20), np.uint8)
    steps[1, 1:9] = 140
    steps[1, 4] = 200
    steps[4, 1:9] = 140
    steps[6, 1:4] = 200

    kept = unet._pieces(steps, 128, 180, 5)

    np.testing.assert_array_equal(kept[1], steps[1] > 0)
    assert not kept[4].any()
    assert not kept[6].any()


@pytest.mark.parametrize(("hairs", "found"), [(0, False), (1, True)])
def test_uncertain_hair_counts_where_the_image_has_hair_for_sure(hairs: int, found: bool) -> None:
    steps = np.zeros((200, 200), np.uint8)
    steps[100:102, :100] = 140
    steps[20 : 20 + hairs] = 200

    zone = unet._zone(steps, 114, 156, 20)

    assert bool(zone[101].any()) == found
    assert zone[20].any() == bool(hairs)


def test_beside_little_sure_hair_what_is_nearly_hair_may_be_hair() -> None:
    steps = np.zeros((200, 200), np.uint8)
    steps[20, 50:80] = 160
    steps[20, 80:120] = 80

    zone = unet._zone(steps, 114, 156, 20)

    assert zone[20].nonzero()[0].tolist() == list(range(50, 84))
    assert zone.sum() == 34


@settings(max_examples=10)
@given(low=st.floats(0.05, 0.9), more=st.floats(0, 0.09))
def test_a_higher_threshold_finds_a_part_of_what_a_lower_one_finds(low: float, more: float) -> None:
    hairy, _ = hairy_image(96, 128, density=0.1)

    wide, narrow = (
        occlusion_mask(hairy, method="unet", threshold=value, certain=value, min_area=0)
        for value in (low, low + more)
    )

    assert not (narrow & ~wide).any()


def test_threads_work_side_by_side() -> None:
    images = [hairy_image(128, 160, seed)[0] for seed in range(4)]
    alone = [find_hair(image) for image in images]
    barrier = threading.Barrier(4)

    def together(image: Image) -> Mask:
        barrier.wait()
        return find_hair(image)

    with ThreadPoolExecutor(4) as pool:
        masks = list(pool.map(together, images))

    np.testing.assert_array_equal(masks, alone)
