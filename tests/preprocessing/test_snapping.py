"""Where the mask of the network's method ends; private, since only a drawn logit shows it alone."""

import cv2
import numpy as np
import pytest
import torch

from dermolib import occlusion_mask, occlusion_removal
from dermolib._validation import Image, Mask
from dermolib.preprocessing.hair.snapping import snap
from dermolib.preprocessing.hair.snapping_torch import snap_batch
from drawing import hairy_image

SKIN, HAIR = (205, 165, 150), (60, 40, 35)
LOW = 114  # probability 0.3


def snapped(image: Image, steps: np.ndarray) -> Mask:
    return snap(image, image, steps, steps >= LOW, LOW)


def drawn(width: int, side: int = 120) -> Image:
    image = np.full((side, side, 3), SKIN, np.uint8)
    image[:, side // 2 - width // 2 : side // 2 - width // 2 + width] = HAIR
    return image


def logits(width: int, step: int, side: int = 120) -> np.ndarray:
    steps = np.full((side, side), 40, np.uint8)
    steps[:, side // 2 - width // 2 : side // 2 - width // 2 + width] = step
    return steps


@pytest.mark.parametrize("found", [1, 3, 5])
@pytest.mark.parametrize("width", [3, 5])
def test_a_mask_ends_where_hair_ends_whether_the_network_found_less_or_more(
    width: int, found: int
) -> None:
    image = drawn(width)

    mask = snapped(image, logits(found, 140))

    np.testing.assert_array_equal(mask, image[..., 0] < 100)


def test_what_looks_like_the_skin_beside_it_is_hair_only_where_the_network_is_sure() -> None:
    image = np.full((120, 120, 3), SKIN, np.uint8)

    assert not snapped(image, logits(3, 150)).any()
    assert snapped(image, logits(3, 190))[:, 59:62].all()


def test_hair_farther_from_the_zone_than_its_reach_is_not_taken() -> None:
    image = drawn(3)
    image[:, 80:83] = HAIR

    mask = snapped(image, logits(3, 200))

    assert mask[:, 59:62].all()
    assert mask.sum() == 3 * 120


@pytest.mark.parametrize("factor", [2, 3])
def test_the_edge_is_that_of_the_full_size_image(factor: int) -> None:
    side = 120 * factor
    image = np.full((side, side, 3), SKIN, np.uint8)
    left = side // 2 - factor + 1  # no whole pixel of the small image
    image[:, left : left + 4 * factor] = HAIR
    small = np.asarray(cv2.resize(image, (120, 120), interpolation=cv2.INTER_AREA), np.uint8)
    steps = logits(5, 150)

    mask = snap(image, small, steps, steps >= LOW, LOW)

    np.testing.assert_array_equal(mask, image[..., 0] < 100)


def test_where_everything_may_be_hair_something_is_returned() -> None:
    image = drawn(3)

    mask = snapped(image, np.full((120, 120), 200, np.uint8))

    assert mask.shape == (120, 120)
    assert mask.all()


@pytest.mark.parametrize("shape", [(512, 512), (700, 900), (200, 150)])
def test_a_batch_is_snapped_as_its_images_are(shape: tuple[int, int]) -> None:
    image, true = hairy_image(*shape, 3)
    height = shape[0]
    seen = np.asarray(cv2.resize(image, (400, 300)), np.uint8) if height != 512 else image
    steps = np.where(true, 170, 60).astype(np.uint8)
    if height != 512:
        steps = np.asarray(cv2.resize(steps, (400, 300)), np.uint8)
    zone = steps >= 100

    expected = snap(image, seen, steps, zone, LOW, blur=True)
    tensors = (torch.from_numpy(one).movedim(-1, 0)[None] for one in (image, seen))
    given, small = tensors
    others = torch.from_numpy(steps)[None].float(), torch.from_numpy(zone)[None]
    mask = snap_batch(given, small.float(), *others, LOW)[0].numpy()

    assert expected.any()
    assert (mask != expected).mean() < (1e-4 if height == 512 else 1e-2)


def test_the_edges_of_drawn_hair_are_found_better_than_by_the_network_alone() -> None:
    image, true = hairy_image(512, 512, 6)

    mask = occlusion_mask(image)

    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.9


def test_the_blur_beside_hair_in_a_large_image_is_replaced_but_is_not_hair() -> None:
    image = np.full((1024, 1024, 3), SKIN, np.uint8)
    cv2.line(image, (300, 0), (700, 1023), HAIR, 12, cv2.LINE_AA)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 3), np.uint8)

    clean, replaced = occlusion_removal(image, return_mask=True)

    hair = occlusion_mask(image)
    assert not (hair & ~replaced).any()
    assert replaced.sum() > 1.2 * hair.sum()
    assert np.abs(clean.astype(int) - SKIN).max() <= 7


def test_texture_beside_hair_is_not_taken_for_blur() -> None:
    generator = np.random.default_rng(0)
    coarse = generator.normal(0, 14, (256, 256, 1)).astype(np.float32)
    texture = cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_CUBIC)[..., None]
    image = np.clip(np.array(SKIN) + texture, 0, 255).astype(np.uint8)
    cv2.line(image, (300, 0), (700, 1023), HAIR, 12, cv2.LINE_AA)

    replaced = occlusion_removal(image, return_mask=True)[1]

    hair = occlusion_mask(image)
    assert hair.mean() > 0.01
    assert replaced.sum() < 1.25 * hair.sum()
