"""Each fault planted alone is found, and nothing else; what is clean is found to be so."""

import dataclasses
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import ISICDataset
from dermolib._validation import Image
from dermolib.auditing.report import DEFAULT_FINDINGS, FINDINGS, AuditReport
from dermolib.auditing.run import audit
from dermolib.datasets import read_challenge_table
from dermolib.io import read_image, resize_image, write_image
from dermolib.labels import DIAGNOSES

CLASSES = 8
DAYS = pd.Series(pd.to_datetime(["2019-05-01", "2020-05-01"]))
SHARED = ("shared_lesions", "shared_patients", "shared_ids", "shared_origins")


def picture(seed: int, height: int = 60, width: int = 80) -> Image:
    """Draw a picture of a few soft blobs, which near-duplicate search can recognise."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def half(image: Image) -> Image:
    return resize_image(image, (image.shape[0] // 2, image.shape[1] // 2))


def side(folder: Path, name: str, *, start: int = 0, count: int = 16) -> pd.DataFrame:
    """Write a side without fault: two images of each class, each of a lesion and a patient."""
    ids = [f"{name}_{number:02d}" for number in range(count)]
    for number, one in enumerate(ids):
        write_image(folder / name / f"{one}.png", picture(start + number))
    return pd.DataFrame(
        {
            "id": ids,
            "label": [number % CLASSES for number in range(count)],
            "lesion": [f"L{start + number}" for number in range(count)],
            "patient": [f"P{start + number}" for number in range(count)],
            "age": [30.0 + 5 * (number % 8) for number in range(count)],
            "sex": ["female", "male"] * (count // 2),
            "site": ["head/neck", "head/neck", "palms/soles", "lateral torso"] * (count // 4),
            "year": [2019] * count,
            "source": ["ISIC 2019"] * count,
            "parent_id": [""] * count,
            "image_path": [str(folder / name / f"{one}.png") for one in ids],
        }
    )


@pytest.fixture
def train(tmp_path: Path) -> pd.DataFrame:
    return side(tmp_path, "train")


@pytest.fixture
def test(tmp_path: Path) -> pd.DataFrame:
    return side(tmp_path, "test", start=100, count=8)


def checked(
    train: Any, test: Any = None, *, fail_on: tuple[str, ...] = FINDINGS, **options: Any
) -> AuditReport:
    return audit(train, test, progress=False, fail_on=fail_on, **options)


def found(report: AuditReport) -> dict[str, int]:
    """Count the findings that there are."""
    return {name: count for name, count in report.counts.items() if count}


def put(table: pd.DataFrame, row: int, **values: Any) -> None:
    for column, value in values.items():
        table.loc[row, column] = value


def copy_image(source: pd.DataFrame, row: int, target: pd.DataFrame, other: int) -> None:
    data = Path(source["image_path"][row]).read_bytes()
    Path(target["image_path"][other]).write_bytes(data)


def leaks_of(report: AuditReport) -> dict[str, tuple[int, int]]:
    table = report.leaks[report.leaks["second_images"] > 0]
    counts = zip(table["first_images"], table["second_images"], strict=True)
    return dict(zip(table["by"], counts, strict=True))


def test_a_clean_set_is_ok(train: pd.DataFrame, test: pd.DataFrame) -> None:
    report = checked(train, test)

    assert found(report) == {}
    assert (report.ok, report.exit_code, report.failed) == (True, 0, ())
    assert report.splits == {"train": 16, "test": 8}
    assert report.unchecked == ("Lesion masks: not read.",)
    assert report.checked == ("labels", "images", "duplicates")
    assert "PASSED, as far as checked: no leaks, conflicts, dup" in str(report)


def test_a_lesion_on_both_sides_is_found(train: pd.DataFrame, test: pd.DataFrame) -> None:
    put(train, 5, lesion="L3")
    put(test, 6, lesion="L3")
    put(train, 5, label=3, patient="P3")

    report = checked(train, test)

    assert found(report) == {"leaks": 1, "conflicts": 1, "rows": 1}
    row = report.shared_lesions.to_dict("records")
    assert row == [
        {
            "first": "train",
            "second": "test",
            "lesion": "L3",
            "first_count": 2,
            "second_count": 1,
            "first_ids": ("train_03", "train_05"),
            "second_ids": ("test_06",),
        }
    ]
    assert leaks_of(report) == {"lesion": (2, 1), "any": (2, 1)}


def test_a_lesion_of_one_class_and_patient_is_a_leak_and_nothing_else(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    put(test, 3, lesion="L3", patient="")

    report = checked(train, test, fail_on=("leaks", "conflicts", "duplicates", "files", "rows"))

    assert report.failed == ("leaks",)
    assert report.exit_code == 1
    assert "1 of 8 images of test (12.5%) share a lesion with train" in report.verdict


def test_a_patient_on_both_sides_is_found(train: pd.DataFrame, test: pd.DataFrame) -> None:
    put(test, 6, patient="P3")

    report = checked(train, test)

    assert found(report) == {"leaks": 1}
    assert report.shared_patients[["patient", "first_ids", "second_ids"]].to_numpy().tolist() == [
        ["P3", ("train_03",), ("test_06",)]
    ]


@given(
    number=st.integers(0, 10**15),
    kinds=st.tuples(*[st.sampled_from(["int64", "float64", "Int64", "Float64", "str"])] * 2),
    column=st.sampled_from(["lesion", "patient", "id", "origin"]),
)
def test_a_number_on_both_sides_is_found_whatever_the_type_of_its_column(
    number: int, kinds: tuple[str, str], column: str
) -> None:
    name = "parent_id" if column == "origin" else column
    first, second = (
        pd.DataFrame({"id": [f"{side}_{row}" for row in range(2)]}).assign(
            **{name: pd.Series([number, number + 1 + place], dtype=kind)}
        )
        for place, (side, kind) in enumerate(zip(("train", "test"), kinds, strict=True))
    )

    report = checked(first, second)

    shared = getattr(report, f"shared_{column}s")
    assert shared[column].tolist() == [str(number)]


def test_a_gap_among_lesions_that_are_numbers_hides_no_shared_one() -> None:
    train = pd.DataFrame({"id": ["a", "b"], "label": [0, 1], "lesion": [1, np.nan]})
    test = pd.DataFrame({"id": ["c", "d"], "label": [0, 1], "lesion": [1, 2]})

    report = checked(train, test)

    assert report.shared_lesions["lesion"].tolist() == ["1"]
    assert report.shared_lesions[["first_ids", "second_ids"]].to_numpy().tolist() == [
        [("a",), ("c",)]
    ]


@pytest.mark.parametrize("column", ["lesion", "patient"])
@pytest.mark.parametrize("text", ["7.0", "7.000", " 7 ", " 7.0\n", b"7", b" 7.0", 7, 7.0], ids=repr)
def test_a_number_written_as_a_text_is_the_number(column: str, text: Any) -> None:
    sides = [pd.DataFrame({"id": [str(one)], column: [one]}) for one in ("7", text)]

    shared = getattr(checked(*sides), f"shared_{column}s")

    assert shared[column].tolist() == ["7"]


@pytest.mark.parametrize("text", ["7.5", "7.01", "v7.0", "7.", "7.0a"])
def test_a_text_that_is_no_whole_number_is_kept(text: str) -> None:
    sides = [pd.DataFrame({"id": [one], "lesion": [text]}) for one in "ab"]

    assert checked(*sides).shared_lesions["lesion"].tolist() == [text]


@pytest.mark.parametrize("column", ["lesion", "patient"])
@pytest.mark.parametrize(
    "text", ["nan", "NaN", "NA", "n/a", "None", "UNKNOWN", "<NA>", " nan ", " "]
)
def test_placeholders_are_no_lesion_and_no_patient(column: str, text: str) -> None:
    sides = [pd.DataFrame({"id": [one], column: [text]}) for one in "ab"]

    report = checked(*sides, fail_on=("leaks",))

    assert report.ok
    gaps = report.missing_values.query("column == @column")
    assert gaps["missing"].tolist() == [1, 1]


def test_ids_of_bytes_and_of_texts_are_one_and_odd_bytes_stay_apart() -> None:
    first, second = ["é".encode(), b"\xff", b"x"], [" é", b"\xfe", "x "]

    report = checked(pd.DataFrame({"id": first}), pd.DataFrame({"id": second}))

    assert report.shared_ids["id"].tolist() == ["x", "é"]


@pytest.mark.parametrize("value", [1.5, np.float32(0.25), float("inf")])
def test_a_number_that_is_not_whole_keeps_its_digits(value: float) -> None:
    sides = [pd.DataFrame({"id": [name], "patient": [value]}, dtype=object) for name in "ab"]

    assert checked(*sides).shared_patients["patient"].tolist() == [str(value)]


def test_an_id_on_both_sides_is_found(train: pd.DataFrame, test: pd.DataFrame) -> None:
    put(test, 6, id="train_06")

    report = checked(train, test)

    assert found(report) == {"leaks": 1}
    assert report.shared_ids["id"].tolist() == ["train_06"]
    assert report.shared_origins.empty


def test_an_image_made_from_one_of_the_other_side_is_found_over_several_steps(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    put(train, 1, parent_id="train_00", lesion="L0", patient="P0", label=0)
    put(train, 0, parent_id="test_07", lesion="", patient="", label=7)
    put(train, 1, lesion="", patient="", label=7)

    report = checked(train, test)

    assert leaks_of(report) == dict.fromkeys(("lesion", "patient", "origin", "any"), (2, 1))
    assert report.shared_origins["origin"].tolist() == ["test_07"]
    assert report.shared_origins["first_ids"].tolist() == [("train_00", "train_01")]


def test_two_images_made_from_one_that_no_side_has_are_found(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    put(train, 1, parent_id="elsewhere")
    put(test, 1, parent_id="elsewhere")

    report = checked(train, test)

    assert found(report) == {"leaks": 1}
    assert report.shared_origins["origin"].tolist() == ["elsewhere"]


def test_images_made_from_images_of_their_own_side_are_no_finding(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    put(train, 1, parent_id="train_09", lesion="", patient="")
    copy_image(train, 9, train, 1)

    report = checked(train, test, fail_on=("leaks", "duplicates", "conflicts"))

    assert report.ok
    assert report.duplicates["relation"].tolist() == ["same lesion"]
    assert not report.unchecked[0].startswith("Lesions")


@pytest.mark.parametrize("steps", [1, 8, 9, 64, 301])
def test_a_chain_of_augmented_images_is_followed_to_its_end(steps: int) -> None:
    chain = [f"a{step}" for step in range(steps + 1)]
    train = pd.DataFrame({"id": chain[1:], "parent_id": chain[:-1]})
    test = pd.DataFrame({"id": ["a0"], "lesion": ["L"], "patient": ["P"]})

    report = checked(shuffled(train, 0), test)

    assert report.shared_origins["origin"].tolist() == ["a0"]
    assert leaks_of(report) == dict.fromkeys(("lesion", "patient", "origin", "any"), (steps, 1))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20])
def test_images_made_from_each_other_have_one_origin(size: int) -> None:
    circle = [f"a{step:02d}" for step in range(size)]
    train = pd.DataFrame({"id": circle, "parent_id": [*circle[1:], circle[0]]})
    test = pd.DataFrame({"id": ["copy"], "parent_id": [circle[-1]]})

    report = checked(train, test)

    assert report.shared_origins["origin"].tolist() == ["a00"]
    assert leaks_of(report) == {"origin": (size, 1), "any": (size, 1)}


def test_rows_without_an_id_are_the_origin_of_nothing(train: pd.DataFrame) -> None:
    copy_image(train, 6, train, 14)
    put(train, 0, id="")
    put(train, 1, id="")
    copy_image(train, 0, train, 1)

    report = checked(train)

    assert report.duplicates["relation"].tolist() == ["different lesions"] * 2


def test_an_identical_file_on_both_sides_is_found(train: pd.DataFrame, test: pd.DataFrame) -> None:
    copy_image(train, 6, test, 6)

    report = checked(train, test)

    assert found(report) == {"leaks": 1}
    assert report.duplicates.to_dict("records") == [
        {
            "first": "train",
            "first_id": "train_06",
            "second": "test",
            "second_id": "test_06",
            "kind": "identical",
            "distance": 0.0,
            "relation": "different lesions",
            "first_lesion": "L6",
            "second_lesion": "L106",
            "first_class": "VASC",
            "second_class": "VASC",
        }
    ]
    assert leaks_of(report) == {"identical": (1, 1), "any": (1, 1)}


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_smaller_compressed_turned_copy_is_a_near_duplicate(
    train: pd.DataFrame, test: pd.DataFrame, turns: int, flipped: bool
) -> None:
    image = half(read_image(train["image_path"][6]))
    image = np.rot90(image[:, ::-1] if flipped else image, turns)
    path = Path(test["image_path"][6]).with_suffix(".jpg")
    write_image(path, np.ascontiguousarray(image), quality=60)
    put(test, 6, image_path=str(path))

    report = checked(train, test)

    assert found(report) == {"leaks": 1}
    pair = report.duplicates.iloc[0]
    assert (pair["first_id"], pair["second_id"], pair["kind"]) == ("train_06", "test_06", "near")
    assert 0 < pair["distance"] <= 0.08
    assert leaks_of(report) == {"near": (1, 1), "any": (1, 1)}
    assert "look at the pairs" in " ".join(str(report).split()).lower()


def test_a_copy_within_a_side_is_found_where_a_split_by_lesion_would_tear_it_apart(
    train: pd.DataFrame,
) -> None:
    copy_image(train, 6, train, 14)

    report = checked(train)

    assert found(report) == {"duplicates": 1}
    assert report.duplicates["relation"].tolist() == ["different lesions"]


def test_a_copy_within_a_side_of_unknown_lesion_is_found(train: pd.DataFrame) -> None:
    copy_image(train, 6, train, 14)
    put(train, 14, lesion="")

    report = checked(train, fail_on=("duplicates",))

    assert report.failed == ("duplicates",)
    assert report.duplicates["relation"].tolist() == ["lesion unknown"]


def test_a_copy_of_the_same_lesion_is_listed_and_no_fault(train: pd.DataFrame) -> None:
    copy_image(train, 6, train, 14)
    put(train, 14, lesion="L6", patient="P6")

    report = checked(train)

    assert report.ok
    assert report.duplicates["relation"].tolist() == ["same lesion"]
    assert "duplicate pairs: 1 (1 identical, same lesion)" in str(report)


def test_many_identical_files_make_few_pairs_and_all_of_them_count(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    for row in range(16):
        copy_image(train, 0, train, row)
    for row in range(4):
        copy_image(train, 0, test, row)
    train["label"], test["label"] = 1, 1

    report = checked(train, test)

    assert leaks_of(report) == {"identical": (16, 4), "any": (16, 4)}
    assert len(report.duplicates) == 15 + 3 + 1
    assert found(report) == {"leaks": 1, "duplicates": 18}


def test_a_near_duplicate_of_many_identical_files_counts_for_all_of_them(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    for row in (0, 8):
        copy_image(train, 0, train, row)
    write_image(test["image_path"][0], half(read_image(train["image_path"][0])))

    report = checked(train, test)

    assert leaks_of(report) == {"near": (2, 1), "any": (2, 1)}


def test_near_duplicates_of_a_crowd_count_although_not_all_pairs_are_listed(
    tmp_path: Path,
) -> None:
    crowd = side(tmp_path, "train", count=40)
    other = side(tmp_path, "test", start=500, count=8)
    for row, table in [*((row, crowd) for row in range(40)), (0, other), (1, other)]:
        image = picture(7)
        image[0, row % 40] += np.uint8(1 + (table is other))
        write_image(table["image_path"][row], image)
    crowd["label"], other["label"] = 1, 1

    report = checked(crowd, other)

    assert leaks_of(report) == {"near": (40, 2), "any": (40, 2)}
    assert len(report.duplicates) < 42 * 41 / 2


def test_images_of_one_colour_are_no_duplicates_and_this_is_said(train: pd.DataFrame) -> None:
    for row, level in ((2, 10), (3, 200)):
        write_image(train["image_path"][row], np.full((60, 80, 3), level, np.uint8))

    report = checked(train)

    assert report.ok
    assert "Featureless images: 2 were compared" in report.unchecked[1]


def test_one_lesion_with_two_diagnoses_is_found(train: pd.DataFrame) -> None:
    put(train, 9, lesion="L2", patient="P2")

    report = checked(train)

    assert found(report) == {"conflicts": 1}
    assert report.conflicts.to_dict("records") == [
        {
            "kind": "lesion",
            "lesion": "L2",
            "ids": ("train_02", "train_09"),
            "splits": ("train", "train"),
            "classes": ("BCC", "NV"),
            "distance": 0.0,
        }
    ]


def test_identical_files_with_different_labels_are_found(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    copy_image(train, 6, test, 7)

    report = checked(train, test)

    assert found(report) == {"leaks": 1, "conflicts": 1}
    assert report.conflicts[["kind", "ids", "classes"]].to_numpy().tolist() == [
        ["identical", ("train_06", "test_07"), ("VASC", "SCC")]
    ]


def test_near_duplicates_with_different_labels_are_found(train: pd.DataFrame) -> None:
    write_image(train["image_path"][7], half(read_image(train["image_path"][6])))

    report = checked(train)

    assert found(report) == {"conflicts": 1, "duplicates": 1}
    assert report.conflicts["kind"].tolist() == ["near"]
    assert 0 < report.conflicts["distance"][0] <= 0.08


def test_an_id_with_two_labels_is_found_once(train: pd.DataFrame, test: pd.DataFrame) -> None:
    for table in (train, test):
        table["lesion"] = ""
    put(test, 7, id="train_06")
    copy_image(train, 6, test, 7)

    report = checked(train, test)

    assert report.conflicts[["kind", "ids", "splits"]].to_numpy().tolist() == [
        ["image", ("train_06", "train_06"), ("train", "test")]
    ]


def test_an_unlabelled_copy_is_at_odds_with_nothing(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    copy_image(train, 6, test, 7)

    report = checked(train, test.drop(columns="label"))

    assert report.conflicts.empty
    assert report.duplicates["second_class"].tolist() == [""]
    assert "Labels of test: unknown for 8 of 8 images." in report.unchecked


def coded(codes: list[Any], **columns: Any) -> pd.DataFrame:
    """Make a table of one lesion, of which diagnoses alone are known."""
    ids = [f"{row}" for row in range(len(codes))]
    return pd.DataFrame({"id": ids, "lesion": "L", "diagnosis": codes, **columns})


def test_diagnoses_at_odds_are_found_where_labels_lack() -> None:
    table = coded(["nevus", "melanoma"], source="ISIC 2020")

    report = checked(table, fail_on=("conflicts",))

    assert report.failed == ("conflicts",)
    assert report.conflicts[["kind", "ids", "classes"]].to_numpy().tolist() == [
        ["lesion", ("0", "1"), ("nevus", "melanoma")]
    ]
    assert "- L: 0 (train, nevus), 1 (train, melanoma)" in str(report)


@pytest.mark.parametrize(
    ("codes", "columns", "count"),
    [
        (["nevus", "NV"], {"source": ["ISIC 2020", "ISIC 2019"]}, 0),
        (["nevus", "melanoma"], {}, 1),
        (["nevus", "nevus"], {}, 0),
        (["nevus", "unknown"], {}, 0),
        (["nevus", ""], {}, 0),
        (["nv", "nevus"], {"label": [1, 1]}, 0),
        (["nv", "nv"], {"label": [0, 1]}, 1),
        (["nv", "mel"], {"label": [1, None]}, 1),
        (["nv", "nv"], {"label": [1, None]}, 0),
        (["nv", ""], {"label": [1, None]}, 0),
        (["nv", "nevus", "nv"], {"label": [1, 1, None]}, 1),
        (["nv", "mel", "x", "x"], {"label": [1, 1, 1, None], "source": ["a", "a", "b", "b"]}, 0),
    ],
)
@pytest.mark.parametrize("kind", ["lesion", "near"])
def test_labels_are_compared_first_and_then_diagnoses_of_one_source(
    codes: list[str], columns: dict[str, Any], count: int, kind: str, tmp_path: Path
) -> None:
    table = coded(codes, **columns)
    if kind == "near":
        table["lesion"] = [f"L{row}" for row in range(len(table))]
        table["image_path"] = [str(tmp_path / f"{row}.png") for row in range(len(table))]
        for row, path in enumerate(table["image_path"]):
            image = picture(0)
            image[0, row] += np.uint8(1)
            write_image(path, image)

    report = checked(table)

    assert bool(len(report.conflicts)) == bool(count)
    assert set(report.conflicts["kind"]) == ({kind} if count else set())


def test_identical_files_with_different_diagnoses_are_found(train: pd.DataFrame) -> None:
    for row in (1, 2):
        copy_image(train, 0, train, row)
    table = train.drop(columns="label").assign(diagnosis="")
    put(table, 1, diagnosis="nv")
    put(table, 2, diagnosis="mel")

    report = checked(table)

    assert report.conflicts[["kind", "ids", "classes"]].to_numpy().tolist() == [
        ["identical", ("train_01", "train_02"), ("nv", "mel")]
    ]


def test_without_label_and_diagnosis_nothing_is_known_of_labels_at_odds(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    sides = [table.drop(columns="label") for table in (train, test)]

    unknown, known = checked(*sides), checked(train, sides[1])

    assert "CONFLICTING LABELS\n  not checked: no label is known\n" in str(unknown)
    assert unknown.verdict.endswith("shift; conflicts not checked, since no label is known.")
    assert "CONFLICTING LABELS\n  none\n" in str(known)


def test_labels_at_odds_are_found_through_an_unlabelled_copy(train: pd.DataFrame) -> None:
    for row in (1, 2):
        copy_image(train, 0, train, row)
    train["label"] = train["label"].astype("Int64")
    put(train, 0, label=pd.NA)

    report = checked(train)

    assert report.conflicts["ids"].tolist() == [("train_01", "train_02")]


def test_missing_and_unreadable_files_are_found_and_told_apart(train: pd.DataFrame) -> None:
    Path(train["image_path"][2]).unlink()
    put(train, 3, image_path="")
    Path(train["image_path"][4]).write_bytes(b"<html>404")

    report = checked(train)

    assert found(report) == {"files": 3}
    assert report.problems[["id", "kind", "reason"]].to_numpy().tolist() == [
        ["train_02", "missing", "file not found"],
        ["train_03", "missing", "no file found"],
        ["train_04", "unreadable", "a web page, such as an error message, not an image"],
    ]
    assert report.files["state"].value_counts().to_dict() == {
        "ok": 13,
        "missing": 2,
        "unreadable": 1,
    }
    assert report.unchecked[1].startswith("Images of train: 3 are missing or unreadable")


def test_a_repeated_id_and_a_row_without_id_are_found(train: pd.DataFrame) -> None:
    put(train, 4, id="train_05")
    put(train, 8, id="")

    report = checked(train)

    assert found(report) == {"rows": 2}
    assert report.problems[["id", "kind", "detail"]].to_numpy().tolist() == [
        ["", "no id", ""],
        ["train_05", "duplicate id", "2 rows"],
    ]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("age", np.inf, "age outside 0..120 years"),
        ("age", -np.inf, "age outside 0..120 years"),
        ("age", 500, "age outside 0..120 years"),
        ("age", -4, "age outside 0..120 years"),
        ("label", 8, "label outside 0..7"),
    ],
)
def test_an_impossible_value_is_found(
    train: pd.DataFrame, test: pd.DataFrame, column: str, value: float, reason: str
) -> None:
    put(test, 3, **{column: value})

    report = checked(train, test, fail_on=DEFAULT_FINDINGS)

    assert report.failed == ("rows",)
    assert report.problems[["split", "id", "kind", "reason", "detail"]].to_numpy().tolist() == [
        ["test", "test_03", "impossible value", reason, f"{value}"]
    ]


@pytest.mark.parametrize("value", [0, 120])
def test_an_age_at_the_border_is_possible(train: pd.DataFrame, value: float) -> None:
    put(train, 3, age=value)

    assert checked(train).ok


def test_impossible_ages_are_no_shift(train: pd.DataFrame, test: pd.DataFrame) -> None:
    report = checked(train.assign(age=[-np.inf, np.inf] * 8), test)

    assert "age" not in set(report.shifts["column"])


def test_an_empty_side_is_found_and_fails(train: pd.DataFrame) -> None:
    report = checked(train, train.iloc[:0], fail_on=DEFAULT_FINDINGS)

    assert report.failed == ("rows",)
    assert report.verdict.startswith("FAILED: empty splits: test.")
    assert report.problems[["split", "kind"]].to_numpy().tolist() == [["test", "empty split"]]
    page = str(report)
    assert "FILES AND ROWS\n  test, empty split: 1 (the split has no images)\n" in page
    assert "  test: no images to check or compare." in page


def test_an_empty_side_is_told_apart_from_faulty_rows(train: pd.DataFrame) -> None:
    put(train, 3, age=-1)
    put(train, 4, age=-1)

    report = checked(train, train.iloc[:0])

    assert "empty splits: test; faulty rows: 2" in report.verdict


def test_a_lesion_of_two_patients_is_found(train: pd.DataFrame, test: pd.DataFrame) -> None:
    put(train, 8, lesion="L0")

    report = checked(train, test)

    assert found(report) == {"rows": 1}
    assert report.problems["detail"].tolist() == ["L0: P0, P8"]


@pytest.mark.parametrize("column", ["age", "sex", "site", "lesion", "patient", "year"])
def test_a_gap_is_counted_and_fails_where_asked(train: pd.DataFrame, column: str) -> None:
    train[column] = train[column].astype(object)
    put(train, 3, **{column: None})

    report = checked(train)

    assert found(report) == {"metadata": 1}
    gaps = report.missing_values[report.missing_values["missing"] > 0]
    assert gaps[["split", "column", "missing", "images"]].to_numpy().tolist() == [
        ["train", column, 1, 16]
    ]
    assert checked(train, fail_on=("leaks", "files")).ok


def test_a_shift_is_found_and_fails_where_asked(train: pd.DataFrame, test: pd.DataFrame) -> None:
    train["sex"], test["sex"] = "female", "male"

    report = checked(train, test)

    assert found(report) == {"shift": 1}
    assert "large shift; most in" in str(report)
    assert audit(train, test, progress=False).ok


def test_sizes_modes_and_formats_are_counted(train: pd.DataFrame) -> None:
    write_image(train["image_path"][2], picture(2, 30, 20))

    report = checked(train)

    columns = ["split", "height", "width", "mode", "format", "images"]
    assert report.sizes[columns].to_numpy().tolist() == [
        ["train", 60, 80, "RGB", "PNG", 15],
        ["train", 30, 20, "RGB", "PNG", 1],
    ]
    assert "15 images: 80 x 60 px, RGB, PNG" in str(report)


def test_the_most_frequent_sizes_are_shown_and_the_others_counted(train: pd.DataFrame) -> None:
    for row in range(7):
        write_image(train["image_path"][row], picture(row, 30 + row, 20))

    page = str(checked(train))

    assert "train: 16 images, 8 kinds, for example" in page


def test_what_is_read_all_the_same_is_noted(train: pd.DataFrame) -> None:
    path = Path(train["image_path"][2])
    path.rename(path.with_suffix(".jpg"))
    put(train, 2, image_path=str(path.with_suffix(".jpg")))

    report = checked(train)

    assert report.ok
    assert report.notes[["id", "note"]].to_numpy().tolist() == [
        ["train_02", "has the file extension of another format"]
    ]
    assert "train, read nevertheless: 1 (has the file extension of another format)" in str(report)


def test_classes_are_counted_on_each_side(train: pd.DataFrame, test: pd.DataFrame) -> None:
    test["label"] = [0, 0, None, None, 9, 1, 1, 1]

    counts = checked(train, test).class_counts

    assert counts["train"].tolist() == [2] * 8 + [0, 0]
    assert counts["test"].to_dict() == {
        **dict.fromkeys((diagnosis.code for diagnosis in DIAGNOSES), 0),
        "MEL": 2,
        "NV": 3,
        "9": 1,
        "unknown": 2,
    }


def test_any_number_of_sides_is_compared_in_pairs(tmp_path: Path) -> None:
    sides = {
        name: side(tmp_path, name, start=100 * number, count=8)
        for number, name in enumerate(("train", "validation", "test"))
    }
    put(sides["test"], 2, lesion="L102")
    put(sides["validation"], 3, lesion="L3")

    report = checked(sides, fail_on=("leaks",))

    assert report.shared_lesions[["first", "second", "lesion"]].to_numpy().tolist() == [
        ["train", "validation", "L3"],
        ["validation", "test", "L102"],
    ]
    assert list(report.splits) == ["train", "validation", "test"]
    assert "validation and test\n" in str(report)


def test_a_picture_on_three_sides_counts_for_every_pair(tmp_path: Path) -> None:
    sides = {name: side(tmp_path, name, start=100 * place) for place, name in enumerate("abc")}
    for other in "bc":
        copy_image(sides["a"], 0, sides[other], 0)

    leaks = checked(sides).leaks

    identical = leaks[leaks["by"] == "identical"]
    assert identical[["first", "second", "second_images"]].to_numpy().tolist() == [
        ["a", "b", 1],
        ["a", "c", 1],
        ["b", "c", 1],
    ]


def test_a_dataset_is_audited_by_its_table(challenge: Path) -> None:
    sides = [ISICDataset.from_challenge(challenge, split=split) for split in ("train", "test")]

    report = checked(*sides, fail_on=("leaks", "conflicts", "files"))

    assert report.splits == {"train": 6, "test": 2}
    assert report.failed == ("leaks", "conflicts")
    assert report.conflicts["classes"].tolist() == [("NV", "SCC")]
    assert set(report.duplicates["kind"]) == {"identical"}  # both sides have the same two images


def test_tables_alone_are_audited_and_what_lacks_is_said() -> None:
    report = checked(pd.DataFrame({"id": ["a"]}), pd.DataFrame({"id": ["b"]}), fail_on=("leaks",))

    page = str(report)
    assert report.ok
    assert report.checked == ()
    assert "Image files of train: its table has no column `image_path`." in report.unchecked
    assert "Patients of test: unknown for 1 of 1 images." in page
    assert "same lesion            unknown      unknown" in page
    assert "near-duplicate     not checked  not checked" in page
    assert (
        "Shift of age, sex, site, class, source between train and test: one of the two has no "
        in page
    )


def test_files_are_not_read_unless_asked_for(train: pd.DataFrame) -> None:
    Path(train["image_path"][0]).unlink()

    without = checked(train, images=False)
    apart = checked(train, duplicates=False)

    assert without.ok
    assert without.files.empty
    assert "Image files: not read, as requested" in str(without)
    assert found(apart) == {"files": 1}
    assert apart.checked == ("labels", "images")
    assert "Duplicate images: not searched, as requested." in apart.unchecked


@pytest.mark.parametrize("columns", [["id"], ["id", "image_path", "label", "lesion", "age"]])
def test_tables_of_no_rows_are_audited_and_not_fit(columns: list[str]) -> None:
    nothing = pd.DataFrame({name: [] for name in columns})

    report = checked(nothing, nothing)

    assert found(report) == {"rows": 2}
    assert report.splits == {"train": 0, "test": 0}
    json.loads(report.to_json())
    assert "train (0 images)" in str(report)


def test_a_single_row_is_audited(train: pd.DataFrame) -> None:
    report = checked(train.iloc[:1])

    assert report.ok
    assert "Audit of train (1 image)" in str(report)
    assert report.unchecked[0].startswith("Data leakage: there is only one split.")


@pytest.mark.parametrize(
    ("fail_on", "words"),
    [
        (("leaks", "files"), "no files; leaks not checked, since there is only one split."),
        (("leaks",), "checked: leaks not checked, since there is only one split."),
        (("files",), "checked: no files."),
    ],
)
def test_of_one_side_the_page_says_that_there_was_nothing_to_compare(
    train: pd.DataFrame, fail_on: tuple[str, ...], words: str
) -> None:
    report = checked(train, fail_on=fail_on)

    nothing = "DATA LEAKAGE BETWEEN SPLITS\n  not checked: there is only one split\n"
    assert nothing in str(report)
    assert report.verdict.endswith(words)


def shuffled(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    return table.sample(frac=1, random_state=seed)


@pytest.fixture
def faulty(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plant a fault of every kind."""
    put(test, 0, lesion="L1")
    put(test, 1, patient="P4", parent_id="train_09")
    put(train, 5, lesion="L2", id="train_04")
    copy_image(train, 6, test, 7)
    copy_image(train, 6, train, 8)
    copy_image(train, 6, train, 9)
    write_image(test["image_path"][2], half(read_image(train["image_path"][3])))
    Path(train["image_path"][10]).write_bytes(b"")
    train["sex"] = "female"
    return train, test


