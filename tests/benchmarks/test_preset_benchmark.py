"""The benchmark of the presets: it measures what it says, and says where it looked for images."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dermolib.io import read_image, write_image, write_mask
from drawing import noise_image

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give the libraries back the threads that the benchmark takes from them."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no package that is installed."""
    monkeypatch.syspath_prepend(_BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write two images with masks and one without into the folders of the real ones."""
    train, task = tmp_path / "isic_challenge" / "Train", tmp_path / "isic2018_task1"
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:35] = True
    for path in (train / "A.jpg", train / "C.jpg", task / "images" / "B.jpg"):
        write_image(path, noise_image(40, 50, 0))
    write_mask(train / "A_seg.png", mask)
    write_mask(task / "masks" / "B_segmentation.png", mask)
    return tmp_path


def test_the_images_with_a_mask_are_found_in_both_folders(
    part: Callable[[str], Any], data: Path
) -> None:
    pairs = part("preset_parts.lesions").find_pairs(data)

    assert [(image.stem, mask.stem) for image, mask in pairs] == [
        ("B", "B_segmentation"),
        ("A", "A_seg"),
    ]


def test_lesions_are_counted_for_each_preset_and_share(
    part: Callable[[str], Any], data: Path
) -> None:
    lesions = part("preset_parts.lesions")

    results = list(lesions.measure(lesions.find_pairs(data), ["evaluation", "strong"], [0, 1]))

    assert [(result.preset, result.min_visibility) for result in results] == [
        ("evaluation", 0),
        ("evaluation", 1),
        ("strong", 0),
        ("strong", 1),
    ]
    assert [result.images for result in results] == [2, 2, 2, 2]
    assert (results[0].smallest, results[0].low, results[0].below_half) == (1, (1, 1), 0)
    assert results[0].again == results[2].again == results[2].careful == 0
    assert results[3].smallest == 1


def test_every_way_of_calling_a_preset_gives_the_same_image_and_is_timed(
    part: Callable[[str], Any],
) -> None:
    timings = part("preset_parts.speed").time_presets(2)

    assert [timing.preset for timing in timings[:4]] == ["strong", "paper", "light", "evaluation"]
    assert [timing.of_paper for timing in timings[1::4]] == [1, 1, 1]
    assert [timing.image_size for timing in timings[::4]] == [224, 224, 512]
    assert {timing.source for timing in timings} == {(150, 200), (450, 600)}
    assert set(timings[0].ratios) == {"draw_seed", "stream", "mask", "stock"}
    assert set(timings[-1].ratios) == {"draw_seed", "stream", "mask", "stock", "plain"}
    assert all(timing.bare > 0 for timing in timings)


def test_the_parts_of_a_preset_have_its_probabilities(part: Callable[[str], Any]) -> None:
    costs = part("preset_parts.speed").time_parts(1)

    paper = {cost.transform: cost for cost in costs if cost.preset == "paper"}
    assert paper["Transpose"].chance == 0.5
    assert paper["ElasticTransform"].chance == pytest.approx(1 / 6)
    assert paper["GaussNoise"].chance == pytest.approx(1 / 8)
    assert all(time > 0 for cost in costs for time in cost.milliseconds)


def test_the_command_writes_its_tables_and_the_gallery(
    part: Callable[[str], Any], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    presets = part("presets")

    presets.main(
        ["--data", str(data), "--draws", "1", "--rounds", "1", "--output", str(data / "o")]
    )
    presets.main(["--data", str(data), "--gallery", str(data / "gallery"), "--image", "A"])

    printed = capsys.readouterr().out
    assert (data / "o").read_text(encoding="utf-8") == printed
    assert "| paper | 600 x 450 | 512 |" in printed
    assert "| strong | 0.5 | 2 |" in printed
    assert sorted(path.stem for path in (data / "gallery").iterdir()) == [
        "evaluation",
        "light",
        "paper",
        "strong",
    ]
    assert read_image(data / "gallery" / "strong.png").ndim == 3


@pytest.mark.parametrize("options", [[], ["--gallery", "gallery"]])
def test_a_folder_without_the_images_is_told(
    part: Callable[[str], Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    with pytest.raises(SystemExit):
        part("presets").main(["--data", str(tmp_path), *options])

    error = capsys.readouterr().err
    assert f"Expected `{tmp_path / 'isic_challenge' / 'Train'}" in error
    assert "Name the folder with --data or DERMOLIB_DATA, or use --no-lesions." in error
