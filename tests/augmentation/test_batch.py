"""Augmentation of whole batches: what is drawn, by which seeds, and what becomes of the pixels."""

import copy
import itertools
import pickle
import random
import re
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import nn

from dermolib import BatchAugmentation, preset
from dermolib._validation import Image, Mask
from dermolib.augmentation.batch import RANGES
from dermolib.preprocessing import is_blank
from drawing import lesion_image, noise_image

NAMES = list(RANGES)
RANDOM = ["paper", "light"]
SIDE = 64
SEEDS = st.integers(-(2**63), 2**63 - 1)
FILL = [124, 116, 104]
BITS = 2**64
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
REFLECT = {"border_mode": cv2.BORDER_REFLECT_101, "p": 1}
MASK = lesion_image(SIDE, SIDE)[1]
SOURCES = {
    **{"rotation": "Affine.rotate", "scale": "Affine.scale"},
    **dict.fromkeys(("shift_x", "shift_y"), "Affine.translate_percent"),
    **dict.fromkeys(("shear_x", "shear_y"), "Affine.shear"),
    **{"transpose": "Transpose", "flip_columns": "HorizontalFlip", "flip_rows": "VerticalFlip"},
    "contrast": "RandomBrightnessContrast.contrast_limit",
    **dict.fromkeys(("brightness", "lift"), "RandomBrightnessContrast.brightness_limit"),
    "rotation_before": "Rotate.limit",
    "hue": "HueSaturationValue.hue_shift_limit",
    "saturation": "HueSaturationValue.sat_shift_limit",
    "value": "HueSaturationValue.val_shift_limit",
    "hole_0_width": "CoarseDropout.hole_width_range",
    "red": "MultiplicativeNoise.multiplier",
}


def smooth_image(side: int = SIDE, seed: int = 0) -> Image:
    """Draw colors that change slowly, so that a shift by a pixel is a few levels."""
    coarse = np.random.default_rng(seed).uniform(40, 215, (6, 6, 3)).astype(np.float32)
    drawn = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.round(drawn), 0, 255).astype(np.uint8)


def batch_of(*images: Image) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).movedim(-1, 1).contiguous()


def smooth_batch(count: int, side: int = SIDE) -> torch.Tensor:
    return batch_of(*(smooth_image(side, seed) for seed in range(count)))


def masks_of(count: int, mask: Mask = MASK) -> torch.Tensor:
    return torch.from_numpy(np.stack([mask] * count))


def image_of(batch: torch.Tensor, index: int = 0) -> Any:
    return batch[index].movedim(0, -1).numpy()


def forced(image: Image, mask: Mask | None = None, *, name: str = "paper", **numbers: Any) -> Any:
    """Augment an image, or image and mask, with chosen parameters."""
    augment = BatchAugmentation(name, normalize=False)
    neutral = {key: one.neutral for key, one in RANGES[name].items()}
    assert set(numbers) <= set(neutral)
    drawn = {key: torch.tensor([float(v)]) for key, v in (neutral | numbers).items()}
    setattr(augment, "_draw", lambda _seeds: drawn)  # noqa: B010 - a chosen draw of this object
    if mask is None:
        return image_of(augment(batch_of(image), draw_seeds=[0]))
    images, masks = augment(batch_of(image), torch.from_numpy(mask)[None], draw_seeds=[0])
    return image_of(images), masks[0].numpy()


def levels(first: Any, second: Any) -> Any:
    """Compute by how many levels two images differ."""
    return np.abs(first.astype(int) - second.astype(int))


