import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from skimage.morphology import closing, disk

from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic import draw_hair
from dermolib.io import read_image
from dermolib.preprocessing.hair import inpainting as module
from dermolib.preprocessing.hair.inpainting import fill_mask, list_fills
from drawing import noise_image

FILLS = ["closing", "navier_stokes", "pyramid", "telea"]
SKIN = (205, 165, 150)


def skin_image(height: int, width: int, seed: int) -> Image:
    """Draw blotchy skin with a little noise."""
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 12, (height // 16 + 2, width // 16 + 2, 3))
    blotches = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = blotches + np.array(SKIN) + generator.normal(0, 2, (height, width, 3))
    image: Image = np.clip(skin, 0, 255).astype(np.uint8)
    return image


def strands(height: int, width: int, *, thickness: int = 3) -> Mask:
    """Draw crossing hairs."""
    canvas = np.zeros((height, width), np.uint8)
    for (x0, y0), (x1, y1) in (((0, 5), (90, 60)), ((10, 95), (80, 0)), ((0, 50), (99, 52))):
        start = (x0 * width // 100, y0 * height // 100)
        stop = (x1 * width // 100, y1 * height // 100)
        cv2.line(canvas, start, stop, 1, thickness)
    return canvas.view(np.bool_)


def hairy(image: Image, mask: Mask) -> Image:
    changed = image.copy()
    changed[mask] = (40, 30, 25)
    return changed


def soft_hair(image: Image, share: Any, color: tuple[int, int, int]) -> Image:
    mixed = image * (1 - share[..., None]) + np.array(color) * share[..., None]
    changed: Image = np.rint(mixed).astype(np.uint8)
    return changed


def largest_error(filled: Image, truth: Image, mask: Mask) -> int:
    return int(np.abs(filled[mask].astype(int) - truth[mask]).max())


def test_list_fills_is_sorted_and_complete() -> None:
    assert list_fills() == FILLS


@pytest.mark.parametrize("fill", ["navier_stokes", "pyramid"])
@pytest.mark.parametrize("shape", [(64, 64), (150, 200), (97, 131), (900, 920)])
def test_a_constant_colour_under_hair_is_restored_exactly(
    fill: str, shape: tuple[int, int]
) -> None:
    image = np.full((*shape, 3), SKIN, np.uint8)
    mask = strands(*shape, thickness=max(2, min(shape) // 150))

    filled = fill_mask(hairy(image, mask), mask, fill=fill)

    assert np.array_equal(filled, image)


@pytest.mark.parametrize("column", [300, 301, 302, 303])
def test_a_hair_of_one_pixel_is_filled_at_any_place_of_a_reduced_image(column: int) -> None:
    image = np.full((1800, 1810, 3), SKIN, np.uint8)
    mask = np.zeros((1800, 1810), np.bool_)
    mask[:, column] = True

    filled = fill_mask(hairy(image, mask), mask)

    assert np.array_equal(filled, image)


def test_telea_restores_a_constant_colour_within_four_levels() -> None:
    image = np.full((150, 200, 3), SKIN, np.uint8)
    mask = strands(150, 200)

    filled = fill_mask(hairy(image, mask), mask, fill="telea")

    assert largest_error(filled, image, mask) <= 4


def test_closing_restores_a_constant_colour_under_hair_as_wide_as_its_disc() -> None:
    image = np.full((512, 512, 3), SKIN, np.uint8)
    mask = np.zeros((512, 512), np.bool_)
    mask[200:210] = True
    mask[300:311] = True

    filled = fill_mask(hairy(image, mask), mask, fill="closing")

    assert np.array_equal(filled[:300], image[:300])
    assert filled[305, 0].tolist() == [40, 30, 25]


@pytest.mark.parametrize(("fill", "most"), [("navier_stokes", 3), ("pyramid", 1), ("telea", 4)])
@pytest.mark.parametrize("side", [160, 1024])
def test_a_linear_ramp_goes_on_under_hair(fill: str, most: int, side: int) -> None:
    ramp = np.linspace(100, 200, side)[:, None] + np.linspace(-30, 30, side)
    image = np.repeat(np.rint(ramp)[..., None], 3, axis=2).astype(np.uint8)
    mask = strands(side, side, thickness=4 * side // 512 + 1)

    filled = fill_mask(hairy(image, mask), mask, fill=fill)

    assert largest_error(filled, image, mask) <= most


def test_the_border_of_a_lesion_goes_on_under_a_hair_across_it() -> None:
    image = np.full((96, 96, 3), SKIN, np.uint8)
    image[:, 48:] = (110, 70, 50)
    mask = np.zeros((96, 96), np.bool_)
    mask[40:44] = True

    filled = fill_mask(hairy(image, mask), mask)

    beside = mask.copy()
    beside[:, 44:52] = False
    assert largest_error(filled, image, beside) <= 5
    steps = np.abs(np.diff(filled[41].astype(int), axis=0)).max(axis=1)
    assert 44 <= int(steps.argmax()) <= 50


@pytest.mark.parametrize(("color", "plain"), [((40, 30, 25), 10), ((140, 100, 90), 4)])
def test_a_hair_that_shines_into_the_pixels_beside_the_mask_leaves_no_shade(
    color: tuple[int, int, int], plain: float
) -> None:
    image = skin_image(128, 128, 0)
    share = cv2.GaussianBlur(strands(128, 128).astype(np.float32), (0, 0), 0.8)
    mask = share > 0.3
    changed = soft_hair(image, share, color)

    filled = fill_mask(changed, mask)
    shaded = cv2.inpaint(changed, mask.view(np.uint8), 3, cv2.INPAINT_TELEA)

    skin = image[mask].astype(float)
    assert abs(float((skin - filled[mask]).mean())) < 0.5
    assert float((skin - shaded[mask]).mean()) > plain


def test_a_hair_lighter_than_the_skin_leaves_no_shine() -> None:
    image = np.full((128, 128, 3), (120, 80, 60), np.uint8)
    share = cv2.GaussianBlur(strands(128, 128).astype(np.float32), (0, 0), 0.8)
    mask = share > 0.3

    filled = fill_mask(soft_hair(image, share, (220, 190, 140)), mask)

    assert largest_error(filled, image, mask) <= 6


def test_hair_that_the_mask_missed_beside_it_is_no_source() -> None:
    image = np.full((96, 96, 3), SKIN, np.uint8)
    hair = np.zeros((96, 96), np.bool_)
    hair[40:46] = True
    mask = hair.copy()
    mask[44:] = False

    filled = fill_mask(hairy(image, hair), mask)

    assert largest_error(filled, image, mask) <= 12


@pytest.mark.parametrize("fill", FILLS)
def test_an_empty_mask_gives_an_equal_copy(fill: str) -> None:
    image = noise_image(20, 30, 0)

    filled = fill_mask(image, np.zeros((20, 30), np.bool_), fill=fill)

    assert filled is not image
    assert np.array_equal(filled, image)


@pytest.mark.parametrize("fill", FILLS)
def test_a_mask_of_everything_gives_an_equal_copy(fill: str) -> None:
    image = noise_image(20, 30, 0)

    filled = fill_mask(image, np.ones((20, 30), np.bool_), fill=fill)

    assert filled is not image
    assert np.array_equal(filled, image)


@pytest.mark.parametrize("fill", ["navier_stokes", "pyramid"])
def test_one_pixel_of_skin_is_enough_to_fill_from(fill: str) -> None:
    image = np.full((24, 24, 3), SKIN, np.uint8)
    mask = np.ones((24, 24), np.bool_)
    mask[12, 12] = False

    filled = fill_mask(hairy(image, mask), mask, fill=fill)

    assert largest_error(filled, image, mask) <= 1


@settings(max_examples=60, deadline=None)
@given(
    fill=st.sampled_from(FILLS),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_outside_the_mask_nothing_changes_and_the_input_stays(
    fill: str, height: int, width: int, share: float, seed: int
) -> None:
    image = noise_image(height, width, seed)
    mask = np.random.default_rng(seed).random((height, width)) < share
    image_before, mask_before = image.copy(), mask.copy()

    filled = fill_mask(image, mask, fill=fill)

    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[~mask], image[~mask])
    assert np.array_equal(image, image_before)
    assert np.array_equal(mask, mask_before)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(896, 1000))
def test_outside_the_mask_nothing_changes_in_an_image_filled_at_a_reduced_size(
    seed: int, height: int
) -> None:
    image = noise_image(height, 901, seed)
    mask = np.random.default_rng(seed).random((height, 901)) < 0.1

    filled = fill_mask(image, mask)

    assert np.array_equal(filled[~mask], image[~mask])


@pytest.mark.parametrize("fill", FILLS)
def test_memory_layout_does_not_matter(fill: str) -> None:
    image = skin_image(80, 60, 0)
    mask = strands(80, 60)
    expected = fill_mask(image, mask, fill=fill)
    turned = np.asfortranarray(image)[::-1][::-1]
    turned.flags.writeable = False

    filled = fill_mask(turned, np.asfortranarray(mask), fill=fill)

    assert np.array_equal(filled, expected)


@pytest.mark.parametrize(
    ("shape", "factor"),
    [((1, 9000), 1), ((895, 2000), 1), ((2000, 896), 2), ((1024, 1024), 2), ((4000, 6000), 8)],
)
def test_the_shorter_side_is_reduced_to_448_pixels_or_more(
    shape: tuple[int, int], factor: int
) -> None:
    assert module.working_factor(*shape) == factor


def test_the_largest_images_are_reduced_by_sixteen() -> None:
    assert module.working_factor(20000, 20000) == 16


@pytest.mark.parametrize("height", [1024, 1023])
def test_strips_leave_no_trace(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = skin_image(height, 950, 0), strands(height, 950, thickness=8)
    monkeypatch.setattr(module, "_STRIP_PIXELS", 1)
    in_strips = fill_mask(image, mask)

    monkeypatch.setattr(module, "_STRIP_PIXELS", 1 << 24)
    at_once = fill_mask(image, mask)

    assert np.array_equal(in_strips, at_once)


@pytest.mark.parametrize(
    ("fill", "flags"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]
)
def test_inpainting_in_windows_equals_that_of_the_whole_image(fill: str, flags: int) -> None:
    image = skin_image(200, 260, 0)
    mask = np.zeros((200, 260), np.bool_)
    mask[20:24, 10:60] = True
    mask[30:90, 100:103] = True
    mask[150:153, 200:] = True
    mask[190, 5] = True
    guarded = cv2.dilate(mask.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    expected = cv2.inpaint(image, guarded, 3, flags)

    filled = fill_mask(image, mask, fill=fill)

    assert np.array_equal(filled[mask], expected[mask])


@pytest.mark.parametrize(
    ("fill", "flags"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]
)
def test_inpainting_of_entangled_hair_equals_that_of_the_whole_image(fill: str, flags: int) -> None:
    image, mask = skin_image(150, 150, 0), np.zeros((150, 150), np.bool_)
    for step in range(0, 150, 25):
        mask[np.arange(150 - step), np.arange(step, 150)] = True
    guarded = cv2.dilate(mask.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    expected = cv2.inpaint(image, guarded, 3, flags)

    filled = fill_mask(image, mask, fill=fill)

    assert np.array_equal(filled[mask], expected[mask])


@pytest.mark.parametrize(("shape", "radius"), [((150, 200), 2), ((300, 310), 3)])
def test_closing_equals_the_textbook(shape: tuple[int, int], radius: int) -> None:
    image, mask = skin_image(*shape, 0), strands(*shape)
    changed = hairy(image, mask)
    channels = [closing(changed[..., c], disk(radius), mode="ignore") for c in range(3)]

    filled = fill_mask(changed, mask, fill="closing")

    assert np.array_equal(filled[mask], np.stack(channels, axis=2)[mask])


def textbook_scales(total: Any, weights: Any) -> Any:
    """Follow the recursion of the fill in double precision, with plain loops over the kernel."""
    if max(weights.shape) <= 8:
        return np.full(weights.shape, total.sum() / weights.sum())
    coarse = textbook_scales(quarter_sum(total), quarter_sum(weights))
    coarse = cv2.resize(coarse, None, fx=2, fy=2)[: total.shape[0], : total.shape[1]]
    return coarse + kernel_sum(total - coarse * weights) / (kernel_sum(weights) + 0.03)


def quarter_sum(plane: Any) -> Any:
    even = np.pad(plane, ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)))
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def kernel_sum(plane: Any) -> Any:
    row = np.exp(-(np.arange(-2.0, 3) ** 2) / 2)
    kernel = np.outer(row, row) / row.sum() ** 2
    padded = np.pad(plane, 2)
    height, width = plane.shape
    parts = [
        kernel[y, x] * padded[y : y + height, x : x + width] for y in range(5) for x in range(5)
    ]
    return sum(parts)


@pytest.mark.parametrize("shape", [(64, 96), (51, 37)])
def test_without_judging_the_pixels_beside_the_mask_the_fill_is_the_textbook_recursion(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, mask = skin_image(*shape, 0), strands(*shape)
    monkeypatch.setattr(module, "HALO_LEVELS", 1e9)
    monkeypatch.setattr(module, "HALO_LEAST", 0)
    monkeypatch.setattr(module, "HALO_MOST", 0)
    expected = [textbook_scales(image[..., c] * (~mask * 1.0), ~mask * 1.0) for c in range(3)]

    filled = fill_mask(hairy(image, mask), mask)

    assert float(np.abs(filled[mask] - np.stack(expected, axis=2)[mask]).max()) < 0.51


@pytest.mark.parametrize("density", [0.03, 0.12])
def test_the_default_is_closer_to_the_skin_than_any_other_fill(density: float) -> None:
    scores: dict[str, float] = {}
    image = skin_image(256, 256, 1)
    changed, mask = draw_hair(image, density=density, generator=np.random.default_rng(5))
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    blurred = soft_hair(image, share, (50, 40, 30))

    for fill in FILLS:
        for before, where in ((changed, mask), (blurred, share > 0.3)):
            filled = fill_mask(before, where, fill=fill)
            score = peak_signal_noise_ratio(image[where], filled[where])
            scores[fill] = scores.get(fill, 0) + float(score) / 2

    assert max(scores, key=lambda fill: scores[fill]) == "pyramid"
    assert scores["pyramid"] > 35


@pytest.mark.data
def test_on_real_skin_the_default_reaches_33_decibels(data_dir: Path) -> None:
    names = ["ISIC_0000000", "ISIC_0000008", "ISIC_0000013"]
    scores = []
    for seed, name in enumerate(names):
        image = read_image(data_dir / "isic2018_task1" / "images" / f"{name}.jpg")
        changed, mask = draw_hair(image, density=0.06, generator=np.random.default_rng(seed))
        filled = fill_mask(changed, mask)
        scores.append(peak_signal_noise_ratio(image[mask], filled[mask]))

    assert float(np.mean(scores)) > 33


def test_an_unknown_fill_is_refused_with_the_known_ones() -> None:
    sentence = (
        "Expected `fill` to be one of 'closing', 'navier_stokes', 'pyramid', 'telea', "
        "but got 'tela'. Did you mean 'telea'?"
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_mask(noise_image(8, 8, 0), np.zeros((8, 8), np.bool_), fill="tela")


def test_an_image_of_floats_is_refused_with_a_remedy() -> None:
    sentence = (
        "Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got dtype float32. "
        "Scale values in [0, 1] with `(image * 255).round().astype('uint8')`."
    )
    wrong: Any = np.zeros((8, 8, 3), np.float32)

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_mask(wrong, np.zeros((8, 8), np.bool_))


def test_a_grey_image_is_refused_with_a_remedy() -> None:
    sentence = (
        "Expected `image` to be an RGB image (H, W, 3) of dtype uint8, but got shape (8, 8). "
        "Repeat a grey image with `numpy.repeat(image[..., None], 3, axis=2)`."
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_mask(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.bool_))


def test_a_mask_of_numbers_is_refused_with_a_remedy() -> None:
    sentence = (
        "Expected `mask` to be a mask (8, 9) of dtype bool, but got dtype uint8. Use `mask > 0`."
    )
    wrong: Any = np.zeros((8, 9), np.uint8)

    with pytest.raises(TypeError, match=re.escape(sentence)):
        fill_mask(noise_image(8, 9, 0), wrong)


def test_a_mask_of_another_shape_is_refused() -> None:
    sentence = "Expected `mask` to be a mask (8, 9) of dtype bool, but got shape (9, 8)."

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fill_mask(noise_image(8, 9, 0), np.zeros((9, 8), np.bool_))
