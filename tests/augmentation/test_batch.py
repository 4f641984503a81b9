"""Augmentation of whole batches: what is drawn, by which seeds, and what becomes of the pixels."""

import copy
import itertools
import pickle
import random
import re
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import albumentations.augmentations.pixel.functional as pixel
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest, norm
from torch import nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import rotate

from dermolib import BatchAugmentation, preset
from dermolib._validation import Image, Mask
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD, is_blank
from dermolib.augmentation import batch as batch_module
from dermolib.augmentation.batch_draws import NODES, TABLES, Draws
from dermolib.augmentation.batch_warp import gathered, sample, spline_weights
from dermolib.io import read_image, read_mask
from drawing import noise_image

NAMES = list(TABLES)
RANDOM = ["paper", "light"]
SIDE = 64
SEEDS = st.integers(-(2**63), 2**63 - 1)
FILL = [124, 116, 104]
BITS = 2**64


def smooth_image(side: int = SIDE, seed: int = 0) -> Image:
    """Draw colours that change slowly, so that a shift by a pixel is a few levels."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (6, 6, 3)).astype(np.float32)
    drawn = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.round(drawn), 0, 255).astype(np.uint8)


def lesion_mask(side: int = SIDE) -> Mask:
    rows, columns = np.mgrid[:side, :side] / side
    inside: Mask = ((rows - 0.45) / 0.25) ** 2 + ((columns - 0.55) / 0.2) ** 2 < 1
    return inside


def batch_of(*images: Image) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).contiguous()


def image_of(batch: torch.Tensor, index: int = 0) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = batch[index].movedim(0, -1).numpy()
    return found


class Fixed(nn.Module):
    """Draws whatever it was told to, whatever the seeds."""

    def __init__(self, name: str, numbers: dict[str, Any], count: int) -> None:
        super().__init__()
        self.names = tuple(TABLES[name])
        draws = {
            key: torch.full((count,), float(drawn.neutral)) for key, drawn in TABLES[name].items()
        }
        if name == "paper":
            draws["elastic"] = torch.zeros(count, 2, NODES, NODES)
        for key, value in numbers.items():
            draws[key] = torch.as_tensor(value, dtype=torch.float32).expand(draws[key].shape)
        self.draws = draws

    def forward(self, _seeds: torch.Tensor) -> Draws:
        return self.draws


def forced(image: Image, mask: Mask | None = None, *, name: str = "paper", **numbers: float) -> Any:
    """Draw an image, or image and mask, with chosen numbers and neutral ones else."""
    augment = BatchAugmentation(name, normalize=False)
    augment.table = Fixed(name, numbers, 1)  # type: ignore[assignment] # draws as a table does
    if mask is None:
        return image_of(augment(batch_of(image), draw_seeds=[0]))
    images, masks = augment(batch_of(image), torch.from_numpy(mask)[None], draw_seeds=[0])
    return image_of(images), masks[0].numpy()


def levels(first: Any, second: Any) -> npt.NDArray[np.int64]:
    """Tell how many levels two images are apart."""
    apart: npt.NDArray[np.int64] = np.abs(first.astype(np.int64) - second.astype(np.int64))
    return apart


def mixed(state: int) -> int:
    """Mix as the textbook's SplitMix64 does, in whole numbers of Python."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % BITS
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % BITS
    return state ^ (state >> 31)


def chances(seed: int, count: int) -> list[float]:
    start = mixed((seed + 0x9E3779B97F4A7C15) % BITS)
    states = (start + number * 0x9E3779B97F4A7C15 for number in range(1, count + 1))
    return [(mixed(state % BITS) >> 40) / 2**24 for state in states]


def test_the_mixing_is_that_of_splitmix64() -> None:
    assert mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("name", RANDOM)
@given(seed=SEEDS)
@settings(deadline=None)  # the first call in a process is slow
def test_draws_are_those_of_whole_numbers_in_python(name: str, seed: int) -> None:
    table = TABLES[name]
    gates = list(dict.fromkeys(drawn.gate for drawn in table.values()))
    numbers = chances(seed, len(gates) + len(table))

    draws = BatchAugmentation(name).draws([seed])

    for (key, drawn), chance in zip(table.items(), numbers[len(gates) :], strict=True):
        is_open = drawn.opens <= np.float32(numbers[gates.index(drawn.gate)]) < drawn.closes
        value = drawn.low + (drawn.high - drawn.low) * chance if is_open else drawn.neutral
        if key == "elastic":
            assert bool(draws[key].any()) == is_open
        else:
            assert draws[key].item() == pytest.approx(value, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", RANDOM)
@given(seeds=st.lists(SEEDS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=25, deadline=None)  # the first call in a process is slow
def test_a_draw_depends_on_its_seed_alone(name: str, seeds: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(seeds))))
    augment = BatchAugmentation(name)

    whole = augment.draws(seeds)
    turned = augment.draws(torch.tensor(seeds)[order])

    for key, values in whole.items():
        assert torch.equal(turned[key], values[order])
        for place, seed in enumerate(seeds):
            assert torch.equal(augment.draws(np.array([seed]))[key][0], values[place])