def test_faults_of_every_kind_are_found_together(
    faulty: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    assert checked(*faulty).failed == ("leaks", "conflicts", "duplicates", "files", "rows", "shift")


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_does_not_matter(
    faulty: tuple[pd.DataFrame, pd.DataFrame], seed: int
) -> None:
    one = checked(*faulty)

    other = checked(*(shuffled(table, seed) for table in faulty))

    assert other.to_json() == one.to_json()
    assert str(other) == str(one)


def test_the_number_of_workers_does_not_matter(faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert checked(*faulty, workers=2).to_json() == checked(*faulty).to_json()


names = st.sampled_from(["", "a", "b", "c", "d"])
rows = st.lists(
    st.tuples(st.integers(0, 9), names, names, st.sampled_from([None, 0, 1, 7])), max_size=12
)


def tabled(values: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(values, columns=pd.Index(["id", "lesion", "patient", "label"]))
    return table.astype({"id": str, "label": "Int64", "lesion": object, "patient": object})


@settings(max_examples=40)
@given(first=rows, second=rows, seed=st.integers(0, 99))
def test_what_is_shared_is_what_plain_sets_share(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], seed: int
) -> None:
    report = checked(tabled(first), tabled(second))

    for place, column in enumerate(("id", "lesion", "patient")):
        table = getattr(report, f"shared_{column}s")
        sides = [{str(row[place]) for row in part} - {""} for part in (first, second)]
        assert set(table[column]) == sides[0] & sides[1]
        affected = sum(str(row[place]) in sides[0] & sides[1] for row in second)
        assert table["second_count"].sum() == affected
        counts = report.leaks.set_index("by")["second_images"]
        assert counts[column] == affected
    random.Random(seed).shuffle(first)  # noqa: S311 - the order of rows is no secret
    assert checked(tabled(first), tabled(second)).to_json() == report.to_json()


def numbers(page: str) -> set[str]:
    return set(page.replace(".", " ").replace(";", " ").split())


def test_the_counts_on_the_page_are_those_of_the_tables(
    faulty: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    report = checked(*faulty)

    page = str(report)

    assert f"shared lesions: {len(report.shared_lesions)}" in page
    assert f"shared patients: {len(report.shared_patients)}" in page
    assert f"shared images with augmented copies: {len(report.shared_origins)}" in page
    between = report.duplicates["first"] != report.duplicates["second"]
    assert f"duplicate pairs: {between.sum()}" in page
    assert f"duplicate pairs: {(~between).sum()}" in page
    titles = {
        "lesion": "lesions with different labels",
        "identical": "identical files with different labels",
        "near": "near-duplicates with different labels",
    }
    for kind, count in report.conflicts["kind"].value_counts().items():
        assert f"{titles[str(kind)]}: {count}" in page
    for _, gap in report.missing_values.iterrows():
        assert not gap["missing"] or f"{gap['missing']}" in numbers(page)


def test_the_page_has_up_to_100_columns_whatever_the_names(train: pd.DataFrame) -> None:
    train["id"] = [f"{'x' * 200}{number}" for number in range(16)]
    train["lesion"] = "L\x1b[2J\n" * 40
    train["site"] = "s" * 300
    sides = {f"{name}" * 90: shuffled(train, 0) for name in "abcdef"}

    page = str(checked(sides, images=False))

    assert max(map(len, page.splitlines())) <= 100
    assert "\x1b" not in page
    assert page.replace("\n", "").isprintable()


def test_json_loads_back_with_counts_and_rows(faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    report = checked(*faulty)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(report.to_json(), parse_constant=refuse)

    assert (content["ok"], content["exit_code"]) == (False, 1)
    assert content["failed"] == list(report.failed)
    assert content["splits"] == {"train": 16, "test": 8}
    assert content["counts"] == report.counts
    assert content["shared_lesions"]["count"] == len(content["shared_lesions"]["rows"])
    assert content["shared_lesions"]["rows"][0]["first_ids"] == ["train_01"]
    assert content["class_counts"]["train"]["MEL"] == 2
    assert content["duplicates"]["count"] == len(report.duplicates)
    assert content["shifts"]["rows"][0]["category"] is None  # of ages


def test_json_holds_as_many_rows_as_asked_for(faulty: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    content = json.loads(checked(*faulty).to_json(most=1))

    assert content["duplicates"]["count"] > 1
    assert len(content["duplicates"]["rows"]) == 1
    with pytest.raises(ValueError, match=r"`most` to be an integer of 0 or more, but got -1"):
        checked(faulty[0], images=False).to_json(most=-1)


def test_json_takes_the_values_of_numpy_and_pandas(train: pd.DataFrame) -> None:
    splits: Any = {"train": np.int64(16)}
    report = dataclasses.replace(
        checked(train, images=False),
        splits=splits,
        missing_values=pd.DataFrame({"missing": [np.float32(0.5), np.inf], "x": [pd.NA, None]}),
    )

    content = json.loads(report.to_json())

    assert content["splits"] == {"train": 16}
    assert content["missing_values"]["rows"] == [
        {"missing": 0.5, "x": None},
        {"missing": None, "x": None},
    ]


def test_a_report_is_saved_as_json_or_as_a_page(train: pd.DataFrame, tmp_path: Path) -> None:
    report = checked(train)

    report.save(tmp_path / "new" / "audit.json")
    report.save(tmp_path / "audit.TXT")

    assert json.loads((tmp_path / "new" / "audit.json").read_text())["ok"] is True
    assert (tmp_path / "audit.TXT").read_text(encoding="utf-8") == f"{report}\n"
    with pytest.raises(
        ValueError, match=r"`path` to be a file ending in \.json, \.html or \.txt, but"
    ):
        report.save(tmp_path / "audit.csv")


def test_a_name_that_is_no_text_of_any_encoding_is_saved(tmp_path: Path) -> None:
    report = checked(pd.DataFrame({"id": ["\udcff", "\udcff"]}))

    report.save(tmp_path / "audit.txt")
    report.save(tmp_path / "audit.json")

    rows = json.loads((tmp_path / "audit.json").read_text())["problems"]["rows"]
    assert rows[0]["id"] == "\udcff"


def test_a_report_is_shown_in_short() -> None:
    assert repr(checked(pd.DataFrame({"id": ["a"] * 2}))) == "AuditReport(train 2; rows, metadata)"
    assert repr(audit(pd.DataFrame({"id": ["a"]}))) == "AuditReport(train 1; ok)"


def test_nothing_fails_where_nothing_is_to_fail(
    faulty: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    report = checked(*faulty, fail_on=())

    assert report.ok
    assert report.verdict.startswith("NOT JUDGED: `fail_on` is empty (also found: 4 of 8 images of")


def test_nothing_is_judged_where_nothing_is_asked_about(train: pd.DataFrame) -> None:
    assert checked(train, fail_on=()).verdict == "NOT JUDGED: `fail_on` is empty."


def test_the_tolerance_of_near_duplicates_is_chosen(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    write_image(test["image_path"][6], half(read_image(train["image_path"][6])))

    assert checked(train, test, tolerance=0.0).ok
    assert not checked(train, test, tolerance=0.2).ok


def one_column(name: str, values: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": [str(row) for row in range(len(values))], name: values})


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (("a.csv",), TypeError, "`train` to be an ISICDataset, a table, or a mapping of names to"),
        (({},), ValueError, "`train` to be a mapping of at least one split"),
        ((dict.fromkeys((1, "1"), pd.DataFrame({"id": []})),), ValueError, "with different names"),
        (({"a": pd.DataFrame({"id": []})}, pd.DataFrame()), TypeError, "`test` to be None beside"),
        ((pd.DataFrame(),), ValueError, "`train` to be a table with a column `id`, but got no col"),
        ((pd.DataFrame({"ID": ["a"]}),), ValueError, "but got the columns ID. Read it with `derm"),
        ((pd.DataFrame([["a", "b"]], columns=["id", "id"]),), ValueError, "but got id twice"),
        (
            (one_column("label", [None, "x"]),),
            TypeError,
            "`label` has numbers, but got 'x' in row 1",
        ),
        (
            (one_column("age", ["50", "old"]),),
            TypeError,
            "`age` has numbers, but got 'old' in row 1",
        ),
        ((one_column("age", [3, [4]]),), TypeError, "`age` has numbers, but got [4] in row 1"),
        ((one_column("age", ["1_0"]),), TypeError, "`age` has numbers, but got '1_0' in row 0"),
        ((one_column("label", [0, 0.5]),), ValueError, "or missing, but got 0.5 in row 1"),
        ((one_column("label", [-1]),), ValueError, "0 or more, or missing, but got -1 in row 0"),
        (
            (one_column("label", [np.inf]),),
            ValueError,
            "0 or more, or missing, but got inf in row 0",
        ),
        (
            (one_column("year", DAYS),),
            TypeError,
            "but got dates or times. Take the year with `.dt.y",
        ),
        (
            (one_column("age", DAYS - DAYS[0]),),
            TypeError,
            "`age` has numbers, but got dates or times.",
        ),
    ],
)
def test_what_is_no_side_is_refused(
    arguments: tuple[Any, ...], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        audit(*arguments)

    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"fail_on": "leaks"}, TypeError, "Expected `fail_on` to be several findings, but got one"),
        ({"fail_on": ["leak"]}, ValueError, "Did you mean 'leaks'?"),
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more, but got 0"),
        ({"tolerance": 2}, ValueError, "`tolerance` to be a number in 0..0.5, but got 2"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more, but got -1"),
    ],
)
def test_options_out_of_range_are_refused(
    options: Mapping[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        audit(pd.DataFrame({"id": ["a"]}), **options)

    assert sentence in str(caught.value)


@pytest.mark.data
def test_more_than_half_of_the_test_images_of_the_challenge_share_a_lesion_with_training(
    data_dir: Path,
) -> None:
    root = data_dir / "isic_challenge"
    train, test = (read_challenge_table(root, name) for name in ("train", "test"))

    report = audit(train, test, images=False)

    assert report.splits == {"train": 18_998, "test": 6_333}
    assert report.shared_lesions["second_count"].sum() == 3_732
    assert leaks_of(report)["lesion"] == (6_519, 3_732)
    assert "3,732 of 6,333 images of test (58.9%) share a lesion with train" in str(report)
    assert report.exit_code == 1
