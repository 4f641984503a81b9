"""Lesions and patients under several names are leaks, duplicates and conflicts of an audit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import audit
from dermolib.auditing import AuditReport, recaptures

# What a report counts is drawn without images, of which these alone know nothing
from dermolib.auditing.leakage import ImagePairs
from dermolib.auditing.rows import gather
from dermolib.auditing.torn_lesions import Recaptures, recapture_flags, search_recaptures
from dermolib.io import write_image
from drawing import noise_image

FOUND = ["score", "agreement", "inliers", "scale", "angle", "shift_x", "shift_y"]
FOUND += ["kind", "metadata"]

Plant: TypeAlias = Callable[..., None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let the search find pairs by the names of files, unless both are of one group."""
    planted: list[tuple[str, str]] = []

    def find(images: pd.DataFrame, *, groups: Any, workers: int, progress: bool) -> pd.DataFrame:
        assert (workers, progress) == (1, False)
        names = [Path(path).stem for path in images["image_path"]]
        rows = []
        for number, (pair, kind) in enumerate(planted):
            first, second = sorted(names.index(name) for name in pair.split())
            if groups[first] != groups[second]:
                row = {"first": images["id"][first], "second": images["id"][second]}
                row |= {"first_row": first, "second_row": second}
                row |= {"first_group": groups[first], "second_group": groups[second]}
                values = [0.99 - number / 100, 0.4, 30, 1.2, -20.0, 3.5, 4.5, kind, "unknown"]
                rows.append(row | dict(zip(FOUND, values, strict=True)))
        ends = [f"{end}{tail}" for tail in ("", "_row", "_group") for end in ("first", "second")]
        return pd.DataFrame(rows, columns=[*ends, *FOUND])

    def plant(*pairs: str, kind: str = "recapture") -> None:
        planted.extend((pair, kind) for pair in pairs)

    monkeypatch.setattr(recaptures, "find_recaptures", find)
    return plant


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Write three splits of two images of each of two lesions: `a1 a2 b1 b2` and so on."""
    splits = {}
    for split, lesions in {"train": "ab", "validation": "cd", "test": "ef"}.items():
        ids = [f"{lesion}{number}" for lesion in lesions for number in (1, 2)]
        table = pd.DataFrame({"id": ids, "lesion": [name[0].upper() for name in ids], "label": 1})
        table["image_path"] = [str(tmp_path / f"{name}.png") for name in ids]
        for name, path in zip(ids, table["image_path"], strict=True):
            write_image(path, noise_image(32, 40, seed=int.from_bytes(name.encode())))
        splits[split] = table
    return splits


def run(tables: dict[str, pd.DataFrame], **options: Any) -> AuditReport:
    return audit(tables, recaptures=True, progress=False, **options)


def found(report: AuditReport) -> dict[str, int]:
    """Return the counts that recaptures may change, where they are not 0."""
    names = ("leaks", "conflicts", "duplicates", "files", "rows")
    return {name: report.counts[name] for name in names if report.counts[name]}


def leaks(report: AuditReport) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return the numbers of images of both splits by these and the kind, where there are any."""
    rows = report.leaks.to_dict("records")
    counts = {
        (row["first"], row["second"], row["by"]): (row["first_images"], row["second_images"])
        for row in rows
        if row["by"] != "any"
    }
    return {key: numbers for key, numbers in counts.items() if any(numbers)}


def set_column(table: pd.DataFrame, name: str, **values: Any) -> None:
    """Set a column of the rows with these ids."""
    if name not in table:
        table[name] = ""
    for one, value in values.items():
        table.loc[table["id"] == one, name] = value


@pytest.mark.usefixtures("plant")
def test_without_recaptures_nothing_is_found(tables: dict[str, pd.DataFrame]) -> None:
    report = run(tables)

    assert report.ok
    assert report.counts["leaks"] == 0
    assert "recaptures" in report.checked
    assert {"recapture", "shared skin"} < {*report.leaks["by"]}
    assert [*report.recaptures] == [
        *("first", "first_id", "second", "second_id", *FOUND),
        *("first_lesion", "second_lesion", "first_class", "second_class"),
    ]
    assert "SECOND PHOTOGRAPHS OF ONE LESION\n  none found" in str(report)


