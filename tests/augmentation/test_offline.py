"""Offline augmentation: the plan, the files, the manifest, what is blank, and every refusal.

That a run resumes, whatever interrupts it, is a law of all jobs: `tests/laws/test_resumable.py`.
"""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermolib import ISICDataset, augment_offline, plan_offline, prepare, preset
from dermolib.augmentation import offline
from dermolib.augmentation.offline import draw_seed
from dermolib.datasets import read_table
from dermolib.io import read_image, read_mask, write_image, write_mask
from dermolib.labels import DIAGNOSES
from snapshots import snapshot

CHALLENGE = (3391, 9657, 2492, 650, 1968, 179, 190, 471)
FACTORS = {3: 3, 5: 7, 6: 6, 7: 3}
FIGURE_5 = [3391, 9657, 2492, 1950, 1968, 1253, 1140, 1413]


@dataclass
class Rows:
    """Stands for a data set."""

    table: pd.DataFrame
    split: str = "train"


def draw(seed: int, *, height: int = 40, width: int = 56) -> tuple[Any, Any]:
    """Draw a dark disk on textured skin, and its mask."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 4) ** 2
    gray = np.where(mask, 70, 180) + generator.integers(-15, 16, (height, width))
    return np.stack([gray, gray * 0.8, gray * 0.7], axis=2).astype(np.uint8), mask


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "aug"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def rows(images: Path) -> Rows:
    """Write five images: two melanomas, two keratoses (one without mask), one dermatofibroma."""
    names = [f"IMG_{number}" for number in range(5)]
    endings = [".jpg", ".jpg", ".jpg", ".png", ".png"]
    table = pd.DataFrame({"id": names, "label": [0, 0, 3, 3, 5]})
    table["lesion"] = ["L0", "", "L2", "", "L4"]
    table["age"] = [30.0, 40.0, 55.0, np.nan, 85.0]
    table["sex"] = ["male", "", "female", "", "male"]
    table["site"] = ["", "head/neck", "lateral torso", "", "head/neck"]
    table["parent_id"] = ""
    table["image_path"] = [
        f"{images / name}{end}" for name, end in zip(names, endings, strict=True)
    ]
    table["mask_path"] = [f"{images / name}_seg.png" if name != "IMG_3" else "" for name in names]
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
    for factors in ({DIAGNOSES[3]: 3}, {"AK": 3}):
        assert plan_offline({"MEL": 10, "AK": 2}, factors=factors) == {"MEL": 10, "AK": 6}


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
def test_a_plan_of_what_are_not_counts_is_refused(counts: Any) -> None:
    message = f"`counts` .* of type {type(counts).__name__}. Pass `dataset.class_counts\\(\\)`"
    with pytest.raises(TypeError, match=message):
        plan_offline(counts, factors={"AK": 2})


FACTOR_ERRORS: list[tuple[Any, type[Exception], str]] = [
    *(({"AK": n}, ValueError, r"`factors\['AK'\]` .* of 1 or more") for n in (0, -2)),
    *(
        ({DIAGNOSES[3]: n}, TypeError, r"`factors\['AK'\]` to be an integer of 1")
        for n in (1.5, 2.0, "3", True)
    ),
    *(
        ({key: 2}, ValueError, f"`factors` .* from 0, 1, 2, .* the class {key!r}")
        for key in (8, "XX", -1)
    ),
    ({3: 2, "AK": 3}, ValueError, "`factors` .* one factor .* two for 'AK'"),
    *(
        (factors, TypeError, "`factors` to be a mapping from classes to factors")
        for factors in ([3, 5], None, "AK")
    ),
]


@pytest.mark.parametrize(("factors", "error", "message"), FACTOR_ERRORS)
def test_unfit_factors_and_counts_are_refused(
    rows: Rows, out: Path, factors: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_offline(CHALLENGE, factors=factors)
    with pytest.raises(error, match=message):
        run(rows, out, factors=factors)
    with pytest.raises(
        ValueError, match=r"`counts\[1\]` to be an integer of 0 or more, but got -1"
    ):
        plan_offline([1, -1], factors={})


def test_each_image_of_a_class_gets_its_factor_less_one_new_files_and_rows(
    rows: Rows, images: Path, out: Path
) -> None:
    before = snapshot(images)

    manifest = run(rows, out)

    names = ["IMG_2_aug1", "IMG_2_aug2", "IMG_3_aug1", "IMG_3_aug2", "IMG_4_aug1"]
    files = ["IMG_2_aug1.jpg", "IMG_2_aug2.jpg", *(f"{name}.png" for name in names[2:])]
    masks = ["IMG_2_aug1_seg.png", "IMG_2_aug2_seg.png", "", "", "IMG_4_aug1_seg.png"]
    assert [row["ID"] for row in manifest] == names
    assert [row["FILE"] for row in manifest] == files
    assert [row["MASK_FILE"] for row in manifest] == masks
    assert {*snapshot(out).data} == {*files, *masks, "manifest.csv", "run.jsonl"} - {""}
    assert snapshot(images) == before
    columns = ["CLASS", "SEX", "AGE", "POSITION", "LESION_ID", "PARENT_ID", "COPY", "PRESET"]
    assert [[row[column] for column in columns] for row in manifest[1:3]] == [
        ["4", "female", "55.0", "lateral torso", "L2", "IMG_2", "2", "paper"],
        ["4", "nan", "nan", "nan", "", "IMG_3", "1", "paper"],
    ]


def test_the_seed_of_a_row_repeats_its_draw(rows: Rows, out: Path) -> None:
    row = run(rows, out, image_size=32)[-1]
    source = rows.table.set_index("id").loc[row["PARENT_ID"]]
    image, mask = read_image(str(source["image_path"])), read_mask(str(source["mask_path"]))
    transform = preset(row["PRESET"], image_size=32, normalize=False)

    again = transform(image=image, mask=mask, draw_seed=int(row["SEED"]))

    np.testing.assert_array_equal(read_image(out / row["FILE"]), again["image"])
    np.testing.assert_array_equal(read_mask(out / row["MASK_FILE"]), again["mask"])
    assert row["TRANSFORMS"] == " ".join(transform.applied)


def test_copies_differ_and_keep_the_size_of_their_source_up_to_a_swap_or_take_the_one_given(
    rows: Rows, images: Path, tmp_path: Path
) -> None:
    run(rows, tmp_path / "own", factors={"DF": 9})
    run(rows, tmp_path / "square", factors={"DF": 9}, image_size=24, preset="light")

    own = [read_image(path) for path in (tmp_path / "own").glob("*aug?.png")]
    square = [read_image(path) for path in (tmp_path / "square").glob("*aug?.png")]
    assert {image.shape for image in own} == {(40, 56, 3), (56, 40, 3)}
    assert {image.shape for image in square} == {(24, 24, 3)}
    own.append(read_image(images / "IMG_4.png"))
    assert len({image.tobytes() for image in own}) == 9


def test_a_format_that_cannot_be_written_becomes_png(rows: Rows, images: Path, out: Path) -> None:
    Image.fromarray(draw(4)[0]).save(images / "IMG_4.bmp")

    manifest = run(changed(rows, 4, "image_path", f"{images / 'IMG_4.bmp'}"), out)

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


def test_rows_of_a_store_are_augmented_like_its_images_as_files(
    rows: Rows, images: Path, tmp_path: Path
) -> None:
    write_mask(images / "IMG_3_seg.png", np.zeros((40, 56), bool))
    store = prepare(
        images, tmp_path / "store", steps=[], image_size=32, masks=images, progress=False
    )
    stored, files = rows.table.copy(), rows.table.copy()
    numbers = store.find(rows.table["id"])
    stored["image_path"] = [store.image_path(number) for number in numbers]
    stored["mask_path"] = [store.mask_path(number) for number in numbers]
    for column, end in (("image_path", ".png"), ("mask_path", "_seg.png")):
        files[column] = [f"{tmp_path / 'files' / name}{end}" for name in files["id"]]
    for number, image, mask in zip(numbers, files["image_path"], files["mask_path"], strict=True):
        write_image(image, store.image(number))
        write_mask(mask, store.mask(number))

    manifest = run(replace(rows, table=stored), tmp_path / "a")

    assert manifest == run(replace(rows, table=files), tmp_path / "b")
    made, wanted = snapshot(tmp_path / "a").data, snapshot(tmp_path / "b").data
    assert made.pop("run.jsonl") != wanted.pop("run.jsonl")
    assert made == wanted


def test_a_finished_run_is_not_made_again_but_what_is_missing_is(rows: Rows, out: Path) -> None:
    first = run(rows, out)
    before = snapshot(out)
    (out / "IMG_2_aug2_seg.png").unlink()

    again = run(rows, out)

    after = snapshot(out)
    assert again == first
    assert after.data == before.data
    touched = {name for name in after.written if after.written[name] != before.written[name]}
    assert touched == {"IMG_2_aug2.jpg", "IMG_2_aug2_seg.png", "manifest.csv", "run.jsonl"}


def edit(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new, 1)


@pytest.mark.parametrize(
    "change",
    [
        edit(b'"IMG_2","1"', b'"IMG_3","1"'),
        edit(b'"L2"', b'"L9"'),
        edit(b'"IMG_2_aug1","4"', b'"IMG_2_aug1","6"'),
        edit(b'"IMG_2_aug1.jpg"', b'"../images/IMG_2.jpg"'),
        edit(b'"IMG_2_aug1.jpg"', b'"/images/IMG_2.jpg"'),
        edit(b"paper", b"light"),
        edit(b'"PARENT_ID"', b'"PARENT"'),
        lambda data: data[: len(data) // 2],
        lambda data: data.partition(b"\n")[0] + b"\n",
        lambda data: data + data[data.rindex(b"\n", 0, -1) + 1 :],
        lambda data: bytes(len(data)),
        lambda _: b"\xff\xfe garbage",
        lambda _: b"",
    ],
    ids=range(13),
)
def test_a_manifest_that_was_changed_is_neither_read_nor_written_over(
    rows: Rows, out: Path, change: Callable[[bytes], bytes]
) -> None:
    run(rows, out)
    path, whole = out / "manifest.csv", snapshot(out).data
    path.write_bytes(change(whole["manifest.csv"]))
    before = snapshot(out)

    for read in (ISICDataset(rows.table).with_augmented, lambda _: read_table(path)):
        with pytest.raises(ValueError, match=re.escape(str(out))):
            read(out)
    if path.stat().st_size:
        with pytest.raises(ValueError, match=r"1 that were changed since .*manifest\.csv.*Move"):
            run(rows, out)
        assert snapshot(out) == before
        path.unlink()
    run(rows, out)

    assert snapshot(out).data == whole
    assert len(ISICDataset(rows.table).with_augmented(out)) == 10


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.with_name("IMG_3_aug2.png").read_bytes()),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.with_suffix(".jpg").write_bytes(path.read_bytes() + b"0"),
        lambda path: (path.unlink(), path.symlink_to(path.with_name("IMG_3_aug2.png"))),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["swapped", "cut", "another", "link", "empty", "gone"],
)
def test_a_copy_that_was_changed_is_not_trained_on(
    rows: Rows, out: Path, change: Callable[[Path], Any]
) -> None:
    run(rows, out)
    path, whole = out / "IMG_3_aug1.png", snapshot(out).data
    change(path)
    before = snapshot(out)

    with pytest.raises((ValueError, FileNotFoundError), match=f"{out}.*IMG_3_aug1"):
        ISICDataset(rows.table).with_augmented(out)
    if not path.exists() or not path.stat().st_size:
        run(rows, out)
        assert snapshot(out).data == whole
    else:
        with pytest.raises(ValueError, match=r"IMG_3_aug1.*"):
            run(rows, out)
        assert snapshot(out) == before


def test_copies_of_a_run_that_did_not_finish_are_not_trained_on(rows: Rows, out: Path) -> None:
    run(rows, out)
    journal = out / "run.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for left in (lines[:-1], lines[:3], [b"{}\n"], []):
        journal.write_bytes(b"".join(left))
        with pytest.raises(ValueError, match=re.escape(str(out))):
            ISICDataset(rows.table).with_augmented(out)
    journal.unlink()

    with pytest.raises(ValueError, match=r"folder of a finished job, with its run\.jsonl"):
        ISICDataset(rows.table).with_augmented(out)


def test_a_manifest_beside_another_journal_is_a_table_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("notes of a colleague")
    (tmp_path / "manifest.csv").write_text("ID,CLASS\nA,1\n")

    assert read_table(tmp_path / "manifest.csv")["id"].tolist() == ["A"]


def test_factors_of_one_make_an_empty_manifest(rows: Rows, out: Path) -> None:
    assert run(rows, out, factors={"AK": 1, "VASC": 6}) == []


def test_a_blank_draw_is_repeated_and_a_source_of_which_all_are_blank_is_named(
    rows: Rows, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([False, True, True, False, False] + [True] * 20)
    monkeypatch.setattr(offline, "is_blank", lambda _: next(verdicts))

    row = run(rows, out, factors={"DF": 2})[0]

    assert (row["ATTEMPTS"], row["SEED"]) == ("3", str(draw_seed(0, "IMG_4", 1, 3)))
    with pytest.raises(ValueError, match=r"IMG_4\.png` .* one of 20 draws shows .* got none"):
        run(rows, tmp_path / "blank", factors={"DF": 2})


@pytest.mark.parametrize("size", [3, 0])
def test_no_copy_loses_a_lesion_in_the_corner_but_one_may_have_none(
    rows: Rows, images: Path, out: Path, size: int
) -> None:
    mask = np.zeros((40, 56), bool)
    mask[:size, :size] = True
    write_mask(images / "IMG_4_seg.png", mask)

    manifest = run(rows, out, factors={"DF": 9})

    assert all(read_mask(out / row["MASK_FILE"]).any() == bool(size) for row in manifest)
    assert size or {row["ATTEMPTS"] for row in manifest} == {"1"}


@pytest.mark.parametrize(
    ("file", "content", "error", "message"),
    [
        ("IMG_2.jpg", np.zeros((40, 56, 3), np.uint8), ValueError, "something in it, .* a blank"),
        ("IMG_2.jpg", np.full((40, 56, 3), 255, np.uint8), ValueError, "something in it, .* blank"),
        ("IMG_4.png", draw(4)[0][10:15, 10:15], ValueError, "16 px or more .* 5 x 5 px. Give an"),
        ("IMG_2_seg.png", np.ones((4, 4), bool), ValueError, r"a mask of size \(40, 56\)"),
        ("IMG_2.jpg", None, FileNotFoundError, ""),
    ],
)
def test_an_unfit_source_is_refused_by_name(
    rows: Rows,
    images: Path,
    out: Path,
    file: str,
    content: Any,
    error: type[Exception],
    message: str,
) -> None:
    path = images / file
    if content is None:
        path.unlink()
    elif content.dtype == bool:
        write_mask(path, content)
    else:
        write_image(path, content)
        write_mask(path.with_name(f"{path.stem}_seg.png"), np.ones(content.shape[:2], bool))

    with pytest.raises(error, match=f"{path}.*{message}"):
        run(rows, out)

    assert not (out / "manifest.csv").exists()
    if "16 px" in message:
        assert len(run(rows, out.with_name("sized"), image_size=16)) == 5


@pytest.mark.parametrize(
    ("number", "column", "value", "message"),
    [
        *(
            (1, "label", value, r"a label in 0\.\.7, .* \(IMG_1\)\. .*")
            for value in (-1, 8, np.nan)
        ),
        (4, "parent_id", "IMG_0", r"original images only, .* augmented already \(IMG_4\)"),
        (0, "image_path", "", r"rows with an image file, .* 1 rows without one \(IMG_0\)"),
        (0, "id", "IMG_2_aug2", r"copies get new ids, .* 1 known ones \(IMG_2_aug2\)"),
    ],
)
def test_unfit_rows_are_refused_by_name(
    rows: Rows, tmp_path: Path, number: int, column: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=f"`dataset` to be .*{message}"):
        run(changed(rows, number, column, value), tmp_path / "aug")
    assert not (tmp_path / "aug").exists()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_rows_that_are_not_for_training_are_refused(rows: Rows, tmp_path: Path, split: str) -> None:
    message = (
        rf"`dataset\.split` to be 'train', but got '{split}' \(5 rows: IMG_0, IMG_1, .*Split by"
    )
    with pytest.raises(ValueError, match=message):
        run(replace(rows, split=split), tmp_path / "aug")


def test_a_table_without_a_column_or_in_place_of_a_data_set_is_refused(
    rows: Rows, out: Path
) -> None:
    for column in ("label", "mask_path", "age"):
        with pytest.raises(ValueError, match=f"`dataset.table` .* but got one without {column}"):
            run(replace(rows, table=rows.table.drop(columns=column)), out)
    table = rows.table.drop(columns="parent_id")
    assert len(run(replace(rows, table=table), out)) == 5
    with pytest.raises(TypeError, match=r"`dataset` .* `table` and `split`.* of type DataFrame"):
        run(table, out)  # type: ignore[arg-type] # the type is what is refused
    with pytest.raises(TypeError, match=r"`held_out` .* `table` and `split`"):
        run(rows, out, held_out=table.assign(table=1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["IMG_4", "IMG_0"]}, r"without images .* 2 of them \(IMG_0, IMG_4\)"),
        ({"lesion": ["L4", "L9"]}, r"without lesions .* 1 of them \(L4\)\. .*grouped_split"),
        ({"patient": ["P3", "P9"]}, r"without patients .* 1 of them \(P3\)"),
    ],
)
def test_held_out_rows_may_share_no_image_lesion_or_patient(
    rows: Rows, tmp_path: Path, columns: dict[str, list[str]], message: str
) -> None:
    known = replace(rows, table=rows.table.assign(patient=["P0", "", "P3", "P3", ""]))
    table = rows.table.iloc[[0, 1]].assign(id=["OTHER_0", "OTHER_1"], lesion=["L9", ""])

    assert len(run(known, tmp_path / "aug", held_out=Rows(table, "validation"))) == 5
    with pytest.raises(ValueError, match=f"`held_out` to be a set {message}"):
        run(known, tmp_path / "new", held_out=Rows(table.assign(**columns)))
    with pytest.raises(ValueError, match=r"copies get new ids, .* 1 known ones \(IMG_2_aug2\)"):
        run(rows, tmp_path / "new", held_out=Rows(table.assign(id=["IMG_2_aug2", "B"])))

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("missing", ["", None, np.nan, pd.NA])
def test_a_patient_that_is_not_known_is_shared_with_nobody(
    rows: Rows, out: Path, missing: Any
) -> None:
    table = rows.table.iloc[[0, 1]].assign(id=["OTHER_0", "OTHER_1"], lesion="")
    unknown = {"patient": missing}

    for columns in ({}, unknown, {"patient": "P9"}):
        held_out = Rows(table.assign(**columns))
        for given_rows in (rows, replace(rows, table=rows.table.assign(**unknown))):
            assert len(run(given_rows, out, held_out=held_out)) == 5


class Rotated:
    """A transform of one's own: rotates by 90 degrees as often as the seed says."""

    def __repr__(self) -> str:
        return "Rotated()"

    def __call__(self, *, image: Any, draw_seed: int, mask: Any = None) -> dict[str, Any]:
        turned = {"image": np.rot90(image, draw_seed % 4)}
        return turned if mask is None else {**turned, "mask": np.rot90(mask, draw_seed % 4)}


