import functools
import itertools
import tracemalloc
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from skimage.measure import find_contours
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermolib import (
    ISICDataset,
    abcd_features,
    abcd_table,
    make_synthetic_challenge,
    segment_lesion,
)
from dermolib._validation import Image, Mask
from dermolib.features import ABCD_FEATURES
from dermolib.features.outline import trace
from dermolib.io import read_image, read_mask
from drawing import noise_image

SKIN = (225, 180, 160)
LESION = (110, 70, 50)
BESIDE_SKIN = {
    "border_abruptness",
    "border_abruptness_variation",
    "color_contrast",
    "color_darkness",
}
SIZED = ("diameter_feret", "diameter_equivalent")
# Largest difference that resampling may make; the others are compared by a relative one
TOLERANCE = {"asymmetry": 0.02, "color_fraction": 0.02, "border_cut": 0.02, "color_count": 0}


def ellipse(
    shape: tuple[int, int], middle: tuple[float, float], radii: tuple[float, float], turn: float = 0
) -> Mask:
    """Draw an ellipse in px, turned by an angle in radians."""
    rows, columns = np.indices(shape)
    down, right = rows - middle[0], columns - middle[1]
    along = (down * np.cos(turn) + right * np.sin(turn)) / radii[0]
    across = (right * np.cos(turn) - down * np.sin(turn)) / radii[1]
    inside: Mask = np.hypot(along, across) < 1
    return inside


def disk(size: int, radius: float) -> Mask:
    """Draw a disk in the middle of a square."""
    return ellipse((size, size), (size / 2, size / 2), (radius, radius))


def painted(mask: Mask, color: tuple[int, int, int] = LESION) -> Image:
    image = np.array(SKIN, np.uint8) * np.ones((*mask.shape, 1), np.uint8)
    image[mask] = color
    return image


def blotched(mask: Mask) -> Image:
    """Paint a lesion that is darker towards the top left of its own bounding box."""
    image = painted(mask)
    rows, columns = np.nonzero(mask)
    share = (rows - rows.min()) / np.ptp(rows) + (columns - columns.min()) / np.ptp(columns)
    image[mask] = np.stack([60 + 50 * share, 40 + 30 * share, 30 + 30 * share], axis=1)
    return image


def blob() -> Mask:
    """Draw a lesion without any symmetry."""
    return ellipse((150, 170), (70, 75), (45, 22), 0.5) | ellipse(
        (150, 170), (45, 95), (20, 14), 0.2
    )


def assert_alike(
    numbers: dict[str, float], others: dict[str, float], *, but: tuple[str, ...] = ()
) -> None:
    for name in set(ABCD_FEATURES) - set(but):
        near = max((size for start, size in TOLERANCE.items() if name.startswith(start)), default=0)
        assert others[name] == pytest.approx(numbers[name], rel=0.08, abs=near or 0.3), name


def test_numbers_are_floats_in_their_order_sizes_in_mm_and_the_arguments_are_left_as_they_are() -> (
    None
):
    image, mask = blotched(blob()), blob()
    image.flags.writeable = mask.flags.writeable = False
    before = image.copy(), mask.copy()

    pixels, mm = abcd_features(image, mask), abcd_features(image, mask, pixel_size=0.02)

    assert tuple(pixels) == ABCD_FEATURES
    for name, number in pixels.items():
        assert type(number) is float
        assert mm[name] == pytest.approx(0.02 * number if name in SIZED else number)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("radius", [30, 60, 140])
def test_a_disk_has_no_asymmetry_and_a_compactness_of_one(radius: int) -> None:
    disk = ellipse((400, 400), (200, 190), (radius, radius))

    numbers = abcd_features(painted(disk), disk)

    assert numbers["asymmetry_most"] < 0.01
    assert numbers["asymmetry_color_most"] < 0.5
    assert numbers["border_compactness"] == pytest.approx(1, abs=0.04)
    for name, value in (("solidity", 1), ("convexity", 1), ("radial", 0), ("cut", 0)):
        assert numbers[f"border_{name}"] == pytest.approx(value, abs=0.01)
    assert numbers["diameter_feret"] == pytest.approx(2 * radius, abs=2)
    assert numbers["diameter_equivalent"] == pytest.approx(2 * radius, abs=1)
    assert numbers["area_fraction"] == disk.mean()