@pytest.mark.parametrize("name", RANDOM)
def test_every_number_is_drawn_as_often_and_as_far_as_its_table_says(name: str) -> None:
    count = 20_000
    draws = BatchAugmentation(name).draws(torch.arange(count))

    for key, drawn in TABLES[name].items():
        if key == "elastic" or drawn.low == drawn.high == drawn.neutral:
            continue
        values = draws[key].numpy()
        applied = values[values != np.float32(drawn.neutral)]
        share = drawn.closes - drawn.opens
        assert abs(len(applied) / count - share) < 4 * (share * (1 - share) / count) ** 0.5
        if drawn.low == drawn.high:
            assert (applied == drawn.low).all()
        else:
            assert kstest(applied, "uniform", (drawn.low, drawn.high - drawn.low)).pvalue > 1e-4


def test_seeds_beside_each_other_draw_independently() -> None:
    draws = BatchAugmentation("paper").draws(torch.arange(20_001))
    optical, step = draws["rotate"].numpy(), draws["shift_x"].numpy()

    assert abs(np.corrcoef(optical[1:], optical[:-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(optical, step)[0, 1]) < 0.03


def test_one_of_three_distortions_is_drawn_for_every_other_image() -> None:
    draws = BatchAugmentation("paper").draws(torch.arange(6000))
    lens = draws["optical"] != 0
    grid = draws["x_step_0"] != 1
    elastic = draws["elastic"].abs().amax(dim=(1, 2, 3)) > 0

    assert int((lens.int() + grid.int() + elastic.int()).max()) == 1
    for drawn in (lens, grid, elastic):
        assert 0.145 < drawn.float().mean().item() < 0.19


def test_one_two_or_three_holes_are_cut_equally_often() -> None:
    draws = BatchAugmentation("paper").draws(torch.arange(6000))

    holes = sum((draws[f"hole_{number}_width"] > 0).int() for number in range(3))

    counts = np.bincount(torch.as_tensor(holes).numpy(), minlength=4) / 6000
    np.testing.assert_allclose(counts, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.02)


@pytest.mark.parametrize("name", RANDOM)
def test_all_eight_symmetries_are_drawn_equally_often(name: str) -> None:
    draws = BatchAugmentation(name).draws(torch.arange(8000))

    kinds = draws["transpose"] * 4 + draws["flip_columns"] * 2 + draws["flip_rows"]

    counts = np.bincount(kinds.long().numpy(), minlength=8)
    assert counts.min() > 880
    assert counts.max() < 1120


def test_the_nodes_of_an_elastic_warp_are_normal() -> None:
    nodes = BatchAugmentation("paper").draws(torch.arange(300))["elastic"]

    applied = nodes[nodes.abs().amax(dim=(1, 2, 3)) > 0].flatten()

    assert abs(applied.mean().item()) < 0.02
    assert applied.std().item() == pytest.approx(1, abs=0.02)
    # A sum of four uniform numbers is nearly normal, not quite
    assert kstest(applied.numpy(), norm.cdf).statistic < 0.02


def test_the_table_is_that_of_the_paper_preset() -> None:
    transforms = preset("paper", image_size=224).transforms
    steps = {type(step).__name__: step for step in transforms}
    one_of = next(step for step in transforms if hasattr(step, "transforms"))
    optical, grid, elastic = one_of.transforms
    affine, light = steps["Affine"], steps["RandomBrightnessContrast"]
    color, cutout = steps["HueSaturationValue"], steps["CoarseDropout"]
    table = TABLES["paper"]

    def found(key: str) -> tuple[float, float]:
        return table[key].low, table[key].high

    assert found("optical") == optical.distort_limit
    assert found("x_step_0") == found("y_step_4") == tuple(1 + x for x in grid.distort_limit)
    assert (grid.num_steps, elastic.sigma, elastic.displacement) == (5, 8, 1.8)
    assert found("rotate") == steps["Rotate"].limit
    assert found("tilt") == affine.rotate
    assert found("scale") == affine.scale["x"]
    assert found("shift_x") == affine.translate_percent["x"]
    assert found("shift_y") == affine.translate_percent["y"]
    assert found("brightness") == light.brightness_limit
    assert found("contrast") == tuple(1 + limit for limit in light.contrast_limit)
    assert found("hue") == color.hue_shift_limit
    assert found("saturation") == color.sat_shift_limit
    assert found("value") == color.val_shift_limit
    assert found("hole_0_height") == cutout.hole_height_range
    assert found("hole_2_width") == cutout.hole_width_range
    assert (cutout.num_holes_range, list(cutout.fill)) == ((1, 3), FILL)
    for key, step in [
        ("transpose", steps["Transpose"]),
        ("flip_columns", steps["HorizontalFlip"]),
        ("flip_rows", steps["VerticalFlip"]),
        ("rotate", steps["Rotate"]),
        ("scale", affine),
        ("brightness", light),
        ("hue", color),
        ("hole_0_width", cutout),
    ]:
        assert table[key].closes - table[key].opens == step.p
    for key in ("optical", "x_step_0", "elastic"):
        assert table[key].closes - table[key].opens == pytest.approx(one_of.p / 3)


def test_the_light_table_is_that_of_the_light_preset() -> None:
    steps = {type(step).__name__: step for step in preset("light", image_size=224).transforms}
    affine, light = steps["Affine"], steps["RandomBrightnessContrast"]
    cast = steps["MultiplicativeNoise"]
    table = TABLES["light"]

    def found(key: str) -> tuple[float, float]:
        return table[key].low, table[key].high

    assert found("tilt") == affine.rotate
    assert found("scale") == affine.scale["x"]
    assert found("shift_x") == affine.translate_percent["x"]
    assert found("shear_y") == affine.shear["y"]
    assert found("lift") == light.brightness_limit
    assert found("contrast") == tuple(1 + limit for limit in light.contrast_limit)
    assert found("green") == cast.multiplier
    assert (light.brightness_by_max, cast.per_channel, cast.elementwise) == (True, True, False)
    for key, step in [
        ("transpose", steps["Transpose"]),
        ("flip_columns", steps["HorizontalFlip"]),
        ("flip_rows", steps["VerticalFlip"]),
        ("tilt", affine),
        ("lift", light),
        ("red", cast),
    ]:
        assert table[key].closes - table[key].opens == step.p


def test_global_generators_are_neither_read_nor_moved() -> None:
    images = batch_of(noise_image(SIDE, SIDE, 0))
    augment = BatchAugmentation("paper")
    first = augment(images, draw_seeds=[5])
    random.seed(1)
    torch.manual_seed(1)
    before = (random.getstate(), torch.get_rng_state())

    again = augment(images, draw_seeds=[5])

    assert torch.equal(first, again)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("name", RANDOM)
@given(seeds=st.lists(SEEDS, min_size=2, max_size=6), data=st.data())
@settings(max_examples=15, deadline=None)  # several batches are drawn
def test_an_image_comes_out_the_same_alone_and_anywhere_in_a_batch(
    name: str, seeds: list[int], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(seeds))))
    images = batch_of(*(smooth_image(seed=number) for number in range(len(seeds))))
    augment = BatchAugmentation(name)

    whole = augment(images, draw_seeds=seeds)
    turned = augment(images[order], draw_seeds=torch.tensor(seeds)[order])
    alone = torch.cat(
        [augment(images[place : place + 1], draw_seeds=[seeds[place]]) for place in order]
    )

    # Hardly any pixel: a hue at the edge of a sextant, a centre at the rim of a hole
    assert ((turned - whole[order]).abs() > 1e-3).float().mean() < 1e-4
    assert ((alone - whole[order]).abs() > 1e-3).float().mean() < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_that_is_worked_on_in_parts_comes_out_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = batch_of(*(smooth_image(seed=number) for number in range(5)))
    masks = torch.from_numpy(np.stack([lesion_mask()] * 5))
    augment = BatchAugmentation(name, normalize=False)
    whole = augment(images, masks, draw_seeds=range(5))
    only = augment(images, draw_seeds=range(5))

    monkeypatch.setattr(batch_module, "_CHUNK", 2 * SIDE**2)
    parts = augment(images, masks, draw_seeds=range(5))

    assert levels(parts[0].numpy(), whole[0].numpy()).max() <= 1
    assert torch.equal(parts[1], whole[1])
    assert levels(augment(images, draw_seeds=range(5)).numpy(), only.numpy()).max() <= 1


