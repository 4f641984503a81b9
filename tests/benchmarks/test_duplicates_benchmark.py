"""The benchmark of near-duplicates: changes are what they are called, and every table is made."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dermolib._validation import Image
from dermolib.auditing import duplicates
from dermolib.auditing.duplicates import find_duplicates
from dermolib.auditing.hashing import perceptual_hash
from dermolib.datasets.synthetic.lesions import draw_lesion
from dermolib.io import read_image, write_image
from drawing import noise_image

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def lesion(seed: int) -> Image:
    return draw_lesion(seed % 8, image_size=(48, 64), generator=np.random.default_rng(seed))[0]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no package that is installed."""
    monkeypatch.syspath_prepend(_BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write six training images, four test images and three of another folder.

    The first training image, the last and the first test image are one picture; the first two are
    of one lesion and the third is of another.
    """
    challenge, task = tmp_path / "isic_challenge", tmp_path / "isic2018_task1" / "images"
    for folder in (challenge / "Train", challenge / "Test", task):
        folder.mkdir(parents=True)
    for number in range(6):
        write_image(challenge / "Train" / f"A{number}.jpg", lesion(number % 5))
    for number in range(4):
        picture = lesion(0)[::-1] if number == 0 else lesion(10 + number)
        write_image(challenge / "Test" / f"B{number}.jpg", picture)
    for number in range(3):
        write_image(task / f"C{number}.jpg", lesion(20 + number))
    names = [f"A{number}" for number in range(6)] + [f"B{number}" for number in range(4)]
    known = {"A0": "L0", "A5": "L0", "B0": "L1"}
    rows = [f"{name},{known.get(name, '')}" for name in names]
    (challenge / "lesion_ids.csv").write_text("\n".join(["ID,LESION_ID", *rows]) + "\n")
    classes = [f"A{number},{number + 1}" for number in range(6)]
    (challenge / "metadataTrain.csv").write_text("\n".join(["ID,CLASS", *classes]) + "\n")
    return tmp_path


def test_the_tables_tell_what_was_found(
    part: Callable[[str], Any], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = part("duplicates")
    exact = duplicates._exact
    threads = cv2.getNumThreads()

    try:
        benchmark.main(["--data", str(data), "--rows", "60"])
    finally:
        cv2.setNumThreads(threads)

    printed = capsys.readouterr().out
    assert "| both in training | 1 | 1 | 0 | 1 |" in printed
    assert "| training and test | 2 | 0 | 2 | not known |" in printed
    assert "| both in test | 0 | 0 | 0 | not known |" in printed
    assert "| fingerprint, tolerance 0.06 | 1 | 2 |" in printed
    assert "the same |" in printed
    assert ", others |" not in printed
    assert printed.count("| --- |") == 4
    assert duplicates._exact is exact


def test_one_table_alone_can_be_made(
    part: Callable[[str], Any], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = cv2.getNumThreads()

    try:
        part("duplicates").main(["--data", str(data), "--only", "sides"])
    finally:
        cv2.setNumThreads(threads)

    printed = capsys.readouterr().out
    assert printed.startswith("| pairs within 0.1 |")
    assert printed.count("| --- |") == 1


def test_the_sheet_shows_pairs_of_different_lesions(
    part: Callable[[str], Any],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    benchmark = part("duplicates")
    threads = cv2.getNumThreads()

    try:
        benchmark.main(["--data", str(data), "--sheet", str(tmp_path / "sheet.png")])
    finally:
        cv2.setNumThreads(threads)

    pairs = [set(line.split()[1:]) for line in capsys.readouterr().out.splitlines()]
    assert {"A0", "B0"} in pairs
    assert {"A5", "B0"} in pairs
    assert {"A0", "A5"} not in pairs
    assert read_image(tmp_path / "sheet.png").shape[1] == 2 * (2 * 200 + 8)


def test_a_folder_without_images_ends_in_one_sentence(
    part: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        part("duplicates").main(["--data", str(tmp_path)])

    assert "Name the folder with --data or DERMOLIB_DATA." in capsys.readouterr().err


def test_each_promised_change_alters_an_image_and_leaves_it_a_duplicate(
    part: Callable[[str], Any],
) -> None:
    changes = part("duplicates_parts.changes")
    image = draw_lesion(0, image_size=(150, 200), generator=np.random.default_rng(0))[0]

    copies = {name: change(image) for name, change in changes.PROMISED.items()}

    for copy in copies.values():
        assert copy.shape != image.shape or (copy != image).any()
        hashes = np.stack([perceptual_hash(image), perceptual_hash(copy)])
        assert find_duplicates(hashes).pairs.tolist() == [[0, 1]]


def test_the_eight_orientations_of_an_image_are_its_flips_and_turns(
    part: Callable[[str], Any],
) -> None:
    image = noise_image(5, 7, seed=0)

    found = {one.tobytes() for one in part("duplicates_parts.changes").turned(image)}

    turns = [np.rot90(one, number) for one in (image, image[::-1]) for number in range(4)]
    assert found == {np.ascontiguousarray(one).tobytes() for one in turns}


def test_the_plain_hash_counts_the_bits_of_the_best_orientation(
    part: Callable[[str], Any],
) -> None:
    plain = part("duplicates_parts.plain")
    turned = np.array([[0b1111] * 7 + [0b0001], [0b1000] * 8], np.uint64)

    (found,) = plain.sign_distances(turned, np.array([0b0000, 0b0011], np.uint64))

    assert found.tolist() == [[1, 1], [1, 3]]


def test_the_plain_hash_has_half_of_its_bits_set(part: Callable[[str], Any]) -> None:
    found = part("duplicates_parts.plain").sign_hash(lesion(0))

    assert int(np.bitwise_count(found)) == 32


def test_cut_fingerprints_are_as_many_as_wanted_and_differ(
    part: Callable[[str], Any], data: Path
) -> None:
    collection = part("duplicates_parts.collection")
    files = collection.read_collection(data).files

    found, sources = collection.cut_hashes(files, 25)

    assert found.shape == (25, 64)
    assert len(np.unique(found, axis=0)) == 25
    assert sources.tolist() == [row // 3 for row in range(25)]