@settings(max_examples=40)
@given(
    turn=st.floats(0, np.pi), long=st.floats(40, 70), short=st.floats(15, 30), at=st.floats(90, 110)
)
def test_an_ellipse_at_any_angle_has_no_asymmetry_and_the_compactness_of_ramanujan(
    turn: float, long: float, short: float, at: float
) -> None:
    mask = ellipse((200, 200), (at, 200 - at), (long, short), turn)
    # Ramanujan's approximation of the perimeter
    total = long + short
    three = 3 * ((long - short) / total) ** 2
    perimeter = np.pi * total * (1 + three / (10 + np.sqrt(4 - three)))

    numbers = abcd_features(painted(mask), mask)

    assert numbers["asymmetry_most"] < 0.03
    compactness = perimeter**2 / (4 * np.pi * np.pi * long * short)
    assert numbers["border_compactness"] == pytest.approx(compactness, rel=0.05)


def test_half_a_disk_is_asymmetric_along_one_axis_and_a_disk_of_two_halves_in_color() -> None:
    half, mask = disk(200, 60), ellipse((200, 200), (100, 100), (61, 59))
    half[100:] = False
    image = painted(mask)
    image[:, 100:][mask[:, 100:]] = (40, 25, 20)

    cut, halves = abcd_features(painted(half), half), abcd_features(image, mask)

    assert cut["asymmetry_least"] < 0.02
    assert cut["asymmetry_most"] > 0.1
    assert halves["asymmetry_most"] < 0.02
    assert halves["asymmetry_color_least"] < 1
    assert halves["asymmetry_color_most"] > 15


@settings(max_examples=40)
@given(seed=st.integers(0, 999), smooth=st.floats(0.5, 6))
def test_the_outline_is_that_of_scikit_image(seed: int, smooth: float) -> None:
    # The line itself is no output, and where pixels touch at a corner another line fits as well
    noise = np.random.default_rng(seed).random((60, 70), dtype=np.float32)
    mask = np.pad(cv2.GaussianBlur(noise, (0, 0), smooth) > 0.5, 10).astype(np.uint8)
    mask[30:34, 30:34] = 1
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)

    line = trace(mask).line

    expected = max(find_contours(soft, float(soft.max()) / 2), key=lambda one: area(one))
    assert np.allclose(line[0], line[-1])
    assert len(line) == len(expected)
    assert area(line) == pytest.approx(area(expected))
    assert np.hypot(*np.diff(line, axis=0).T).sum() == pytest.approx(
        np.hypot(*np.diff(expected, axis=0).T).sum()
    )


def area(line: Any) -> float:
    return float(cv2.contourArea(line.astype(np.float32)))


def test_a_star_has_a_more_irregular_border_than_its_hull() -> None:
    rows, columns = np.mgrid[:300, :300] - 150
    star = np.hypot(rows, columns) < 80 + 30 * np.cos(7 * np.arctan2(rows, columns))

    irregular, regular = (abcd_features(painted(mask), mask) for mask in (star, disk(300, 110)))

    assert irregular["border_compactness"] > 1.5 * regular["border_compactness"]
    assert irregular["border_solidity"] < 0.8
    assert irregular["border_convexity"] < 0.9
    assert irregular["border_radial"] > 0.2


def test_a_sharp_edge_is_more_abrupt_than_one_that_fades_or_is_sharp_on_one_side() -> None:
    mask = disk(200, 50)
    rows, columns = np.mgrid[:200, :200]
    share = np.clip((np.hypot(rows - 100, columns - 100) - 20) / 60, 0, 1)[..., None]
    faded = ((1 - share) * np.array(LESION) + share * np.array(SKIN)).astype(np.uint8)
    half = painted(mask)
    half[:100] = LESION

    sharp, soft, one_side = (abcd_features(image, mask) for image in (painted(mask), faded, half))

    assert sharp["border_abruptness"] > 2 * soft["border_abruptness"] > 0
    assert sharp["border_abruptness_variation"] < 1
    assert one_side["border_abruptness_variation"] > 10


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((250, 245, 245), "white"),
        ((190, 60, 80), "red"),
        ((170, 115, 85), "light_brown"),
        ((100, 60, 40), "dark_brown"),
        ((100, 110, 125), "blue_gray"),
        ((25, 20, 20), "black"),
    ],
)
def test_a_color_of_the_rule_is_named(color: tuple[int, int, int], name: str) -> None:
    mask = disk(120, 40)

    numbers = abcd_features(painted(mask, color), mask)

    assert numbers[f"color_fraction_{name}"] > 0.9
    assert numbers["color_count"] == 1


