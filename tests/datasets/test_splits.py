"""Splits in which no lesion and no patient is twice, stratified, saved and loaded."""

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
from dermolib.datasets import Split, as_split, load_split, read_challenge_table, read_table
from dermolib.labels import as_label_space


def draw_table(rows: int, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    lesion = generator.integers(0, rows * 2 // 3, rows)
    names = np.where(generator.random(rows) < 0.2, "", [f"L{number}" for number in lesion])
    return pd.DataFrame({"label": lesion % 8, "lesion": names})


def with_ids(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(id=[f"I{row:03}" for row in range(len(table))])


def assert_apart(split: Split, values: pd.Series) -> None:
    """Check that each row is in one split, and no value but the empty one in two."""
    assert sorted(np.concatenate(split)) == list(range(len(values)))
    found = [{*values.iloc[rows]} - {""} for rows in split]
    assert sum(map(len, found)) == len(set().union(*found))


def as_lists(split: Split) -> list[list[int]]:
    return [rows.tolist() for rows in split]


@settings(deadline=None, max_examples=25)
@given(
    rows=st.integers(60, 300),
    seed=st.integers(0, 1000),
    fractions=st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.15, 0.15), (0.9, 0.1)]),
)
def test_every_row_is_in_one_split_and_no_lesion_in_two(
    rows: int, seed: int, fractions: tuple[float, ...]
) -> None:
    table = draw_table(rows, seed)

    assert_apart(grouped_split(table, fractions=fractions, seed=seed), table["lesion"])


def test_each_split_has_its_fraction_of_each_class() -> None:
    table = pd.DataFrame({"label": np.arange(1000) % 4, "lesion": ""})

    train, validation = grouped_split(table, fractions=(0.8, 0.2))

    assert np.bincount(table["label"][train]).tolist() == [200] * 4
    assert np.bincount(table["label"][validation]).tolist() == [50] * 4


@pytest.mark.parametrize(
    ("fractions", "sizes"), [((0.77, 0.225, 0.005), [462, 135, 3]), ((1.0,), [600])]
)
def test_any_fractions_are_met_to_the_row(fractions: tuple[float, ...], sizes: list[int]) -> None:
    table = pd.DataFrame({"label": np.zeros(600, int), "lesion": ""})

    assert [len(rows) for rows in grouped_split(table, fractions=fractions)] == sizes


def test_the_seed_decides_alone() -> None:
    table = draw_table(200, 0)

    first, again, other = (as_lists(grouped_split(table, seed=seed)) for seed in (1, 1, 2))

    assert first == again != other


def test_assignments_stay_those_of_earlier_versions() -> None:
    table = draw_table(40, 0)

    split = grouped_split(table, fractions=(0.7, 0.3), seed=3)

    assert split[1].tolist() == [10, 11, 12, 14, 16, 19, 25, 30, 32, 36, 38]


def test_the_order_of_rows_with_ids_does_not_matter() -> None:
    table = with_ids(draw_table(200, 5))
    shuffled = table.sample(frac=1, random_state=0).reset_index(drop=True)

    first, other = grouped_split(table, seed=3), grouped_split(shuffled, seed=3)

    for rows, others in zip(first, other, strict=True):
        assert {*table["id"][rows]} == {*shuffled["id"][others]}


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_fractions_are_as_near_as_those_of_scikit_learn(seed: int) -> None:
    table = draw_table(400, seed)
    single = np.arange(400).astype(str)
    groups = pd.factorize(np.where(table["lesion"] == "", single, table["lesion"]))[0]
    labels = table["label"].to_numpy()
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    others = [rows for _, rows in splitter.split(labels, labels, groups)]

    def off(splits: list[Any]) -> float:
        whole = np.bincount(labels, minlength=8) / 5
        counts = [np.bincount(labels[rows], minlength=8) for rows in splits]
        return float((((np.array(counts) - whole) / np.maximum(whole, 1)) ** 2).sum())

    assert off(list(grouped_split(table, folds=5, seed=seed))) <= off(others) + 0.02


