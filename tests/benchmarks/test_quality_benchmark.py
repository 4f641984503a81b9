"""The benchmark of image quality: what is planted, and that weights are fitted and judged."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quality as benchmark
from dermolib._validation import Image
from dermolib.auditing.quality import APPEARANCE, SHARPNESS
from dermolib.io import write_image
from drawing import noise_image, skin_image
from quality_parts.planted import BLUR, EXPOSURE, HARMLESS, compressed, read_foreign

CHANGES: Mapping[str, Callable[[Image, np.random.Generator], Image]] = {
    **BLUR, **EXPOSURE, **HARMLESS,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_gives_another_image_and_the_same_for_the_same_seed(name: str) -> None:
    image = skin_image(90, 120)
    before = image.copy()

    first, second = (CHANGES[name](image, np.random.default_rng(2)) for _ in range(2))

    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert first.shape != image.shape or (first != image).any()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", BLUR)
def test_blur_keeps_the_mean_and_takes_details(name: str) -> None:
    image = noise_image(150, 200, 0)

    blurred = BLUR[name](image, np.random.default_rng(0))

    assert blurred.mean() == pytest.approx(image.mean(), abs=1.5)
    assert blurred.std() < 0.6 * image.std()


def test_a_stop_doubles_the_light() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)

    brighter, darker = (
        EXPOSURE[f"{stops} stops"](image, np.random.default_rng(0)) for stops in ("+1", "-1")
    )

    assert brighter[0, 0, 0] == round(100 * 2 ** (1 / 2.2))
    assert darker[0, 0, 0] == round(100 * 0.5 ** (1 / 2.2))


def test_compression_keeps_the_order_of_channels() -> None:
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)

    assert abs(compressed(image, np.random.default_rng(0)).astype(int) - image).max() <= 3


def test_foreign_pictures_are_named_by_their_folder_and_small_ones_left_out(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "a" / "deep" / "1.png", noise_image(100, 900, 0))
    write_image(tmp_path / "b" / "2.jpg", noise_image(70, 70, 0))
    write_image(tmp_path / "b" / "small.png", noise_image(63, 99, 0))
    (tmp_path / "b" / "readme.txt").write_text("text")

    images, sources = read_foreign(tmp_path)

    assert sources == ["a", "b"]
    assert [max(image.shape) for image in images] == [640, 70]


def test_weights_are_fitted_written_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = (
        "isic_challenge/Train",
        "isic_challenge/Test",
        "isic2018_task1/images",
        "hairy_native",
    )
    for place in places:
        for number in range(4):
            image = skin_image(60, 80, number) // 16 * 16
            write_image(tmp_path / "data" / place / f"{number}.jpg", image)
    for number in range(6):
        folder = tmp_path / "foreign" / "ab"[number % 2]
        write_image(folder / f"{number}.png", noise_image(70, 90, number))
    common = ["--data", str(tmp_path / "data"), "--foreign", str(tmp_path / "foreign")]
    common += ["--limit", "4"]

    benchmark.main([*common, "--fit", str(tmp_path / "weights.csv")])
    fitted = capsys.readouterr().out
    benchmark.main(common)
    judged = capsys.readouterr().out

    weights = pd.read_csv(tmp_path / "weights.csv")
    assert weights["measure"].tolist() == ["intercept", *SHARPNESS, "intercept", *APPEARANCE]
    assert "| a | 3 |" in fitted
    assert "| Gaussian, sigma 3 px | 6 |" in judged
    assert "| flagged, as they are | Train (4) | Test (4) | Task 1, fit (2) |" in judged


def test_missing_images_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--data", str(tmp_path), "--foreign", str(tmp_path)])

    assert "isic_challenge/Train" in capsys.readouterr().err
