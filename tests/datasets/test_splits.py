import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold
from torch.utils.data import Subset, TensorDataset

from dermolib import ISICDataset, grouped_split
from dermolib.datasets import load_split, read_challenge_table


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
            "parent_id": [""] * 40 + names,
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
        ((0.5, float("nan")), "a number above 0 and up to 1, but got nan."),
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


def test_folds_are_of_equal_size_and_share_no_group() -> None:
    table = draw_table(300, 3)

    split = grouped_split(table, folds=5, seed=1)

    assert split.names == ("fold_0", "fold_1", "fold_2", "fold_3", "fold_4")
    assert sorted(np.concatenate(split)) == list(range(300))
    assert max(map(len, split)) - min(map(len, split)) <= 8
    lesions = [set(table["lesion"][side]) - {""} for side in split]
    assert sum(map(len, lesions)) == len(set().union(*lesions))


def test_a_patient_stays_on_one_side() -> None:
    table = draw_table(300, 4)
    table["patient"] = [f"P{row // 10}" if row < 200 else "" for row in range(300)]

    split = grouped_split(table, fractions=(0.7, 0.3))

    first, second = (set(table["patient"][side]) - {""} for side in split)
    assert not first & second
    assert len(first | second) == 20


def test_pairs_of_duplicates_stay_on_one_side() -> None:
    table = pd.DataFrame({"label": [0] * 100, "lesion": ""})
    pairs = np.array([[row, row + 50] for row in range(50)])

    split = grouped_split(table, fractions=(0.5, 0.5), duplicates=pairs)

    assert all(set(side) == {(row + 50) % 100 for row in side} for side in split)


@pytest.mark.parametrize("pairs", [[[0, 60]], [[-1, 2]], [[0, 1, 2]], [[0.5, 1]], [3]])
def test_pairs_that_are_none_of_rows_are_refused(pairs: Any) -> None:
    with pytest.raises(ValueError, match=r"pairs \(P, 2\) of row numbers in 0..59, but got"):
        grouped_split(draw_table(60, 0), duplicates=pairs)


def test_no_pairs_change_nothing() -> None:
    table = draw_table(60, 0)

    split = grouped_split(table, duplicates=[])

    assert [side.tolist() for side in split] == [side.tolist() for side in grouped_split(table)]


def test_rows_without_a_label_are_a_class_of_their_own() -> None:
    labels = pd.Series([0, 1, None, 1] * 50, dtype="Int64")
    table = pd.DataFrame({"label": labels, "lesion": ""})

    split = grouped_split(table, fractions=(0.5, 0.5))

    assert split.counts.to_dict("index") == {
        "unknown": {"train": 25, "validation": 25},
        "MEL": {"train": 25, "validation": 25},
        "NV": {"train": 50, "validation": 50},
    }


def test_the_order_of_rows_with_ids_does_not_matter() -> None:
    table = draw_table(200, 5)
    table["id"] = [f"I{row:03}" for row in range(200)]
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)

    first, other = grouped_split(table, seed=3), grouped_split(shuffled, seed=3)

    for rows, others in zip(first, other, strict=True):
        assert set(table["id"][rows]) == set(shuffled["id"][others])


def test_a_split_states_its_shares_and_how_far_they_are_off() -> None:
    table = pd.DataFrame({"label": [0] * 30 + [1] * 10, "lesion": ["A"] * 10 + [""] * 30})

    split = grouped_split(table, fractions=(0.75, 0.25))

    whole = split.counts.sum(axis=1)
    assert whole.to_dict() == {"MEL": 30, "NV": 10}
    shares = split.counts / split.counts.sum()
    assert split.fractions["all"].to_dict() == {"MEL": 0.75, "NV": 0.25}
    off = float((shares.T - whole / 40).abs().to_numpy().max())
    assert split.largest_deviation == pytest.approx(off)
    assert str(split).endswith(f"Largest deviation of a fraction: {100 * off:.2f} points.")
    assert str(len(split[0])) in str(split).splitlines()[-2]


def test_a_split_pickles() -> None:
    split = grouped_split(draw_table(60, 0))

    again = pickle.loads(pickle.dumps(split))  # noqa: S301 - what was pickled just now

    assert [side.tolist() for side in again] == [side.tolist() for side in split]
    assert again.names == split.names
    assert again.counts.equals(split.counts)


def test_a_saved_split_is_loaded_for_rows_in_any_order(challenge: Path, tmp_path: Path) -> None:
    dataset = ISICDataset.from_challenge(challenge)
    split = grouped_split(dataset, fractions=(0.5, 0.5))

    split.save(tmp_path / "split.csv")

    again = load_split(tmp_path / "split.csv", dataset.subset([5, 4, 3, 2, 1, 0]))
    assert [set(5 - side) for side in again] == [set(side) for side in split]
    assert again.counts.equals(split.counts)
    text = (tmp_path / "split.csv").read_text().splitlines()
    assert text[0] == "ID,SPLIT"
    assert {line.split(",")[1] for line in text[1:]} == {"train", "validation"}


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["IMG_0,train"], "a split of the ids of the rows, but got 5 of them missing and 0 others"),
        (["X,train"], "but got 6 of them missing and 1 others (IMG_0"),
        ([f"IMG_{row}," for row in range(6)], "a table with a side for each id, but got none for"),
        (["IMG_0,a", "IMG_0,b"], "in which each id stands once"),
    ],
)
def test_a_split_of_other_rows_is_refused(
    challenge: Path, tmp_path: Path, lines: list[str], sentence: str
) -> None:
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["ID,SPLIT", *lines]))

    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_split(path, ISICDataset.from_challenge(challenge))