def test_where_they_are_not_searched_the_report_says_so(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 e1")

    report = audit(tables, progress=False)

    assert report.ok
    assert report.recaptures.empty
    assert "recaptures" not in report.checked
    assert any("Second photographs of one lesion: not searched" in s for s in report.unchecked)
    assert "lesion under two ids" in str(report)
    with pytest.raises(ValueError, match="`recaptures` to be False where `images` is"):
        audit(tables, images=False, recaptures=True)


def test_a_recapture_between_splits_leaks_all_images_of_both_lesions(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("e1 a2")

    report = run(tables)

    assert leaks(report) == {("train", "test", "recapture"): (2, 2)}
    assert found(report) == {"leaks": 1}
    assert report.exit_code == 1
    assert report.verdict.startswith(
        "FAILED: 2 of 4 images of test (50.0%) share a lesion, patient"
    )
    [row] = report.recaptures.to_dict("records")
    assert row == {
        **{"first": "train", "first_id": "a2", "second": "test", "second_id": "e1"},
        **{
            "score": 0.99,
            "agreement": 0.4,
            "inliers": 30,
            "scale": 1.2,
            "angle": -20.0,
            "shift_x": 3.5,
        },
        **{"shift_y": 4.5, "kind": "recapture", "metadata": "unknown"},
        **{"first_lesion": "A", "second_lesion": "E", "first_class": "NV", "second_class": "NV"},
    }


def test_a_chain_over_a_third_split_leaks_between_its_ends(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 c1", "c2 e1")

    assert leaks(run(tables)) == {
        ("train", "validation", "recapture"): (2, 2),
        ("train", "test", "recapture"): (2, 2),
        ("validation", "test", "recapture"): (2, 2),
    }


def test_a_lesion_torn_within_a_split_is_one_that_a_split_by_lesion_would_separate(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 b1", "c1 d1")

    report = run(tables)

    assert leaks(report) == {}
    assert found(report) == {"duplicates": 2}
    assert report.verdict == "FAILED: recaptures within a split: 2."
    assert "DUPLICATES WITHIN A SPLIT\n  none that a split by lesion would" in str(report)
    assert run(tables, fail_on=["leaks"]).ok


def test_neighboring_lesions_leak_a_patient_unless_the_patient_is_known(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 e1", "b1 f1", kind="shared skin")
    set_column(tables["train"], "patient", a1="P1", a2="P1", b1="P2", b2="P2")
    set_column(tables["test"], "patient", f1="P2", f2="P2")

    report = run(tables)

    assert leaks(report) == {
        ("train", "test", "patient"): (2, 2),
        ("train", "test", "shared skin"): (2, 2),
    }
    assert report.recaptures[["first_id", "second_id", "kind"]].to_numpy().tolist() == [
        ["a1", "e1", "shared skin"]
    ]
    assert found(report) == {"leaks": 2}
    assert report.conflicts.empty


def test_labels_of_joined_lesions_conflict_and_those_of_neighbors_do_not(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 e1", "c1 d1")
    plant("b1 f1", kind="shared skin")
    set_column(tables["test"], "label", e1=0, e2=0, f1=0, f2=0)

    report = run(tables)

    [conflict] = report.conflicts.to_dict("records")
    assert conflict["kind"] == "recapture"
    assert conflict["ids"] == ("a1", "a2", "e1", "e2")
    assert conflict["splits"] == ("train", "train", "test", "test")
    assert conflict["classes"] == ("NV", "NV", "MEL", "MEL")
    assert "lesions joined by second photographs with different labels: 1" in str(report)


def test_a_conflict_within_one_lesion_is_not_listed_again_for_lesions_without_labels(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 e1")
    set_column(tables["train"], "label", a1=0)
    tables["test"]["label"] = pd.NA

    assert run(tables).conflicts["kind"].tolist() == ["lesion"]


def test_copies_are_duplicates_and_no_recaptures_and_leak_with_their_original(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    path = Path(tables["test"]["image_path"][2])  # f1
    path.write_bytes(Path(tables["train"]["image_path"][0]).read_bytes())
    plant("a1 f1", "a1 c1")
    copy = tables["validation"]["image_path"][3]  # d2
    Path(copy).write_bytes(Path(tables["validation"]["image_path"][0]).read_bytes())

    report = run(tables)

    assert report.recaptures[["first_id", "second_id"]].to_numpy().tolist() == [["a1", "c1"]]
    assert ("train", "test", "identical") in leaks(report)
    assert leaks(report)["train", "validation", "recapture"] == (2, 3)


def test_of_identical_files_of_a_split_one_is_searched(
    plant: Plant, tables: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "test"):
        for path in tables[split]["image_path"]:
            write_image(path, noise_image(32, 40, seed=0))
    searched: list[str] = []
    find = recaptures.find_recaptures

    def keep(images: pd.DataFrame, **options: Any) -> pd.DataFrame:
        searched.extend(Path(path).stem for path in images["image_path"])
        return find(images, **options)

    plant("c1 d1")
    monkeypatch.setattr(recaptures, "find_recaptures", keep)

    run(tables)

    assert sorted(searched) == ["a1", "c1", "c2", "d1", "d2", "e1"]


def test_a_copy_leaks_by_the_lesion_that_it_has_itself(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    paths = tables["validation"]["image_path"]
    Path(paths[3]).write_bytes(Path(paths[0]).read_bytes())  # d2 is c1
    plant("a1 d1")

    assert leaks(run(tables)) == {("train", "validation", "recapture"): (2, 2)}


def test_images_of_unknown_lesions_are_recaptures_of_each_other(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 e1")
    set_column(tables["train"], "lesion", a1="")
    set_column(tables["test"], "lesion", e1="")

    assert leaks(run(tables)) == {("train", "test", "recapture"): (1, 1)}


def test_two_lesions_of_a_known_patient_may_be_one(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    plant("a1 b1")
    set_column(tables["train"], "patient", a1="P", b1="P")

    report = run(tables)

    assert found(report) == {"duplicates": 1}
    assert report.recaptures["kind"].tolist() == ["recapture"]


def test_pairs_of_a_cluster_of_near_duplicates_are_known_though_not_listed(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    splits = gather({"train": tables["train"]}, None)
    rows, nothing = np.arange(4), np.empty((0, 2), np.intp)
    cluster = np.array([0, -1, 0, -1])
    pairs = ImagePairs(nothing, np.empty(0), np.empty(0, np.bool_), rows, cluster)
    plant("a1 b1", "a2 b2")

    made = search_recaptures(splits, rows, pairs, workers=1, progress=False)

    assert made.rows.tolist() == [[1, 3]]


def test_an_augmented_image_is_of_the_lesion_of_its_origin(
    plant: Plant, tables: dict[str, pd.DataFrame]
) -> None:
    set_column(tables["train"], "parent_id", a2="a1")
    set_column(tables["train"], "lesion", a1="", a2="")
    plant("a1 a2", "a2 e1")

    report = run(tables)

    assert report.recaptures[["first_id", "second_id"]].to_numpy().tolist() == [["a2", "e1"]]
    assert leaks(report) == {("train", "test", "recapture"): (2, 2)}


def test_json_holds_the_recaptures(plant: Plant, tables: dict[str, pd.DataFrame]) -> None:
    plant("e1 a2", "b1 f2")

    content = json.loads(run(tables).to_json(most=1))

    assert content["recaptures"]["count"] == 2
    assert [row["second_id"] for row in content["recaptures"]["rows"]] == ["e1"]
    assert content["counts"]["leaks"] == 2


def components(rows: list[dict[Any, Any]], columns: str, pairs: list[tuple[int, int]]) -> list[int]:
    """Number the groups of rows that share a letter of a column or are paired, the plain way."""
    groups = [{row} for row in range(len(rows))]
    same = [
        (a, b)
        for a, first in enumerate(rows)
        for b, second in enumerate(rows)
        if any(first[column] == second[column] != "" for column in columns.split())
    ]
    for a, b in same + pairs:
        merged = groups[a] | groups[b]
        for row in merged:
            groups[row] = merged
    return [min(group) for group in groups]


ROWS = st.tuples(st.sampled_from(["", *"LMN"]), st.sampled_from(["", *"PQ"]), st.integers(0, 2))
PAIRS = st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans())


@settings(max_examples=60)
@given(rows=st.lists(ROWS, min_size=9, max_size=9), pairs=st.lists(PAIRS, max_size=6))
def test_images_leak_whose_group_the_other_split_has_under_another_name(
    rows: list[tuple[str, str, int]], pairs: list[tuple[int, int, bool]]
) -> None:
    names = [f"i{number}" for number in range(9)]
    frame = pd.DataFrame(rows, columns=["lesion", "patient", "split"]).assign(id=names)
    splits = gather(
        {"a": frame[:0], **{f"{n}": frame[frame["split"] == n] for n in range(3)}}, None
    )
    place = {name: row for row, name in enumerate(splits["id"])}
    ends = np.array([(place[f"i{a}"], place[f"i{b}"]) for a, b, _ in pairs], np.intp).reshape(-1, 2)
    kinds = ["shared skin" if neighbors else "recapture" for _, _, neighbors in pairs]
    drawn = Recaptures(ends, pd.DataFrame({"kind": kinds}, dtype=object))

    flags = recapture_flags(splits, drawn, np.arange(9))

    listed = frame.to_dict("records")
    torn = [(a, b) for a, b, neighbors in pairs if not neighbors]
    both = [(a, b) for a, b, _ in pairs]
    expected = {
        "recapture": (components(listed, "lesion", []), components(listed, "lesion", torn)),
        "shared skin": (
            components(listed, "lesion patient", torn),
            components(listed, "lesion patient", both),
        ),
    }
    for kind, (published, joined) in expected.items():
        for first, second in ((1, 2), (1, 3), (2, 3)):
            flagged = {
                f"i{row}"
                for row in range(9)
                for other in range(9)
                if {rows[row][2] + 1, rows[other][2] + 1} == {first, second}
                and joined[row] == joined[other]
                and published[row] != published[other]
            }
            assert {*splits["id"][flags[kind][first, second]]} == flagged


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(
    plant: Plant, tables: dict[str, pd.DataFrame], seed: int
) -> None:
    plant("a1 e1", "b2 a2", "d1 f1")
    plant("b1 c1", kind="shared skin")
    expected = run(tables).to_json()
    generator = np.random.default_rng(seed)

    shuffled = {name: table.iloc[generator.permutation(4)] for name, table in tables.items()}

    assert run(shuffled).to_json() == expected