@given(seed=st.integers(0, 999), side=st.integers(16, 300))
@settings(max_examples=30, deadline=None)  # time goes with the size
def test_a_draw_without_anything_is_the_image_bit_for_bit(seed: int, side: int) -> None:
    image = noise_image(side, side, seed)

    assert (forced(image) == image).all()


@pytest.mark.parametrize("side", [16, 63, 224, 255])
@pytest.mark.parametrize(("transpose", "columns", "rows"), [*itertools.product((0, 1), repeat=3)])
def test_the_eight_symmetries_are_exact_bit_for_bit(
    side: int, transpose: int, columns: int, rows: int
) -> None:
    image = noise_image(side, side, 0)
    mask = noise_image(side, side, 1)[..., 0] > 127
    flips = [A.Transpose(p=transpose), A.HorizontalFlip(p=columns), A.VerticalFlip(p=rows)]
    reference = A.Compose(flips)(image=image, mask=mask.astype(np.uint8))

    drawn, marked = forced(image, mask, transpose=transpose, flip_columns=columns, flip_rows=rows)

    np.testing.assert_array_equal(drawn, reference["image"])
    np.testing.assert_array_equal(marked, reference["mask"].astype(bool))


@pytest.mark.parametrize("angle", [-45, 30, 7.5])
def test_a_rotation_is_that_of_opencv_and_of_torchvision(angle: float) -> None:
    image = smooth_image(96)
    middle = (47.5, 47.5)
    reference = cv2.warpAffine(
        image,
        cv2.getRotationMatrix2D(middle, angle, 1),
        (96, 96),
        borderMode=cv2.BORDER_REFLECT_101,
    )
    other = rotate(batch_of(image), angle, interpolation=InterpolationMode.BILINEAR)
    inside = np.hypot(*(np.mgrid[:96, :96] - 47.5)) < 46

    drawn = forced(image, rotate=angle)

    assert levels(drawn, reference).max() <= 2
    assert levels(drawn, image_of(other))[inside].max() <= 2


@pytest.mark.parametrize(("scale", "shift", "angle"), [(1.1, 0.125, 15), (0.9, -0.0625, -10)])
def test_an_affine_warp_is_that_of_albumentations(scale: float, shift: float, angle: float) -> None:
    image = smooth_image()
    affine = A.Affine(
        scale=(scale, scale),
        translate_percent={"x": (shift, shift), "y": (0, 0)},
        rotate=(angle, angle),
        keep_ratio=True,
        border_mode=cv2.BORDER_REFLECT_101,
        p=1,
    )

    drawn = forced(image, scale=scale, shift_x=shift, tilt=angle)

    assert levels(drawn, affine(image=image)["image"]).max() <= 2