def floats(*, image: Any, draw_seed: int, mask: Any = None) -> dict[str, Any]:
    return {"image": image / 255, "mask": mask, "draw_seed": draw_seed}


def maskless(*, image: Any, draw_seed: int, mask: Any = None) -> dict[str, Any]:
    return {"image": image, "seed": draw_seed, "kind": type(mask)}


SYMMETRIES = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.Transpose(p=0.5)])


@pytest.mark.parametrize(
    ("transform", "kind"),
    [
        (Rotated(), "Rotated"),
        (SYMMETRIES, "Compose"),
        (A.RandomRotate90(p=1), "RandomRotate90"),
        (preset("light", image_size=None, normalize=False), "Preset"),
    ],
)
def test_a_transform_of_ones_own_takes_the_place_of_a_preset(
    rows: Rows, tmp_path: Path, out: Path, transform: Any, kind: str
) -> None:
    options: dict[str, Any] = {"factors": {"AK": 9}, "preset": transform}
    manifest = run(rows, out, **options)

    assert manifest == run(rows, tmp_path / "again", **options) == run(rows, out, **options)
    assert snapshot(out).data == snapshot(tmp_path / "again").data
    assert manifest[0]["PRESET"].startswith(f"{kind} ")
    assert len({read_image(out / row["FILE"]).tobytes() for row in manifest}) > 4
    for row in manifest[:8]:  # the mask moves with the image
        image, mask = read_image(out / row["FILE"]), read_mask(out / row["MASK_FILE"])
        assert image[mask].mean() < image[~mask].mean() - 40


