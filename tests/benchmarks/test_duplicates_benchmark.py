"""The benchmark of near-duplicates runs on a few images, and its figures are right."""

from pathlib import Path

import numpy as np
import pytest

import duplicates
from dermolib._validation import Image
from dermolib.auditing import find_duplicates, perceptual_hash
from dermolib.datasets.synthetic import draw_lesion
from dermolib.io import write_image
from duplicates_parts import changes

pytestmark = pytest.mark.usefixtures("opencv_threads")


def lesion(seed: int, size: tuple[int, int] = (48, 64)) -> Image:
    return draw_lesion(seed % 8, image_size=size, generator=np.random.default_rng(seed))[0]


def test_the_tables_have_the_pairs_that_were_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    challenge = tmp_path / "isic_challenge"
    # A0 and A5 are one image of one lesion, which B0 shows upside down as another one
    lesions = {"A0": "L0", "A5": "L0", "B0": "L1"}
    names = [f"A{number}" for number in range(6)] + [f"B{number}" for number in range(4)]
    for number, name in enumerate(names):
        image = lesion(0)[::-1] if name == "B0" else lesion(number % 5 if number < 6 else number)
        write_image(challenge / ("Train" if name < "B" else "Test") / f"{name}.jpg", image)
    for number in range(3):
        write_image(tmp_path / "isic2018_task1" / "images" / f"C{number}.jpg", lesion(20 + number))
    rows = [f"{name},{lesions.get(name, '')}" for name in names]
    (challenge / "lesion_ids.csv").write_text("\n".join(["ID,LESION_ID", *rows]))
    for split, letter, head in (("Train", "A", "ID,CLASS"), ("Test", "B", "ID,AGE")):
        rows = [f"{name},{int(name[1]) + 1}" for name in names if name[0] == letter]
        (challenge / f"metadata{split}.csv").write_text("\n".join([head, *rows]))

    duplicates.main(["--data", str(tmp_path), "--rows", "60"])

    printed = capsys.readouterr().out
    assert "| both in training | 1 | 1 | 0 | 1 |" in printed
    assert "| training and test | 2 | 0 | 2 | not known |" in printed
    assert "| both in test | 0 | 0 | 0 | not known |" in printed
    assert "| hash, tolerance 0.06 | 1 | 2 |" in printed
    assert "the same |" in printed
    assert ", others |" not in printed
    assert printed.count("| --- |") == 4


def test_each_promised_change_leaves_an_image_a_duplicate() -> None:
    image = lesion(0, (150, 200))

    for change in changes.PROMISED.values():
        copy = change(image)
        assert copy.shape != image.shape or (copy != image).any()
        hashes = np.stack([perceptual_hash(image), perceptual_hash(copy)])
        assert find_duplicates(hashes).pairs.tolist() == [[0, 1]]