def mixed(state: int) -> int:
    """Mix as the textbook's SplitMix64 does, in Python's integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % BITS
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % BITS
    return state ^ (state >> 31)


@pytest.mark.parametrize("name", RANDOM)
@given(seed=SEEDS)
def test_parameters_are_those_of_splitmix64_in_integers_of_python(name: str, seed: int) -> None:
    assert mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF  # as published
    ranges = RANGES[name]
    gates = list(dict.fromkeys(one.gate for one in ranges.values()))
    start = mixed((seed + 0x9E3779B97F4A7C15) % BITS)
    states = ((start + step * 0x9E3779B97F4A7C15) % BITS for step in itertools.count(1))
    numbers = [(mixed(next(states)) >> 40) / 2**24 for _ in range(len(gates) + len(ranges))]

    drawn = BatchAugmentation(name).draws([seed])

    for (key, one), number in zip(ranges.items(), numbers[len(gates) :], strict=True):
        is_open = np.float32(numbers[gates.index(one.gate)]) < np.float32(one.probability)
        value = one.low + (one.high - one.low) * number if is_open else one.neutral
        assert drawn[key].item() == pytest.approx(value, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", RANDOM)
@given(seeds=st.lists(SEEDS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=25)
def test_a_draw_depends_on_its_seed_alone(name: str, seeds: list[int], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(seeds))))
    images = smooth_batch(len(seeds))
    augment = BatchAugmentation(name)
    generators = random.getstate(), torch.get_rng_state()

    whole, permuted = augment.draws(seeds), augment.draws(torch.tensor(seeds)[order])
    drawn = augment(images, draw_seeds=seeds)[order]
    together = augment(images[order], draw_seeds=torch.tensor(seeds)[order])
    alone = [augment(images[at : at + 1], draw_seeds=np.array([seeds[at]])) for at in order]

    assert all(torch.equal(permuted[key], values[order]) for key, values in whole.items())
    for again in (together, torch.cat(alone)):
        # Hardly any pixel: a hue at the edge of a sextant, a center at the rim of a hole
        assert ((again - drawn).abs() > 1e-3).float().mean() < 1e-4
    assert random.getstate() == generators[0]
    assert torch.equal(torch.get_rng_state(), generators[1])


@pytest.mark.parametrize("name", RANDOM)
def test_every_parameter_is_drawn_as_often_and_as_far_as_its_range_says(name: str) -> None:
    count = 20_000
    draws = BatchAugmentation(name).draws(torch.arange(count))

    for key, one in RANGES[name].items():
        values = draws[key].numpy()
        applied = values[values != np.float32(one.neutral)]
        p = one.probability
        if one.low == one.high == one.neutral:
            assert not len(applied)
            continue
        assert abs(len(applied) / count - p) < 4 * (p * (1 - p) / count) ** 0.5
        if one.low == one.high:
            assert (applied == one.low).all()
        else:
            assert kstest(applied, "uniform", (one.low, one.high - one.low)).pvalue > 1e-4
            assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.03
    kinds = draws["transpose"] * 4 + draws["flip_columns"] * 2 + draws["flip_rows"]
    symmetries = np.bincount(kinds.long().numpy(), minlength=8)
    np.testing.assert_allclose(symmetries / count, 1 / 8, atol=0.015)
    if name == "paper":
        widths = torch.stack([draws[f"hole_{number}_width"] for number in range(3)])
        holes = np.bincount((widths > 0).sum(dim=0).numpy()) / count
        np.testing.assert_allclose(holes, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.015)


@pytest.mark.parametrize("name", RANDOM)
def test_the_ranges_are_those_of_the_preset(name: str) -> None:
    transforms = preset(name, image_size=224).transforms
    steps = {type(step).__name__: step for step in transforms}

    found = {}
    for key, place in SOURCES.items():
        step, _, attribute = place.partition(".")
        if key in RANGES[name]:
            limits = getattr(steps[step], attribute) if attribute else (1, 1)
            low, high = limits["x"] if isinstance(limits, dict) else limits
            offset = RANGES[name][key].neutral if key == "contrast" else 0
            found[key] = (offset + low, offset + high, steps[step].p)

    assert found == {
        key: (*one[:2], one.probability) for key, one in RANGES[name].items() if key in found
    }
    assert steps["RandomBrightnessContrast"].brightness_by_max == (name == "light")
    if name == "paper":
        one_of, lens = next(s for s in transforms if "One" in repr(s)), RANGES[name]["lens"]
        assert lens[:2] == one_of.transforms[0].distort_limit
        assert lens.probability == pytest.approx(one_of.p / 3)
        holes = steps["CoarseDropout"]
        assert (holes.num_holes_range, list(holes.fill)) == ((1, 3), FILL)


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


@pytest.mark.parametrize(
    ("name", "scale", "shift", "angle", "shear"),
    [("paper", 1.1, 0.125, 15, 0), ("paper", 0.9, -0.0625, -10, 0), ("light", 0.9, 0, -20, 5)],
)
def test_an_affine_warp_is_that_of_albumentations(
    name: str, scale: float, shift: float, angle: float, shear: float
) -> None:
    image = smooth_image()
    affine = A.Affine(
        scale=(scale, scale),
        translate_percent={"x": (shift, shift), "y": (0, 0)},
        rotate=(angle, angle),
        shear={"x": (shear, shear), "y": (-shear / 2, -shear / 2)},
        keep_ratio=True,
        **REFLECT,
    )
    numbers: dict[str, Any] = {"scale": scale, "shift_x": shift, "rotation": angle}

    # albumentations has shears of the opposite sign
    drawn = forced(image, name=name, shear_x=-shear, shear_y=shear / 2, **numbers)

    assert levels(drawn, affine(image=image)["image"]).max() <= 2


@pytest.mark.parametrize("coefficient", [-0.4, -0.1, 0.4])
def test_an_optical_distortion_is_that_of_opencv(coefficient: float) -> None:
    image = smooth_image(128)
    # As in albumentations, except that the center is the center of the image, not half a pixel off
    camera = np.array([[128, 0, 63.5], [0, 128, 63.5], [0, 0, 1]], np.float32)
    lens = np.array([coefficient, coefficient, 0, 0, 0], np.float32)
    x, y = cv2.initUndistortRectifyMap(camera, lens, None, camera, (128, 128), cv2.CV_32FC1)
    reference = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    drawn = forced(image, lens=coefficient)

    assert levels(drawn, reference).max() <= 2
    assert levels(drawn, image).max() > 5


def test_all_warps_together_are_those_of_albumentations_one_after_the_other() -> None:
    image = smooth_image(128)
    bent = A.OpticalDistortion(distort_limit=(0.4, 0.4), **REFLECT)
    flips, turned = [A.Transpose(p=1), A.VerticalFlip(p=1)], A.Rotate(limit=(40, 40), **REFLECT)
    affine = A.Affine(scale=(0.9, 0.9), rotate=(-15, -15), keep_ratio=True, **REFLECT)
    inside = np.hypot(*(np.mgrid[:128, :128] - 63.5)) < 40
    reference = A.Compose([*flips, bent, turned, affine])(image=image)["image"]

    symmetries: dict[str, Any] = {"transpose": 1, "flip_rows": 1}
    drawn = forced(image, **symmetries, lens=0.4, rotation_before=40, scale=0.9, rotation=-15)

    assert levels(drawn, reference)[inside].mean() < 2.5
    assert levels(drawn, forced(image, **symmetries))[inside].mean() > 5


@pytest.mark.parametrize(("contrast", "brightness"), [(0.8, -0.2), (1.15, 0.1), (1, 0.1)])
def test_light_changes_as_with_albumentations(contrast: float, brightness: float) -> None:
    image = noise_image(SIDE, SIDE, 0)
    limits = {"brightness_limit": (brightness,) * 2, "contrast_limit": (contrast - 1,) * 2, "p": 1}
    by_mean = A.RandomBrightnessContrast(**limits, brightness_by_max=False)(image=image)["image"]
    by_range = A.RandomBrightnessContrast(**limits)(image=image)["image"]
    cast: dict[str, Any] = {"red": 0.93, "green": 1.0, "blue": 1.07}

    drawn = forced(image, contrast=contrast, brightness=brightness)
    lifted = forced(image, name="light", lift=brightness, contrast=contrast, **cast)

    assert levels(drawn, by_mean).max() <= 1
    assert levels(lifted, np.clip(by_range * [*cast.values()], 0, 255).round()).max() <= 1


@pytest.mark.parametrize(
    ("hue", "saturation", "value"),
    [(8, 0, 0), (-8, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 10), (3.5, 12, -10), (-30, 0, 0)],
)
def test_hue_saturation_and_value_shift_as_with_opencv(
    hue: float, saturation: float, value: float
) -> None:
    image = noise_image(SIDE, SIDE, 0)
    image[:4] = image[:4, :, :1]  # gray, and stays so
    image[4], image[5] = 0, 255
    color = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    gray = color[..., 1] < 0.5 / 255
    color[..., 0] = (color[..., 0] + 2 * hue) % 360
    moved = np.clip(color[..., 1] + saturation / 255, 0, 1)
    color[..., 1] = np.where(gray, color[..., 1], moved)
    color[..., 2] = np.clip(color[..., 2] + value / 255, 0, 1)
    exact = cv2.cvtColor(color, cv2.COLOR_HSV2RGB) * 255

    drawn = forced(image, hue=hue, saturation=saturation, value=value)

    np.testing.assert_allclose(drawn, exact, rtol=0, atol=0.51)
    assert (drawn[:4] == drawn[:4, :, :1]).all()


def test_holes_hide_the_image_and_leave_the_mask() -> None:
    image, mask = smooth_image(100), lesion_image(100, 100)[1]
    place: dict[str, Any] = {
        "hole_1_height": 0.1,
        "hole_1_width": 0.18,
        "hole_1_top": 0.5,
        "hole_1_left": 1,
    }

    drawn, marked = forced(image, mask, **place)

    hidden = (drawn == FILL).all(axis=2)
    assert hidden[45:55, 82:].all()
    assert hidden.sum() == 10 * 18
    np.testing.assert_array_equal(drawn[~hidden], image[~hidden])
    np.testing.assert_array_equal(marked, mask)


@given(seed=SEEDS, name=st.sampled_from(RANDOM))
@settings(max_examples=60)
def test_the_mask_moves_with_the_image_and_the_lesion_survives(seed: int, name: str) -> None:
    image = np.repeat(np.where(MASK, 60, 170).astype(np.uint8)[..., None], 3, axis=2)
    augment = BatchAugmentation(name, normalize=False)

    images, masks = augment(batch_of(image), masks_of(1), draw_seeds=[seed])

    drawn = image_of(images)
    hole = (drawn == FILL).all(axis=2)
    gray = drawn.mean(axis=2)
    dark = gray < (gray.min() + gray.max()) / 2
    assert (dark == masks[0].numpy())[~hole].mean() > 0.95
    assert (masks[0].numpy() & ~hole).mean() > 0.3 * MASK.mean()
    assert not is_blank(drawn)


@pytest.mark.parametrize("size", [(130, 170), (20, 30), (32, 32), (20, 90)])
@pytest.mark.parametrize("fit", ["squeeze", "pad", "crop"])
@pytest.mark.parametrize("normalize", [True, False])
def test_evaluation_is_that_of_the_preset(size: tuple[int, int], normalize: bool, fit: str) -> None:
    image = cv2.resize(smooth_image(), size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
    mask = cv2.resize(MASK.astype(np.uint8), size[::-1]) > 0
    options: dict[str, Any] = {"image_size": 32, "normalize": normalize, "fit": fit}
    options |= {"mean": (0.1, 0.5, 0.9), "std": (0.2, 0.5, 1)}
    reference = preset("evaluation", **options)(image=image, mask=mask)

    images, masks = BatchAugmentation("evaluation", **options)(batch_of(image), masks_of(1, mask))

    found = images[0] if normalize else image_of(images)
    step = 1 / 255 / 0.2 if normalize else 1
    difference = np.abs(np.asarray(found, np.float64) - np.asarray(reference["image"], np.float64))
    # Where one side shrinks and the other grows, OpenCV takes neither areas nor lines
    assert difference.max() < (1.01 if size != (20, 90) else 30) * step
    # An enlarged mask is linear here and by nearest pixels there
    least = 0.9 if fit == "crop" else 0.97
    assert (masks[0].numpy() == np.asarray(reference["mask"])).mean() > least


def test_the_memory_format_of_the_images_is_kept_and_plays_no_other_part() -> None:
    plain = smooth_batch(2)
    last = plain.to(memory_format=torch.channels_last)
    spread = nn.functional.pad(plain, (3, 4, 5, 6))[..., 5:-6, 3:-4]
    augment = BatchAugmentation("paper")

    drawn = augment(plain, draw_seeds=[1, 2])

    assert drawn.is_contiguous()
    assert augment(last, draw_seeds=[1, 2]).is_contiguous(memory_format=torch.channels_last)
    for images in (last, spread):
        assert (augment(images, draw_seeds=[1, 2]) - drawn).abs().max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("count", "shape", "size"), [(3, (64, 64), None), (2, (50, 70), 32)])
def test_any_batch_gets_its_size_and_is_not_written_to(
    name: str, count: int, shape: tuple[int, int], size: int | None
) -> None:
    images = torch.randint(0, 256, (count, 3, *shape), dtype=torch.uint8)
    masks = images[:, 0] > 100
    kept = images.clone(), masks.clone()
    augment = BatchAugmentation(name, normalize=False, image_size=size)

    drawn, marked = augment(images, masks, draw_seeds=range(count))
    none, unmarked = augment(images[:0], masks[:0], draw_seeds=[])

    side = size or 64
    assert (drawn.shape, marked.shape) == ((count, 3, side, side), (count, side, side))
    assert (none.shape, unmarked.shape) == ((0, 3, side, side), (0, side, side))
    assert (drawn.dtype, marked.dtype) == (torch.uint8, torch.bool)
    drawn.zero_(), marked.zero_()
    assert torch.equal(images, kept[0])
    assert torch.equal(masks, kept[1])


def test_of_a_dictionary_image_and_mask_are_drawn_and_the_rest_is_passed_on() -> None:
    images, masks, seeds = smooth_batch(2), masks_of(2), torch.tensor([4, 7])
    augment = BatchAugmentation("paper")
    drawn, marked = augment(images, masks, draw_seeds=seeds)
    batch = {"image": images, "mask": masks, "label": torch.tensor([1, 2]), "id": ["a", "b"]}

    given_seeds = augment(batch, draw_seeds=seeds)
    own_seeds = augment({**batch, "draw_seed": seeds})
    without = augment({"image": images, "mask": None}, draw_seeds=seeds)

    assert torch.equal(given_seeds["mask"], marked)
    assert given_seeds["label"] is batch["label"]
    assert given_seeds["id"] is batch["id"]
    assert all(torch.equal(one["image"], drawn) for one in (given_seeds, own_seeds, without))
    assert without["mask"] is None
    assert batch["image"] is images


@pytest.mark.parametrize("name", NAMES)
def test_precision_modes_copies_and_compilers_change_nothing(name: str) -> None:
    images, masks, seeds = smooth_batch(6), masks_of(6), range(6)
    augment = BatchAugmentation(name, image_size=32)
    drawn, marked = augment(images, masks, draw_seeds=seeds)
    copies = [pickle.loads(pickle.dumps(augment)), copy.deepcopy(augment)]  # noqa: S301 - our own
    compiled = torch.compile(copy.deepcopy(augment), fullgraph=True, backend="eager")

    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        assert torch.equal(augment(images, draw_seeds=seeds), drawn)
    for changed in (*copies, augment.half(), augment.to(torch.bfloat16), augment.double().eval()):
        assert torch.equal(changed(images, draw_seeds=seeds), drawn)
    found = compiled(images, masks, draw_seeds=torch.arange(6))
    assert (found[0] - drawn).abs().max() < 1e-3
    assert torch.equal(found[1], marked)
    assert augment.state_dict() == {}


UINT8 = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (None, {}, TypeError, "`images` .* of type NoneType"),
        (UINT8.numpy(), {}, TypeError, "`images` .* of type ndarray. `preset` takes NumPy arrays"),
        (UINT8.float(), {}, TypeError, "`images` .* dtype torch.float32. .* scaled by 255"),
        (UINT8.long(), {}, TypeError, "`images` .* dtype torch.int64"),
        (UINT8[0], {}, ValueError, "`images` .* shape (3, 64, 64)"),
        (UINT8[:, :, :0], {}, ValueError, "`images` .* shape (2, 3, 0, 64)"),
        (UINT8.movedim(1, -1), {}, ValueError, "`images` .* `images.movedim(-1, 1)`"),
        (UINT8[..., :48], {}, ValueError, "`images` .* 64 x 48 px. Give an `image_size`"),
        (UINT8[..., :15, :15], {}, ValueError, "`images` .* square and of 16 px or more"),
        (UINT8, {"masks": np.zeros((2, 64, 64), bool)}, TypeError, "`masks` .* type ndarray"),
        (UINT8, {"masks": UINT8[:, 0]}, TypeError, "`masks` .* Use `masks > 0`"),
        (UINT8, {"masks": UINT8[:, :1] > 0}, ValueError, "`masks` .* shape (2, 1, 64, 64)"),
        ({}, {"masks": UINT8[:, 0] > 0}, TypeError, "`masks` .* left out beside a dictionary"),
        (UINT8, {"draw_seeds": None}, TypeError, "`draw_seeds` .* None. The same seed gives"),
        (UINT8, {"draw_seeds": torch.zeros(2)}, TypeError, "`draw_seeds` .* dtype torch.float32"),
        (UINT8, {"draw_seeds": [1j, 2j]}, TypeError, "`draw_seeds` .* dtype torch.complex64"),
        (UINT8, {"draw_seeds": [True, False]}, TypeError, "`draw_seeds` .* dtype torch.bool"),
        (UINT8, {"draw_seeds": [1, 2, 3]}, ValueError, "`draw_seeds` .* each of 2 images.* (3,)"),
        (UINT8, {"draw_seeds": [[1], [2]]}, ValueError, "`draw_seeds` .* shape (2, 1)"),
    ],
)
def test_what_does_not_fit_is_refused(
    images: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    pattern = ".*".join(map(re.escape, message.split(".*")))
    for batch in (images,) if options or isinstance(images, dict) else (images, {"image": images}):
        with pytest.raises(error, match=pattern):
            BatchAugmentation("light")(batch, **{"draw_seeds": [0, 1], **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "papers"}, ValueError, r"`name` to be one of .* Did you mean 'paper'"),
        ({"image_size": 15}, ValueError, "`image_size` to be an integer of 16 or more"),
        ({"image_size": 32.0}, TypeError, r"`image_size` .* 32\.0 of type float"),
        ({}, ValueError, "`draw_seeds` to be a row of integers"),
    ],
)
def test_unfit_options_and_seeds_that_are_not_a_row_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        BatchAugmentation(**options).draws(torch.tensor([[1, 2]]))


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_draws_the_same_numbers_and_nearly_the_same_pixels(name: str, compiled: bool) -> None:
    images, masks, seeds = smooth_batch(16, 224), masks_of(16, lesion_image(224, 224)[1]), range(16)
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
@needs_cuda
@pytest.mark.parametrize("name", RANDOM)
def test_nothing_waits_for_the_gpu(name: str) -> None:
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8, device="cuda")
    seeds = torch.arange(8, device="cuda")
    augment = BatchAugmentation(name).cuda()
    augment(images, images[:, 0] > 99, draw_seeds=seeds)

    torch.cuda.set_sync_debug_mode("error")
    try:
        # Waiting is an error here
        drawn, marked = augment(images, images[:, 0] > 99, draw_seeds=seeds)
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert (drawn.is_cuda, marked.is_cuda, len(drawn)) == (True, True, 8)