def test_a_sheared_warp_is_that_of_albumentations() -> None:
    image = smooth_image()
    affine = A.Affine(
        scale=(0.9, 0.9),
        rotate=(-20, -20),
        shear={"x": (5, 5), "y": (-3, -3)},
        keep_ratio=True,
        border_mode=cv2.BORDER_REFLECT_101,
        p=1,
    )

    # albumentations turns the sign of a shear around
    drawn = forced(image, name="light", scale=0.9, tilt=-20, shear_x=-5, shear_y=3)

    assert levels(drawn, affine(image=image)["image"]).max() <= 2


@pytest.mark.parametrize("coefficient", [-0.4, -0.1, 0.4])
def test_an_optical_distortion_is_that_of_opencv(coefficient: float) -> None:
    image = smooth_image(128)
    # As in albumentations, except that the centre is the centre of the image, not half a pixel off
    camera = np.array([[128, 0, 63.5], [0, 128, 63.5], [0, 0, 1]], np.float32)
    lens = np.array([coefficient, coefficient, 0, 0, 0], np.float32)
    x, y = cv2.initUndistortRectifyMap(camera, lens, None, camera, (128, 128), cv2.CV_32FC1)
    reference = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    drawn = forced(image, optical=coefficient)

    assert levels(drawn, reference).max() <= 2
    assert levels(drawn, image).max() > 5


def test_a_grid_distortion_moves_along_both_axes_by_steps_that_fill_the_side() -> None:
    side = 61
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8) * 4, (side, side))
    image = np.stack([ramp, ramp.T, ramp], axis=2)
    steps = np.array([1.3, 0.7, 1.0, 1.2, 0.8])
    nodes = np.concatenate([[0], np.cumsum(steps)]) / steps.sum() * (side - 1)
    place = np.interp(np.arange(side), np.arange(6) * 12, nodes)

    drawn = forced(image, **{f"x_step_{number}": step for number, step in enumerate(steps)})

    np.testing.assert_allclose(drawn[0, :, 0], 4 * place, atol=0.51)
    np.testing.assert_array_equal(drawn[..., 1], image[..., 1])
    down = forced(image, **{f"y_step_{number}": step for number, step in enumerate(steps)})
    np.testing.assert_allclose(down[:, 0, 1], 4 * place, atol=0.51)


def test_a_grid_distortion_is_that_of_albumentations() -> None:
    image = smooth_image(100)
    transform = A.GridDistortion(
        num_steps=5, distort_limit=(-0.3, 0.3), border_mode=cv2.BORDER_REFLECT_101, p=1
    )
    transform.set_random_seed(3)
    transform.py_random.seed(1)
    reference = transform(image=image)["image"]
    transform.py_random.seed(1)
    steps = [[1 + transform.py_random.uniform(-0.3, 0.3) for _ in range(6)] for _ in "xy"]

    drawn = forced(
        image,
        **{f"{axis}_step_{at}": steps[k][at] for k, axis in enumerate("xy") for at in range(5)},
    )

    # It runs to 100 where the last pixel is 99, and doubles one pixel at each node
    assert levels(drawn, reference).mean() < 3
    assert levels(drawn, image).mean() > 2 * levels(drawn, reference).mean()


def test_an_elastic_warp_moves_by_almost_two_pixels_and_smoothly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    side = 224
    monkeypatch.setattr(batch_module, "_CHUNK", 2**30)  # one draw for all
    across = np.broadcast_to(np.arange(side, dtype=np.uint8), (side, side))
    image = np.stack([across, across.T, np.full_like(across, 9)], axis=2)
    augment = BatchAugmentation("paper", normalize=False)
    nodes = augment.draws(torch.arange(400))["elastic"]
    nodes = nodes[nodes.abs().amax(dim=(1, 2, 3)) > 0]
    augment.table = Fixed("paper", {"elastic": nodes}, len(nodes))  # type: ignore[assignment] # as above
    images = batch_of(image).expand(len(nodes), -1, -1, -1)

    drawn = augment(images, draw_seeds=range(len(nodes))).float() - images.float()

    moved = drawn[:, :2, 12:-12, 12:-12]
    assert moved.std().item() == pytest.approx(1.8, abs=0.15)
    assert abs(moved.mean().item()) < 0.05
    for apart in (4, 8, 16):  # as a Gaussian of 8 px smooths white noise
        alike = (moved[..., :-apart] * moved[..., apart:]).mean() / (moved**2).mean()
        assert alike.item() == pytest.approx(np.exp(-(apart**2) / 256), abs=0.07)


def test_the_spline_of_an_elastic_warp_follows_its_nodes_from_border_to_border() -> None:
    weights = spline_weights()

    np.testing.assert_allclose(weights.sum(dim=1), 1, atol=1e-6)
    places = weights @ torch.arange(NODES, dtype=torch.float32)
    np.testing.assert_allclose(places, np.linspace(1, NODES - 2, len(weights)), atol=1e-5)


