"""Lesions that pairs of images show to be one get one id, which a paper can publish."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import ISICDataset, grouped_split
from dermolib.auditing import join_groups
from dermolib.datasets import group_names, read_table

LESIONS = {"a": "L2", "b": "L2", "c": "L1", "d": "", "e": "", "f": "L3"}


def table_of(lesions: dict[str, str] | None = None) -> pd.DataFrame:
    lesions = LESIONS if lesions is None else lesions
    return pd.DataFrame({"id": [*lesions], "lesion": [*lesions.values()]})


def pairs_of(*pairs: str, **columns: Any) -> pd.DataFrame:
    """Make pairs of ids of one letter each."""
    return pd.DataFrame(
        {"first": [p[0] for p in pairs], "second": [p[1] for p in pairs], **columns}
    )


def joined(*pairs: str, **columns: Any) -> list[str]:
    made = join_groups(table_of(), pairs_of(*pairs, **columns))
    return made["lesion"].tolist()


@pytest.mark.parametrize(
    ("pairs", "lesions"),
    [
        ((), ["L2", "L2", "L1", "", "", "L3"]),
        (("bc",), ["L1", "L1", "L1", "", "", "L3"]),
        (("ab",), ["L2", "L2", "L1", "", "", "L3"]),
        (("bc", "cf"), ["L1", "L1", "L1", "", "", "L1"]),
        (("fd",), ["L2", "L2", "L1", "L3", "", "L3"]),
        (("ed",), ["L2", "L2", "L1", "d", "d", "L3"]),
        (("ax", "xf"), ["L2", "L2", "L1", "", "", "L2"]),
        (("ax",), ["L2", "L2", "L1", "", "", "L3"]),
    ],
    ids=[
        "no pair", "two lesions", "one lesion", "a chain", "a lesion and an unknown one",
        "two unknown ones", "a chain over an absent id", "an absent id",
    ],
)  # fmt: skip
def test_joined_lesions_take_the_first_of_their_names(
    pairs: tuple[str, ...], lesions: list[str]
) -> None:
    assert joined(*pairs) == lesions


def test_neighbors_that_have_skin_in_common_are_two_lesions_of_one_group() -> None:
    kinds = ["shared skin", "recapture"]
    table = table_of().assign(label=0)

    assert joined("ac", "df", kind=kinds) == ["L2", "L2", "L1", "L3", "", "L3"]
    pairs = pairs_of("ac", "df", kind=kinds)
    split = grouped_split(table, folds=3, duplicates=pairs)
    assert sorted("".join(table["id"][rows]) for rows in split) == ["abc", "df", "e"]


def test_copies_go_with_the_image_that_they_were_made_from() -> None:
    table = table_of({"a": "L1", "b": "", "c": "L2"}).assign(parent_id=["", "a", ""])

    assert join_groups(table, pairs_of("ac"))["lesion"].tolist() == ["L1"] * 3
    assert join_groups(table, pairs_of("bc"))["lesion"].tolist() == ["L1"] * 3


def test_lesions_of_one_patient_stay_different() -> None:
    table = table_of({"a": "L1", "b": "L2", "c": "L3"}).assign(patient=["P", "P", ""])

    assert join_groups(table, pairs_of("bc"))["lesion"].tolist() == ["L1", "L2", "L2"]


NAMES = st.sampled_from(["", "L1", "L2", "L3", "L4"])


@settings(max_examples=25)
@given(
    lesions=st.lists(NAMES, min_size=1, max_size=12),
    pairs=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 11)), min_size=1, max_size=8),
    seed=st.integers(0, 9),
)
def test_the_groups_are_those_that_pairs_connect_in_any_order(
    lesions: list[str], pairs: list[tuple[int, int]], seed: int
) -> None:
    table = table_of({f"i{row:02}": name for row, name in enumerate(lesions)})
    pairs = [(0, 0), *pairs]
    ends = pd.DataFrame([(f"i{a:02}", f"i{b:02}") for a, b in pairs], columns=["first", "second"])
    groups = {row: {row} for row in range(14)}
    same = [(a, b) for a, x in enumerate(lesions) for b, y in enumerate(lesions) if x == y != ""]
    for first, second in pairs + same:
        merged = groups[first] | groups[second]
        groups |= dict.fromkeys(merged, merged)

    made = join_groups(table, ends)

    names = group_names(made)
    for row in range(len(lesions)):
        assert {*np.flatnonzero(names == names[row])} == {r for r in groups[row] if r < len(names)}
    order = np.random.default_rng(seed).permutation(len(table))
    again = join_groups(table.iloc[order], ends.sample(frac=1, random_state=seed)[::-1])
    assert again["lesion"].reindex(table.index).tolist() == made["lesion"].tolist()
    assert table["lesion"].tolist() == lesions


def test_the_file_has_the_published_and_the_corrected_lesion_and_is_a_table(tmp_path: Path) -> None:
    table = table_of().assign(label=3)
    path = tmp_path / "lesions.csv"

    made = join_groups(table, pairs_of("bc", "de"), path=path)

    written = pd.read_csv(path, keep_default_na=False)
    assert written.to_dict("list") == {
        "ID": [*"abcdef"],
        "PUBLISHED_LESION_ID": ["L2", "L2", "L1", "", "", "L3"],
        "LESION_ID": ["L1", "L1", "L1", "d", "d", "L3"],
    }
    assert read_table(path)["lesion"].tolist() == made["lesion"].tolist()
    assert made["label"].tolist() == [3] * 6


@pytest.mark.parametrize(
    "columns",
    [
        {"first": ["b"], "second": ["c"]},
        {"first_id": ["b"], "second_id": ["c"], "first": ["train"], "second": ["test"]},
        {"FIRST": [" b"], "Second": ["c "], "first_row": [0], "second_row": [5]},
    ],
    ids=["pairs", "a report", "any letter case"],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_pairs_come_from_any_table_or_file_with_ids(
    columns: dict[str, list[str]], as_file: bool, tmp_path: Path
) -> None:
    pairs: Any = pd.DataFrame(columns)
    if as_file:
        pairs.to_csv(tmp_path / "pairs.csv", index=False)
        pairs = tmp_path / "pairs.csv"
    table = table_of().assign(label=0)

    assert join_groups(table, pairs)["lesion"].tolist()[:3] == ["L1"] * 3
    split = grouped_split(table, folds=4, duplicates=pairs)
    assert sorted("".join(table["id"][rows]) for rows in split) == ["abc", "d", "e", "f"]


@pytest.mark.parametrize("ids", [{}, {"id": [*"abcdef"]}], ids=["no ids", "ids"])
def test_images_without_ids_are_paired_by_row_numbers(ids: dict[str, list[str]]) -> None:
    table = pd.DataFrame({**ids, "label": 0, "lesion": [*LESIONS.values()]})
    ends = {"first": [1, 3], "second": [2, 4]}
    rows = {f"{end}_row": numbers for end, numbers in ends.items()}
    pairs = pd.DataFrame({**ends, **rows, "kind": ["recapture", "shared skin"]})

    split = grouped_split(table, folds=3, duplicates=pairs)

    assert sorted(map(tuple, split)) == [(0, 1, 2), (3, 4), (5,)]
    if ids:
        assert join_groups(table, pairs)["lesion"].tolist() == ["L1"] * 3 + ["", "", "L3"]


def test_a_dataset_is_joined_by_its_table_and_keeps_its_classes(challenge: Path) -> None:
    data = ISICDataset.from_challenge(challenge, label_space="binary")
    first, second = data.table["id"][[0, len(data) - 1]]

    made = join_groups(data, pd.DataFrame({"first": [first], "second": [second]}))

    assert made["lesion"].iloc[0] == made["lesion"].iloc[-1] != ""
    assert ISICDataset(made).label_space == data.label_space


@pytest.mark.parametrize(
    ("table", "pairs", "error", "words"),
    [
        ([1], pairs_of("ab"), TypeError, "`table` to be an ISICDataset or a table"),
        (table_of().drop(columns="id"), pairs_of("ab"), TypeError, "the column `id`"),
        (table_of(), pairs_of("xy"), ValueError, r"`pairs` to be .* ids of the table.*\(x, y\)"),
        (table_of(), pd.DataFrame({"first": ["a"]}), ValueError, "columns `first` and `second`"),
        (table_of(), pairs_of("a "), ValueError, "two ids each, but got an empty one in row 2"),
        (table_of(), np.array([[0, 9]]), ValueError, r"row numbers in 0\.\.5"),
        (table_of(), [("a", "b")], ValueError, "columns `first` and `second`"),
        (table_of(), "nowhere.csv", FileNotFoundError, "nowhere.csv"),
    ],
    ids=["no table", "no ids", "other ids", "columns", "an empty id", "rows", "a list", "no file"],
)  # fmt: skip
def test_what_cannot_be_joined_is_refused(
    table: Any, pairs: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        join_groups(table, pairs)


def test_ids_need_rows_with_ids() -> None:
    table = pd.DataFrame({"label": 0, "lesion": ["L1", "L2"]})

    with pytest.raises(TypeError, match="`duplicates` to be row numbers"):
        grouped_split(table, folds=2, duplicates=pairs_of("ab"))


def test_a_part_of_a_collection_gets_the_names_of_the_whole() -> None:
    whole = pd.DataFrame({"id": list("abcde"), "lesion": ["L5", "L4", "L4", "L1", "L9"]})
    pairs = pd.DataFrame({
        "first": ["a", "c"], "second": ["b", "d"],
        "first_group": ["L5", "L4"], "second_group": ["L4", "L1"],
    })  # fmt: skip
    named = join_groups(whole, pairs)["lesion"].tolist()
    assert named == ["L1", "L1", "L1", "L1", "L9"]
    for rows in ([0], [0, 4], [1], [3, 4], [0, 1]):
        part = join_groups(whole.iloc[rows], pairs)["lesion"].tolist()
        assert part == [named[row] for row in rows]


def test_an_unknown_kind_of_pair_is_refused() -> None:
    pairs = pd.DataFrame({"first": ["a"], "second": ["b"], "kind": ["shared_skin"]})
    with pytest.raises(ValueError, match=r"kind.*shared skin.*shared_skin"):
        join_groups(pd.DataFrame({"id": ["a", "b"], "lesion": ["L1", "L2"]}), pairs)
