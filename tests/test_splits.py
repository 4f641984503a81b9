import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets import ISICDataset, grouped_split, read_challenge_table


def draw_table(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    lesion = generator.integers(0, rows * 2 // 3, rows)
    names = np.where(generator.random(rows) < 0.2, "", [f"L{number}" for number in lesion])
    return pd.DataFrame({"label": lesion % 8, "lesion": names})


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(60, 300),
    seed=st.integers(0, 1000),
    fractions=st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.15, 0.15), (0.9, 0.1)]),
)
def test_every_row_is_on_one_side_and_no_lesion_on_two(
    rows: int, seed: int, fractions: tuple[float, ...]
) -> None:
    table = draw_table(rows, seed)

    sides = grouped_split(table, fractions=fractions, seed=seed)

    assert sorted(np.concatenate(sides)) == list(range(rows))
    lesions = [set(table["lesion"][side]) - {""} for side in sides]
    assert sum(map(len, lesions)) == len(set().union(*lesions))


def test_each_side_has_its_share_of_each_class() -> None:
    table = pd.DataFrame({"label": np.arange(1000) % 4, "lesion": ""})

    train, validation = grouped_split(table, fractions=(0.8, 0.2))

    assert np.bincount(table["label"][train]).tolist() == [200] * 4
    assert np.bincount(table["label"][validation]).tolist() == [50] * 4


def test_the_seed_decides_alone() -> None:
    table = draw_table(200, 0)

    first, again = (grouped_split(table, seed=1)[1].tolist() for _ in range(2))
    other = grouped_split(table, seed=2)[1].tolist()

    assert first == again
    assert first != other


def test_any_shares_are_met_to_the_row() -> None:
    table = pd.DataFrame({"label": np.zeros(600, int), "lesion": ""})

    sides = grouped_split(table, fractions=(0.77, 0.225, 0.005))

    assert [len(side) for side in sides] == [462, 135, 3]


def test_one_share_is_everything() -> None:
    (everything,) = grouped_split(draw_table(10, 0), fractions=(1.0,))

    assert everything.tolist() == list(range(10))


def test_a_dataset_splits_by_its_groups(challenge: Path) -> None:
    dataset = ISICDataset.from_challenge(challenge)

    first, second = grouped_split(dataset, fractions=(0.5, 0.5))

    assert not set(dataset.groups[first]) & set(dataset.groups[second])


def test_an_augmented_row_stays_with_its_source() -> None:
    names = [f"I{number}" for number in range(40)]
    table = pd.DataFrame(
        {
            "id": names + [f"{name}_aug" for name in names],
            "made_from": [""] * 40 + names,
            "lesion": "",
            "label": 0,
        }
    )

    first, second = (set(side % 40) for side in grouped_split(table, fractions=(0.5, 0.5)))

    assert not first & second


@pytest.mark.parametrize(
    ("fractions", "sentence"),
    [
        ((0.5, 0.4), "shares that are together 1, but got (0.5, 0.4)."),
        ((), "shares that are together 1, but got ()."),
        ((1.0, 0.0), "a number above 0 and up to 1, but got 0.0."),
        ((0.99, 0.01), "shares that leave no side empty, but got (0.99, 0.01) of 60 rows in"),
    ],
)
def test_unfit_shares_are_refused(fractions: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        grouped_split(draw_table(60, 0), fractions=fractions)


def test_too_few_lesions_are_told() -> None:
    table = pd.DataFrame({"label": [0] * 9, "lesion": ["A", "B", "C"] * 3})

    sentence = "rows of at least 4 groups, one for each side, but got rows of 3. A group is what"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        grouped_split(table, folds=4)


def test_a_table_without_lesions_is_refused() -> None:
    with pytest.raises(TypeError, match="a table with the column `lesion`, but got the columns"):
        grouped_split(pd.DataFrame({"label": [0]}))


def test_categories_and_missing_values_are_understood() -> None:
    lesion = pd.Series(["A", "A", None, "B"] * 10, dtype="category")
    table = pd.DataFrame({"label": pd.Series([0] * 40, dtype="Int64"), "lesion": lesion})

    sides = grouped_split(table, fractions=np.array([0.5, 0.5], np.float32).tolist())

    assert sum(map(len, sides)) == 40


def test_labels_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="whose labels are whole numbers of 0 or more, but got"):
        grouped_split(pd.DataFrame({"label": [0.5] * 20, "lesion": ""}))


@pytest.mark.data
def test_the_real_training_set_splits_without_a_shared_lesion(data_dir: Path) -> None:
    table = read_challenge_table(data_dir / "isic_challenge")

    train, validation = grouped_split(table)

    known = table["lesion"] != ""
    assert not set(table["lesion"][train][known]) & set(table["lesion"][validation][known])
    shares = np.bincount(table["label"][validation]) / np.bincount(table["label"])
    assert np.abs(shares - 0.2).max() < 0.01