def test_a_cast_of_the_light_changes_no_name() -> None:
    mask = disk(120, 40)
    image = painted(mask)
    image[60:][mask[60:]] = (170, 115, 85)
    cast = (image * np.array([1.0, 0.9, 0.85])).astype(np.uint8)

    plain, shifted = (abcd_features(one, mask) for one in (image, cast))

    assert plain["color_count"] == shifted["color_count"] == 2
    for name in ("color_fraction_light_brown", "color_fraction_dark_brown"):
        assert shifted[name] == pytest.approx(plain[name], abs=0.05)


def test_contrast_is_the_difference_of_lesion_and_skin_in_cielab() -> None:
    mask = disk(200, 70)
    image = painted(mask, (128, 128, 128))
    image[~mask] = 255

    gray, none = abcd_features(image, mask), abcd_features(painted(mask, SKIN), mask)

    # Gray of 128 has the lightness 53.6 of 100
    assert gray["color_darkness"] == pytest.approx(46.4, abs=1)
    assert gray["color_contrast"] == pytest.approx(46.4, abs=1)
    for name in ("color_count", "color_contrast", "color_deviation_l"):
        assert none[name] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("step", [1, -1], ids=["", "flipped"])
def test_rotations_by_90_degrees_and_flips_hardly_change_a_number(turns: int, step: int) -> None:
    image, mask = blotched(blob()), blob()

    turned, mask_turned = np.rot90(image[:, ::step], turns), np.rot90(mask[:, ::step], turns)

    assert_alike(abcd_features(image, mask), abcd_features(turned, mask_turned))


