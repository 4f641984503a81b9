"""Each planted fault is found, and nothing else; a clean data set passes."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib import ISICDataset, audit
from dermolib._validation import Image
from dermolib.auditing import DEFAULT_FINDINGS, FINDINGS, AuditReport
from dermolib.datasets import read_challenge_table, read_table
from dermolib.io import read_image, resize_image, write_image, write_mask
from dermolib.labels import DIAGNOSES

DAYS = pd.Series(pd.to_datetime(["2019-05-01", "2020-05-01"]))
CHECKED = FINDINGS[:-2]  # artifacts are not given, and what is drawn here is no skin
NO_SHIFT = "Shift of age, sex, site, class, source between train and test: one of the two has no"
NOT_SEARCHED = (
    "Second photographs of one lesion: not searched (option `recaptures`).",
    "Artifacts and what they go with: not searched (option `artifacts`).",
)


def draw(seed: int, height: int = 60, width: int = 80) -> Image:
    """Draw a few soft blobs, which the near-duplicate search recognizes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_split(folder: Path, name: str, *, start: int = 0, count: int = 16) -> pd.DataFrame:
    """Write a split without faults: images of all classes, each of its own lesion and patient."""
    numbers = range(start, start + count)
    table = pd.DataFrame({"id": [f"{name}_{row:02d}" for row in range(count)]})
    table["label"] = [row % 8 for row in range(count)]
    table["lesion"] = [f"L{number}" for number in numbers]
    table["patient"] = [f"P{number}" for number in numbers]
    table["age"] = [30.0 + 5 * (row % 8) for row in range(count)]
    table["sex"] = ["female", "male"] * (count // 2)
    table["site"] = ["head/neck", "head/neck", "palms/soles", "lateral torso"] * (count // 4)
    table = table.assign(year=2019, source="ISIC 2019", parent_id="")
    table["image_path"] = [str(folder / name / f"{one}.png") for one in table["id"]]
    for number, path in zip(numbers, table["image_path"], strict=True):
        write_image(path, draw(number))
    return table


class Splits(NamedTuple):
    train: pd.DataFrame
    test: pd.DataFrame


@pytest.fixture
def train(tmp_path: Path) -> pd.DataFrame:
    return write_split(tmp_path, "train")


@pytest.fixture
def s(train: pd.DataFrame, tmp_path: Path) -> Splits:
    return Splits(train, write_split(tmp_path, "test", start=100, count=8))


def run(
    train: Any, test: Any = None, *, fail_on: tuple[str, ...] = CHECKED, **options: Any
) -> AuditReport:
    return audit(train, test, progress=False, fail_on=fail_on, **options)


def found(report: AuditReport) -> dict[str, int]:
    return {name: report.counts[name] for name in CHECKED if report.counts[name]}


def put(table: pd.DataFrame, row: int | slice, **values: Any) -> None:
    for column, value in values.items():
        table[column] = table[column].astype(object)
        table.loc[row, column] = value


def copy(source: pd.DataFrame, row: int, target: pd.DataFrame, *others: int) -> None:
    for other in others:
        data = Path(source["image_path"][row]).read_bytes()
        Path(target["image_path"][other]).write_bytes(data)


def shrink(source: pd.DataFrame, row: int, target: pd.DataFrame, other: int) -> None:
    image = read_image(source["image_path"][row])
    small = resize_image(image, (image.shape[0] // 2, image.shape[1] // 2))
    write_image(target["image_path"][other], small)


def values(table: pd.DataFrame, *columns: str) -> list[Any]:
    """List the rows of some columns; the values of a single one."""
    chosen: list[Any] = table[list(columns)].to_numpy().tolist()
    return [row[0] for row in chosen] if len(columns) == 1 else chosen


def leaks_of(report: AuditReport) -> dict[str, tuple[int, int]]:
    table = report.leaks[report.leaks["second_images"] > 0]
    counts = zip(table["first_images"], table["second_images"], strict=True)
    return dict(zip(table["by"], counts, strict=True))


def test_a_clean_set_passes(s: Splits) -> None:
    report = run(*s)

    assert found(report) == {}
    assert (report.ok, report.exit_code, report.failed) == (True, 0, ())
    assert report.splits == {"train": 16, "test": 8}
    assert report.unchecked == (*NOT_SEARCHED, "Lesion masks: not read.")
    assert report.checked == ("labels", "images", "duplicates")
    assert report.verdict == f"PASSED: no {', '.join(CHECKED)}."


@pytest.mark.parametrize(
    ("plant", "findings"),
    [
        (lambda s: put(s.test, 3, lesion="L3", patient="P3"), {"leaks": 2}),
        (lambda s: put(s.test, 6, patient="P3"), {"leaks": 1}),
        (lambda s: put(s.test, 6, id="train_06"), {"leaks": 1}),
        (lambda s: [put(table, 1, parent_id="x") for table in s], {"leaks": 1}),  # type: ignore[func-returns-value] # done
        (lambda s: copy(s.train, 6, s.test, 6), {"leaks": 1}),
        (lambda s: shrink(s.train, 6, s.test, 6), {"leaks": 1}),
        (lambda s: copy(s.train, 6, s.train, 14), {"duplicates": 1}),
        (lambda s: shrink(s.train, 6, s.train, 7), {"conflicts": 1, "duplicates": 1}),
        (lambda s: put(s.train, 9, lesion="L2", patient="P2"), {"conflicts": 1}),
        (lambda s: copy(s.train, 6, s.test, 7), {"leaks": 1, "conflicts": 1}),
        (lambda s: Path(s.train["image_path"][2]).unlink(), {"files": 1}),
        (lambda s: put(s.train, 3, image_path=""), {"files": 1}),
        (lambda s: Path(s.train["image_path"][4]).write_bytes(b"<html>"), {"files": 1}),
        (lambda s: put(s.train, 4, id="train_05"), {"rows": 1}),
        (lambda s: put(s.train, 8, id=""), {"rows": 1}),
        (lambda s: put(s.train, 8, lesion="L0"), {"rows": 1}),
        (lambda s: put(s.test, 3, age=0), {}),
        (lambda s: put(s.test, 3, age=120), {}),
        (lambda s: put(s.train, slice(None), sex="female"), {"shift": 1}),
        (lambda s: put(s.train, 3, age=None), {"metadata": 1}),
        (lambda s: put(s.train, 3, sex=None), {"metadata": 1}),
        (lambda s: put(s.train, 3, site=None), {"metadata": 1}),
        (lambda s: put(s.train, 3, lesion=None), {"metadata": 1}),
        (lambda s: put(s.train, 3, patient=None), {"metadata": 1}),
        (lambda s: put(s.train, 3, year=None), {"metadata": 1}),
    ],
)
def test_a_planted_fault_is_found_and_nothing_else(
    s: Splits, plant: Callable[[Splits], object], findings: dict[str, int]
) -> None:
    plant(s)

    report = run(*s)

    assert found(report) == findings
    assert report.failed == tuple(findings)
    assert audit(*s, progress=False).exit_code == bool(findings.keys() & {*FINDINGS[:5]})


@given(
    number=st.integers(0, 10**15),
    kinds=st.tuples(*[st.sampled_from(["int64", "float64", "Int64", "Float64", "str"])] * 2),
    column=st.sampled_from(["lesion", "patient", "id", "origin"]),
)
def test_a_number_in_both_splits_is_found_whatever_the_type_of_its_column(
    number: int, kinds: tuple[str, str], column: str
) -> None:
    name = "parent_id" if column == "origin" else column
    first, second = (
        pd.DataFrame({"id": [f"{split}_{row}" for row in range(2)]}).assign(
            **{name: pd.Series([number, number + 1 + place], dtype=kind)}
        )
        for place, (split, kind) in enumerate(zip("ab", kinds, strict=True))
    )

    assert values(getattr(run(first, second), f"shared_{column}s"), column) == [str(number)]


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        *(("7", text, ["7"]) for text in ("7.0", "7.000", " 7 ", " 7.0\n", b"7", b" 7.0", 7, 7.0)),
        *((text, text, [text]) for text in ("7.5", "7.01", "v7.0", "7.", "7.0a")),
        *((number, number, [str(number)]) for number in (1.5, np.float32(0.25), float("inf"))),
        *((text, text, []) for text in ("nan", "NaN", "NA", "n/a", "None", "UNKNOWN", "<NA>", " ")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("column", ["lesion", "patient"])
def test_names_are_compared_as_clean_text(
    column: str, first: Any, second: Any, shared: list[str]
) -> None:
    splits = [pd.DataFrame({"id": [i], column: [name]}, dtype=object) for i, name in
              (("a", first), ("b", second))]  # fmt: skip

    report = run(*splits)

    assert values(getattr(report, f"shared_{column}s"), column) == shared
    gaps = report.missing_values.query("column == @column")
    assert values(gaps, "missing") == [1 - len(shared)] * 2


@pytest.mark.skipif(
    pd.factorize(pd.Series(["\udcfe", "\udcff"]))[0].max() == 0,
    reason="pandas before 3.1 takes all texts with bytes that are not UTF-8 for one",
)
def test_ids_of_bytes_equal_those_of_text_and_invalid_bytes_stay_distinct() -> None:
    first, second = ["é".encode(), b"\xff", b"x"], [" é", b"\xfe", "x "]

    report = run(pd.DataFrame({"id": first}), pd.DataFrame({"id": second}))

    assert values(report.shared_ids, "id") == ["x", "é"]


def test_a_search_for_recaptures_without_images_is_not_checked(s: Splits) -> None:
    report = run(s.train.drop(columns="image_path"), recaptures=True)

    assert "Second photographs of one lesion: no table has images." in report.unchecked
    assert "recaptures" not in report.checked


def test_copies_of_images_of_their_own_split_are_no_finding(s: Splits) -> None:
    put(s.train, 1, parent_id="train_09", lesion="", patient="")
    copy(s.train, 9, s.train, 1)

    report = run(*s, fail_on=("leaks", "duplicates", "conflicts"))

    assert report.ok
    assert values(report.duplicates, "relation") == ["same lesion"]
    assert report.unchecked == (*NOT_SEARCHED, "Lesion masks: not read.")


@pytest.mark.parametrize("size", [1, 2, 7, 9, 64, 301])
@pytest.mark.parametrize("circle", [False, True])
def test_copies_of_copies_are_followed_to_their_origin(size: int, circle: bool) -> None:
    chain = [f"a{step:03d}" for step in range(size + 1)]
    train = pd.DataFrame(
        {"id": chain[1:], "parent_id": [*chain[2:], chain[1]] if circle else chain[:-1]}
    )
    other = {"id": "copy", "parent_id": chain[-1]} if circle else {"id": chain[0]}
    test = pd.DataFrame([{**other, "lesion": "L", "patient": "P"}])

    report = run(train.sample(frac=1, random_state=0), test)

    inherited = {} if circle else dict.fromkeys(("lesion", "patient"), (size, 1))
    assert values(report.shared_origins, "origin") == [chain[circle]]
    assert leaks_of(report) == {**inherited, "origin": (size, 1), "any": (size, 1)}


def test_rows_without_an_id_are_the_origin_of_nothing(train: pd.DataFrame) -> None:
    copy(train, 6, train, 14)
    copy(train, 0, train, 1)
    put(train, 0, id="")
    put(train, 1, id="")

    assert values(run(train).duplicates, "relation") == ["different lesions"] * 2


def test_blank_images_and_empty_masks_are_problems_in_text_html_and_json(s: Splits) -> None:
    masks = [str(Path(path).with_suffix(".mask.png")) for path in s.train["image_path"]]
    for number, path in enumerate(masks):
        mask = np.zeros((60, 80), np.bool_)
        mask[20:40, 20:40] = number != 3
        write_mask(Path(path), mask | (number == 4))
    write_image(Path(s.train["image_path"][5]), np.full((60, 80, 3), 40, np.uint8))

    report = run(s.train.assign(mask_path=masks), s.test)
    page = " ".join(str(report).split())

    assert found(report) == {"files": 3}
    assert report.exit_code == 1
    assert "blank images: 1; faulty lesion masks: 2" in report.verdict
    assert values(report.problems, "id", "kind", "reason") == [
        ["train_05", "blank image", "almost all of one color, black or white"],
        ["train_03", "empty mask", "no pixel is lesion"],
        ["train_04", "full mask", "every pixel is lesion"],
    ]
    assert "train, empty mask: 1 (no pixel is lesion): train_03" in page
    assert "blank image: 1" in report.to_html()
    problems = json.loads(report.to_json())["problems"]["rows"]
    assert [row["kind"] for row in problems] == ["blank image", "empty mask", "full mask"]
    assert "masks" in report.checked
    assert not any("masks: not read" in words for words in report.unchecked)
    assert "Lesion masks: not read." in run(*s).unchecked


@pytest.mark.parametrize("rotations", [0, 1, 2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_smaller_compressed_rotated_copy_is_a_near_duplicate(
    s: Splits, rotations: int, flipped: bool
) -> None:
    image = resize_image(read_image(s.train["image_path"][6]), (30, 40))
    image = np.rot90(image[:, ::-1] if flipped else image, rotations)
    path = Path(s.test["image_path"][6]).with_suffix(".jpg")
    write_image(path, np.ascontiguousarray(image), quality=60)
    put(s.test, 6, image_path=str(path))

    report = run(*s)

    pairs = values(report.duplicates, "first_id", "second_id", "kind")
    assert pairs == [["train_06", "test_06", "near"]]
    assert 0 < report.duplicates["distance"][0] <= 0.08
    assert leaks_of(report) == {"near": (1, 1), "any": (1, 1)}
    assert "look at the pairs" in " ".join(str(report).split()).lower()
    assert run(*s, tolerance=0.0).ok
    assert not run(*s, tolerance=0.2).ok


@pytest.mark.parametrize(
    ("lesion", "relation", "count"), [("", "lesion unknown", 1), ("L6", "same lesion", 0)]
)
def test_a_copy_within_a_split_counts_unless_it_is_of_the_same_lesion(
    train: pd.DataFrame, lesion: str, relation: str, count: int
) -> None:
    copy(train, 6, train, 14)
    put(train, 14, lesion=lesion, patient="P6")

    report = run(train)

    assert report.counts["duplicates"] == count
    assert values(report.duplicates, "relation") == [relation]
    assert f"train, duplicate pairs: 1 (1 identical, {relation})" in str(report)


def test_many_identical_files_make_few_pairs_and_all_of_them_count(s: Splits) -> None:
    copy(s.train, 0, s.test, *range(4))
    copy(s.train, 0, s.train, *range(1, 16))
    s.train["label"], s.test["label"] = 1, 1

    report = run(*s)
    shrink(s.train, 0, s.test, 4)

    assert leaks_of(report) == {"identical": (16, 4), "any": (16, 4)}
    assert len(report.duplicates) == 15 + 3 + 1
    assert found(report) == {"leaks": 1, "duplicates": 18}
    assert leaks_of(run(*s))["near"] == (16, 1)


def test_near_duplicates_of_a_cluster_count_although_not_all_pairs_are_listed(
    tmp_path: Path,
) -> None:
    train = write_split(tmp_path, "train", count=40).assign(label=1)
    test = write_split(tmp_path, "test", start=500, count=8).assign(label=1)
    for row, table in [*((row, train) for row in range(40)), (0, test), (1, test)]:
        image = draw(7)
        image[0, row % 40] += np.uint8(1 + (table is test))
        write_image(table["image_path"][row], image)

    report = run(train, test)

    assert leaks_of(report) == {"near": (40, 2), "any": (40, 2)}
    assert len(report.duplicates) < 42 * 41 / 2


def test_an_id_with_two_labels_is_one_conflict(s: Splits) -> None:
    s.train["lesion"], s.test["lesion"] = "", ""
    put(s.test, 7, id="train_06")
    copy(s.train, 6, s.test, 7)

    assert values(run(*s).conflicts, "kind", "ids", "splits") == [
        ["image", ("train_06", "train_06"), ("train", "test")]
    ]


def test_a_pair_and_its_conflict_are_described(s: Splits) -> None:
    copy(s.train, 6, s.test, 7)

    report, unlabeled = run(*s), run(s.train, s.test.drop(columns="label"))

    pair = {
        **{"first": "train", "first_id": "train_06", "second": "test", "second_id": "test_07"},
        **{"kind": "identical", "distance": 0.0, "relation": "different lesions"},
        **{"first_lesion": "L6", "second_lesion": "L107", "first_class": "VASC"},
    }
    assert report.duplicates.to_dict("records") == [{**pair, "second_class": "SCC"}]
    assert unlabeled.duplicates.to_dict("records") == [{**pair, "second_class": ""}]
    assert leaks_of(report) == {"identical": (1, 1), "any": (1, 1)}
    conflict = {"kind": "identical", "lesion": "", "ids": ("train_06", "test_07"), "distance": 0.0}
    described = {**conflict, "splits": ("train", "test"), "classes": ("VASC", "SCC")}
    assert report.conflicts.to_dict("records") == [described]
    assert unlabeled.conflicts.empty
    assert "Labels of test: unknown for 8 of 8 images." in unlabeled.unchecked


@pytest.mark.parametrize(
    ("codes", "columns", "conflict"),
    [
        (["nevus", "NV"], {"source": ["ISIC 2020", "ISIC 2019"]}, False),
        (["nevus", "melanoma"], {}, True),
        (["nevus", "nevus"], {}, False),
        (["nevus", "unknown"], {}, False),
        (["nevus", ""], {}, False),
        (["nv", "nevus"], {"label": [1, 1]}, False),
        (["nv", "nv"], {"label": [0, 1]}, True),
        (["nv", "mel"], {"label": [1, None]}, True),
        (["nv", "nv"], {"label": [1, None]}, False),
        (["nv", ""], {"label": [1, None]}, False),
        (["nv", "nevus", "nv"], {"label": [1, 1, None]}, True),
        (["nv", "mel", "x", "x"], {"label": [1, 1, 1, None], "source": [*"aabb"]}, False),
    ],
)
@pytest.mark.parametrize("kind", ["lesion", "near"])
def test_labels_are_compared_first_and_then_diagnoses_of_one_source(
    codes: list[str], columns: dict[str, Any], conflict: bool, kind: str, tmp_path: Path
) -> None:
    ids = [f"{row}" for row in range(len(codes))]
    table = pd.DataFrame({"id": ids, "lesion": "L", "diagnosis": codes, **columns})
    if kind == "near":
        table["lesion"] = ids
        table["image_path"] = [str(tmp_path / f"{row}.png") for row in ids]
        for row, path in enumerate(table["image_path"]):
            image = draw(0)
            image[0, row] += np.uint8(1)
            write_image(path, image)

    assert set(run(table).conflicts["kind"]) == ({kind} if conflict else set())


@pytest.mark.parametrize("column", ["label", "diagnosis"])
def test_conflicts_of_identical_files_are_found_through_a_copy_without_a_label(
    train: pd.DataFrame, column: str
) -> None:
    copy(train, 0, train, 1, 2)
    put(train, 0, label=None)
    table = (
        train if column == "label" else train.assign(label=None, diagnosis=["", *"ab"] + [""] * 13)
    )

    assert values(run(table).conflicts, "kind", "ids") == [["identical", ("train_01", "train_02")]]


def test_without_any_label_conflicts_are_not_checked(s: Splits) -> None:
    splits = [table.drop(columns="label") for table in s]

    unknown, known = run(*splits), run(s.train, splits[1])

    assert "CONFLICTING LABELS\n  not checked: no label is known\n" in str(unknown)
    assert unknown.verdict.endswith("shift; conflicts not checked.")
    assert "CONFLICTING LABELS\n  none\n" in str(known)


def test_files_and_their_states_are_listed(train: pd.DataFrame) -> None:
    for row, level in ((0, 10), (1, 200)):  # which do not count as duplicates
        write_image(train["image_path"][row], np.full((60, 80, 3), level, np.uint8))
    Path(train["image_path"][2]).unlink()
    put(train, 3, image_path="")
    Path(train["image_path"][4]).write_bytes(b"<html>404")

    report = run(train)

    assert values(report.problems, "id", "kind", "reason") == [
        ["train_02", "missing", "file not found"],
        ["train_03", "missing", "no file found"],
        ["train_04", "unreadable", "a web page, such as an error message, not an image"],
        *(
            [f"train_0{row}", "blank image", "almost all of one color, black or white"]
            for row in (0, 1)
        ),
    ]
    states = report.files["state"].value_counts().to_dict()
    assert states == {"ok": 13, "missing": 2, "unreadable": 1}
    assert report.unchecked[1].startswith("Images of train: 3 are missing or unreadable")
    assert report.unchecked[2] == "Featureless images: 2 were compared byte for byte only."
    assert report.duplicates.empty


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"age": np.inf}, ["impossible value", "age outside 0..120 years", "inf"]),
        ({"age": -np.inf}, ["impossible value", "age outside 0..120 years", "-inf"]),
        ({"age": 500}, ["impossible value", "age outside 0..120 years", "500"]),
        ({"age": -4}, ["impossible value", "age outside 0..120 years", "-4"]),
        ({"label": 8}, ["impossible value", "label outside 0..7", "8"]),
        ({"id": ""}, ["no id", "the row has no id", ""]),
        ({"id": "b"}, ["duplicate id", "the id occurs more than once in its split", "2 rows"]),
        ({"lesion": "K"}, ["multiple patients", "one lesion of multiple patients", "K: P, Q"]),
    ],
)
def test_a_faulty_row_is_described(changes: dict[str, Any], problem: list[str]) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "lesion": ["L", "K"], "patient": ["P", "Q"]})
    table = table.assign(label=1, age=50)
    put(table, 0, **changes)

    report = run({"all": table}, fail_on=("leaks", "files", "rows"))

    assert report.failed == ("rows",)
    assert values(report.problems, "kind", "reason", "detail") == [problem]


def test_an_empty_split_fails_and_is_told_apart_from_faulty_rows(train: pd.DataFrame) -> None:
    report = run(train, train.iloc[:0], fail_on=DEFAULT_FINDINGS)
    faulty = run(train.assign(age=[-1, -1] + [50] * 14), train.iloc[:0])

    assert report.failed == ("rows",)
    assert report.verdict.startswith("FAILED: empty splits: test.")
    assert values(report.problems, "split", "kind") == [["test", "empty split"]]
    assert "FILES AND ROWS\n  test, empty split: 1 (the split has no images)\n" in str(report)
    assert "test: no images to check or compare." in report.unchecked
    assert "empty splits: test; faulty rows: 2" in faulty.verdict


def test_sizes_modes_and_formats_are_counted(train: pd.DataFrame) -> None:
    write_image(train["image_path"][2], draw(2, 30, 20))

    report = run(train)

    assert values(report.sizes, "split", "height", "width", "mode", "format", "images") == [
        ["train", 60, 80, "RGB", "PNG", 15],
        ["train", 30, 20, "RGB", "PNG", 1],
    ]
    assert "train: 16 images, 2 kinds\n    - 15 images: 80 x 60 px, RGB, PNG\n" in str(report)


def test_a_remark_on_a_file_is_no_fault(train: pd.DataFrame) -> None:
    path = Path(train["image_path"][2])
    put(train, 2, image_path=str(path.rename(path.with_suffix(".jpg"))))

    report = run(train)

    assert report.ok
    note = "has the file extension of another format"
    assert values(report.notes, "id", "note") == [["train_02", note]]
    assert f"  train, read nevertheless: 1 ({note}): train_02" in str(report)


def test_classes_are_counted_in_each_split(s: Splits) -> None:
    s.test["label"] = [0, 0, None, None, 9, 1, 1, 1]

    counts = run(*s).class_counts

    assert values(counts, "train") == [2] * 8 + [0, 0]
    codes = dict.fromkeys((diagnosis.code for diagnosis in DIAGNOSES), 0)
    assert counts["test"].to_dict() == {**codes, "MEL": 2, "NV": 3, "9": 1, "unknown": 2}


def test_any_number_of_splits_is_compared_in_pairs(tmp_path: Path) -> None:
    names = ("train", "validation", "test")
    splits = {
        name: write_split(tmp_path, name, start=100 * number, count=8)
        for number, name in enumerate(names)
    }
    put(splits["test"], 2, lesion="L102")
    put(splits["validation"], 3, lesion="L3")
    copy(splits["train"], 0, splits["validation"], 0)
    copy(splits["train"], 0, splits["test"], 0)

    report = run(splits, fail_on=("leaks",))

    assert values(report.shared_lesions, "first", "second", "lesion") == [
        ["train", "validation", "L3"],
        ["validation", "test", "L102"],
    ]
    identical = report.leaks[report.leaks["by"] == "identical"]
    assert values(identical, "second_images") == [1, 1, 1]
    assert tuple(report.splits) == names
    assert "validation and test\n" in str(report)


def test_a_dataset_is_audited_by_its_table(challenge: Path) -> None:
    splits = [ISICDataset.from_challenge(challenge, split=split) for split in ("train", "test")]

    report = run(*splits, fail_on=("leaks", "conflicts", "files"))

    assert report.splits == {"train": 6, "test": 2}
    assert report.failed == ("leaks", "conflicts")
    assert values(report.conflicts, "classes") == [("NV", "SCC")]
    assert set(report.duplicates["kind"]) == {"identical"}  # both splits have the same two images


def test_tables_alone_are_audited_and_what_is_not_checked_is_reported() -> None:
    report = run(
        pd.DataFrame({"id": ["a"]}), pd.DataFrame({"id": ["b"]}), fail_on=("leaks", "files")
    )

    assert report.ok
    assert report.checked == ()
    assert report.verdict == "PASSED: no leaks; files not checked."
    assert "Image files of train: its table has no column `image_path`." in report.unchecked
    assert "Patients of test: unknown for 1 of 1 images." in report.unchecked
    assert re.search(r"same lesion +unknown +unknown\n", str(report))
    assert re.search(r"near-duplicate +not checked +not checked\n", str(report))
    assert NO_SHIFT in str(report)


def test_files_are_read_and_compared_only_where_asked(train: pd.DataFrame) -> None:
    Path(train["image_path"][0]).unlink()

    unread, uncompared = run(train, images=False), run(train, duplicates=False)

    assert unread.ok
    assert unread.files.empty
    assert "Image files: not read, as requested" in str(unread)
    assert found(uncompared) == {"files": 1}
    assert uncompared.checked == ("labels", "images")
    assert "Duplicate images: not searched, as requested." in uncompared.unchecked


@pytest.mark.parametrize("columns", [["id"], ["id", "image_path", "label", "lesion", "age"]])
def test_tables_without_rows_fail(columns: list[str]) -> None:
    nothing = pd.DataFrame({name: [] for name in columns})

    report = run(nothing, nothing)

    assert found(report) == {"rows": 2}
    assert report.splits == {"train": 0, "test": 0}
    json.loads(report.to_json())
    assert "train (0 images)" in str(report)


@pytest.mark.parametrize(
    ("fail_on", "verdict"),
    [
        (("leaks", "files"), "PASSED: no files; leaks not checked."),
        (("leaks",), "PASSED: leaks not checked."),
        (("files",), "PASSED: no files."),
        ((), "NOT JUDGED: `fail_on` is empty."),
    ],
)
def test_of_one_split_leaks_are_not_checked(
    train: pd.DataFrame, fail_on: tuple[str, ...], verdict: str
) -> None:
    report = run(train.iloc[:1], fail_on=fail_on)

    assert str(report).startswith(f"Audit of train (1 image)\n\n{verdict}\n")
    assert "DATA LEAKAGE BETWEEN SPLITS\n  not checked: there is only one split\n" in str(report)
    assert report.unchecked[0] == "Data leakage: there is only one split."


@pytest.fixture
def faulty(s: Splits) -> Splits:
    """Plant a fault of every kind."""
    put(s.test, 0, lesion="L1")
    put(s.test, 1, patient="P4", parent_id="train_09")
    put(s.train, 5, lesion="L2", id="train_04")
    copy(s.train, 6, s.test, 7)
    copy(s.train, 6, s.train, 8, 9)
    shrink(s.train, 3, s.test, 2)
    Path(s.train["image_path"][10]).write_bytes(b"")
    s.train["sex"] = "female"
    return s


def test_faults_of_every_kind_are_found_together(
    faulty: Splits,
) -> None:
    report, unjudged = run(*faulty), run(*faulty, fail_on=())

    assert report.failed == ("leaks", "conflicts", "duplicates", "files", "rows", "shift")
    assert repr(report) == f"AuditReport(train 16, test 8; {', '.join(report.failed)})"
    assert unjudged.ok
    start = (
        "NOT JUDGED: `fail_on` is empty (also found: 4 of 8 images of test (50.0%) share a lesion, "
    )
    assert unjudged.verdict.startswith(start)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_and_the_number_of_workers_do_not_matter(
    faulty: Splits, seed: int
) -> None:
    shuffled = [table.sample(frac=1, random_state=seed) for table in faulty]

    one, other = run(*faulty), run(*shuffled, workers=1 + seed % 2)

    assert other.to_json() == one.to_json()
    assert str(other) == str(one)


names = st.sampled_from(["", "a", "b", "c", "d"])
rows = st.lists(
    st.tuples(st.integers(0, 9), names, names, st.sampled_from([None, 0, 1, 7])), max_size=12
)


def tabulate(drawn: list[tuple[Any, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(drawn, columns=pd.Index(["id", "lesion", "patient", "label"]))
    return table.astype({"id": str, "label": "Int64", "lesion": object, "patient": object})


@settings(max_examples=40)
@given(first=rows, second=rows)
def test_what_is_shared_is_what_plain_sets_share(
    first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]
) -> None:
    report = run(tabulate(first), tabulate(second))

    counts = report.leaks.set_index("by")["second_images"]
    for place, column in enumerate(("id", "lesion", "patient")):
        table = getattr(report, f"shared_{column}s")
        both = set.intersection(*({str(row[place]) for row in part} for part in (first, second)))
        affected = sum(str(row[place]) in both - {""} for row in second)
        assert set(table[column]) == both - {""}
        assert table["second_count"].sum() == counts[column] == affected
    assert run(tabulate(first[::-1]), tabulate(second[::-1])).to_json() == report.to_json()


@pytest.mark.parametrize("form", ["text", "html"])
def test_the_page_has_the_counts_of_the_tables(faulty: Splits, form: str) -> None:
    report = run(*faulty)
    between = report.duplicates["first"] != report.duplicates["second"]
    kinds = {"lesion": "lesions", "identical": "identical files", "near": "near-duplicates"}

    page = str(report) if form == "text" else report.to_html()

    assert f"shared lesions: {len(report.shared_lesions)}" in page
    assert f"shared patients: {len(report.shared_patients)}" in page
    assert f"shared images with augmented copies: {len(report.shared_origins)}" in page
    assert f"duplicate pairs: {between.sum()} (" in page
    assert f"train, duplicate pairs: {(~between).sum()} (" in page
    for kind, count in report.conflicts["kind"].value_counts().items():
        assert f"{kinds[str(kind)]} with different labels: {count}" in page
    assert "large shift; most in female: 100.0% and 50.0%" in page
    assert "unreadable: 1 (empty file): train_10" in page


def test_the_page_of_text_has_up_to_100_columns_whatever_the_names(train: pd.DataFrame) -> None:
    train["id"] = [f"{'x' * 200}{number}" for number in range(16)]
    train["lesion"] = "L\x1b[2J\n" * 40
    train["site"] = "s" * 300

    page = str(run({name * 90: train for name in "abcdef"}, images=False))

    assert max(map(len, page.splitlines())) <= 100
    assert "\x1b" not in page
    assert page.replace("\n", "").isprintable()


HOSTILE = [
    "<script>alert(1)</script>",
    "</li></ul><h1>",
    "\"'><img src=x>",
    "{{ 7 * 7 }}",
    "a\udcff\x1b",
]


def test_hostile_names_do_not_change_the_page_of_html(train: pd.DataFrame, tmp_path: Path) -> None:
    harmless, hostile = train.head(5).copy(), train.head(5).copy()
    for table, texts in ((harmless, [f"name{number}" for number in range(5)]), (hostile, HOSTILE)):
        for column in ("id", "lesion", "patient", "site", "source", "diagnosis", "image_path"):
            table[column] = texts
        table["label"] = None

    def tags(table: pd.DataFrame, split: str) -> list[str]:
        report = run({split: table, f"{split}2": table})
        report.save(tmp_path / "page.html")
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "49" not in text
        return re.findall(r"<[^>]*>", text[text.index("<body>") :])

    assert tags(hostile, "<b>&amp;") == tags(harmless, "split")


def test_the_page_of_html_is_complete_in_itself(train: pd.DataFrame) -> None:
    page = run(train).to_html()

    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>")
    assert not re.search(r"src=|href=.(?!#|data:)|https?://", page)
    assert page.count("<section ") == page.count("</section>") == page.count("<h2>") == 12


def test_json_holds_counts_and_as_many_rows_as_asked_for(
    faulty: Splits,
) -> None:
    report = run(*faulty)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(report.to_json(), parse_constant=refuse)
    short = json.loads(report.to_json(most=1))

    assert (content["ok"], content["exit_code"]) == (False, 1)
    assert content["failed"] == list(report.failed)
    assert content["splits"] == {"train": 16, "test": 8}
    assert content["counts"] == report.counts
    assert content["shared_lesions"]["count"] == len(content["shared_lesions"]["rows"])
    assert content["shared_lesions"]["rows"][0]["first_ids"] == ["train_01"]
    assert content["class_counts"]["train"]["MEL"] == 2
    assert content["duplicates"]["count"] == short["duplicates"]["count"] == len(report.duplicates)
    assert content["shifts"]["rows"][0]["category"] is None  # of ages
    assert "files" not in content
    assert len(short["duplicates"]["rows"]) == 1
    with pytest.raises(ValueError, match=r"`most` to be an integer of 0 or more, but got -1"):
        report.to_json(most=-1)


def test_json_takes_the_values_of_numpy_and_pandas(train: pd.DataFrame) -> None:
    counts: Any = {"train": np.int64(16)}
    gaps = pd.DataFrame({"missing": [np.float32(0.5), np.inf], "x": [pd.NA, None]})
    report = dataclasses.replace(run(train, images=False), splits=counts, missing_values=gaps)

    content = json.loads(report.to_json())

    assert content["splits"] == {"train": 16}
    rows = [{"missing": 0.5, "x": None}, {"missing": None, "x": None}]
    assert content["missing_values"]["rows"] == rows


@pytest.mark.parametrize("name", ["a", "\udcff"])  # the second is known to no encoding
def test_a_report_is_saved_as_json_html_or_text(tmp_path: Path, name: str) -> None:
    report = run(pd.DataFrame({"id": [name, name]}))
    contents = {
        "new/audit.json": report.to_json(),
        "a.html": report.to_html(),
        "a.TXT": str(report),
    }

    for path, content in contents.items():
        report.save(tmp_path / path)
        saved = (tmp_path / path).read_text(encoding="utf-8")
        assert saved == content.replace("\udcff", r"\udcff") + "\n"

    rows = json.loads((tmp_path / "new" / "audit.json").read_text())["problems"]["rows"]
    assert rows[0]["id"] == name
    assert repr(report) == "AuditReport(train 2; rows, metadata)"
    with pytest.raises(ValueError, match=r"`path` to be a file ending in \.json, \.html or \.txt"):
        report.save(tmp_path / "audit.csv")


def column(name: str, values: Any) -> tuple[pd.DataFrame]:
    return (pd.DataFrame({"id": [str(row) for row in range(len(values))], name: values}),)


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
        (column("label", [None, "x"]), TypeError, "`label` has numbers, but got 'x' in row 1"),
        (column("age", ["50", "old"]), TypeError, "`age` has numbers, but got 'old' in row 1"),
        (column("age", [3, [4]]), TypeError, "`age` has numbers, but got [4] in row 1"),
        (column("age", ["1_0"]), TypeError, "`age` has numbers, but got '1_0' in row 0"),
        (column("label", [0, 0.5]), ValueError, "or missing, but got 0.5 in row 1"),
        (column("label", [-1]), ValueError, "0 or more, or missing, but got -1 in row 0"),
        (column("label", [np.inf]), ValueError, "or more, or missing, but got inf in row 0"),
        (column("year", DAYS), TypeError, "but got dates or times. Take a number, as `.dt.y"),
        (column("age", DAYS - DAYS[0]), TypeError, "`age` has numbers, but got dates or times."),
    ],
)
def test_what_is_no_split_is_refused(
    arguments: tuple[Any, ...], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        audit(*arguments)


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
    options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        audit(pd.DataFrame({"id": ["a"]}), **options)


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


def test_a_page_lists_the_first_few_of_many_findings_and_classes() -> None:
    count = 3000
    table = pd.DataFrame(
        {
            "id": [f"I{row // 2}" for row in range(count)],
            "lesion": [f"L{row // 2}" for row in range(count)],
            "patient": [f"P{row}" for row in range(count)],
            "label": range(count),
            "age": 500,
        }
    )

    report = audit(table, table[::-1], images=False)

    assert report.counts["conflicts"] == count // 2
    assert report.counts["rows"] > 3 * count
    assert "2,900 more classes" in str(report)
    assert str(report).count("\n") < 250
    assert report.to_html().count("\n") < 500
    patients = report.problems[report.problems["kind"] == "multiple patients"]
    assert patients["detail"].tolist()[:2] == ["L0: P0, P1", "L1: P2, P3"]


def test_classes_are_named_as_in_the_label_space(train: pd.DataFrame) -> None:
    rows = train.drop(columns="label")
    first = read_table(rows.assign(diagnosis=["INF", "SCCKA"] * 8), label_space="milk10k")
    second = read_table(rows.assign(diagnosis="INF"), label_space="milk10k")

    report = audit(first, second, fail_on=[])

    assert [*report.class_counts.loc["SCCKA"]] == [8, 0]
    assert len(report.class_counts) == 12
    assert "Squamous cell carcinoma or kera" in str(report)
    shift = report.shifts.set_index("column").loc["class"]
    assert shift["category"] in ("INF", "SCCKA")
    odd = audit(first.assign(label=11), fail_on=[]).problems
    assert odd["reason"].unique().tolist() == ["label outside 0..10"]
    other = read_table(second, label_space="binary")
    words = "one label space, but got the label space milk10k in train, the label space binary in"
    with pytest.raises(ValueError, match=words):
        audit(first, other)
