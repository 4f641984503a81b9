"""The benchmark of unknown images: what is planted, which known images are taken, the tables."""

import numpy as np
import pytest

import unknowns
from dermolib.evaluation import Features
from dermolib.labels import DIAGNOSES
from unknown_parts.planted import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_planted_images_are_as_large_as_the_others_and_tiles_of_a_picture_are_a_group(
    kind: str,
) -> None:
    images, groups = KINDS[kind]()

    assert {(image.shape, image.dtype.name) for image in images} == {((150, 200, 3), "uint8")}
    assert len(groups) == len(images) >= 3
    assert max(groups.count(name) for name in groups) <= 12
    assert all(
        (first == second).all() for first, second in zip(images, KINDS[kind]()[0], strict=True)
    )


def test_lesions_are_taken_whole_until_a_class_has_enough_images() -> None:
    labels = np.repeat([0, 1], [300, 30])
    groups = np.array([f"L{number // 3}" for number in range(330)])

    rows = unknowns.sample(labels, groups)

    assert np.bincount(labels[rows]).tolist() == [80, 30]
    assert len(np.unique(groups[rows[labels[rows] == 0]])) == 27


def test_the_tables_have_a_row_for_each_kind_and_method() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 40)
    values = generator.normal(size=(320, 12)) + 4 * np.eye(8, 12)[labels]
    ids = np.array([f"I{number}" for number in range(320)])
    features = Features(values.astype(np.float32), ids, labels, ids)
    far = unknowns.Unknown(generator.normal(9, 1, (20, 12)), np.arange(20))

    lines = list(unknowns.tables(features, 2, {"far": far}))

    rows = [line for line in lines if line.startswith(("| far", "| held-out"))]
    assert len(rows) == 2 * 3
    assert f"held-out class {DIAGNOSES[2].code}" in rows[1]
    row = next(line for line in rows if "far | mahalanobis" in line)
    assert "| 1.000 (1.000..1.000) | 0.000 (0.000..0.000) | 1.000 | 20 of 20 |" in row
    assert "140, 70 and 70 images train" in lines[0]