@settings(max_examples=25)
@given(down=st.integers(-15, 15), right=st.integers(-15, 25))
def test_the_place_in_the_image_changes_no_number(down: int, right: int) -> None:
    mask = np.pad(blob(), 40)
    image = blotched(mask)

    moved = abcd_features(
        np.roll(image, (down, right), (0, 1)), np.roll(mask, (down, right), (0, 1))
    )

    assert moved == pytest.approx(abcd_features(image, mask), rel=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_the_size_of_the_image_changes_the_diameters_alone(factor: int) -> None:
    image, mask = blotched(blob()), blob()
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    mask_large = mask.repeat(factor, axis=0).repeat(factor, axis=1)

    numbers, others = abcd_features(image, mask), abcd_features(large, mask_large)

    assert_alike(numbers, others, but=SIZED)
    for name in SIZED:
        assert others[name] == pytest.approx(factor * numbers[name])


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_the_feret_diameter_is_the_longest_distance_of_corners_of_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < 0.2
    mask[4, 5] = True
    places = np.argwhere(mask)
    corners = [places + corner for corner in itertools.product((0, 1), repeat=2)]

    numbers = abcd_features(noise_image(9, 12, seed), mask)

    assert numbers["diameter_feret"] == pytest.approx(pdist(np.concatenate(corners)).max())


@settings(max_examples=60)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_any_mask_with_a_pixel_has_numbers_within_their_ranges(
    height: int, width: int, fraction: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < fraction
    mask[rng.integers(height), rng.integers(width)] = True

    numbers = abcd_features(noise_image(height, width, seed), mask)

    in_one: tuple[str, ...] = ("asymmetry_least", "asymmetry_most", "color_fraction")
    in_one += ("area_fraction", "border_solidity", "border_convexity", "border_cut")
    for name, number in numbers.items():
        assert np.isfinite(number) or name in BESIDE_SKIN
        assert not name.startswith(in_one) or 0 <= number <= 1
    assert numbers["border_compactness"] >= 1
    assert numbers["asymmetry_least"] <= numbers["asymmetry_most"]
    assert numbers["color_count"] in range(7)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_thin_lesion_takes_memory_as_its_pixels_do_not_as_their_square(flipped: bool) -> None:
    mask = np.ones((2, 65_535), np.bool_)
    image = noise_image(2, 65_535, 0)
    if flipped:
        mask, image = mask.T.copy(), image.swapaxes(0, 1).copy()

    tracemalloc.start()
    numbers = abcd_features(image, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 300 * mask.size
    assert numbers["diameter_feret"] == pytest.approx(np.hypot(2, 65_535))
    assert numbers["area_fraction"] == 1
    assert numbers["asymmetry_most"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("place", [(0, 0), (5, 5), (9, 14)])
def test_a_mask_of_one_pixel_or_of_a_long_line_has_numbers(place: tuple[int, int]) -> None:
    mask, line = np.zeros((10, 15), np.bool_), np.zeros((5, 3000), np.bool_)
    mask[place] = line[2] = True

    numbers, long = abcd_features(painted(mask), mask), abcd_features(painted(line), line)

    assert numbers["diameter_feret"] == pytest.approx(np.sqrt(2))
    assert numbers["asymmetry_most"] == pytest.approx(0, abs=0.02)
    assert numbers["border_compactness"] == pytest.approx(1, abs=0.3)
    assert long["diameter_feret"] == pytest.approx(3000, abs=0.01)
    assert long["border_compactness"] > 5


def test_the_frame_of_the_image_cuts_an_outline_but_hair_and_a_dark_mole_beside_it_do_not() -> None:
    inside, cut = np.zeros((2, 100, 100), np.bool_)
    inside[20:60, 20:60] = True
    cut[:40, 20:60] = True
    mask = disk(240, 60)
    image = painted(mask)
    image[(np.abs(np.arange(240) - 120) < 3)[:, None] & ~mask] = 5
    image[ellipse((240, 240), (52, 120), (7, 10)) & ~mask] = 5

    pairs = [(painted(inside), inside), (painted(cut), cut), (image, mask)]
    free, at_frame, beside_hair = (abcd_features(*pair)["border_cut"] for pair in pairs)

    assert free == beside_hair == 0
    assert at_frame == pytest.approx(0.25, abs=0.03)


def test_without_skin_around_a_lesion_there_is_nothing_to_compare_it_to() -> None:
    whole, mask = np.ones((40, 60), np.bool_), disk(200, 60)
    on_black = np.where(mask[..., None], painted(mask), 0).astype(np.uint8)

    filled = abcd_features(painted(whole), whole)

    for numbers in (filled, abcd_features(on_black, mask)):
        assert {name for name, number in numbers.items() if np.isnan(number)} == BESIDE_SKIN
        assert numbers["border_cut"] == 1
    assert filled["area_fraction"] == 1


def test_the_dark_border_of_a_dermoscope_is_not_taken_for_skin() -> None:
    mask = disk(200, 80)
    image = painted(mask)
    framed = image.copy()
    framed[~disk(200, 88)] = 2

    plain, dark = (abcd_features(one, mask) for one in (image, framed))

    assert dark["color_darkness"] == pytest.approx(plain["color_darkness"], abs=1)


@pytest.mark.parametrize("size", [60, 200, 600])
def test_a_black_frame_put_around_an_image_hardly_changes_the_border_of_a_cut_lesion(
    size: int,
) -> None:
    mask = ellipse((size, size), (size / 6, size / 2), (size / 3, size / 3))
    image = blotched(mask)
    framed = np.pad(image, ((40, 40), (40, 40), (0, 0)))

    plain, dark = abcd_features(image, mask), abcd_features(framed, np.pad(mask, 40))

    assert plain["border_cut"] > 0.2
    assert dark["border_cut"] == pytest.approx(plain["border_cut"], abs=0.03)
    assert dark["border_abruptness"] == pytest.approx(plain["border_abruptness"], rel=0.05)


def test_light_that_fades_towards_the_dark_border_is_not_compared() -> None:
    mask = disk(240, 80)
    rows, columns = np.mgrid[:240, :240]
    # the circle that a dermoscope lights touches the lesion on its left side
    light = np.clip((102 - np.hypot(rows - 120, columns - 138)) / 12, 0, 1)[..., None]
    image = (painted(mask) * light).astype(np.uint8)

    plain, dark = (abcd_features(one, mask) for one in (painted(mask), image))

    assert 0.1 < dark["border_cut"] < 0.5
    assert dark["border_abruptness"] == pytest.approx(plain["border_abruptness"], rel=0.1)
    assert dark["border_abruptness_variation"] < 3


@pytest.mark.data
def test_the_dark_border_of_a_real_image_is_no_skin(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    image = read_image(folder / "images" / "ISIC_0000004.jpg")
    mask = read_mask(folder / "masks" / "ISIC_0000004_segmentation.png")

    numbers = abcd_features(image, mask)

    assert 0.5 < numbers["border_cut"] < 0.8
    assert numbers["border_abruptness"] > 10


FULL = np.ones((8, 9), np.bool_)


@pytest.mark.parametrize(
    ("mask", "options", "error", "fragment"),
    [
        (~FULL, {}, ValueError, "`mask` to be a mask with a lesion, .* segment the lesion again"),
        (FULL.astype(np.uint8), {}, TypeError, "`mask` .*dtype bool, but got dtype uint8. Use"),
        (FULL.T, {}, ValueError, r"`mask` to be a mask \(8, 9\) .* got shape \(9, 8\)"),
        *(
            (FULL, {"pixel_size": value}, ValueError, "`pixel_size` to be a finite number above 0")
            for value in (0, np.nan, np.inf)
        ),
    ],
)
def test_invalid_arguments_are_refused(
    mask: Any, options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        abcd_features(noise_image(8, 9, 0), mask, **options)


def samples(count: int) -> list[dict[str, Any]]:
    """Draw lesions of two kinds in turns: round and even, or long and spotted."""
    drawn = []
    for number in range(count):
        radii = (20.0 + number, 20.0) if number % 2 else (24.0, 24.0)
        mask = ellipse((100, 120), (50, 60), radii, number)
        image = blotched(mask) if number % 2 else painted(mask)
        drawn.append({"id": f"IMG_{number}", "image": image, "mask": mask})
    return drawn


def test_the_table_has_a_row_of_floats_for_each_sample_in_their_order() -> None:
    drawn = samples(5)

    table = abcd_table(drawn, progress=False)

    assert table.index.name == "id"
    assert table.index.tolist() == [sample["id"] for sample in drawn]
    assert tuple(table.columns) == ABCD_FEATURES
    assert set(table.dtypes) == {np.dtype(np.float64)}
    for sample in drawn:
        expected = abcd_features(sample["image"], sample["mask"])
        assert table.loc[sample["id"]].to_dict() == expected


def test_the_table_goes_into_a_pipeline_of_scikit_learn() -> None:
    table = abcd_table(samples(12), progress=False)
    kinds = np.arange(12) % 2
    model = make_pipeline(StandardScaler(), LogisticRegression())

    model.fit(table.iloc[:8], kinds[:8])

    assert model.score(table.iloc[8:], kinds[8:]) == 1


def test_a_dataset_is_described_by_its_masks_or_by_those_that_are_found(tmp_path: Path) -> None:
    root = make_synthetic_challenge(tmp_path, images_per_class=1, image_size=64, seed=0)
    classical = functools.partial(segment_lesion, method="classical")  # these are drawn
    drawn = ISICDataset.from_challenge(root, masks=True)
    bare = ISICDataset.from_challenge(root)

    known = abcd_table(drawn, workers=2, progress=False)
    found = abcd_table(bare, segment=classical, pixel_size=0.1, progress=False)

    assert known.index.tolist() == found.index.tolist() == list(drawn.ids)
    sample, first = drawn[0], drawn.ids[0]
    assert known.loc[first].to_dict() == abcd_features(sample["image"], sample["mask"])
    mask = classical(sample["image"])
    assert found.loc[first].to_dict() == abcd_features(sample["image"], mask, pixel_size=0.1)


class _Endless:
    """A dataset of torch has a length, and no end where it is iterated."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        return samples(3)[index % 3]


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        (samples(3), 2),
        (_Endless(), 1),
        *((pd.Series(samples(3), index=index), 1) for index in ([2, 0, 1], list("abc"), [5] * 3)),
    ],
    ids=["two workers", "dataset without end", "series", "named series", "series of one name"],
)
def test_samples_of_any_kind_go_by_position_with_any_number_of_workers(
    given: Any, workers: int
) -> None:
    table = abcd_table(given, workers=workers, progress=False)

    pd.testing.assert_frame_equal(table, abcd_table(samples(3), progress=False))


def test_samples_are_asked_for_one_by_one() -> None:
    asked = []

    def come() -> Iterator[dict[str, Any]]:
        for sample in samples(3):
            asked.append(sample["id"])
            yield sample
        raise RuntimeError("the source is spent")

    with pytest.raises(RuntimeError, match="the source is spent"):
        abcd_table(come(), progress=False)

    assert asked == ["IMG_0", "IMG_1", "IMG_2"]


def test_empty_masks_give_rows_of_nan_and_are_counted() -> None:
    drawn = samples(3)
    drawn[1]["mask"] = np.zeros_like(drawn[1]["mask"])

    with pytest.warns(UserWarning, match=r"1 of 3 masks are empty \(IMG_1\); their rows are nan\."):
        table = abcd_table(drawn, progress=False)

    assert table.isna().all(axis=1).tolist() == [False, True, False]


def test_a_bar_is_shown_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    abcd_table(samples(2), progress=False)
    quiet = capsys.readouterr().err
    abcd_table(samples(2))

    assert quiet == ""
    assert abcd_table([], progress=False).shape == (0, len(ABCD_FEATURES))
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "options", "error", "fragment"),
    [
        (
            {"mask": None},
            {},
            ValueError,
            "with a mask, but got IMG_0 without one. Open the dataset",
        ),
        ({"mask": np.ones((2, 2), np.bool_)}, {}, ValueError, "^IMG_0: .*`mask` to be a mask .100"),
        ({"image": np.ones((3, 3))}, {}, TypeError, "^IMG_0: Expected `image` to be an RGB image"),
        ({}, {"workers": 0}, ValueError, "`workers` to be an integer of 1 or more"),
        ({}, {"pixel_size": -1}, ValueError, "`pixel_size` to be a finite number above 0"),
        ({}, {"pixel_size": np.inf}, ValueError, "`pixel_size` to be a finite number above 0"),
        ({}, {"segment": "otsu"}, TypeError, "`segment` .* but got 'otsu'. Pass the function"),
    ],
)
def test_what_makes_no_table_is_refused(
    change: dict[str, Any], options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        abcd_table([samples(1)[0] | change], progress=False, **options)


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ([{"image": 1}], "the keys image"),
        ([(1, 2)], "tuple"),
        ([None], "NoneType"),
        (samples(1)[0], "an object of type dict. Put a single sample into a list"),
        ({"IMG_0": samples(1)[0]}, "an object of type dict"),
        (pd.DataFrame(samples(1)), "an object of type DataFrame"),
        (7, "an object of type int"),
    ],
    ids=["keys", "tuple", "none", "sample", "mapping", "table", "number"],
)
def test_what_is_not_a_series_of_samples_is_refused(given: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"`samples` to be samples: .*`mask`, but got {got}"):
        abcd_table(given, progress=False)


class _OwnError(Exception):
    """An error that takes more than a message."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} ({code})")


def _raise_own_error(image: Image) -> Mask:
    raise _OwnError("no lesion", image.ndim)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_segment_keeps_its_type_and_names_the_sample(workers: int) -> None:
    first, second = samples(2)  # of two that fail, either may be told first by two workers
    drawn = [first | {"mask": None}, second]

    with pytest.raises(AttributeError, match=r"^IMG_0: .* no attribute 'segment'$") as caught:
        abcd_table(drawn, segment=methodcaller("segment"), workers=workers, progress=False)

    assert caught.value.__cause__ is not None


def test_an_error_of_segment_that_takes_other_arguments_has_a_note_of_the_sample() -> None:
    drawn = [sample | {"mask": None} for sample in samples(2)]

    with pytest.raises(_OwnError, match=r"^no lesion \(3\)") as caught:
        abcd_table(drawn, segment=_raise_own_error, progress=False)

    assert caught.value.__notes__ == ["The sample is IMG_0."]