def test_folds_are_of_equal_size_and_share_no_group() -> None:
    table = draw_table(300, 3)

    split = grouped_split(table, folds=5, seed=1)

    assert split.names == ("fold_0", "fold_1", "fold_2", "fold_3", "fold_4")
    assert max(map(len, split)) - min(map(len, split)) <= 8
    assert_apart(split, table["lesion"])


def test_a_round_tests_on_one_fold_and_trains_on_all_others() -> None:
    table = draw_table(200, seed=0)
    folds = grouped_split(table, folds=4)

    for fold, (train, test) in zip(folds, folds.rounds(), strict=True):
        assert test.tolist() == fold.tolist()
        assert sorted([*train, *test]) == list(range(200))
        assert not {*table["lesion"][train].replace("", np.nan).dropna()} & {*table["lesion"][test]}


def test_a_test_set_is_not_trained_on_in_rounds() -> None:
    split = grouped_split(draw_table(60, seed=0), fractions=(0.6, 0.2, 0.2))

    fragment = r"`split` to be folds of .*, but got train, validation, test\. .*`folds=5`"
    with pytest.raises(ValueError, match=fragment):
        split.rounds()


def test_no_split_is_empty_where_there_are_groups_for_all() -> None:
    table = pd.DataFrame({"label": [0] * 60, "lesion": ["A"] * 50 + ["B"] * 9 + ["C"]})

    split = grouped_split(table, fractions=(0.7, 0.15, 0.15))

    assert sorted(map(len, split)) == [1, 9, 50]
    assert min(map(len, grouped_split(draw_table(60, 0), fractions=(0.999, 0.001)))) >= 1


def test_a_patient_stays_in_one_split() -> None:
    table = draw_table(300, 4)
    table["patient"] = [f"P{row // 10}" if row < 200 else "" for row in range(300)]

    assert_apart(grouped_split(table, fractions=(0.7, 0.3)), table["patient"])


def test_an_augmented_row_stays_with_its_parent() -> None:
    names = [f"I{number}" for number in range(40)]
    ids, parents = names + [f"{name}_aug" for name in names], [""] * 40 + names
    table = pd.DataFrame({"id": ids, "parent_id": parents, "lesion": "", "label": 0})

    first, second = ({*rows % 40} for rows in grouped_split(table, fractions=(0.5, 0.5)))

    assert not first & second


def test_pairs_of_duplicates_stay_in_one_split() -> None:
    table = pd.DataFrame({"label": [0] * 100, "lesion": ""})
    pairs = np.array([[row, row + 50] for row in range(50)])

    split = grouped_split(table, fractions=(0.5, 0.5), duplicates=pairs)

    assert all({*rows} == {(row + 50) % 100 for row in rows} for rows in split)
    unpaired = grouped_split(table, fractions=(0.5, 0.5), duplicates=[])
    assert as_lists(unpaired) == as_lists(grouped_split(table, fractions=(0.5, 0.5)))


class Others:
    """A data set of another library."""

    def __init__(self, labels: list[int], groups: list[str]) -> None:
        self.labels, self.groups = np.array(labels), np.array(groups, dtype=object)


def test_datasets_of_any_kind_are_split_by_their_groups(challenge: Path) -> None:
    dataset = ISICDataset.from_challenge(challenge)
    others = Others([0, 1] * 30, [f"G{row // 3}" for row in range(60)])
    unlabeled = pd.read_csv(challenge / "metadataTrain.csv").drop(columns="CLASS")

    for data in (dataset, others):
        assert_apart(grouped_split(data, fractions=(0.5, 0.5)), pd.Series(data.groups))
    split = grouped_split(ISICDataset(unlabeled, challenge / "Train"), fractions=(0.5, 0.5))
    assert split.counts.to_dict("index") == {"unknown": {"train": 3, "validation": 3}}


