"""The benchmark of the presets: it measures what it says, and says where it looked for images."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import presets
from dermolib.io import write_image, write_mask
from drawing import noise_image
from input_parts.pairs import challenge_pairs, task_pairs


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give the libraries back the threads that the benchmark takes from them."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


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


def test_lesions_are_counted_on_the_images_with_a_mask(data: Path) -> None:
    pairs = [*challenge_pairs(data), *task_pairs(data)]
    assert [image.stem for image, _ in pairs] == ["A", "B"]

    rows = presets.count_lesions(pairs, ["evaluation", "strong"], [0, 1]).splitlines()[2:]

    cells = [row.strip("| ").split(" | ") for row in rows]
    assert [row[:3] for row in cells] == [
        [name, fraction, "2"] for name in ("evaluation", "strong") for fraction in "01"
    ]
    assert cells[0][3:] == ["1.000"] * 3 + ["0"] * 5
    assert cells[3][3] == "1.000"


def test_the_command_writes_its_tables(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--draws", "1", "--rounds", "1", "--output", str(data / "o")]
    presets.main(["--data", str(data), *options])

    printed = capsys.readouterr().out
    assert (data / "o").read_text(encoding="utf-8") == printed
    assert "| paper | 600 x 450 | 512 |" in printed
    assert "| paper | ElasticTransform | 0.167 |" in printed
    assert "| strong | 0.5 | 2 |" in printed
