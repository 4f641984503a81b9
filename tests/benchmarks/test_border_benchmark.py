"""The benchmark of borders: drawn fields are where they are said to be, and every table is made."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import border
from border_parts import drawn
from dermolib.io import write_image, write_mask
from drawing import noise_image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write eight flagged images, of which one has a clear border, and three of the challenge."""
    folder, train = tmp_path / "isic2018_task1", tmp_path / "isic_challenge" / "Train"
    for place in (folder / "images", folder / "masks", train):
        place.mkdir(parents=True)
    lesion = np.zeros((60, 80), np.bool_)
    lesion[15:50, 20:60] = True
    # The second of the sorted ids is reported, and has a clear border according to the reading
    ids = ["ISIC_0000003", "ISIC_0000004", *(f"ISIC_002000{number}" for number in range(6))]
    for seed, name in enumerate(ids):
        image = 150 + noise_image(60, 80, seed) // 4
        if name == "ISIC_0000004":
            image[:12] = 0
        write_image(folder / "images" / f"{name}.jpg", image)
        write_mask(folder / "masks" / f"{name}_segmentation.png", lesion)
    flags = [f"{name},{int(name == 'ISIC_0000004')}" for name in ids]
    (folder / "artefacts.csv").write_text("\n".join(["ID,dark_corner", *flags]) + "\n")
    for seed in range(3):
        write_image(train / f"IMG_{seed}.jpg", image)
        write_mask(train / f"IMG_{seed}_seg.png", lesion)
    return tmp_path


def test_the_tables_tell_what_was_found(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(border, "_DRAWN", 2)
    threads = cv2.getNumThreads()

    try:
        border.main(["--data", str(data), "--no-timing"])
    finally:
        cv2.setNumThreads(threads)

    text = capsys.readouterr().out
    assert "| flagged dark_corner (1) | 100.0 | 100.0 | 100.0 |" in text
    assert "| not flagged (3) | 0.0 | 0.0 | 0.0 |" in text
    assert "| read by eye: clear (1) | 100.0 | 100.0 | 100.0 |" in text
    assert "3 images, a border found in 0" in text
    assert "| 24 images whose frame cuts the lesion |" in text


@pytest.mark.parametrize("kind", drawn.BORDERS)
def test_a_drawn_border_is_dark_outside_its_field_and_light_inside(kind: drawn.Border) -> None:
    rng = np.random.default_rng(0)

    for _ in range(5):
        image, field = drawn.draw_border(np.full((256, 320, 3), 200, np.uint8), kind, rng)
        far = cv2.erode((~field).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        near = cv2.erode(field.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        assert 0.02 < 1 - field.mean() < 0.8
        assert image[far].max(initial=0) < 45
        assert image[near].min() > 60


def test_a_lesion_is_cut_into_four_halves_and_four_quarters() -> None:
    image = noise_image(40, 60, 0)
    lesion = np.zeros((40, 60), np.bool_)
    lesion[10:21, 20:41] = True

    parts = list(drawn.cut_lesions(image, lesion))

    assert sorted(cut.shape[:2] for cut, _ in parts) == sorted(
        [(40, 30), (40, 30), (15, 60), (25, 60), (15, 30), (15, 30), (25, 30), (25, 30)]
    )
    assert all(cut.shape[:2] == mask.shape and mask.any() for cut, mask in parts)