def test_rows_without_a_label_are_a_class_of_their_own() -> None:
    labels = pd.Series([0, 1, None, 1] * 50, dtype="Int64")
    lesion = pd.Series(["A", "A", None, "B"] * 50, dtype="category")

    split = grouped_split(pd.DataFrame({"label": labels, "lesion": ""}), fractions=(0.5, 0.5))

    assert split.counts.to_dict("index") == {
        "unknown": {"train": 25, "validation": 25},
        "MEL": {"train": 25, "validation": 25},
        "NV": {"train": 50, "validation": 50},
    }
    split = grouped_split(pd.DataFrame({"label": labels, "lesion": lesion}), fractions=(0.5, 0.5))
    assert sum(map(len, split)) == 200


@pytest.mark.data
def test_the_real_training_set_splits_without_a_shared_lesion(data_dir: Path) -> None:
    table = read_challenge_table(data_dir / "isic_challenge")

    split = grouped_split(table)

    assert_apart(split, table["lesion"])
    assert split.largest_deviation < 0.001


def test_a_split_states_its_fractions_and_how_far_they_are_off() -> None:
    table = pd.DataFrame({"label": [0] * 30 + [1] * 10, "lesion": ["A"] * 10 + [""] * 30})

    split = grouped_split(table, fractions=(0.75, 0.25))

    whole = split.counts.sum(axis=1)
    assert whole.to_dict() == {"MEL": 30, "NV": 10}
    fractions = split.counts / split.counts.sum()
    assert split.fractions["all"].to_dict() == {"MEL": 0.75, "NV": 0.25}
    off = float((fractions.T - whole / 40).abs().to_numpy().max())
    assert split.largest_deviation == pytest.approx(off)
    assert str(split).endswith(f"Largest deviation of a fraction: {100 * off:.2f} points.")
    assert str(len(split[0])) in str(split).splitlines()[-2]


