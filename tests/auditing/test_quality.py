"""Scores of image quality: known answers, what must not matter, and what the audit says."""

import itertools
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from dermolib import audit
from dermolib._validation import Image
from dermolib.auditing import FINDINGS, QUALITY_FLAGS, AuditReport, image_quality
from dermolib.auditing.quality import APPEARANCE, SHARPNESS, appearance, sharpness, shrunk
from dermolib.io import read_image, resize_image, write_image
from dermolib.preprocessing import is_blank
from drawing import lesion_image, noise_image, skin_image


def flags_of(image: Image) -> list[str]:
    return [flag for flag, score in image_quality(image).items() if score > 0.5]


def lesion(height: int = 150, width: int = 200) -> Image:
    """Draw a brown lesion with a grainy pattern on skin with fine texture."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = np.clip((0.5 - np.hypot(rows, columns * width / height)) * 12, 0, 1)[..., None]
    grain = np.random.default_rng(0).normal(0, 6, (height, width, 1))
    skin = skin_image(height, width).astype(float) + grain
    brown = skin * [0.55, 0.4, 0.35] + 2 * grain
    return np.asarray((skin + inside * (brown - skin)).clip(0, 255), np.uint8)


def gaussian(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def page() -> Image:
    """Write lines of text on white paper."""
    image = np.full((400, 300, 3), 255, np.uint8)
    for row in range(20, 400, 18):
        cv2.putText(image, "Histology: compound nevus", (12, row), 0, 0.55, (20, 20, 20), 1)
    return image


def test_a_drawn_lesion_on_skin_has_no_flag() -> None:
    assert flags_of(lesion()) == []


@pytest.mark.parametrize(
    ("color", "flag", "score"),
    [
        ((0, 0, 0), "blank", 1),
        ((90, 60, 30), "underexposed", 1 - 90 / 240),
        ((30, 60, 120), "underexposed", 0.5),
        ((121, 0, 0), "underexposed", 1 - 121 / 240),
        ((255, 250, 0), "overexposed", 1),
        ((255, 249, 255), "overexposed", 0),
    ],
)
def test_an_image_of_one_color_has_the_documented_score(
    color: tuple[int, int, int], flag: str, score: float
) -> None:
    image = np.full((60, 80, 3), color, np.uint8)

    assert image_quality(image)[flag] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("fraction", [0, 0.1, 0.2, 0.3, 0.9])
def test_overexposure_is_the_fraction_of_pixels_without_detail_over_twice_its_limit(
    fraction: float,
) -> None:
    image = lesion(100, 100)
    image[: round(100 * fraction)] = 255

    assert image_quality(image)["overexposed"] == pytest.approx(min(1, fraction / 0.4), abs=1e-6)


@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    seed=st.integers(0, 99),
    contrast=st.sampled_from([0.0, 0.01, 0.2, 1.0]),
    level=st.integers(0, 255),
)
def test_scores_are_in_0_to_1_and_the_image_is_untouched(
    shape: tuple[int, int], seed: int, contrast: float, level: int
) -> None:
    noise = noise_image(*shape, seed)
    image = np.asarray(level + contrast * (noise - float(level)), np.uint8)
    before = image.copy()

    scores = image_quality(image)

    assert tuple(scores) == QUALITY_FLAGS
    assert all(type(score) is float and 0 <= score <= 1 for score in scores.values())
    assert (scores["blank"] > 0.5) == is_blank(image, min_lit=0.02)
    np.testing.assert_array_equal(image, before)


def test_a_view_is_scored_as_its_copy() -> None:
    image = np.repeat(lesion(300, 400), 2, axis=1)[::-1, ::2]

    assert image_quality(image) == image_quality(image.copy())


@pytest.mark.parametrize("change", [np.fliplr, np.flipud, lambda image: np.rot90(image, 2)])
def test_a_mirrored_image_has_the_same_scores(change: Any) -> None:
    image = lesion()

    expected, scores = (list(image_quality(one).values()) for one in (image, change(image)))

    np.testing.assert_allclose(scores, expected, atol=0.02)


@pytest.mark.parametrize("factor", [2, 5, 20])
def test_blur_is_seen_in_an_image_of_any_size(factor: int) -> None:
    image = lesion()
    large = resize_image(gaussian(image, 3), (150 * factor, 200 * factor))

    assert "blurred" in flags_of(gaussian(image, 3))
    assert "blurred" in flags_of(large)


def test_fine_blur_of_a_large_image_does_not_count() -> None:
    image = np.repeat(np.repeat(lesion(), 15, axis=0), 15, axis=1)  # 3000 x 2250 px

    assert "blurred" not in flags_of(gaussian(image, 5))


def test_more_blur_never_looks_sharper() -> None:
    scores = [image_quality(gaussian(lesion(), sigma))["blurred"] for sigma in (0.3, 1, 2, 3, 4)]

    assert scores == sorted(scores)
    assert scores[0] < 0.1
    assert scores[-1] > 0.9


@pytest.mark.parametrize("stops", [-3, 3])
def test_exposure_is_no_blur_and_turns_no_lesion_into_something_else(stops: int) -> None:
    light = (lesion() / 255.0) ** 2.2 * 2.0**stops
    image = np.asarray(255 * light.clip(0, 1) ** (1 / 2.2), np.uint8)

    assert flags_of(image)[:1] == ["underexposed" if stops < 0 else "overexposed"]


def test_a_round_field_of_view_with_a_black_border_is_no_fault() -> None:
    rows, columns = np.mgrid[:300, :400]
    inside = np.hypot(rows - 150, columns - 200) < 140
    image = lesion(300, 400) * inside[..., None]

    assert flags_of(np.asarray(image, np.uint8)) == []


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket", "page", "text"])
def test_photographs_and_documents_are_not_dermoscopic(name: str) -> None:
    image = getattr(skimage.data, name)()
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)

    assert "not_dermoscopic" in flags_of(rgb)
    assert "not_dermoscopic" in flags_of(page())


def test_bands_hold_what_a_reference_computes() -> None:
    image = lesion()
    green = image[..., 1].astype(np.float64)
    levels = [green, *(cv2.GaussianBlur(green, (0, 0), sigma) for sigma in (0.7, 1.4, 2.8))]
    bands = [first - second for first, second in itertools.pairwise(levels)]
    expected = [band.std() for band in bands]
    expected += [np.quantile(abs(band), 0.998) for band in bands]

    np.testing.assert_allclose(sharpness(image), np.log(np.array(expected) + 0.1), atol=0.01)


def test_colors_are_measured_in_cielab() -> None:
    red = dict(
        zip(APPEARANCE, appearance(np.full((96, 96, 3), (200, 30, 30), np.uint8)), strict=True)
    )

    expected = rgb2lab(np.array([[(200, 30, 30)]], np.uint8))[0, 0]
    measured = [red[name] for name in ("lightness", "red_green", "blue_yellow")]
    np.testing.assert_allclose(measured, expected, atol=0.2)
    assert red["saturation"] == pytest.approx(170 / 200, abs=1e-3)
    assert (red["red_first"], red["red"], red["gray"], red["flat"]) == (1, 1, 0, 1)


def test_upright_edges_of_text_differ_from_those_of_a_disk() -> None:
    rows, columns = np.mgrid[:96, :96]
    disk = np.where(np.hypot(rows - 48, columns - 48) < 30, 60, 200).astype(np.uint8)
    square = np.where(np.maximum(abs(rows - 48), abs(columns - 48)) < 30, 60, 200).astype(np.uint8)
    upright = [
        appearance(np.repeat(one[..., None], 3, axis=2))[APPEARANCE.index("upright")]
        for one in (disk, square)
    ]

    assert abs(upright[0]) < 0.1
    assert upright[1] > 0.9


def test_weights_name_each_measure_once() -> None:
    table = pd.read_csv(str(files("dermolib.auditing").joinpath("quality.csv")))
    measures = {flag: part["measure"].tolist() for flag, part in table.groupby("flag")}

    assert measures == {
        "blurred": ["intercept", *SHARPNESS], "not_dermoscopic": ["intercept", *APPEARANCE],
    }  # fmt: skip
    assert (table["scale"].dropna() > 0).all()


@pytest.mark.data
def test_hardly_a_real_image_has_a_flag_and_one_out_of_focus_has(data_dir: Path) -> None:
    folder = data_dir / "isic_challenge" / "Train"
    paths = sorted(folder.glob("*.jpg"))[::40]

    flags = [flags_of(read_image(path)) for path in paths]

    assert sum(map(bool, flags)) <= 1  # of 189; 10 of all 7,528 have one
    assert flags_of(read_image(folder / "ISIC_0024378.jpg")) == ["blurred"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9000), (9000, 1), (20, 20), (256, 256), (257, 30)])
def test_an_image_is_shrunk_to_256_px_and_never_below_16(shape: tuple[int, int]) -> None:
    height, width, _ = shrunk(noise_image(*shape, 0)).shape

    assert 16 <= min(height, width) <= max(height, width) <= 256
    assert (height, width) == shape or max(shape) > 256 or min(shape) < 16


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 5, 3)), TypeError, "`image` to be an RGB image .* dtype float64"),
        (np.zeros((4, 5), np.uint8), ValueError, r"`image` to be an RGB image .* shape \(4, 5\)"),
        ("a.jpg", TypeError, "`image` to be an RGB image .* type str"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        image_quality(image)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    images = {
        "sharp": lesion(),
        "soft": gaussian(lesion(), 4),
        "white": np.full((60, 80, 3), 255, np.uint8),
        "<b>text": page(),
        "dark": lesion() // 3,
    }
    paths = [str(tmp_path / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images.values(), strict=True):
        write_image(path, image)
    ids = [*images, "gone"]
    return pd.DataFrame({"id": ids, "image_path": [*paths, str(tmp_path / "gone.png")]})


def run(table: pd.DataFrame, **options: Any) -> AuditReport:
    return audit(table, duplicates=False, progress=False, **options)


def test_the_audit_scores_each_image_that_it_reads(table: pd.DataFrame) -> None:
    report = run(table)

    rows = report.quality.set_index("id")
    assert rows["flags"].drop("white").to_dict() == {
        "sharp": (), "soft": ("blurred",), "<b>text": ("overexposed", "not_dermoscopic"),
        "dark": ("underexposed",),
    }  # fmt: skip
    assert rows["flags"].to_dict()["white"][0] == "blank"
    expected = image_quality(lesion())
    assert rows.loc["sharp", list(QUALITY_FLAGS)].to_dict() == pytest.approx(expected)
    assert report.counts["quality"] == len(report.flagged) == 3
    assert report.counts["files"] == 2


def test_doubtful_quality_fails_an_audit_only_where_it_is_asked_for(table: pd.DataFrame) -> None:
    table = table[table["id"].isin(["sharp", "soft"])]

    assert run(table).ok
    assert run(table, fail_on=FINDINGS[-1:]).failed == ("quality",)
    assert run(table, fail_on=["quality"]).verdict == "FAILED: images of doubtful quality: 1."
    assert run(table[:1], fail_on=["quality"]).verdict == "PASSED: no quality."
    assert run(table, fail_on=["quality"], images=False).verdict == "PASSED: quality not checked."


def test_flagged_images_are_in_the_page_and_the_json_and_others_are_not(
    table: pd.DataFrame,
) -> None:
    report = run(table)

    text, html = str(report), report.to_html()
    content = json.loads(report.to_json())["quality"]

    assert "train, blurred: 1: soft\n" in text
    assert "train, not dermoscopic: 1: <b>text\n" in text
    assert "sharp" not in text
    assert "&lt;b&gt;text<br>score 1.00" in html
    assert "<b>text" not in html
    assert content["count"] == 3
    assert [row["id"] for row in content["rows"]] == ["<b>text", "dark", "soft"]
    assert content["rows"][2]["flags"] == ["blurred"]


def test_a_page_without_images_says_that_quality_was_not_checked(table: pd.DataFrame) -> None:
    report = run(table, images=False)

    assert "IMAGE QUALITY\n  not checked\n" in str(report)
    assert "IMAGE QUALITY\n  nothing to remark\n" in str(run(table[:1]))
    assert report.quality.columns.tolist() == [
        "split", "id", "image_path", *QUALITY_FLAGS, "flags",
    ]  # fmt: skip


def test_the_worst_image_comes_first(tmp_path: Path) -> None:
    dark = {"a": lesion() // 3, "b": lesion() // 5, "c": lesion() // 4}
    for name, image in dark.items():
        write_image(tmp_path / f"{name}.png", image)
    table = pd.DataFrame({"id": [*dark]}).assign(
        image_path=lambda rows: [str(tmp_path / f"{name}.png") for name in rows["id"]]
    )

    assert "underexposed: 3: b, c, a\n" in str(run(table))


def test_a_small_lesion_image_is_unlike_a_document() -> None:
    scores = [image_quality(one)["not_dermoscopic"] for one in (lesion_image(60, 80)[0], page())]

    assert scores[0] < scores[1]