def test_all_warps_together_are_those_of_albumentations_one_after_the_other() -> None:
    image = smooth_image(128)
    border = cv2.BORDER_REFLECT_101
    bent = A.OpticalDistortion(distort_limit=(0.4, 0.4), border_mode=border, p=1)
    flips = [A.Transpose(p=1), A.VerticalFlip(p=1)]
    moved = [
        A.Rotate(limit=(40, 40), border_mode=border, p=1),
        A.Affine(
            scale=(0.9, 0.9),
            translate_percent={"x": (0.09375, 0.09375), "y": (0, 0)},
            rotate=(-15, -15),
            keep_ratio=True,
            border_mode=border,
            p=1,
        ),
    ]
    inside = np.hypot(*(np.mgrid[:128, :128] - 63.5)) < 40
    reference = A.Compose([*flips, bent, *moved])(image=image)["image"]
    otherwise = A.Compose([*flips, *moved, bent])(image=image)["image"]

    drawn = forced(
        image,
        transpose=1,
        flip_rows=1,
        optical=0.4,
        rotate=40,
        scale=0.9,
        shift_x=0.09375,
        tilt=-15,
    )

    apart = levels(drawn, reference)[inside].mean()
    assert apart < 2.5
    assert levels(drawn, otherwise)[inside].mean() > 1.5 * apart


@pytest.mark.parametrize(("contrast", "brightness"), [(0.8, -0.2), (1.15, 0.1), (1, 0.1)])
def test_light_changes_as_with_albumentations(contrast: float, brightness: float) -> None:
    image = noise_image(SIDE, SIDE, 0)
    reference = A.RandomBrightnessContrast(
        brightness_limit=(brightness, brightness),
        contrast_limit=(contrast - 1, contrast - 1),
        brightness_by_max=False,
        p=1,
    )(image=image)["image"]

    drawn = forced(image, contrast=contrast, brightness=brightness)

    assert levels(drawn, reference).max() <= 1


def test_a_lift_and_a_cast_are_those_of_albumentations() -> None:
    image = noise_image(SIDE, SIDE, 0)
    lift = A.RandomBrightnessContrast(brightness_limit=(0.1, 0.1), contrast_limit=(-0.1, -0.1), p=1)
    factors = np.array([0.93, 1.0, 1.07])
    reference = np.clip(lift(image=image)["image"] * factors, 0, 255)

    drawn = forced(image, name="light", lift=0.1, contrast=0.9, red=0.93, green=1.0, blue=1.07)

    assert levels(drawn, reference.round()).max() <= 1


@pytest.mark.parametrize(
    ("hue", "saturation", "value"),
    [(8, 0, 0), (-8, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 10), (3.5, 12, -10), (-30, 0, 0)],
)
def test_hue_saturation_and_value_shift_as_with_opencv(
    hue: float, saturation: float, value: float
) -> None:
    image = noise_image(SIDE, SIDE, 0)
    image[:4] = image[:4, :, :1]  # grey, and stays so
    image[4], image[5] = 0, 255
    color = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    grey = color[..., 1] < 0.5 / 255
    color[..., 0] = (color[..., 0] + 2 * hue) % 360
    moved = np.clip(color[..., 1] + saturation / 255, 0, 1)
    color[..., 1] = np.where(grey, color[..., 1], moved)
    color[..., 2] = np.clip(color[..., 2] + value / 255, 0, 1)
    exact = cv2.cvtColor(color, cv2.COLOR_HSV2RGB) * 255
    eight_bits = pixel.shift_hsv(image, hue, saturation, value)

    drawn = forced(image, hue=hue, saturation=saturation, value=value)

    np.testing.assert_allclose(drawn, exact, rtol=0, atol=0.51)
    # Hue has 180 levels there, and its fractions are cut off
    assert levels(drawn, eight_bits).mean() < 2
    assert levels(drawn, eight_bits).max() <= 12
    assert (drawn[:4] == drawn[:4, :, :1]).all()


def test_holes_hide_the_image_and_leave_the_mask() -> None:
    image, mask = smooth_image(100), lesion_mask(100)

    drawn, marked = forced(
        image, mask, hole_1_height=0.1, hole_1_width=0.18, hole_1_top=0.5, hole_1_left=1
    )

    hidden = (drawn == FILL).all(axis=2)
    assert hidden[45:55, 82:].all()
    assert hidden.sum() == 10 * 18
    np.testing.assert_array_equal(drawn[~hidden], image[~hidden])
    np.testing.assert_array_equal(marked, mask)


@given(seed=SEEDS, name=st.sampled_from(RANDOM))
@settings(max_examples=60, deadline=None)  # the first call in a process is slow
def test_the_mask_moves_with_the_image(seed: int, name: str) -> None:
    mask = lesion_mask(96)
    image = np.repeat(np.where(mask, 60, 200).astype(np.uint8)[..., None], 3, axis=2)

    images, masks = BatchAugmentation(name, normalize=False)(
        batch_of(image), torch.from_numpy(mask)[None], draw_seeds=[seed]
    )

    drawn = image_of(images)
    hole = (drawn == FILL).all(axis=2)
    grey = drawn.mean(axis=2)
    dark = grey < (grey.min() + grey.max()) / 2
    assert (dark == masks[0].numpy())[~hole].mean() > 0.95


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)  # the first call in a process is slow
def test_the_lesion_survives_every_draw_of_the_paper_table(seed: int) -> None:
    image, mask = smooth_image(), lesion_mask()

    images, masks = BatchAugmentation("paper", normalize=False)(
        batch_of(image), torch.from_numpy(mask)[None], draw_seeds=[seed]
    )

    visible = masks[0].numpy() & ~(image_of(images) == FILL).all(axis=2)
    assert visible.mean() > 0.3 * mask.mean()
    assert not is_blank(image_of(images))