def test_rows_without_ids_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="to be one of rows with ids, but got none"):
        grouped_split(draw_table(60, 0)).save(tmp_path / "split.csv")
    assert list(tmp_path.iterdir()) == []


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="`folds` to be an integer of 2 or more, but got 1"):
        grouped_split(draw_table(60, 0), folds=1)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_shares_are_as_near_as_those_of_scikit_learn(seed: int) -> None:
    table = draw_table(400, seed)
    groups = np.unique(
        np.where(table["lesion"] == "", np.arange(400).astype(str), table["lesion"]),
        return_inverse=True,
    )[1]
    labels = table["label"].to_numpy()
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    others = [rows for _, rows in splitter.split(labels, labels, groups)]

    def off(sides: list[Any]) -> float:
        whole = np.bincount(labels, minlength=8) / 5
        counts = [np.bincount(labels[side], minlength=8) for side in sides]
        return float((((np.array(counts) - whole) / np.maximum(whole, 1)) ** 2).sum())

    assert off(list(grouped_split(table, folds=5, seed=seed))) <= off(others) + 0.02


def test_no_side_is_empty_where_there_are_groups_for_all() -> None:
    table = pd.DataFrame({"label": [0] * 60, "lesion": ["A"] * 50 + ["B"] * 9 + ["C"]})

    sides = grouped_split(table, fractions=(0.7, 0.15, 0.15))

    assert sorted(map(len, sides)) == [1, 9, 50]
    assert min(map(len, grouped_split(draw_table(60, 0), fractions=(0.999, 0.001)))) >= 1


def test_folds_keep_their_order_when_they_are_loaded(tmp_path: Path) -> None:
    table = draw_table(300, 0).assign(id=[f"I{row}" for row in range(300)])
    split = grouped_split(table, folds=12)
    split.save(tmp_path / "folds.csv")

    again = load_split(tmp_path / "folds.csv", table)

    assert again.names == split.names
    assert [side.tolist() for side in again] == [side.tolist() for side in split]


def test_a_split_of_others_that_tears_a_lesion_is_told(challenge: Path, tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    lines = [f"IMG_{row},{'na' if row == 1 else 'train'},{row}" for row in range(6)]
    path.write_text("\n".join(["id,split,CLASS", *lines]))  # IMG_1 and IMG_3 show one lesion

    with pytest.warns(UserWarning, match=r"split\.csv has 1 lesions or patients on two sides"):
        split = load_split(path, ISICDataset.from_challenge(challenge))

    assert split.names == ("train", "na")
    assert split[1].tolist() == [1]


def test_a_dataset_without_any_label_is_split_by_lesion(challenge: Path) -> None:
    table = pd.read_csv(challenge / "metadataTrain.csv").drop(columns="CLASS")
    dataset = ISICDataset(table, challenge / "Train")

    split = grouped_split(dataset, fractions=(0.5, 0.5))

    assert split.counts.to_dict("index") == {"unknown": {"train": 3, "validation": 3}}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            [1, 2],
            "a dataset with `labels` and `groups`, or a table, but got an object of type list",
        ),
        (Subset(TensorDataset(), [0]), "Take rows of a dataset with `dataset.subset(rows)`."),
        (None, "but got an object of type NoneType."),
    ],
)
def test_what_cannot_be_split_is_told(source: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        grouped_split(source)


@pytest.mark.parametrize("fractions", [0.8, None, "half"])
def test_fractions_that_are_no_list_are_refused(fractions: Any) -> None:
    with pytest.raises(TypeError, match="`fractions` to be a share for each side, but got"):
        grouped_split(draw_table(60, 0), fractions=fractions)


def test_ragged_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`duplicates` to be pairs \(P, 2\)"):
        grouped_split(draw_table(60, 0), duplicates=[[0, 1], [2]])


class Others:
    """A data set of another library."""

    def __init__(self, labels: list[int], groups: list[str]) -> None:
        self.labels, self.groups = np.array(labels), np.array(groups, dtype=object)


def test_a_dataset_of_another_library_is_split_by_its_groups() -> None:
    groups = [f"G{row // 3}" for row in range(60)]

    first, second = grouped_split(Others([0, 1] * 30, groups), fractions=(0.5, 0.5))

    assert len(first) + len(second) == 60
    assert not {groups[row] for row in first} & {groups[row] for row in second}


def test_labels_and_groups_of_other_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="a table, but got 2 labels and 1 groups"):
        grouped_split(Others([0, 1], ["A"]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "ID,SIDE\nA,train\n",
            "a table with the columns ID and SPLIT, but got the columns ID, SIDE",
        ),
        ("ID,SPLIT\nA,x\nA,y\n", "in which each id stands once, but got A twice."),
    ],
)
def test_what_is_no_split_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "split.csv").write_text(text)

    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_split(tmp_path / "split.csv", pd.DataFrame({"id": ["A"], "lesion": ""}))


def test_a_split_needs_rows_with_ids(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("ID,SPLIT\nA,x\n")

    with pytest.raises(TypeError, match="`dataset_or_table` to be rows with ids, but got none"):
        load_split(tmp_path / "split.csv", draw_table(60, 0))


def test_a_table_without_labels_is_loaded_as_unknown(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("ID,SPLIT\nA,x\nB,y\n")

    split = load_split(tmp_path / "split.csv", pd.DataFrame({"id": ["A", "B"], "lesion": ""}))

    assert split.counts.to_dict("index") == {"unknown": {"x": 1, "y": 1}}
