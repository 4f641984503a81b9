"""Offline augmentation: the plan, the files, the manifest, and every refusal."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermolib import augment_offline, plan_offline, prepare, preset
from dermolib._jobs import exclusive_lock
from dermolib.augmentation import copies, is_blank
from dermolib.augmentation.journal import COLUMNS
from dermolib.io import read_image, read_mask, write_image, write_mask
from dermolib.labels import DIAGNOSES

CHALLENGE = (3391, 9657, 2492, 650, 1968, 179, 190, 471)
FACTORS = {3: 3, 5: 7, 6: 6, 7: 3}
FIGURE_5 = [3391, 9657, 2492, 1950, 1968, 1253, 1140, 1413]


@dataclass
class Rows:
    """Stands for a data set."""

    table: pd.DataFrame
    split: str = "train"


@dataclass
class Snapshot:
    """Files of a folder by name, and when and as what each was written."""

    data: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, tuple[int, int]] = field(default_factory=dict)


def snapshot(folder: Path) -> Snapshot:
    paths = sorted(folder.iterdir())
    return Snapshot(
        {path.name: path.read_bytes() for path in paths},
        {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths},
    )


def draw(seed: int, *, height: int = 40, width: int = 56) -> tuple[Any, Any]:
    """Draw a dark disc on textured skin, and its mask."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 4) ** 2
    grey = np.where(mask, 70, 180) + generator.integers(-15, 16, (height, width))
    return np.stack([grey, grey * 0.8, grey * 0.7], axis=2).astype(np.uint8), mask


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Write five images: two melanomas, two keratoses (one without mask), one dermatofibroma."""
    folder = tmp_path / "images"
    table = pd.DataFrame(
        {
            "id": ["IMG_0", "IMG_1", "IMG_2", "IMG_3", "IMG_4"],
            "label": [0, 0, 3, 3, 5],
            "lesion": ["L0", "", "L2", "", "L4"],
            "age": [30.0, 40.0, 55.0, np.nan, 85.0],
            "sex": ["male", "", "female", "", "male"],
            "site": ["", "head/neck", "lateral torso", "", "head/neck"],
            "made_from": [""] * 5,
        }
    )
    endings = [".jpg", ".jpg", ".jpg", ".png", ".png"]
    table["image_path"] = [
        str(folder / f"{name}{end}") for name, end in zip(table["id"], endings, strict=True)
    ]
    table["mask_path"] = [str(folder / f"{name}_seg.png") for name in table["id"]]
    table.loc[3, "mask_path"] = ""
    for number, row in enumerate(table.to_dict("records")):
        image, mask = draw(number)
        write_image(row["image_path"], image)
        if row["mask_path"]:
            write_mask(row["mask_path"], mask)
    return Rows(table)


def run(rows: Rows, folder: Path, **options: Any) -> list[dict[str, str]]:
    """Augment without a progress bar and read the manifest."""
    given_options: dict[str, Any] = {"factors": {"AK": 3, "DF": 2}, "progress": False} | options
    manifest = augment_offline(rows, folder, **given_options)
    assert manifest == folder / "manifest.csv"
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def changed(rows: Rows, number: int, column: str, value: Any) -> Rows:
    table = rows.table.copy()
    table[column] = table[column].astype(object)
    table.loc[number, column] = value
    return replace(rows, table=table)


def test_the_plan_on_the_challenge_is_figure_5_of_the_paper() -> None:
    plan = plan_offline(CHALLENGE, factors=FACTORS)

    assert list(plan.values()) == FIGURE_5
    assert sum(plan.values()) == 23_264


@pytest.mark.parametrize(
    "factors",
    [
        {"AK": 3, "DF": 7, "VASC": 6, "SCC": 3},
        {DIAGNOSES[label]: factor for label, factor in FACTORS.items()},
        {np.int64(label): np.int64(factor) for label, factor in FACTORS.items()},
    ],
)
@pytest.mark.parametrize(
    "counts",
    [list(CHALLENGE), dict(enumerate(CHALLENGE)), np.array(CHALLENGE), pd.Series(CHALLENGE)],
)
def test_classes_are_named_by_label_code_or_diagnosis(
    counts: Any, factors: Mapping[Any, int]
) -> None:
    plan: dict[int, int] = plan_offline(counts, factors=factors)

    assert plan == dict(enumerate(FIGURE_5))
    assert all(type(count) is int for count in plan.values())


def test_counts_by_code_give_a_plan_by_code() -> None:
    counts = {"MEL": 10, "AK": 2}

    assert plan_offline(counts, factors={DIAGNOSES[3]: 3}) == {"MEL": 10, "AK": 6}
    assert plan_offline(counts, factors={"AK": 3}) == {"MEL": 10, "AK": 6}


@given(
    counts=st.dictionaries(st.integers(0, 30), st.integers(0, 10_000), min_size=1),
    factor=st.integers(1, 50),
    data=st.data(),
)
def test_a_planned_class_is_its_count_times_its_factor_and_others_stay(
    counts: dict[int, int], factor: int, data: st.DataObject
) -> None:
    label = data.draw(st.sampled_from(sorted(counts)))

    plan = plan_offline(counts, factors={label: factor})

    assert list(plan) == list(counts)
    assert plan == counts | {label: counts[label] * factor}


@pytest.mark.parametrize("factor", [0, -2])
def test_a_factor_below_one_is_refused(factor: int) -> None:
    sentence = rf"Expected `factors\['AK'\]` to be an integer of 1 or more, but got {factor}."
    with pytest.raises(ValueError, match=sentence):
        plan_offline(CHALLENGE, factors={"AK": factor})


@pytest.mark.parametrize("factor", [1.5, 2.0, "3", True])
def test_a_factor_that_is_no_integer_is_refused(factor: Any) -> None:
    sentence = r"Expected `factors\[AK\]` to be an integer of 1 or more, but got .* of type \w+."
    with pytest.raises(TypeError, match=sentence):
        plan_offline(CHALLENGE, factors={DIAGNOSES[3]: factor})


def test_a_negative_count_is_refused() -> None:
    sentence = r"Expected `counts\[1\]` to be an integer of 0 or more, but got -1."
    with pytest.raises(ValueError, match=sentence):
        plan_offline([1, -1], factors={})


@pytest.mark.parametrize("key", [8, "XX", -1])
def test_an_unknown_class_is_refused_with_the_known_ones(key: Any) -> None:
    sentence = (
        "Expected `factors` to be a mapping from 0, 1, 2, 3, 4, 5, 6, 7, or from codes of these "
        f"classes, to factors, but got the class {key!r}."
    )
    with pytest.raises(ValueError, match=sentence):
        plan_offline(CHALLENGE, factors={key: 2})


class Counted:
    """Stands for a data set, of which no image may be read for a plan."""

    def __getitem__(self, index: int) -> Any:
        raise AssertionError(index)


@pytest.mark.parametrize(
    "counts",
    [
        Counted(),
        [{"image": np.zeros((64, 64, 3), np.uint8)}],
        pd.DataFrame({"label": CHALLENGE}),
        np.zeros((2, 8), int),
        7,
    ],
)
def test_a_plan_of_what_are_no_counts_is_refused_in_one_sentence(counts: Any) -> None:
    sentence = (
        "Expected `counts` to be the number of images of each class, as a mapping or in the order "
        f"of the labels, but got an object of type {type(counts).__name__}. Pass "
        "`dataset.class_counts()` for a data set."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        plan_offline(counts, factors={"AK": 2})


def test_two_factors_for_one_class_are_refused() -> None:
    sentence = (
        "Expected `factors` to be a mapping with one factor for each class, but got two for 'AK'."
    )
    with pytest.raises(ValueError, match=sentence):
        plan_offline(CHALLENGE, factors={3: 2, "AK": 3})


def test_each_image_of_a_class_gets_its_factor_less_one_new_files(
    rows: Rows, tmp_path: Path
) -> None:
    manifest = run(rows, tmp_path / "aug")

    assert [row["ID"] for row in manifest] == [
        "IMG_2_aug1",
        "IMG_2_aug2",
        "IMG_3_aug1",
        "IMG_3_aug2",
        "IMG_4_aug1",
    ]
    assert sorted(path.name for path in (tmp_path / "aug").iterdir()) == [
        "IMG_2_aug1.jpg",
        "IMG_2_aug1_seg.png",
        "IMG_2_aug2.jpg",
        "IMG_2_aug2_seg.png",
        "IMG_3_aug1.png",
        "IMG_3_aug2.png",
        "IMG_4_aug1.png",
        "IMG_4_aug1_seg.png",
        "manifest.csv",
        "run.json",
    ]


def test_the_manifest_is_a_table_of_the_challenge_that_names_source_and_lesion(
    rows: Rows, tmp_path: Path
) -> None:
    manifest = run(rows, tmp_path / "aug")

    assert list(manifest[0]) == list(COLUMNS)
    known = [{key: row[key] for key in COLUMNS[:8]} for row in manifest[1:3]]
    assert known == [
        {
            "ID": "IMG_2_aug2",
            "CLASS": "4",
            "SEX": "female",
            "AGE": "55.0",
            "POSITION": "lateral torso",
            "LESION_ID": "L2",
            "SOURCE_ID": "IMG_2",
            "COPY": "2",
        },
        {
            "ID": "IMG_3_aug1",
            "CLASS": "4",
            "SEX": "nan",
            "AGE": "nan",
            "POSITION": "nan",
            "LESION_ID": "",
            "SOURCE_ID": "IMG_3",
            "COPY": "1",
        },
    ]
    assert {row["PRESET"] for row in manifest} == {"paper"}
    assert {row["ATTEMPTS"] for row in manifest} == {"1"}
    assert [row["MASK_FILE"] for row in manifest[1:3]] == ["IMG_2_aug2_seg.png", ""]


def test_the_seed_of_a_row_repeats_its_draw(rows: Rows, tmp_path: Path) -> None:
    row = run(rows, tmp_path / "aug", image_size=32)[-1]
    source = rows.table.set_index("id").loc[row["SOURCE_ID"]]
    transform = preset(row["PRESET"], image_size=32, normalize=False)

    again = transform(
        image=read_image(str(source["image_path"])),
        mask=read_mask(str(source["mask_path"])),
        draw_seed=int(row["SEED"]),
    )

    np.testing.assert_array_equal(read_image(tmp_path / "aug" / row["FILE"]), again["image"])
    np.testing.assert_array_equal(read_mask(tmp_path / "aug" / row["MASK_FILE"]), again["mask"])
    assert row["TRANSFORMS"] == " ".join(transform.applied)


def test_originals_stay_as_they_are_and_copies_differ_from_them_and_each_other(
    rows: Rows, tmp_path: Path
) -> None:
    before = snapshot(tmp_path / "images")

    run(rows, tmp_path / "aug", factors={"DF": 6})

    assert snapshot(tmp_path / "images") == before
    images = {read_image(path).tobytes() for path in (tmp_path / "aug").glob("*aug?.png")}
    assert len(images | {read_image(tmp_path / "images" / "IMG_4.png").tobytes()}) == 6


def test_copies_keep_the_size_of_their_source_up_to_a_swap_or_take_the_one_given(
    rows: Rows, tmp_path: Path
) -> None:
    run(rows, tmp_path / "own", factors={"DF": 9})
    run(rows, tmp_path / "square", factors={"DF": 9}, image_size=24, preset="light")

    own = {read_image(path).shape for path in (tmp_path / "own").glob("*aug?.png")}
    square = {read_image(path).shape for path in (tmp_path / "square").glob("*aug?.png")}
    assert own == {(40, 56, 3), (56, 40, 3)}
    assert square == {(24, 24, 3)}


def test_a_format_that_cannot_be_written_becomes_png(rows: Rows, tmp_path: Path) -> None:
    image, _ = draw(4)
    path = tmp_path / "images" / "IMG_4.bmp"
    Image.fromarray(image).save(path)

    manifest = run(changed(rows, 4, "image_path", str(path)), tmp_path / "aug")

    assert manifest[-1]["FILE"] == "IMG_4_aug1.png"


def test_another_seed_gives_other_copies(rows: Rows, tmp_path: Path) -> None:
    run(rows, tmp_path / "zero")
    run(rows, tmp_path / "one", seed=1)

    zero, one = snapshot(tmp_path / "zero").data, snapshot(tmp_path / "one").data
    assert all(zero[name] != one[name] for name in zero)


def test_a_file_depends_on_neither_the_order_nor_the_presence_of_other_rows(
    rows: Rows, tmp_path: Path
) -> None:
    run(rows, tmp_path / "all")
    run(replace(rows, table=rows.table.iloc[::-1]), tmp_path / "reversed")
    run(replace(rows, table=rows.table.iloc[[3]]), tmp_path / "one")

    every = snapshot(tmp_path / "all").data
    for name in ("reversed", "one"):
        other = snapshot(tmp_path / name).data
        assert all(every[file] == other[file] for file in other if file.startswith("IMG"))


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])
def test_any_number_of_workers_on_any_backend_writes_the_same_bytes(
    rows: Rows, tmp_path: Path, backend: str
) -> None:
    run(rows, tmp_path / "one")

    with joblib.parallel_config(backend=backend):
        run(rows, tmp_path / "two", workers=2)

    assert snapshot(tmp_path / "two").data == snapshot(tmp_path / "one").data


@pytest.mark.slow  # two fresh processes import everything anew
def test_worker_processes_of_the_default_backend_write_the_same_bytes(
    rows: Rows, tmp_path: Path
) -> None:
    run(rows, tmp_path / "one")
    run(rows, tmp_path / "two", workers=2)

    assert snapshot(tmp_path / "two").data == snapshot(tmp_path / "one").data


def failing_after(files: int) -> Callable[..., None]:
    """Write some images, then fail as a full disk does."""
    left = iter(range(files))

    def write(path: Path, image: Any) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        write_image(path, image)

    return write


@pytest.mark.parametrize("files", range(5))
def test_an_interrupted_run_continues_with_the_same_bytes_and_keeps_what_was_finished(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    run(rows, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(copies, "write_image", failing_after(files))
        with pytest.raises(OSError, match="No space left on device"):
            run(rows, tmp_path / "parts")
    noted = (tmp_path / "parts" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    finished = [json.loads(line)["FILE"] for line in noted]
    before = snapshot(tmp_path / "parts")
    assert "manifest.csv" not in before.data

    run(rows, tmp_path / "parts")

    after = snapshot(tmp_path / "parts")
    assert after.data == snapshot(tmp_path / "whole").data
    assert len(finished) == {0: 0, 1: 0, 2: 2, 3: 2, 4: 4}[files]
    assert all(after.written[name] == before.written[name] for name in finished)


def test_a_second_run_on_the_same_destination_is_told(rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "aug"
    sentence = (
        "Expected `destination` to be a folder that no other run is working on, but got "
        f"{folder} of one. Wait for that run to end"
    )
    with exclusive_lock(folder), pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        run(rows, folder)

    assert len(run(rows, folder)) == 5


def test_a_refused_folder_is_left_as_it_was(rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "aug"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(ValueError, match=r"1 other files \(notes\.txt\)"):
        run(rows, folder)

    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_full_disk_is_told_and_the_next_call_continues(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "aug"
    with monkeypatch.context() as patch:
        patch.setattr(copies, "write_image", failing_after(2))
        with pytest.raises(OSError, match="what is finished is kept"):
            run(rows, folder)

    assert len(run(rows, folder)) == 5
    assert snapshot(folder).data == snapshot_of_whole_run(rows, tmp_path)


def snapshot_of_whole_run(rows: Rows, tmp_path: Path) -> dict[str, bytes]:
    run(rows, tmp_path / "whole")
    return snapshot(tmp_path / "whole").data


def test_rows_of_a_store_are_augmented_like_its_images_as_files(rows: Rows, tmp_path: Path) -> None:
    source = tmp_path / "images"
    no_mask = rows.table["mask_path"] == ""
    write_mask(source / f"{rows.table['id'][no_mask].iloc[0]}_seg.png", np.zeros((40, 56), bool))
    store = prepare(
        source, tmp_path / "store", steps=[], image_size=32, masks=source, progress=False
    )
    stored, files = rows.table.copy(), rows.table.copy()
    numbers = store.find(rows.table["id"])
    stored["image_path"] = [store.image_path(number) for number in numbers]
    stored["mask_path"] = [store.mask_path(number) for number in numbers]
    for number, name in zip(numbers, rows.table["id"], strict=True):
        write_image(tmp_path / "files" / f"{name}.png", store.image(number))
        write_mask(tmp_path / "files" / f"{name}_seg.png", store.mask(number))
    files["image_path"] = [str(tmp_path / "files" / f"{name}.png") for name in files["id"]]
    files["mask_path"] = [str(tmp_path / "files" / f"{name}_seg.png") for name in files["id"]]

    manifest = run(replace(rows, table=stored), tmp_path / "a")

    assert manifest == run(replace(rows, table=files), tmp_path / "b")
    made, expected = snapshot(tmp_path / "a").data, snapshot(tmp_path / "b").data
    assert {name: data for name, data in made.items() if name != "run.json"} == {
        name: data for name, data in expected.items() if name != "run.json"
    }


def test_halves_that_a_killed_run_left_are_cleared_away(rows: Rows, tmp_path: Path) -> None:
    run(rows, tmp_path / "whole")
    folder = tmp_path / "parts"
    shutil.copytree(tmp_path / "whole", folder)
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file))
    (folder / "manifest.csv").unlink()
    note = json.dumps(first)
    (folder / "progress.jsonl").write_text(f"{note}\n{note[:40]}", encoding="utf-8")
    (folder / ".IMG_3_aug1-0123456789ab.png").write_bytes(b"half")
    (folder / ".manifest-0123456789ab.csv").write_bytes(b"half")

    run(rows, folder)

    assert snapshot(folder).data == snapshot(tmp_path / "whole").data


def test_hidden_files_of_others_are_left_alone(rows: Rows, tmp_path: Path) -> None:
    others = (".DS_Store", ".IMG_9_aug1-0123456789ab.png")
    (tmp_path / "aug").mkdir()
    for name in others:
        (tmp_path / "aug" / name).write_bytes(b"theirs")

    run(rows, tmp_path / "aug")

    assert all((tmp_path / "aug" / name).read_bytes() == b"theirs" for name in others)


def test_a_finished_run_is_not_made_again_but_what_lacks_is(rows: Rows, tmp_path: Path) -> None:
    first = run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
    (tmp_path / "aug" / "IMG_2_aug2_seg.png").unlink()

    again = run(rows, tmp_path / "aug")

    after = snapshot(tmp_path / "aug")
    assert again == first
    assert after.data == before.data
    touched = {name for name in after.written if after.written[name] != before.written[name]}
    assert touched == {"IMG_2_aug2.jpg", "IMG_2_aug2_seg.png", "manifest.csv"}


def test_factors_of_one_make_an_empty_manifest(rows: Rows, tmp_path: Path) -> None:
    assert run(rows, tmp_path / "aug", factors={"AK": 1, "VASC": 6}) == []


def test_a_blank_draw_is_drawn_again(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([False, True, True, False])
    monkeypatch.setattr(copies, "is_blank", lambda _: next(verdicts))

    row = run(rows, tmp_path / "aug", factors={"DF": 2})[0]

    assert row["ATTEMPTS"] == "3"
    assert row["SEED"] == str(copies.draw_seed(0, "IMG_4", 1, 3))


def test_no_copy_loses_a_lesion_in_the_corner(rows: Rows, tmp_path: Path) -> None:
    mask = np.zeros((40, 56), bool)
    mask[:3, :3] = True
    write_mask(tmp_path / "images" / "IMG_4_seg.png", mask)

    manifest = run(rows, tmp_path / "aug", factors={"DF": 9})

    assert all(read_mask(tmp_path / "aug" / row["MASK_FILE"]).any() for row in manifest)


def test_a_mask_without_lesion_is_no_reason_to_draw_again(rows: Rows, tmp_path: Path) -> None:
    write_mask(tmp_path / "images" / "IMG_4_seg.png", np.zeros((40, 56), bool))

    assert run(rows, tmp_path / "aug", factors={"DF": 2})[0]["ATTEMPTS"] == "1"


def test_draws_that_are_all_blank_name_the_source(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([False] + [True] * 20)
    monkeypatch.setattr(copies, "is_blank", lambda _: next(verdicts))
    path = tmp_path / "images" / "IMG_4.png"
    sentence = (
        f"Expected `{path}` to be an image of which one of 20 draws shows its lesion, but got none."
        " Look at the file, and leave its row out of the table where it shows no lesion."
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        run(rows, tmp_path / "aug", factors={"DF": 2})


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_source_is_refused_by_name(rows: Rows, tmp_path: Path, value: int) -> None:
    path = tmp_path / "images" / "IMG_2.jpg"
    write_image(path, np.full((40, 56, 3), value, np.uint8))
    sentence = (
        f"Expected `{path}` to be an image with something in it, but got a blank one. "
        "Look at the file, and leave its row out of the table where it shows no lesion."
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        run(rows, tmp_path / "aug")

    assert not (tmp_path / "aug" / "manifest.csv").exists()


def test_a_mask_of_another_size_is_refused_by_name(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "images" / "IMG_2_seg.png"
    write_mask(path, np.ones((4, 4), bool))
    with pytest.raises(ValueError, match=rf"Expected `{path}` to be a mask of size \(40, 56\)"):
        run(rows, tmp_path / "aug")


def test_a_missing_image_is_named(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "images" / "IMG_2.jpg"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        run(rows, tmp_path / "aug")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_rows_that_are_not_for_training_are_refused(rows: Rows, tmp_path: Path, split: str) -> None:
    sentence = (
        f"Expected `dataset.split` to be 'train', but got '{split}' (5 rows: IMG_0, IMG_1, IMG_2, "
        "IMG_3, IMG_4). Split by lesion first, then augment the training side alone."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(replace(rows, split=split), tmp_path / "aug")


@pytest.mark.parametrize("column", ["label", "mask_path", "age"])
def test_a_table_without_a_column_is_refused(rows: Rows, tmp_path: Path, column: str) -> None:
    sentence = f"`dataset.table` to be a table with the column `{column}`, but got the columns"
    with pytest.raises(ValueError, match=sentence):
        run(replace(rows, table=rows.table.drop(columns=column)), tmp_path / "aug")


def test_rows_without_classes_are_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = (
        r"Expected `dataset` to be rows with a label in 0..7, but got 1 rows without one "
        r"\(IMG_1\). Take the others: `dataset.subset\(dataset.labelled\)`."
    )
    for value in (-1, 8, np.nan):
        with pytest.raises(ValueError, match=sentence):
            run(changed(rows, 1, "label", value), tmp_path / "aug")


def test_rows_that_are_augmented_already_are_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = (
        "Expected `dataset` to be original images alone, but got 1 rows that are augmented already "
        r"\(IMG_4\). Leave these rows out with `subset`."
    )
    with pytest.raises(ValueError, match=sentence):
        run(changed(rows, 4, "made_from", "IMG_0"), tmp_path / "aug")


def test_rows_without_an_image_file_are_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = r"Expected `dataset` to be rows with an image file, but got 1 rows without one \(I"
    with pytest.raises(ValueError, match=sentence):
        run(changed(rows, 0, "image_path", ""), tmp_path / "aug")


def test_a_table_without_the_column_source_is_taken(rows: Rows, tmp_path: Path) -> None:
    table = rows.table.drop(columns="made_from")

    assert len(run(replace(rows, table=table), tmp_path / "aug")) == 5


def test_held_out_rows_may_share_no_image_lesion_or_patient(rows: Rows, tmp_path: Path) -> None:
    table = rows.table.iloc[[0, 1]].assign(id=["OTHER_0", "OTHER_1"], lesion=["L9", ""])
    apart = Rows(table, "validation")
    remedy = (
        "Split with `dermolib.datasets.grouped_split`, which keeps lesions and patients together."
    )

    assert len(run(rows, tmp_path / "aug", held_out=apart)) == 5

    sentence = (
        "Expected `held_out` to be a set without images of the training set, "
        rf"but got 2 of them \(IMG_0, IMG_4\). {remedy}"
    )
    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "new", held_out=Rows(table.assign(id=["IMG_4", "IMG_0"])))
    sentence = (
        "Expected `held_out` to be a set without lesions of the training set, "
        rf"but got 1 of them \(L4\). {remedy}"
    )
    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "new", held_out=Rows(table.assign(lesion=["L4", "L9"])))
    sentence = (
        "Expected `held_out` to be a set without patients of the training set, "
        rf"but got 1 of them \(P3\). {remedy}"
    )
    known = replace(rows, table=rows.table.assign(patient=["P0", "", "P3", "P3", ""]))
    with pytest.raises(ValueError, match=sentence):
        run(known, tmp_path / "new", held_out=Rows(table.assign(patient=["P3", "P9"])))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("missing", ["", None, np.nan, pd.NA])
def test_a_patient_that_is_not_known_is_shared_with_nobody(
    rows: Rows, tmp_path: Path, missing: Any
) -> None:
    table = rows.table.iloc[[0, 1]].assign(id=["OTHER_0", "OTHER_1"], lesion="")
    unknown = {"patient": missing}
    known = replace(rows, table=rows.table.assign(**unknown))

    apart = [Rows(table), Rows(table.assign(**unknown)), Rows(table.assign(patient="P9"))]

    for number, held_out in enumerate(apart):
        assert len(run(known, tmp_path / str(number), held_out=held_out)) == 5
        assert len(run(rows, tmp_path / f"none_{number}", held_out=held_out)) == 5


def test_ids_of_copies_that_exist_are_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = (
        r"Expected `dataset` to be a set whose copies get new ids, but got 1 known ones "
        r"\(IMG_2_aug2\). Rename these images, or leave them out with `subset`."
    )
    with pytest.raises(ValueError, match=sentence):
        run(changed(rows, 0, "id", "IMG_2_aug2"), tmp_path / "aug")
    other = Rows(rows.table.iloc[[0]].assign(id="IMG_2_aug2", lesion=""))
    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "aug", held_out=other)


def test_a_preset_that_draws_nothing_is_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = (
        "Expected `preset` to be one that draws at random, but got 'evaluation'. "
        "Its copies would all be the same image."
    )
    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "aug", preset="evaluation")
    with pytest.raises(
        ValueError, match="Expected `preset` to be one of 'strong', 'paper', 'light'"
    ):
        run(rows, tmp_path / "aug", preset="heavy")


@pytest.mark.parametrize(("option", "low"), [("seed", 0), ("workers", 1), ("image_size", 16)])
def test_numbers_out_of_range_are_refused(
    rows: Rows, tmp_path: Path, option: str, low: int
) -> None:
    sentence = f"Expected `{option}` to be an integer of {low} or more, but got {low - 1}."
    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "aug", **{option: low - 1})


def test_a_folder_with_other_files_is_refused(rows: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    before = snapshot(folder)
    sentence = (
        f"Expected `destination` to be an empty folder or one of the same run, but got {folder} "
        r"with 9 other files \(IMG_0.jpg, IMG_0_seg.png, IMG_1.jpg, IMG_1_seg.png, IMG_2.jpg "
        r"and 4 more\). Choose a new folder: nothing that exists is written over."
    )

    with pytest.raises(ValueError, match=sentence):
        run(rows, folder)

    assert snapshot(folder) == before


def test_the_folder_of_another_run_is_refused_with_what_differs(rows: Rows, tmp_path: Path) -> None:
    run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
    sentence = (
        f"Expected `destination` to be an empty folder or one of the same run, but got "
        rf"{tmp_path / 'aug'} of another run \(preset 'paper' there, 'light' here, "
        r"seed 0 there, 1 here\). "
        "Choose a new folder, delete this one, or call with its settings to continue it."
    )

    with pytest.raises(ValueError, match=sentence):
        run(rows, tmp_path / "aug", preset="light", seed=1)
    with pytest.raises(ValueError, match=r"of another run \(factors {'AK': 3, 'DF': 2} there"):
        run(rows, tmp_path / "aug", factors={"DF": 2})
    with pytest.raises(ValueError, match=r"of another run \(source_rows '\w+' there, '\w+' here\)"):
        run(changed(rows, 4, "age", 84.0), tmp_path / "aug")

    assert snapshot(tmp_path / "aug") == before


@pytest.mark.parametrize("name", ["IMG_4.png", "IMG_4_seg.png"])
def test_the_same_rows_with_other_pictures_are_another_run(
    rows: Rows, tmp_path: Path, name: str
) -> None:
    run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
    path = tmp_path / "clean" / name
    image, mask = draw(99)
    if "seg" in name:
        write_mask(path, ~mask)
        clean = changed(rows, 4, "mask_path", str(path))
    else:
        write_image(path, image)
        clean = changed(rows, 4, "image_path", str(path))

    with pytest.raises(
        ValueError, match=r"of another run \(source_files '\w+' there, '\w+' here\)"
    ):
        run(clean, tmp_path / "aug")

    assert snapshot(tmp_path / "aug") == before
    run(clean, tmp_path / "clean_aug")


def test_a_run_goes_on_after_its_sources_were_moved(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(rows, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(copies, "write_image", failing_after(2))
        with pytest.raises(OSError, match="No space left on device"):
            run(rows, tmp_path / "parts")
    (tmp_path / "images").rename(tmp_path / "moved")
    table = rows.table.copy()
    for column in ("image_path", "mask_path"):
        table[column] = table[column].str.replace(str(tmp_path / "images"), str(tmp_path / "moved"))

    run(replace(rows, table=table), tmp_path / "parts")

    assert snapshot(tmp_path / "parts").data == snapshot(tmp_path / "whole").data


@pytest.mark.parametrize("line", ["half a li", "5", "{}", '["ID"]', "\udc80"])
def test_a_broken_note_on_the_progress_is_named(rows: Rows, tmp_path: Path, line: str) -> None:
    run(rows, tmp_path / "aug")
    with (tmp_path / "aug" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        note = json.dumps(next(csv.DictReader(file)))
    path = tmp_path / "aug" / "progress.jsonl"
    path.write_bytes(f"{note}\n{line}\n{note}\n".encode(errors="surrogateescape"))
    sentence = (
        f"Expected `{path}` to be a file with a copy's row in each line, but got line 2 that is "
        "none. Delete the file to draw its copies again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(rows, tmp_path / "aug")


@pytest.mark.parametrize("change", [("SOURCE_ID", "SOURCE"), ("IMG_2_aug1,", "")])
def test_a_broken_manifest_is_named(rows: Rows, tmp_path: Path, change: tuple[str, str]) -> None:
    run(rows, tmp_path / "aug")
    path = tmp_path / "aug" / "manifest.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")

    with pytest.raises(
        ValueError, match=f"^Expected `{re.escape(str(path))}` to be .* line 2 that"
    ):
        run(rows, tmp_path / "aug")


def test_a_source_too_small_for_its_own_size_is_named(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    image, _ = draw(4)
    write_image(path, image[10:15, 10:15])
    small = changed(changed(rows, 4, "image_path", str(path)), 4, "mask_path", "")
    sentence = (
        f"Expected `{path}` to be an image of 16 px or more a side where its size is kept, "
        "but got 5 x 5 px. Give an `image_size`, or leave its row out of the table."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(small, tmp_path / "aug", factors={"DF": 2})

    assert len(run(small, tmp_path / "sized", factors={"DF": 2}, image_size=16)) == 1


@pytest.mark.parametrize("factors", [[3, 5], None, "AK"])
def test_factors_that_are_no_mapping_are_refused(rows: Rows, tmp_path: Path, factors: Any) -> None:
    sentence = (
        "^Expected `factors` to be a mapping from classes to factors, "
        f"but got an object of type {type(factors).__name__}.$"
    )
    with pytest.raises(TypeError, match=sentence):
        plan_offline(CHALLENGE, factors=factors)
    with pytest.raises(TypeError, match=sentence):
        run(rows, tmp_path / "aug", factors=factors)


def test_a_table_in_place_of_a_data_set_is_refused(rows: Rows, tmp_path: Path) -> None:
    sentence = (
        "to be a data set with `table` and `split`, such as a `dermolib.datasets.ISICDataset`, "
        "but got an object of type DataFrame.$"
    )
    with pytest.raises(TypeError, match=f"^Expected `dataset` {sentence}"):
        run(rows.table, tmp_path / "aug")  # type: ignore[arg-type] # the type is what is refused
    with pytest.raises(TypeError, match=f"^Expected `held_out` {sentence}"):
        run(rows, tmp_path / "aug", held_out=rows.table.assign(table=1))


def test_a_source_that_is_no_file_is_named(rows: Rows, tmp_path: Path) -> None:
    odd = changed(rows, 4, "image_path", str(tmp_path))
    with pytest.raises(ValueError, match=f"^Expected `{tmp_path}` to be a readable file, but got"):
        run(odd, tmp_path / "aug")


@pytest.mark.parametrize("text", ["[1, 2]", "not JSON", "\udc80"])
def test_a_settings_file_of_something_else_is_refused(
    rows: Rows, tmp_path: Path, text: str
) -> None:
    (tmp_path / "aug").mkdir()
    (tmp_path / "aug" / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"of another run \(factors None there"):
        run(rows, tmp_path / "aug")


def test_a_destination_that_is_a_file_is_refused(rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "aug"
    path.write_text("mine", encoding="utf-8")
    sentence = f"Expected `destination` to be a folder, but got the file {path}."
    with pytest.raises(ValueError, match=sentence):
        run(rows, path)


def test_the_progress_bar_counts_new_files_and_can_be_switched_off(
    rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(rows, tmp_path / "quiet")
    assert capsys.readouterr() == ("", "")

    run(rows, tmp_path / "loud", progress=True)
    assert "5/5" in capsys.readouterr().err


def test_no_copy_of_a_drawn_lesion_is_blank(rows: Rows, tmp_path: Path) -> None:
    manifest = run(rows, tmp_path / "aug", factors={"MEL": 10, "AK": 10, "DF": 10})

    assert not any(is_blank(read_image(tmp_path / "aug" / row["FILE"])) for row in manifest)