NO_FRACTIONS = "`fractions` to be a fraction for each split, but got"
NO_PAIRS = "pairs (P, 2) of row numbers in 0..59, but got"


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"fractions": (0.5, 0.4)}, ValueError, "numbers that add up to 1, but got (0.5, 0.4)."),
        ({"fractions": ()}, ValueError, "numbers that add up to 1, but got ()."),
        ({"fractions": (1.0, 0.0)}, ValueError, "a number above 0 and up to 1, but got 0.0."),
        ({"fractions": (0.5, float("nan"))}, ValueError, "above 0 and up to 1, but got nan."),
        ({"fractions": 0.8}, TypeError, NO_FRACTIONS),
        ({"fractions": None}, TypeError, NO_FRACTIONS),
        ({"fractions": "half"}, TypeError, NO_FRACTIONS),
        ({"folds": 1}, ValueError, "`folds` to be an integer of 2 or more, but got 1"),
        ({"folds": 61}, ValueError, "rows of at least 61 groups, one for each split, but got"),
        *(
            ({"duplicates": pairs}, ValueError, NO_PAIRS)
            for pairs in ([[0, 60]], [[-1, 2]], [[0, 1, 2]], [[0.5, 1]], [3], [[0, 1], [2]])
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        grouped_split(draw_table(60, 0), **options)


@pytest.mark.parametrize(
    ("source", "error", "fragment"),
    [
        ([1, 2], TypeError, "a dataset with `labels` and `groups`, or a table, but got an object"),
        (None, TypeError, "but got an object of type NoneType."),
        (Subset(TensorDataset(), [0]), TypeError, "Take rows with `dataset.subset(rows)`."),
        (Others([0, 1], ["A"]), ValueError, "a table, but got 2 labels and 1 groups"),
        (pd.DataFrame({"label": [0]}), TypeError, "a table with the column `lesion`, but got"),
        (
            pd.DataFrame({"label": [0.5] * 20, "lesion": ""}),
            ValueError,
            "whose labels are integers of 0 or more, but got",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(
    source: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        grouped_split(source)


def test_a_split_pickles() -> None:
    split = grouped_split(draw_table(60, 0))

    again = pickle.loads(pickle.dumps(split))  # noqa: S301 - what was pickled just now

    assert as_lists(again) == as_lists(split)
    assert again.names == split.names
    assert again.counts.equals(split.counts)


def test_a_saved_split_is_loaded_for_rows_in_any_order(challenge: Path, tmp_path: Path) -> None:
    dataset = ISICDataset.from_challenge(challenge)
    split = grouped_split(dataset, fractions=(0.5, 0.5))

    split.save(tmp_path / "split.csv")

    again = load_split(tmp_path / "split.csv", dataset.subset([5, 4, 3, 2, 1, 0]))
    assert [{*5 - rows} for rows in again] == [{*rows} for rows in split]
    assert again.counts.equals(split.counts)
    text = (tmp_path / "split.csv").read_text().splitlines()
    assert text[0] == "ID,SPLIT"
    assert {line.split(",")[1] for line in text[1:]} == {"train", "validation"}


def test_folds_keep_their_order_when_they_are_loaded(tmp_path: Path) -> None:
    table = with_ids(draw_table(300, 0))
    split = grouped_split(table, folds=12)
    split.save(tmp_path / "folds.csv")

    again = load_split(tmp_path / "folds.csv", table)

    assert again.names == split.names
    assert as_lists(again) == as_lists(split)


def test_a_split_of_others_with_a_lesion_in_two_splits_is_warned_of(
    challenge: Path, tmp_path: Path
) -> None:
    path = tmp_path / "split.csv"
    lines = [f"IMG_{row},{'dev' if row == 1 else 'training'},{row}" for row in range(6)]
    path.write_text("\n".join(["id,split,CLASS", *lines]))  # IMG_1 and IMG_3 show one lesion

    with pytest.warns(UserWarning, match=r"split\.csv has 1 lesions or patients in two splits"):
        split = load_split(path, ISICDataset.from_challenge(challenge))

    assert split.names == ("train", "validation")
    assert split[1].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("ID,SPLIT\nIMG_0,train", "the ids of the rows, but got 5 of them missing and 0 others"),
        ("ID,SPLIT\nX,train", "but got 6 of them missing and 1 others (IMG_0"),
        ("ID,SPLIT\n" + "\n".join(f"IMG_{row}," for row in range(6)), "a split for each id, but"),
        ("ID,SPLIT\nA,x\nA,y\n", "in which each id appears once, but got A twice."),
        *(
            ("ID,SPLIT\n" + "".join(f"IMG_{n},{'train' if n else name}\n" for n in range(6)), words)
            for name, words in (
                (
                    "trian",
                    "or numbered ones such as fold_0, but got 'trian'. Did you mean 'train'?",
                ),
                ("tra", "but got 'tra'. Did you mean"),
                ("holdout", "but got 'holdout'. Rename them in the file."),
                ("training", "but got 'train', 'training'. All of them mean train: write one."),
                ("n/a", "a split for each id, but got none for IMG_0."),
            )
        ),
        ("ID,CLASS\nA,1\n", "a table with the columns ID and SPLIT, but got the columns ID, CLASS"),
    ],
)
def test_a_split_of_other_rows_is_refused(
    challenge: Path, tmp_path: Path, text: str, fragment: str
) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)

    with pytest.raises(ValueError, match=re.escape(fragment)):
        load_split(path, ISICDataset.from_challenge(challenge))


@pytest.mark.parametrize(
    ("written", "names"),
    [
        *(
            (written, ["train", "validation", "test"])
            for written in (
                ("train", "val", "test"),
                ("training", "valid", "testing"),
                ("TRAIN", " Validation", "Test "),
                ("Training_set", "dev-set", "test set"),
                ("tr", "Dev", "te"),
            )
        ),
        (("fold 2", "fold 10", f"fold {'9' * 5000}"), ["fold 2", "fold 10", f"fold {'9' * 5000}"]),
        (("0.0", "1.0", "10.0"), ["0", "1", "10"]),
        (("Train", "val1", "test1"), ["train", "val1", "test1"]),
        (("train", "test2", "site_3"), ["train", "test2", "site_3"]),
    ],
    ids=range(9),
)
def test_splits_are_ordered_by_what_their_names_mean(
    tmp_path: Path, written: tuple[str, ...], names: list[str]
) -> None:
    table = with_ids(draw_table(3, 0)).assign(lesion="")
    rows = [f"I00{row} ,{written[row]}\n" for row in (2, 0, 1)]
    (tmp_path / "split.csv").write_text("ID,SPLIT\n" + "".join(rows))

    split = load_split(tmp_path / "split.csv", table)

    assert split.names == (*names,)
    assert as_lists(split) == [[0], [1], [2]]


@pytest.mark.parametrize("name", ["val", "Valid", " dev ", "VALIDATION set"])
def test_a_split_has_one_name_wherever_it_is_named(challenge: Path, name: str) -> None:
    dataset = ISICDataset.from_challenge(challenge, "Training")

    assert as_split(name) == dataset.subset([0], split=name).split == "validation"
    assert as_split(name, ["train", "val"]) == "val"
    assert dataset.split == "train"
    with pytest.raises(ValueError, match="`split` to be one of 'train', 'test', but got"):
        read_challenge_table(challenge, name)


@pytest.mark.parametrize("name", ["eval", "", "train2", None, 3])
def test_an_unknown_split_is_refused_with_the_known_ones(name: Any) -> None:
    with pytest.raises(ValueError, match="`split` to be one of 'train', 'validation', 'test', but"):
        as_split(name)


@pytest.mark.parametrize("space", ["binary", "isic2018", "milk10k", ["A", "B", "C", "D"]])
def test_classes_are_named_by_the_label_space_of_what_is_split(space: Any) -> None:
    codes = as_label_space(space).codes
    first, *_, last = codes
    # No row is of the classes between, and one lesion alone of the last
    frame = pd.DataFrame({"id": [f"I{row}" for row in range(9)], "dx": [first] * 8 + [last]})
    table = read_table(frame, label_space=space)

    split = grouped_split(table, fractions=(0.5, 0.25, 0.25))

    assert split.counts.T.sum().to_dict() == {first: 8, last: 1}
    assert split.counts.loc[[first]].to_numpy().tolist() == [[4, 2, 2]]
    beyond = grouped_split(pd.DataFrame({"label": [0, 20], "lesion": ""}), fractions=(0.5, 0.5))
    assert beyond.counts.index.tolist() == ["0", "20"]


def test_rows_without_ids_cannot_be_saved_or_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="to be one of rows with ids, but got none"):
        grouped_split(draw_table(60, 0)).save(tmp_path / "split.csv")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError, match="rows with ids, but got none"):
        load_split(tmp_path / "split.csv", draw_table(60, 0))


