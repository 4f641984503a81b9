import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from dermolib import fill_mask
from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic import draw_hair
from dermolib.io import read_image

# Private, since no image shows by how much it was reduced
from dermolib.preprocessing.hair import inpainting as module
from drawing import noise_image, skin_image

FILLS = ["closing", "navier_stokes", "pyramid", "telea"]
SKIN = (205, 165, 150)


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


def soft_hair(image: Image, fraction: Any, color: tuple[int, int, int]) -> Image:
    mixed = image * (1 - fraction[..., None]) + np.array(color) * fraction[..., None]
    changed: Image = np.rint(mixed).astype(np.uint8)
    return changed


def largest_error(filled: Image, truth: Image, mask: Mask) -> int:
    return int(np.abs(filled[mask].astype(int) - truth[mask]).max())


@pytest.mark.parametrize("fill", ["navier_stokes", "pyramid"])
@pytest.mark.parametrize("shape", [(64, 64), (150, 200), (97, 131), (900, 920)])
def test_a_constant_color_under_hair_is_restored_exactly(fill: str, shape: tuple[int, int]) -> None:
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


def test_closing_restores_a_constant_color_under_hair_as_wide_as_its_disk() -> None:
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
    fraction = cv2.GaussianBlur(strands(128, 128).astype(np.float32), (0, 0), 0.8)
    mask = fraction > 0.3
    changed = soft_hair(image, fraction, color)

    filled = fill_mask(changed, mask)
    shaded = cv2.inpaint(changed, mask.view(np.uint8), 3, cv2.INPAINT_TELEA)

    skin = image[mask].astype(float)
    assert abs(float((skin - filled[mask]).mean())) < 0.5
    assert float((skin - shaded[mask]).mean()) > plain


def test_a_hair_lighter_than_the_skin_leaves_no_shine() -> None:
    image = np.full((128, 128, 3), (120, 80, 60), np.uint8)
    fraction = cv2.GaussianBlur(strands(128, 128).astype(np.float32), (0, 0), 0.8)
    mask = fraction > 0.3

    filled = fill_mask(soft_hair(image, fraction, (220, 190, 140)), mask)

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
@pytest.mark.parametrize("masked", [False, True])
def test_a_mask_of_nothing_or_everything_gives_an_equal_copy(fill: str, masked: bool) -> None:
    image = noise_image(20, 30, 0)

    filled = fill_mask(image, np.full((20, 30), masked), fill=fill)

    assert not np.shares_memory(filled, image)
    assert np.array_equal(filled, image)


@pytest.mark.parametrize("fill", ["navier_stokes", "pyramid"])
def test_one_pixel_of_skin_is_enough_to_fill_from(fill: str) -> None:
    image = np.full((24, 24, 3), SKIN, np.uint8)
    mask = np.ones((24, 24), np.bool_)
    mask[12, 12] = False

    filled = fill_mask(hairy(image, mask), mask, fill=fill)

    assert largest_error(filled, image, mask) <= 1


@settings(max_examples=60)
@given(
    fill=st.sampled_from(FILLS),
    height=st.integers(1, 40) | st.just(900),
    width=st.integers(1, 40) | st.just(901),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_outside_the_mask_nothing_changes_and_the_input_stays(
    fill: str, height: int, width: int, fraction: float, seed: int
) -> None:
    image = noise_image(height, width, seed)
    mask = np.random.default_rng(seed).random((height, width)) < fraction
    image_before, mask_before = image.copy(), mask.copy()

    filled = fill_mask(image, mask, fill=fill)

    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[~mask], image[~mask])
    assert np.array_equal(image, image_before)
    assert np.array_equal(mask, mask_before)


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
    [
        ((1, 9000), 1),
        ((895, 2000), 1),
        ((2000, 896), 2),
        ((1024, 1024), 2),
        ((4000, 6000), 8),
        ((20000, 20000), 16),
    ],
)
def test_the_shorter_side_is_reduced_to_448_pixels_or_more(
    shape: tuple[int, int], factor: int
) -> None:
    assert module.working_factor(*shape) == factor


@pytest.mark.parametrize(
    ("fill", "flags"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)]
)
def test_inpainting_is_that_of_opencv_without_the_pixels_beside_the_mask(
    fill: str, flags: int
) -> None:
    image, mask = skin_image(200, 260), strands(200, 260)
    guarded = cv2.dilate(mask.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    expected = cv2.inpaint(image, guarded, 3, flags)

    filled = fill_mask(image, mask, fill=fill)

    assert np.array_equal(filled[mask], expected[mask])


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


@pytest.mark.parametrize("fill", ["navier_stokes", "telea"])
@pytest.mark.parametrize("axis", [0, 1])
def test_inpainting_of_one_row_or_column_reads_nothing_beyond_it(fill: str, axis: int) -> None:
    image = np.moveaxis(noise_image(1, 4000, 0), 1, 1 - axis)
    mask = np.moveaxis(np.random.default_rng(0).random((1, 4000)) < 0.4, 1, 1 - axis)
    three, masks = np.repeat(image, 3, axis), np.repeat(mask, 3, axis)

    filled = fill_mask(image, mask, fill=fill)

    assert np.array_equal(filled, fill_mask(three, masks, fill=fill).take([1], axis))


@pytest.mark.parametrize("density", [0.03, 0.12])
def test_the_default_is_closer_to_the_skin_than_any_other_fill(density: float) -> None:
    scores: dict[str, float] = {}
    image = skin_image(256, 256, 1)
    changed, mask = draw_hair(image, density=density, generator=np.random.default_rng(5))
    fraction = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    blurred = soft_hair(image, fraction, (50, 40, 30))

    for fill in FILLS:
        for before, where in ((changed, mask), (blurred, fraction > 0.3)):
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


@pytest.mark.parametrize(
    ("change", "kind", "fragment"),
    [
        ({"fill": "tela"}, ValueError, "'pyramid', 'telea', but got 'tela'. Did you mean 'telea'?"),
        ({"image": np.zeros((8, 9, 3), np.float32)}, TypeError, "dtype float32. Scale values in"),
        ({"image": np.zeros((8, 9), np.uint8)}, ValueError, "shape (8, 9). Repeat a gray image"),
        ({"mask": np.zeros((8, 9), np.uint8)}, TypeError, "bool, but got dtype uint8. Use `mask >"),
        ({"mask": np.zeros((9, 8), np.bool_)}, ValueError, "a mask (8, 9) of dtype bool, but got"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(
    change: dict[str, Any], kind: type[Exception], fragment: str
) -> None:
    fitting = {"image": noise_image(8, 9, 0), "mask": np.zeros((8, 9), np.bool_)}

    with pytest.raises(kind, match=re.escape(fragment)):
        fill_mask(**(fitting | change))
