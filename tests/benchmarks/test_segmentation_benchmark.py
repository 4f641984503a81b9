"""The benchmark of lesion masks: scores are what they are called, and every table is made."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import segmentation
from dermolib._validation import Image, Mask
from dermolib.io import write_image, write_mask
from dermolib.preprocessing import ARTIFACTS
from drawing import noise_image
from segmentation import jaccard
from segmentation_parts.pictures import SPLITS
from segmentation_parts.ways import UNET, WAYS


def drawn(seed: int) -> tuple[Image, Mask]:
    """Draw a lesion in the middle: round and brown, or long and black."""
    rows, columns = np.mgrid[:60, :80]
    wide = 14 if seed % 2 else 26
    lesion: Mask = np.hypot((rows - 30) / 14, (columns - 40) / wide) < 1
    image = 170 + noise_image(60, 80, seed) // 8
    image[lesion] = (120, 80, 60) if seed % 2 else (50, 30, 30)
    return image.astype(np.uint8), lesion


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write six images with masks and flags, and twenty of two classes of the challenge."""
    folder, challenge = tmp_path / "isic2018_task1", tmp_path / "isic_challenge"
    for place in (folder / "images", folder / "masks", challenge / "Train"):
        place.mkdir(parents=True)
    splits = pd.read_csv(SPLITS)
    ids = splits["ID"][splits["split"] == "test"].tolist()[:6]
    for seed in range(20):
        image, lesion = drawn(seed)
        write_image(challenge / "Train" / f"IMG_{seed}.jpg", image)
        write_mask(challenge / "Train" / f"IMG_{seed}_seg.png", lesion)
        if seed < len(ids):
            write_image(folder / "images" / f"{ids[seed]}.jpg", image)
            write_mask(folder / "masks" / f"{ids[seed]}_segmentation.png", lesion)
    flags = {name: np.arange(len(ids)) % 2 for name in ARTIFACTS}
    pd.DataFrame({"ID": ids, **flags}).to_csv(folder / "artefacts.csv", index=False)
    table = pd.DataFrame({"ID": [f"IMG_{seed}" for seed in range(20)]})
    classes = table.assign(CLASS=np.arange(20) % 2 + 1)
    classes.to_csv(challenge / "metadataTrain.csv", index=False)
    lesions = table.assign(LESION_ID=["", "", *(f"L{seed}" for seed in range(2, 20))])
    lesions.to_csv(challenge / "lesion_ids.csv", index=False)
    return tmp_path


@pytest.mark.filterwarnings(  # six images are few, and some ways find none of their lesions
    "ignore:The interval rests on fewer than 20 groups", "ignore:All resamples score the same"
)
@pytest.mark.slow  # ten ways and eight classifiers
def test_the_tables_tell_what_was_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = cv2.getNumThreads()

    try:
        segmentation.main(["--data", str(data)])
    finally:
        cv2.setNumThreads(threads)

    lines = capsys.readouterr().out.splitlines()
    others = 3 + 2 + 4  # rows of the challenge, of times, and of descriptors
    rows = sum(line.startswith(f"| {name} |") for name in WAYS for line in lines)
    assert rows == len(WAYS) + others
    assert "| 6 images of ISIC 2018 task 1 |" in lines[0]
    assert any(line.startswith("| 20 images of isic_challenge/Train |") for line in lines)
    assert "20 images, 20 lesions, five folds; 0 masks of the network are empty." in lines
    assert "| drawn by people | all (26) | logistic | 1.000 (1.000..1.000) |" in lines


@pytest.mark.parametrize(
    ("mask", "truth", "index"),
    [([1, 1, 0], [1, 1, 0], 1.0), ([1, 1, 0], [0, 1, 1], 1 / 3), ([0, 0, 0], [0, 0, 0], 1.0)],
)
def test_the_jaccard_index_is_the_share_of_the_union_that_is_shared(
    mask: list[int], truth: list[int], index: float
) -> None:
    assert jaccard(np.array(mask, np.bool_), np.array(truth, np.bool_)) == pytest.approx(index)


def test_an_index_below_what_is_enough_counts_as_none() -> None:
    scores = segmentation.Scores(np.array([0.5, 0.65, 1.0]), np.ones(3))

    assert scores.thresholded.tolist() == [0, 0.65, 1]
    assert scores.dice == pytest.approx([2 / 3, 1.3 / 1.65, 1])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_way_that_looks_at_the_image_finds_a_plain_lesion(seed: int) -> None:
    image, lesion = drawn(seed)

    found = {name: jaccard(way(image), lesion) for name, way in WAYS.items()}

    del found["an ellipse in the middle"], found[UNET]  # the network knows real lesions
    assert min(found.values()) > 0.75, found