@pytest.mark.parametrize("name", RANDOM)
def test_places_and_sizes_of_lesions_are_distributed_as_with_the_preset(name: str) -> None:
    image, mask = smooth_image(), lesion_mask()
    count = 500
    transform = preset(name, image_size=SIDE, normalize=False, min_kept=0)
    single = [transform(image=image, mask=mask, draw_seed=seed) for seed in range(count)]
    images, masks = BatchAugmentation(name, normalize=False)(
        batch_of(image).expand(count, -1, -1, -1),
        torch.from_numpy(mask).expand(count, -1, -1),
        draw_seeds=range(count),
    )
    whole = [
        {"image": image_of(images, place), "mask": masks[place].numpy()} for place in range(count)
    ]

    def measured(samples: list[dict[str, Any]]) -> npt.NDArray[Any]:
        rows, columns = np.mgrid[:SIDE, :SIDE]
        return np.array(
            [
                [
                    one["mask"].mean(),
                    rows[one["mask"]].mean(),
                    columns[one["mask"]].mean(),
                    one["image"].mean(),
                    (one["image"] == FILL).all(axis=2).mean(),
                ]
                for one in samples
            ]
        )

    for first, second in zip(measured(single).T, measured(whole).T, strict=True):
        assert ks_2samp(first, second).pvalue > 1e-3