def confounded(seed: int = 0, count: int = 600) -> pd.DataFrame:
    """Draw lesions of one to four images, some of which show patches, by source."""
    generator = np.random.default_rng(seed)
    lesion = np.arange(count).repeat(generator.integers(1, 5, count))
    source = generator.choice(["a", "b", "c"], count, p=[0.7, 0.2, 0.1])[lesion]
    patches = (generator.random(count) < np.where(np.arange(count) % 7 == 0, 0.3, 0.03))[lesion]
    table = pd.DataFrame({"label": lesion % 3, "lesion": lesion.astype(str)})
    probability = np.clip(patches * 0.8 + generator.random(len(table)) / 10, 0, 1)
    ids = [f"I{row}" for row in range(len(table))]
    return table.assign(id=ids, source=source, patches=patches, ink=probability)


@pytest.mark.parametrize("seed", range(3))
def test_further_columns_are_kept_even_beside_the_class(seed: int) -> None:
    table = confounded(seed)
    columns = ["source", "patches", "ink"]

    split = grouped_split(table, folds=5, stratify=columns, seed=seed)
    plain = grouped_split(table, folds=5, seed=seed)

    assert split.balance.index.tolist() == ["source: a", "source: b", "source: c", "patches", "ink"]
    off = split.balance[[*split.names]].sub(split.balance["all"], axis=0).abs()
    assert off.to_numpy().max() < 0.01
    assert split.largest_deviation < 0.01
    without = [abs(table["patches"][rows].mean() - table["patches"].mean()) for rows in plain]
    assert off.loc["patches"].max() < max(without)
    for name, rows in zip(split.names, split, strict=True):
        part = table.iloc[rows]
        assert split.balance[name]["source: b"] == pytest.approx((part["source"] == "b").mean())
        assert split.balance[name]["ink"] == pytest.approx(part["ink"].mean())
    lesions = [{*table["lesion"][rows]} for rows in split]
    assert sum(map(len, lesions)) == len(set.union(*lesions))