def test_another_transform_is_another_run(rows: Rows, out: Path) -> None:
    run(rows, out, preset=SYMMETRIES)
    words = r"another run \(preset 'Compose \w+' there, 'Compose \w+'"
    with pytest.raises(ValueError, match=words):
        run(rows, out, preset=A.Compose([A.HorizontalFlip(p=0.4)]))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"preset": "evaluation"}, ValueError, "`preset` to be one that draws at random"),
        ({"preset": preset("evaluation", image_size=32)}, ValueError, "one that draws at random"),
        ({"preset": "heavy"}, ValueError, "`preset` to be one of 'strong', 'paper', 'light'"),
        ({"preset": 5}, TypeError, "`preset` to be a name, or a transform .* of type int"),
        ({"preset": lambda **_: {}}, TypeError, "`preset` to be a name, .* top of a module"),
        ({"preset": Counted().__getitem__}, TypeError, "`preset` to be a name, .* `__repr__`"),
        ({"preset": Rotated(), "image_size": 32}, ValueError, "`image_size` to be left out"),
        ({"preset": floats}, TypeError, r"`preset\(...\)\['image'\]` .* got dtype float64"),
        ({"preset": maskless}, TypeError, r"`preset\(...\)\['mask'\]` .* of type NoneType"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more"),
        ({"image_size": 15}, ValueError, "`image_size` to be an integer of 16 or more"),
    ],
)
def test_unfit_options_are_refused(
    rows: Rows, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(rows, tmp_path / "aug", **options)


@pytest.mark.parametrize("change", ["age", "IMG_4.png", "IMG_4_seg.png"])
def test_other_rows_or_files_are_another_run(
    rows: Rows, tmp_path: Path, out: Path, change: str
) -> None:
    run(rows, out)
    before = snapshot(out)
    path, (image, mask) = tmp_path / "clean" / change, draw(99)
    if change == "age":
        other = changed(rows, 4, "age", 84.0)
    elif "seg" in change:
        write_mask(path, ~mask)
        other = changed(rows, 4, "mask_path", str(path))
    else:
        write_image(path, image)
        other = changed(rows, 4, "image_path", str(path))
    what = "source_rows" if change == "age" else "source_files"

    with pytest.raises(ValueError, match=rf"another run \({what} '\w+' there, '\w+' here\)"):
        run(other, out)

    assert snapshot(out) == before


def test_a_run_is_the_same_after_its_sources_were_moved(
    rows: Rows, images: Path, out: Path
) -> None:
    manifest = run(rows, out)
    before = snapshot(out)
    moved = images.rename(images.with_name("moved"))
    table = rows.table.replace(str(images), str(moved), regex=True)

    assert run(replace(rows, table=table), out) == manifest
    assert snapshot(out).data == before.data


NUMBERS = st.integers(0, 2**70)
NAMED = st.tuples(NUMBERS, st.text(), NUMBERS, NUMBERS)


@given(first=NAMED, second=NAMED)
def test_what_names_a_draw_decides_its_seed(
    first: tuple[int, str, int, int], second: tuple[int, str, int, int]
) -> None:
    assert draw_seed(0, "ISIC_0024306", 1, 1) == 6018188234328354788  # as it has always been
    assert (draw_seed(*first) == draw_seed(*second)) == (first == second)
    assert 0 <= draw_seed(*first) < 2**63
