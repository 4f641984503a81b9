"""Presets: what they apply, how they are seeded, and what they promise about image and mask."""

import os
import pickle
import random
from collections import Counter
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import BatchAugmentation, list_presets, prepare, preset
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD, Preset, presets
from dermolib.augmentation.presets import Augmented, TransformSequence, make_generators
from dermolib.augmentation.recipes import RECIPES
from dermolib.io import read_image, read_mask, write_image, write_mask
from dermolib.preprocessing import is_blank
from dermolib.preprocessing.aspect_ratio import FITS, PADDING
from drawing import lesion_image

NAMES = list_presets()
RANDOM = [name for name in NAMES if name != "evaluation"]
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))
SEEDS = st.integers(0, 2**40)


def corner(place: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Draw a small lesion into one of the four corners, and its mask."""
    image, mask = lesion_image(90, 120)
    rows, columns = 80 * place[0], 106 * place[1]
    image[mask] = image[0, 0]
    mask = np.zeros((90, 120), bool)
    mask[rows : rows + 10, columns : columns + 14] = True
    image[mask] = 60
    return image, mask


def stream(transform: Preset, draws: int = 6) -> list[bytes]:
    image, _ = lesion_image(60, 80)
    return [np.asarray(transform(image=image)["image"]).tobytes() for _ in range(draws)]


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_warns_and_each_gives_a_normalized_tensor_and_a_boolean_mask(name: str) -> None:
    image, mask = lesion_image(60, 80)
    transform = preset(name, image_size=48, seed=1)

    assert transform.random == (name != "evaluation")
    for _ in range(40):
        sample = transform(image=image, mask=mask)
        assert (sample["image"].shape, sample["mask"].shape) == ((3, 48, 48), (48, 48))
        assert (sample["image"].dtype, sample["mask"].dtype) == (torch.float32, torch.bool)
        assert sample["image"].is_contiguous()


def test_evaluation_shrinks_by_area_and_takes_the_statistics_of_imagenet_out() -> None:
    image, mask = lesion_image(130, 170)
    small = cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA)
    reference = (small / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)

    sample = preset("evaluation", image_size=32)(image=image, mask=mask)

    found = sample["image"].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5)
    shrunk = cv2.resize(mask.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    assert (sample["mask"].numpy() == (shrunk >= 0.5))[np.abs(shrunk - 0.5) > 0.01].all()


@given(mean=st.tuples(*[st.floats(0, 1)] * 3), std=st.tuples(*[st.floats(0.01, 1)] * 3), seed=SEEDS)
def test_any_mean_and_standard_deviation_is_taken_out_of_the_same_pixels(
    mean: tuple[float, float, float], std: tuple[float, float, float], seed: int
) -> None:
    image, _ = lesion_image(60, 80)
    pixels = preset("paper", image_size=16, seed=seed, normalize=False)(image=image)["image"]
    reference = (pixels / 255 - np.array(mean)) / np.array(std)

    transform = preset("paper", image_size=16, seed=seed, mean=mean, std=std)

    assert (transform.mean, transform.std) == (mean, std)
    found = transform(image=image)["image"].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [preset, BatchAugmentation])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mean": 0.5}, TypeError, r"`mean` to be three numbers.* of type float"),
        ({"std": [0.5]}, ValueError, r"`std` to be three numbers.* got 1"),
        ({"mean": (123.7, 116.3, 103.5)}, ValueError, r"`mean\[0\]` to be a number in 0..1"),
        ({"std": (0.2, 0.2, 0)}, ValueError, r"`std\[2\]` to be a number above 0 and up to 1"),
    ],
)
def test_an_unfit_mean_or_standard_deviation_is_refused(
    build: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build("light", image_size=16, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalize", [True, False])
def test_the_same_seed_gives_the_same_stream(name: str, normalize: bool) -> None:
    first = preset(name, image_size=32, seed=7, normalize=normalize)
    second = preset(name, image_size=32, seed=7, normalize=normalize)

    assert stream(first) == stream(second)


def test_another_seed_gives_another_stream_and_no_seed_a_new_one_each_time() -> None:
    transforms = [preset("paper", image_size=32, seed=seed) for seed in (0, 1, None, None)]

    streams = [stream(transform) for transform in transforms]

    assert len({tuple(draws) for draws in streams}) == 4
    assert all(len({*draws}) == len(draws) for draws in streams)
    transforms[3].set_random_seed(1)  # which restarts the stream
    assert stream(transforms[3]) == streams[1]


@given(seed=SEEDS, size=SIZES)
@settings(max_examples=15)
def test_a_draw_seed_repeats_its_draw_and_leaves_the_stream_where_it_is(
    seed: int, size: tuple[int, int]
) -> None:
    image, _ = lesion_image(*size)
    transform = preset("paper", image_size=24, seed=5, normalize=False)
    undisturbed = stream(preset("paper", image_size=24, seed=5, normalize=False), 2)

    before = stream(transform, 1)
    one = transform(image=image, draw_seed=(seed, 1))
    two = preset("paper", image_size=24, normalize=False)(image=image, draw_seed=[seed, 1])

    assert [*before, *stream(transform, 1)] == undisturbed
    np.testing.assert_array_equal(one["image"], two["image"])


def test_draw_seeds_beside_each_other_give_different_draws() -> None:
    image, _ = lesion_image(60, 80)
    transform = preset("paper", image_size=32, normalize=False)

    seeds = (*range(20), *((0, epoch, index) for epoch in (1, 2) for index in (1, 2)))
    assert len({transform(image=image, draw_seed=seed)["image"].tobytes() for seed in seeds}) == 24


def test_global_generators_are_neither_read_nor_moved() -> None:
    first = stream(preset("paper", image_size=32, seed=7))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what this test is about
    torch.manual_seed(1)
    before = (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state())  # type: ignore[index] # noqa: NPY002 - as above; the stub allows for a dictionary

    again = stream(preset("paper", image_size=32, seed=7))

    assert again == first
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tobytes() == before[1]  # type: ignore[index] # noqa: NPY002 - as above
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("name", RANDOM)
def test_all_eight_symmetries_are_drawn_equally_often(name: str) -> None:
    image, _ = lesion_image(60, 80)
    transform = preset(name, image_size=16, seed=0, normalize=False)
    symmetries = Counter[frozenset[str]]()

    for _ in range(400):
        transform(image=image)
        flips = {"Transpose", "HorizontalFlip", "VerticalFlip"}
        symmetries[frozenset(flips.intersection(transform.applied))] += 1

    assert len(symmetries) == 8
    assert min(symmetries.values()) > 25


@pytest.mark.parametrize("size", [24, None])
def test_a_preset_pickles_small_and_with_its_place_in_the_stream(size: int | None) -> None:
    transform = preset("paper", image_size=size, seed=2)
    stream(transform, 30)

    data = pickle.dumps(transform)
    copy = pickle.loads(data)  # noqa: S301 - made two lines above

    assert stream(copy) == stream(transform)
    assert len(data) < 10_000


@pytest.mark.parametrize("name", NAMES)
def test_image_and_mask_that_come_in_are_never_written_to_and_may_be_any_view(name: str) -> None:
    image, mask = lesion_image(32, 32)
    view = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    view.flags.writeable = False
    kept_image, kept_mask = image.copy(), mask.copy()
    transform = preset(name, image_size=32, normalize=False)

    for seed in range(60):
        sample = transform(image=image, mask=mask, draw_seed=seed)
        same = transform(image=view, mask=mask, draw_seed=seed)["image"]
        np.testing.assert_array_equal(sample["image"], same)
        sample["image"][:] = 0
        sample["mask"][:] = True

    np.testing.assert_array_equal(image, kept_image)
    np.testing.assert_array_equal(mask, kept_mask)


@given(name=st.sampled_from(NAMES), size=SIZES, seed=SEEDS, keep=st.booleans())
@settings(max_examples=60)
def test_any_image_gets_the_size_that_was_asked_for_or_keeps_its_own_up_to_a_swap(
    name: str, size: tuple[int, int], seed: int, keep: bool
) -> None:
    size = (max(size[0], 16), max(size[1], 16)) if keep else size
    image, mask = lesion_image(*size)
    transform = preset(name, image_size=None if keep else 16, normalize=False)

    sample = transform(image=image, mask=mask, draw_seed=seed)

    assert sorted(sample["image"].shape[:2]) == (sorted(size) if keep else [16, 16])
    assert sample["mask"].shape == sample["image"].shape[:2]
    assert (sample["image"].dtype, sample["mask"].dtype) == (np.uint8, np.bool_)


@given(name=st.sampled_from(NAMES), seed=SEEDS)
@settings(max_examples=60)
def test_the_mask_moves_with_the_image(name: str, seed: int) -> None:
    image, mask = lesion_image(96, 96)
    transform = preset(name, image_size=96, normalize=False)
    flat = np.where(mask, 60, 200).astype(np.uint8)
    image = np.repeat(flat[..., None], 3, axis=2)

    sample = transform(image=image, mask=mask, draw_seed=seed)

    hole = (sample["image"] == [124, 116, 104]).all(axis=2)
    gray = sample["image"].mean(axis=2)
    dark = gray < (gray.min() + gray.max()) / 2
    agree = (dark == sample["mask"])[~hole].mean()
    assert agree > 0.95


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize(
    ("size", "fit"),
    [
        *((size, fit) for size in [(60, 80), (91, 20), (48, 48)] for fit in FITS),
        (None, "squeeze"),
    ],
)
def test_the_bits_are_those_of_albumentations_from_the_same_generators(
    name: str, normalize: bool, size: tuple[int, int] | None, fit: str
) -> None:
    image, mask = lesion_image(*(size or (60, 80)))
    transform = preset(
        name, image_size=48 if size else None, fit=fit, normalize=normalize, min_visibility=0
    )
    reference = A.Compose(transform.transforms)
    if size is None:
        # 60 px are nearest to the size from which on lengths scale with the image
        steps = RECIPES[name](56, True)
        reference = A.Compose(steps + ([A.Normalize(), A.ToTensorV2()] if normalize else []))

    for seed in range(20):
        reference.set_random_state(*make_generators(seed))
        expected = reference(image=image, mask=mask.astype(np.uint8) * np.uint8(255))
        sample = transform(image=image, mask=mask, draw_seed=seed)
        np.testing.assert_array_equal(sample["image"], expected["image"])
        np.testing.assert_array_equal(sample["mask"], expected["mask"] >= 128)


@pytest.mark.parametrize(
    ("fit", "stripes", "bars"),
    [
        ("squeeze", [*[0] * 10, *[80] * 10, *[160] * 10, *[240] * 10], 0),
        ("pad", [*[0] * 10, *[80] * 10, *[160] * 10, *[240] * 10], 10),
        ("crop", [*[80] * 20, *[160] * 20], 0),
    ],
)
def test_an_image_that_is_not_square_is_squeezed_padded_or_cropped_everywhere_alike(
    tmp_path: Path, fit: str, stripes: list[int], bars: int
) -> None:
    row = np.repeat(np.array([0, 80, 160, 240], np.uint8), 20)
    image = np.broadcast_to(row[:, None], (40, 80, 3)).copy()
    write_image(tmp_path / "in" / "a.png", image)
    write_mask(tmp_path / "in" / "a_seg.png", image[..., 0] >= 160)
    options: dict[str, Any] = {"image_size": 40, "fit": fit, "normalize": False}
    expected = np.broadcast_to(np.array(stripes)[:, None], (40, 40, 3)).copy()
    expected[:bars] = expected[40 - bars :] = PADDING
    lesion = np.broadcast_to(np.array(stripes) >= 160, (40, 40)).copy()
    lesion[:bars] = lesion[40 - bars :] = False

    sample = preset("evaluation", **options)(image=image, mask=image[..., 0] >= 160)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    pixels, masks = BatchAugmentation("evaluation", **options)(batch, batch[:, 0] >= 160)
    folder, out = tmp_path / "in", tmp_path / "out"
    store = prepare(folder, out, steps=[], image_size=40, fit=fit, masks=folder, progress=False)

    for found in (sample["image"], pixels[0].permute(1, 2, 0).numpy(), store["a"]):
        np.testing.assert_array_equal(found, expected)
    for mask in (sample["mask"], masks[0].numpy(), store.mask(0)):
        np.testing.assert_array_equal(mask, lesion)
    with pytest.raises(ValueError, match=r"fit '\w+' there, '\w+' here"):
        prepare(folder, out, steps=[], image_size=40, fit=FITS[FITS.index(fit) - 1], masks=folder)


def test_an_image_that_has_the_size_is_not_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    image, mask = lesion_image(32, 32)
    transform = preset("evaluation", image_size=32, normalize=False)
    monkeypatch.delattr(cv2, "resize")

    for given_mask in (mask, mask.astype(np.uint8), mask * np.uint8(255)):  # above 0 is lesion
        sample = transform(image=image, mask=given_mask)
        np.testing.assert_array_equal(sample["image"], image)
        np.testing.assert_array_equal(sample["mask"], mask)


@given(name=st.sampled_from(RANDOM), seed=SEEDS, place=st.tuples(*[st.integers(0, 1)] * 2))
def test_half_of_a_lesion_in_the_corner_stays_visible_in_every_draw(
    name: str, seed: int, place: tuple[int, int]
) -> None:
    image, mask = corner(place)
    transform = preset(name, image_size=64, normalize=False)

    sample = transform(image=image, mask=mask, draw_seed=seed)

    again = transform(image=image, mask=mask, draw_seed=seed)
    assert transform.visibility is not None
    assert transform.visibility >= 0.5
    assert 1 <= transform.attempts <= 6
    assert sample["mask"].any()
    assert not is_blank(sample["image"])
    np.testing.assert_array_equal(again["image"], sample["image"])
    np.testing.assert_array_equal(again["mask"], sample["mask"])


def test_draws_that_lose_the_lesion_are_made_again_and_only_those() -> None:
    image, mask = corner((0, 0))
    transform = preset("strong", image_size=64, normalize=False)
    once = preset("strong", image_size=64, normalize=False, min_visibility=0)
    attempts = Counter[int]()

    for seed in range(150):
        sample = transform(image=image, mask=mask, draw_seed=seed)
        first = once(image=image, mask=mask, draw_seed=seed)
        attempts[transform.attempts] += 1
        assert once.visibility is not None
        assert (transform.attempts == 1) == (once.visibility >= 0.5)
        assert once.attempts == 1
        if transform.attempts == 1:
            np.testing.assert_array_equal(sample["image"], first["image"])

    assert set(attempts) == set(range(1, 7))


def test_a_draw_made_again_leaves_the_stream_where_one_draw_leaves_it() -> None:
    image, mask = corner((1, 0))
    masked = preset("strong", image_size=64, seed=1, normalize=False)
    plain = preset("strong", image_size=64, seed=1, normalize=False)
    again = 0

    for _ in range(60):
        with_mask, without = masked(image=image, mask=mask), plain(image=image)
        again += masked.attempts > 1
        if masked.attempts == 1:
            np.testing.assert_array_equal(with_mask["image"], without["image"])

    assert again > 3


@pytest.mark.parametrize("name", RANDOM)
def test_where_all_of_the_lesion_must_stay_nothing_is_lost(name: str) -> None:
    image, mask = corner((0, 1))
    transform = preset(name, image_size=64, normalize=False, min_visibility=1)

    for seed in range(30):
        transform(image=image, mask=mask, draw_seed=seed)
        assert transform.visibility == 1


def test_without_a_lesion_nothing_is_kept_or_repeated() -> None:
    image, _ = lesion_image(60, 80)
    transform = preset("strong", image_size=32, normalize=False)

    for seed in range(20):
        for mask in (None, np.zeros((60, 80), bool)):
            sample = transform(image=image, mask=mask, draw_seed=seed)
            assert (transform.visibility, transform.attempts) == (None, 1)
            assert mask is not None or set(sample) == {"image"}
            assert not np.any(sample.get("mask", False))


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_sample_is_taken_and_all_but_image_and_mask_passed_on(name: str) -> None:
    image, mask = lesion_image(60, 80)
    others: Any = {"label": object(), "id": "A", "metadata": object()}
    sample = {"image": image, "mask": mask, **others}
    transform = preset(name, image_size=32)

    drawn = transform(**sample, draw_seed=3)

    plain = transform(image=image, mask=mask, draw_seed=3)
    assert set(drawn) == set(sample)
    assert all(drawn[key] is others[key] for key in others)
    assert torch.equal(drawn["image"], plain["image"])
    assert torch.equal(drawn["mask"], plain["mask"])


@pytest.mark.data
def test_no_draw_of_a_real_image_is_blank_or_loses_its_lesion(data_dir: Path) -> None:
    folder = data_dir / "isic_challenge" / "Train"
    transforms = [preset(name, image_size=64, normalize=False) for name in ("strong", "paper")]

    for number, path in enumerate(sorted(folder.glob("*.jpg"))[::60]):
        image, mask = read_image(path), read_mask(path.with_name(f"{path.stem}_seg.png"))
        for transform in transforms:
            sample = transform(image=image, mask=mask, draw_seed=number)
            assert transform.visibility is not None
            assert transform.visibility >= 0.5
            assert not is_blank(sample["image"])


def test_changes_to_the_transforms_that_are_shown_change_nothing() -> None:
    transform = preset("paper", image_size=32, seed=0)
    before = stream(transform)

    for step in transform.transforms:
        step.p = 0
    transform.set_random_seed(0)

    assert stream(transform) == before


def test_the_text_of_a_preset_names_its_options_and_its_transforms() -> None:
    text = repr(preset("light", image_size=64, seed=3))

    assert text.startswith(
        "preset('light', image_size=64, fit=squeeze, seed=3, normalize=True, mean"
    )
    ending = "\n    MultiplicativeNoise(p=0.5)\n    Normalize(p=1)\n    ToTensorV2(p=1)"
    assert text.endswith(ending)
    assert "OneOf(p=0.5) [OpticalDistortion(p=0.5), Grid" in repr(preset("paper", image_size=64))


def test_importing_the_presets_keeps_albumentations_from_asking_the_network() -> None:
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "papers"}, ValueError, "`name` to be one of 'strong', .* Did you mean 'paper'"),
        ({"image_size": 15}, ValueError, "`image_size` to be an integer of 16 or more, .* 15"),
        ({"image_size": (224, 224)}, TypeError, "`image_size` to be an integer of 16 or more"),
        ({"fit": "padd"}, ValueError, "`fit` to be one of 'squeeze', .* Did you mean 'pad'"),
        ({"fit": "crop", "image_size": None}, ValueError, "`fit` to be left out where images keep"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more, but got -1"),
        ({"seed": 1.5}, TypeError, "`seed` to be an integer of 0 or more, .* of type float"),
        ({"min_visibility": 1.5}, ValueError, r"`min_visibility` to be a number in 0\.\.1"),
        ({"min_visibility": "half"}, TypeError, r"`min_visibility` to be a number in 0\.\.1"),
    ],
)
def test_an_unfit_option_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        preset(**{"name": "paper", "image_size": 32, **options})
    if "seed" in options:
        with pytest.raises(error, match=message):
            preset("paper", image_size=32).set_random_seed(options["seed"])


IMAGE, MASK = lesion_image(60, 80)


@pytest.mark.parametrize(
    ("size", "call", "error", "message"),
    [
        (32, {"draw_seed": -1}, ValueError, "`draw_seed` to be an integer of 0 or more"),
        (32, {"draw_seed": (0, -1)}, ValueError, "`draw_seed` to be an integer of 0 or more"),
        (32, {"image": IMAGE / 255}, TypeError, "`image` to be an RGB image .* got dtype"),
        (None, {"image": IMAGE[:20, :15]}, ValueError, "`image` .* 16 px or more .* `image_size`"),
        (32, {"bboxes": [], "keypoints": []}, TypeError, "`targets` .* got `bboxes`, `keypoints`"),
        (32, {"mask": MASK.astype(float)}, TypeError, r"`mask` to be a mask \(60, 80\) of dtype"),
        (32, {"mask": MASK.T}, ValueError, r"`mask` .* got shape \(80, 60\)"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    size: int | None, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        preset("light", image_size=size)(**{"image": IMAGE, "id": "A", **call})


# A known answer needs a fixed warp, where the public presets draw at random
def scene(shape: tuple[int, int], rows: slice, columns: slice) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Draw skin of one color with a dark rectangle, and the rectangle's mask."""
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return np.where(mask[..., None], 60, 200).astype(np.uint8).repeat(3, axis=2), mask


def draw(
    steps: list[Any], image: Any, mask: Any, *, size: int | None = None, min_visibility: float = 0
) -> Augmented:
    transforms = TransformSequence(steps, size)
    return transforms.draw(image, mask, make_generators(0), min_visibility=min_visibility)


def affine(**options: Any) -> A.Affine:
    return A.Affine(border_mode=cv2.BORDER_REFLECT_101, p=1, **options)


def shifted(x: int) -> A.Affine:
    return affine(translate_px={"x": (x, x), "y": (0, 0)})


def cropped(*px: int, keep_size: bool) -> A.CropAndPad:
    crop = A.CropAndPad(px=((-10, -10),) * 4, keep_size=keep_size, p=1)
    crop.px = px  # what is random in the recipes is fixed here
    return crop


HOLE = A.CoarseDropout(
    num_holes_range=(1, 1), hole_height_range=(0.5, 0.5), hole_width_range=(0.5, 0.5), p=1
)
WHOLE = slice(None), slice(None)
CORNER = slice(0, 20), slice(0, 20)
RIGHT = slice(20, 40), slice(40, 60)


@pytest.mark.parametrize(
    ("steps", "place", "size", "visibility"),
    [
        ([shifted(10)], RIGHT, None, 0.5),  # half of it leaves the frame
        ([shifted(-20)], RIGHT, None, 1),  # a reflected copy does not count
        ([affine(scale=(0.6, 0.6))], RIGHT, None, 1),  # it shrinks inside the frame
        ([affine(scale=(0.8, 0.8))], RIGHT, None, 1),
        ([affine(scale=(2, 2))], WHOLE, None, 0.25),
        ([HOLE], WHOLE, None, 0.75),
        ([cropped(-10, 0, 0, -10, keep_size=True)], CORNER, None, 0.25),
        ([cropped(-10, 0, 0, -10, keep_size=False)], CORNER, 30, 0.25),
        ([cropped(-30, 0, 0, 0, keep_size=True), HOLE], WHOLE, None, 0.5 * 0.75),
        ([cropped(-10, 0, 0, 0, keep_size=False)], (slice(0, 5), slice(None)), 32, 0),
        ([A.VerticalFlip(p=1), A.MedianBlur(p=1)], CORNER, None, 1),
    ],
)
def test_the_visible_fraction_of_the_lesion_is_known(
    steps: list[Any], place: tuple[slice, slice], size: int | None, visibility: float
) -> None:
    image, mask = scene((60, 60), *place)

    drawn = draw(steps, image, mask, size=size)

    assert drawn.visibility == pytest.approx(visibility, abs=0.02)
    assert drawn.attempts == 1
    assert drawn.mask is not None
    assert drawn.image.shape[:2] == drawn.mask.shape == (size or 60, size or 60)
    if place is WHOLE:
        assert drawn.mask.all()


def test_a_hole_hides_the_image_and_a_reflected_copy_is_in_the_mask() -> None:
    image, mask = scene((64, 64), *WHOLE)
    assert (draw([HOLE], image, mask).image == 0).all(axis=2).mean() == 0.25
    image, mask = scene((60, 60), *RIGHT)
    reflected = draw([shifted(-20)], image, mask).mask
    assert reflected is not None
    assert reflected.sum() > 1.9 * mask.sum()


def test_a_lesion_too_small_for_a_pixel_of_the_result_counts_by_its_crop_alone() -> None:
    image, mask = scene((300, 300), slice(150, 151), slice(150, 151))

    drawn = draw([shifted(2)], image, mask, size=16)

    assert drawn.visibility == 1
    assert drawn.mask is not None
    assert not drawn.mask.any()


@pytest.mark.parametrize("name", RANDOM)
def test_lesions_of_more_pixels_than_a_float_of_32_bits_can_count_are_drawn_alike(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    image, mask = scene((61, 67), slice(10, 45), slice(40, 67))
    transform = preset(name, image_size=None, normalize=False, min_visibility=0)

    for seed in range(30):
        exact, visibility = transform(image=image, mask=mask, draw_seed=seed), transform.visibility
        with monkeypatch.context() as patch:
            patch.setattr(presets, "_COUNTABLE", 1000)
            other = transform(image=image, mask=mask, draw_seed=seed)
        # OpenCV rounds to the nearest pixel in floats of the kind that it is given
        assert (exact["mask"] == other["mask"]).mean() > 0.99
        assert transform.visibility == pytest.approx(visibility, abs=0.01)


def test_where_every_draw_loses_the_lesion_the_last_attempt_keeps_all_of_it() -> None:
    image, mask = scene((40, 40), slice(10, 20), slice(0, 10))
    steps = [A.HorizontalFlip(p=1), affine(scale=(4, 4)), A.GaussNoise(p=1)]

    drawn = draw(steps, image, mask, min_visibility=0.5)

    assert (drawn.visibility, drawn.attempts) == (1, 6)
    assert drawn.applied == ("HorizontalFlip", "GaussNoise")
    np.testing.assert_array_equal(drawn.mask, mask[:, ::-1])


@given(seed=st.integers(0, 2**40), name=st.sampled_from(["strong", "paper", "light"]))
def test_the_fraction_agrees_with_that_of_coordinates_sent_through_albumentations(
    seed: int, name: str
) -> None:
    image, mask = scene((96, 96), slice(5, 40), slice(50, 96))
    steps = [step for step in RECIPES[name](96, True) if not isinstance(step, A.CropAndPad)]
    rows, columns = np.indices((96, 96), dtype=np.float32)
    reference = A.Compose(steps, save_applied_params=True)
    reference.set_random_state(*make_generators(seed))

    sent = reference(image=image, masks=[rows, columns])

    seen = [np.rint(part).astype(int) for part in sent["masks"]]
    shown = np.ones((96, 96), bool)
    for _, params in sent["applied_transforms"]:
        for left, top, right, bottom in params.get("holes", ()):
            shown[top:bottom, left:right] = False
    found = np.zeros((96, 96), bool)
    found[seen[0][shown], seen[1][shown]] = True
    fraction = (found & mask).sum() / mask.sum()
    transforms = TransformSequence(steps, None)
    drawn = transforms.draw(image, mask, make_generators(seed), min_visibility=0)
    assert drawn.visibility is not None
    # pixels that a shrinking warp skips are missing in the plain count, up to 1 - 0.8 * 0.8 of them
    assert fraction - 1e-9 <= drawn.visibility <= min(1, fraction / 0.45 + 0.02)


@given(numbers=st.lists(st.integers(0, 2**70), min_size=1, max_size=3))
def test_generators_repeat_and_those_of_other_seeds_differ(numbers: list[int]) -> None:
    seeds = (numbers, numbers, [*numbers, 1], None, None)

    draws = [(array.random(), scalar.random()) for array, scalar in map(make_generators, seeds)]

    assert draws[0] == draws[1]
    assert len({*draws}) == 4
    assert draws[0][0] != draws[0][1]