@pytest.mark.parametrize("size", [(130, 170), (20, 30), (32, 32), (20, 90)])
@pytest.mark.parametrize("normalize", [True, False])
def test_evaluation_is_that_of_the_preset(size: tuple[int, int], normalize: bool) -> None:
    image = cv2.resize(smooth_image(), size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    mask = cv2.resize(lesion_mask().astype(np.uint8), size[::-1]) > 0
    reference = preset("evaluation", image_size=32, normalize=normalize)(image=image, mask=mask)

    images, masks = BatchAugmentation("evaluation", image_size=32, normalize=normalize)(
        batch_of(image), torch.from_numpy(mask)[None]
    )

    found = images[0] if normalize else image_of(images)
    step = 1 / 255 / min(IMAGENET_STD) if normalize else 1
    difference = np.abs(np.asarray(found, np.float64) - np.asarray(reference["image"], np.float64))
    # Where one side shrinks and the other grows, OpenCV takes neither areas nor lines
    assert difference.max() < (1.01 if size != (20, 90) else 30) * step
    assert (masks[0].numpy() == np.asarray(reference["mask"])).mean() > 0.97


def test_normalising_takes_the_statistics_of_imagenet_out() -> None:
    images = batch_of(noise_image(SIDE, SIDE, 0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    rounded = BatchAugmentation("paper", normalize=False)(images, draw_seeds=[8])

    normalised = BatchAugmentation("paper")(images, draw_seeds=[8])

    back = (normalised * std + mean) * 255
    assert normalised.dtype == torch.float32
    assert (back - rounded.float()).abs().max() < 0.51


def test_another_mean_and_standard_deviation_are_taken_out_of_the_same_pixels() -> None:
    images = batch_of(noise_image(SIDE, SIDE, 0)).repeat(8, 1, 1, 1)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.5, 1)
    usual = BatchAugmentation("paper")(images, draw_seeds=range(8))
    usual_mean, usual_std = (
        torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )

    found = BatchAugmentation("paper", mean=mean, std=std)(images, draw_seeds=range(8))

    back = found * torch.tensor(std).view(3, 1, 1) + torch.tensor(mean).view(3, 1, 1)
    torch.testing.assert_close(back, usual * usual_std + usual_mean, rtol=0, atol=1e-5)


def test_images_of_another_size_are_brought_to_the_size_that_was_asked_for() -> None:
    images = torch.randint(0, 256, (3, 3, 50, 70), dtype=torch.uint8)
    masks = images[:, 0] > 100

    drawn, marked = BatchAugmentation("paper", image_size=32)(images, masks, draw_seeds=[1, 2, 3])

    assert drawn.shape == (3, 3, 32, 32)
    assert (marked.shape, marked.dtype) == ((3, 32, 32), torch.bool)


def test_the_memory_format_of_the_images_is_kept_and_plays_no_other_part() -> None:
    plain = batch_of(*(smooth_image(seed=number) for number in range(2)))
    last = plain.to(memory_format=torch.channels_last)
    spread = nn.functional.pad(plain, (3, 4, 5, 6))[..., 5:-6, 3:-4]
    augment = BatchAugmentation("paper")

    drawn = augment(plain, draw_seeds=[1, 2])

    assert drawn.is_contiguous()
    assert augment(last, draw_seeds=[1, 2]).is_contiguous(memory_format=torch.channels_last)
    for images in (last, spread):
        assert (augment(images, draw_seeds=[1, 2]) - drawn).abs().max() < 1e-3


def test_images_and_masks_that_come_in_are_not_written_to() -> None:
    for name in NAMES:
        images = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
        masks = images[:, 0] > 100
        kept = images.clone(), masks.clone()

        drawn, marked = BatchAugmentation(name, normalize=False)(
            images, masks, draw_seeds=[1, 2, 3]
        )
        drawn.zero_()
        marked.zero_()

        assert torch.equal(images, kept[0])
        assert torch.equal(masks, kept[1])


def test_of_a_dictionary_image_and_mask_are_drawn_and_the_rest_is_handed_on() -> None:
    images = batch_of(smooth_image(), smooth_image(seed=1))
    masks = torch.from_numpy(np.stack([lesion_mask()] * 2))
    seeds = torch.tensor([4, 7])
    augment = BatchAugmentation("paper")
    drawn, marked = augment(images, masks, draw_seeds=seeds)
    batch = {"image": images, "mask": masks, "label": torch.tensor([1, 2]), "id": ["a", "b"]}

    given_seeds = augment(batch, draw_seeds=seeds)
    own_seeds = augment({**batch, "draw_seed": seeds})
    without = augment({"image": images, "mask": None}, draw_seeds=seeds)

    assert torch.equal(given_seeds["image"], drawn)
    assert torch.equal(given_seeds["mask"], marked)
    assert given_seeds["label"] is batch["label"]
    assert given_seeds["id"] is batch["id"]
    assert torch.equal(own_seeds["image"], drawn)
    assert torch.equal(without["image"], drawn)
    assert without["mask"] is None
    assert batch["image"] is images


@pytest.mark.parametrize("name", NAMES)
def test_no_images_give_no_images(name: str) -> None:
    images = torch.zeros(0, 3, SIDE, SIDE, dtype=torch.uint8)

    drawn, masks = BatchAugmentation(name)(images, images[:, 0] > 0, draw_seeds=[])

    assert drawn.shape == images.shape
    assert masks.shape == (0, SIDE, SIDE)


def test_autocast_half_precision_and_modes_change_nothing() -> None:
    seeds = range(12)
    images = batch_of(smooth_image()).expand(12, -1, -1, -1)
    augment = BatchAugmentation("paper")
    drawn = augment(images, draw_seeds=seeds)
    assert augment.draws(seeds)["elastic"].any()  # it has products that autocast would round

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(augment(images, draw_seeds=seeds), drawn)
    for changed in (augment.half(), augment.to(torch.bfloat16), augment.double(), augment.eval()):
        assert torch.equal(changed(images, draw_seeds=seeds), drawn)
    with torch.inference_mode():
        assert torch.equal(augment(images, draw_seeds=seeds), drawn)


def test_it_has_no_state_and_is_copied_and_pickled() -> None:
    images = batch_of(smooth_image())
    augment = BatchAugmentation("paper", image_size=32)
    drawn = augment(images, draw_seeds=[2])

    again = pickle.loads(pickle.dumps(augment))  # noqa: S301 - made on this line

    assert augment.state_dict() == {}
    assert torch.equal(again(images, draw_seeds=[2]), drawn)
    assert torch.equal(copy.deepcopy(augment)(images, draw_seeds=[2]), drawn)


def test_its_text_names_its_options() -> None:
    text = repr(BatchAugmentation("light", image_size=64, std=(0.5, 0.5, 0.5)))

    assert text.startswith(
        "BatchAugmentation(\n  'light', image_size=64, normalize=True, "
        "mean=(0.485, 0.456, 0.406), std=(0.5, 0.5, 0.5)\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_compiler_sees_one_graph_that_no_data_decides(name: str) -> None:
    images = batch_of(smooth_image(), smooth_image(seed=1))
    masks = torch.from_numpy(np.stack([lesion_mask()] * 2))
    seeds = torch.tensor([4, 7])
    augment = BatchAugmentation(name)
    compiled = torch.compile(augment, fullgraph=True, backend="eager")

    drawn, marked = compiled(images, masks, draw_seeds=seeds)

    reference = augment(images, masks, draw_seeds=seeds)
    assert (drawn - reference[0]).abs().max() < 1e-3
    assert torch.equal(marked, reference[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_colours_are_looked_up_for_a_compiler_as_they_are_without_one(dtype: torch.dtype) -> None:
    images = torch.arange(2 * 3 * 20 * 20).mul(37).view(2, 3, 20, 20).to(torch.uint8).to(dtype)
    generator = torch.Generator().manual_seed(0)
    far = torch.rand(2, 2, 20, 20, generator=generator) * 8 - 4  # reflected up to twice
    far[0, :, 0, :3] = torch.tensor([-1.0, 1.0, 3.0])
    positions = (far[:, 0], far[:, 1])

    for one, other in zip(gathered(images, positions), sample(images, positions), strict=True):
        assert (one - other).abs().max() < 0.01


@pytest.mark.data
def test_real_lesions_survive_and_no_image_comes_out_blank(data_dir: Any) -> None:
    folder = data_dir / "isic_challenge" / "Train"
    names = sorted(path.name.removesuffix("_seg.png") for path in folder.glob("*_seg.png"))[::60]
    load = preset("evaluation", image_size=128, normalize=False)
    samples = [
        load(image=read_image(folder / f"{name}.jpg"), mask=read_mask(folder / f"{name}_seg.png"))
        for name in names
    ]
    masks = torch.from_numpy(np.stack([one["mask"] for one in samples]))

    images, marked = BatchAugmentation("paper", normalize=False)(
        batch_of(*(one["image"] for one in samples)), masks, draw_seeds=range(len(names))
    )

    kept = marked.sum(dim=(1, 2)) / masks.sum(dim=(1, 2))
    assert len(names) > 100
    assert kept.min() > 0.5
    assert kept.mean() > 0.95
    assert not any(is_blank(image_of(images, place)) for place in range(len(names)))


@pytest.mark.parametrize(
    ("images", "kind", "got"),
    [
        (None, TypeError, "an object of type NoneType."),
        (
            np.zeros((1, 3, 64, 64), np.uint8),
            TypeError,
            "an object of type ndarray. `preset` takes NumPy arrays.",
        ),
        (
            torch.zeros(1, 3, 64, 64),
            TypeError,
            "dtype torch.float32. Scale values in [0, 1] with "
            "`(images * 255).round().to(torch.uint8)`.",
        ),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), TypeError, "dtype torch.int64."),
        (torch.zeros(3, 64, 64, dtype=torch.uint8), ValueError, "shape (3, 64, 64)."),
        (torch.zeros(1, 3, 0, 64, dtype=torch.uint8), ValueError, "shape (1, 3, 0, 64)."),
        (
            torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
            ValueError,
            "shape (1, 64, 64, 3). Move the channels first with `images.movedim(-1, 1)`.",
        ),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: Any, kind: type, got: str) -> None:
    what = "a tensor of images (N, 3, H, W) of dtype uint8"
    for given_images in (images, {"image": images}):
        with pytest.raises(
            kind, match=f"{re.escape(f'Expected `images` to be {what}, but got {got}')}$"
        ):
            BatchAugmentation("paper")(given_images, draw_seeds=[0])


@pytest.mark.parametrize(
    ("masks", "kind", "got"),
    [
        (np.zeros((2, 64, 64), np.bool_), TypeError, "an object of type ndarray."),
        (torch.zeros(2, 64, 64), TypeError, "dtype torch.float32. Use `masks > 0`."),
        (torch.zeros(2, 1, 64, 64, dtype=torch.bool), ValueError, "shape (2, 1, 64, 64)."),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: Any, kind: type, got: str) -> None:
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    sentence = f"Expected `masks` to be a tensor of masks (2, 64, 64) of dtype bool, but got {got}"
    with pytest.raises(kind, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("paper")(images, masks, draw_seeds=[0, 1])


@pytest.mark.parametrize(
    ("seeds", "kind", "got"),
    [
        (None, TypeError, "None. The same seed gives the same draw."),
        (torch.zeros(2), TypeError, "dtype torch.float32."),
        (torch.zeros(2, dtype=torch.complex64), TypeError, "dtype torch.complex64."),
        ([True, False], TypeError, "dtype torch.bool."),
        ([1, 2, 3], ValueError, "shape (3,)."),
        (np.zeros((2, 1), np.int64), ValueError, "shape (2, 1)."),
    ],
)
def test_seeds_that_do_not_fit_are_refused(seeds: Any, kind: type, got: str) -> None:
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    what = "one integer for each of 2 images"
    sentence = f"Expected `draw_seeds` to be {what}, but got {got}"
    with pytest.raises(kind, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("light")(images, draw_seeds=seeds)


def test_draws_for_seeds_that_are_no_row_are_refused() -> None:
    sentence = "Expected `draw_seeds` to be a row of integers, but got shape (1, 2)."
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("light").draws(torch.tensor([[1, 2]]))


@pytest.mark.parametrize("size", [(64, 80), (15, 15)])
def test_images_whose_size_cannot_be_kept_are_refused(size: tuple[int, int]) -> None:
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    sentence = (
        "Expected `images` to be square and of 16 px or more a side where their size is kept, "
        f"but got {size[0]} x {size[1]} px. Give an `image_size`."
    )
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("light")(images, draw_seeds=[0])
    assert BatchAugmentation("evaluation")(images).shape == images.shape


def test_masks_beside_a_dictionary_are_refused() -> None:
    sentence = (
        "Expected `masks` to be left out beside a dictionary, whose `mask` is drawn, "
        "but got an object of type Tensor."
    )
    with pytest.raises(TypeError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("light")({}, torch.zeros(1), draw_seeds=[0])


def test_an_unknown_name_and_an_unfit_size_are_refused() -> None:
    sentence = (
        "Expected `name` to be one of 'paper', 'light', 'evaluation', but got 'papers'. "
        "Did you mean 'paper'?"
    )
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("papers")
    sentence = "Expected `image_size` to be an integer of 16 or more, but got 15."
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("paper", image_size=15)
    sentence = "Expected `image_size` to be an integer of 16 or more, but got 32.0 of type float."
    with pytest.raises(TypeError, match=f"{re.escape(sentence)}$"):
        BatchAugmentation("paper", image_size=32.0)  # type: ignore[arg-type] # what is refused


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_draws_the_same_numbers_and_nearly_the_same_pixels(name: str, compiled: bool) -> None:
    images = batch_of(*(smooth_image(224, seed) for seed in range(16)))
    masks = torch.from_numpy(np.stack([lesion_mask(224)] * 16))
    seeds = torch.arange(16)
    here, there = BatchAugmentation(name), BatchAugmentation(name).cuda()
    drawn, marked = here(images, masks, draw_seeds=seeds)
    if compiled:
        there.compile()

    drawn_there, marked_there = there(images.cuda(), masks.cuda(), draw_seeds=seeds)

    assert drawn_there.is_cuda
    for key, values in here.draws(seeds).items():
        assert torch.equal(there.draws(seeds)[key].cpu(), values)
    assert ((drawn_there.cpu() - drawn).abs() > 0.02).float().mean() < 1e-3
    assert (marked_there.cpu() == marked).float().mean() > 0.999


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("name", RANDOM)
def test_nothing_waits_for_the_gpu(name: str) -> None:
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, device="cuda")
    seeds = torch.arange(8, device="cuda")
    augment = BatchAugmentation(name).cuda()
    augment(images, images[:, 0] > 99, draw_seeds=seeds)

    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn, _ = augment(images, images[:, 0] > 99, draw_seeds=seeds)  # waiting is an error here
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert drawn.is_cuda
    assert drawn.shape == images.shape
