"""Lesions and patients under several names are leaks, duplicates and conflicts of an audit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest

from dermolib import audit
from dermolib.auditing import AuditReport
from dermolib.io import write_image
from drawing import noise_image

FOUND = ["score", "inliers", "scale", "angle", "shift_x", "shift_y", "mirrored", "kind", "metadata"]

Plant: TypeAlias = Callable[..., None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let the search find pairs by the names of files, unless both are of one group."""
    planted: list[tuple[str, str]] = []

    def find(images: pd.DataFrame, *, groups: Any, workers: int) -> pd.DataFrame:
        assert workers == 1
        names = [Path(path).stem for path in images["image_path"]]
        rows = []
        for number, (pair, kind) in enumerate(planted):
            first, second = sorted(names.index(name) for name in pair.split())
            if groups[first] != groups[second]:
                row = {"first": images["id"][first], "second": images["id"][second]}
                row |= {"first_row": first, "second_row": second}
                row |= {"first_group": groups[first], "second_group": groups[second]}
                values = [0.99 - number / 100, 30, 1.2, -20.0, 3.5, 4.5, False, kind, "unknown"]
                rows.append(row | dict(zip(FOUND, values, strict=True)))
        ends = [f"{end}{tail}" for tail in ("", "_row", "_group") for end in ("first", "second")]
        return pd.DataFrame(rows, columns=[*ends, *FOUND])

    def plant(*pairs: str, kind: str = "recapture") -> None:
        planted.extend((pair, kind) for pair in pairs)

    monkeypatch.setattr("dermolib.auditing.recaptures.find_recaptures", find)
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
    return {name: count for name, count in report.counts.items() if count and name != "metadata"}


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
        **{"score": 0.99, "inliers": 30, "scale": 1.2, "angle": -20.0, "shift_x": 3.5},
        **{"shift_y": 4.5, "mirrored": False, "kind": "recapture", "metadata": "unknown"},
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