def test_columns_of_another_table_are_found_by_id() -> None:
    table = confounded()
    artifacts = table.set_index("id")[["patches", "ink"]]

    split = grouped_split(table, stratify=artifacts.sample(frac=1, random_state=0))

    wanted = grouped_split(table, stratify=["patches", "ink"])
    assert [rows.tolist() for rows in split] == [rows.tolist() for rows in wanted]
    by_row = grouped_split(table, stratify=artifacts.reset_index(drop=True))
    assert [rows.tolist() for rows in by_row] == [rows.tolist() for rows in wanted]


def test_ids_of_another_table_are_compared_as_text() -> None:
    table = confounded()
    table["id"] = range(len(table))
    artifacts = table[["patches", "ink"]].set_index(pd.Index(table["id"].astype(str), name="id"))

    split = grouped_split(table, stratify=artifacts.sample(frac=1, random_state=0))

    assert as_lists(split) == as_lists(grouped_split(table, stratify=["patches", "ink"]))


def test_another_table_with_ids_needs_each_once() -> None:
    table = confounded()
    artifacts = table.set_index("id")[["ink"]]
    other = artifacts.rename(index={table["id"][3]: "another"})
    shuffled = pd.concat([artifacts, artifacts]).sample(frac=1, random_state=0)

    with pytest.raises(ValueError, match=f"as its index, but got one without {table['id'][3]}"):
        grouped_split(table, stratify=other.sample(frac=1, random_state=0))
    with pytest.raises(ValueError, match="as its index, but got one with several rows of"):
        grouped_split(table, stratify=shuffled)


def test_missing_values_are_kept_even_as_well() -> None:
    table = confounded()
    table["sex"] = pd.Series("male", table.index).mask(np.arange(len(table)) % 3 == 0)
    table["ink"] = table["ink"].mask(np.arange(len(table)) % 4 == 0)

    balance = grouped_split(table, folds=4, stratify=["sex", "ink"]).balance

    assert balance.index.tolist() == ["sex: male", "sex: missing", "ink", "ink: missing"]
    assert balance.loc["ink: missing"].to_numpy() == pytest.approx(1 / 4, abs=0.01)


def test_the_balance_is_printed_and_survives_a_pickle() -> None:
    split = grouped_split(confounded(), stratify=["patches"])

    assert re.search(r"patches +\d+\.\d+ ", str(split))
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(split)).balance, split.balance)  # noqa: S301 - our own
    assert not len(grouped_split(confounded()).balance)


@pytest.mark.parametrize(
    ("stratify", "error", "message"),
    [
        ("source", TypeError, "a list of names of columns"),
        (["site"], ValueError, "names of columns of the table.*site"),
        (pd.DataFrame({"ink": [0.5]}), ValueError, "rows, or with the ids.*1 rows"),
        (["off"], ValueError, "'off' has numbers of 0 or more.*-1"),
        (["id"], ValueError, "'id' has up to 50 values"),
    ],
)
def test_what_cannot_be_stratified_by_is_refused(
    stratify: Any, error: type[Exception], message: str
) -> None:
    table = confounded().assign(off=-1.0)
    with pytest.raises(error, match=f"`stratify`.*{message}"):
        grouped_split(table, stratify=stratify)
