"""Offline augmentation: the plan, the files, the manifest, and every refusal.

That a run resumes, whatever interrupts it, is a law of all jobs: `tests/laws/test_resumable.py`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dermolib import augment_offline, plan_offline, prepare, preset
from dermolib.augmentation import is_blank, offline
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
    """Draw a dark disk on textured skin, and its mask."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 4) ** 2
    gray = np.where(mask, 70, 180) + generator.integers(-15, 16, (height, width))
    return np.stack([gray, gray * 0.8, gray * 0.7], axis=2).astype(np.uint8), mask


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
            "parent_id": [""] * 5,
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


@pytest.mark.parametrize(
    ("counts", "factors", "error", "message"),
    [
        *(
            (CHALLENGE, {"AK": n}, ValueError, r"`factors\['AK'\]` .* of 1 or more")
            for n in (0, -2)
        ),
        *(
            (CHALLENGE, {DIAGNOSES[3]: n}, TypeError, r"`factors\['AK'\]` to be an integer of 1")
            for n in (1.5, 2.0, "3", True)
        ),
        ([1, -1], {}, ValueError, r"`counts\[1\]` to be an integer of 0 or more, but got -1"),
        *(
            (CHALLENGE, {key: 2}, ValueError, f"`factors` .* from 0, 1, 2, .* the class {key!r}")
            for key in (8, "XX", -1)
        ),
        (CHALLENGE, {3: 2, "AK": 3}, ValueError, "`factors` .* one factor .* two for 'AK'"),
        *(
            (CHALLENGE, factors, TypeError, "`factors` to be a mapping from classes to factors")
            for factors in ([3, 5], None, "AK")
        ),
    ],
)
def test_unfit_counts_and_factors_are_refused(
    rows: Rows, tmp_path: Path, counts: Any, factors: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_offline(counts, factors=factors)
    if counts is CHALLENGE:
        with pytest.raises(error, match=message):
            run(rows, tmp_path / "aug", factors=factors)


def test_each_image_of_a_class_gets_its_factor_less_one_new_files_and_rows(
    rows: Rows, tmp_path: Path
) -> None:
    manifest = run(rows, tmp_path / "aug")

    names = ["IMG_2_aug1", "IMG_2_aug2", "IMG_3_aug1", "IMG_3_aug2", "IMG_4_aug1"]
    images = ["IMG_2_aug1.jpg", "IMG_2_aug2.jpg", *(f"{name}.png" for name in names[2:])]
    masks = ["IMG_2_aug1_seg.png", "IMG_2_aug2_seg.png", "", "", "IMG_4_aug1_seg.png"]
    assert [row["ID"] for row in manifest] == names
    assert [row["FILE"] for row in manifest] == images
    assert [row["MASK_FILE"] for row in manifest] == masks
    found = {path.name for path in (tmp_path / "aug").iterdir()}
    assert found == {*images, *masks, "manifest.csv", "run.jsonl"} - {""}
    columns = ["CLASS", "SEX", "AGE", "POSITION", "LESION_ID", "PARENT_ID", "COPY", "PRESET"]
    assert [[row[column] for column in columns] for row in manifest[1:3]] == [
        ["4", "female", "55.0", "lateral torso", "L2", "IMG_2", "2", "paper"],
        ["4", "nan", "nan", "nan", "", "IMG_3", "1", "paper"],
    ]


def test_the_seed_of_a_row_repeats_its_draw(rows: Rows, tmp_path: Path) -> None:
    row = run(rows, tmp_path / "aug", image_size=32)[-1]
    source = rows.table.set_index("id").loc[row["PARENT_ID"]]
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
    assert made.pop("run.jsonl") != expected.pop("run.jsonl")
    assert made == expected


def test_a_finished_run_is_not_made_again_but_what_is_missing_is(
    rows: Rows, tmp_path: Path
) -> None:
    first = run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
    (tmp_path / "aug" / "IMG_2_aug2_seg.png").unlink()

    again = run(rows, tmp_path / "aug")

    after = snapshot(tmp_path / "aug")
    assert again == first
    assert after.data == before.data
    touched = {name for name in after.written if after.written[name] != before.written[name]}
    assert touched == {"IMG_2_aug2.jpg", "IMG_2_aug2_seg.png", "manifest.csv", "run.jsonl"}


def test_factors_of_one_make_an_empty_manifest(rows: Rows, tmp_path: Path) -> None:
    assert run(rows, tmp_path / "aug", factors={"AK": 1, "VASC": 6}) == []


def test_a_blank_draw_is_repeated(
    rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([False, True, True, False])
    monkeypatch.setattr(offline, "is_blank", lambda _: next(verdicts))

    row = run(rows, tmp_path / "aug", factors={"DF": 2})[0]

    assert row["ATTEMPTS"] == "3"
    assert row["SEED"] == str(offline.draw_seed(0, "IMG_4", 1, 3))


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
    monkeypatch.setattr(offline, "is_blank", lambda _: next(verdicts))

    with pytest.raises(ValueError, match=r"IMG_4\.png` .* one of 20 draws shows .* got none"):
        run(rows, tmp_path / "aug", factors={"DF": 2})


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
    rows: Rows, tmp_path: Path, file: str, content: Any, error: type[Exception], message: str
) -> None:
    path = tmp_path / "images" / file
    if content is None:
        path.unlink()
    elif content.dtype == bool:
        write_mask(path, content)
    else:
        write_image(path, content)
        write_mask(path.with_name(f"{path.stem}_seg.png"), np.ones(content.shape[:2], bool))

    with pytest.raises(error, match=f"{path}.*{message}"):
        run(rows, tmp_path / "aug")

    assert not (tmp_path / "aug" / "manifest.csv").exists()
    if "16 px" in message:
        assert len(run(rows, tmp_path / "sized", image_size=16)) == 5


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


@pytest.mark.parametrize("column", ["label", "mask_path", "age"])
def test_a_table_without_a_column_is_refused(rows: Rows, tmp_path: Path, column: str) -> None:
    with pytest.raises(ValueError, match=f"`dataset.table` .* but got one without {column}"):
        run(replace(rows, table=rows.table.drop(columns=column)), tmp_path / "aug")


def test_a_table_without_parents_is_taken_and_one_in_place_of_a_data_set_is_refused(
    rows: Rows, tmp_path: Path
) -> None:
    table = rows.table.drop(columns="parent_id")
    assert len(run(replace(rows, table=table), tmp_path / "aug")) == 5
    with pytest.raises(TypeError, match=r"`dataset` .* `table` and `split`.* of type DataFrame"):
        run(table, tmp_path / "aug")  # type: ignore[arg-type] # the type is what is refused
    with pytest.raises(TypeError, match=r"`held_out` .* `table` and `split`"):
        run(rows, tmp_path / "aug", held_out=table.assign(table=1))


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
    rows: Rows, tmp_path: Path, missing: Any
) -> None:
    table = rows.table.iloc[[0, 1]].assign(id=["OTHER_0", "OTHER_1"], lesion="")
    unknown = {"patient": missing}
    known = replace(rows, table=rows.table.assign(**unknown))

    for number, columns in enumerate([{}, unknown, {"patient": "P9"}]):
        held_out = Rows(table.assign(**columns))
        assert len(run(known, tmp_path / f"{number}", held_out=held_out)) == 5
        assert len(run(rows, tmp_path / f"none_{number}", held_out=held_out)) == 5


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
    rows: Rows, tmp_path: Path, transform: Any, kind: str
) -> None:
    manifest = run(rows, tmp_path / "one", factors={"AK": 9}, preset=transform)
    again = run(rows, tmp_path / "two", factors={"AK": 9}, preset=transform, workers=1)

    assert snapshot(tmp_path / "one").data == snapshot(tmp_path / "two").data
    assert manifest == again == run(rows, tmp_path / "one", factors={"AK": 9}, preset=transform)
    assert manifest[0]["PRESET"].startswith(f"{kind} ")
    images = {read_image(tmp_path / "one" / row["FILE"]).tobytes() for row in manifest}
    assert len(images) > 4
    for row in manifest[:8]:  # the mask moves with the image
        image = read_image(tmp_path / "one" / row["FILE"])
        mask = read_mask(tmp_path / "one" / row["MASK_FILE"])
        assert image[mask].mean() < image[~mask].mean() - 40


def test_another_transform_is_another_run(rows: Rows, tmp_path: Path) -> None:
    run(rows, tmp_path / "aug", preset=SYMMETRIES)
    with pytest.raises(
        ValueError, match=r"another run \(preset 'Compose \w+' there, 'Compose \w+'"
    ):
        run(rows, tmp_path / "aug", preset=A.Compose([A.HorizontalFlip(p=0.4)]))


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
def test_other_rows_or_files_are_another_run(rows: Rows, tmp_path: Path, change: str) -> None:
    run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
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
        run(other, tmp_path / "aug")

    assert snapshot(tmp_path / "aug") == before
    run(other, tmp_path / "other")


def test_a_run_is_the_same_after_its_sources_were_moved(rows: Rows, tmp_path: Path) -> None:
    manifest = run(rows, tmp_path / "aug")
    before = snapshot(tmp_path / "aug")
    (tmp_path / "images").rename(tmp_path / "moved")
    table = rows.table.copy()
    for column in ("image_path", "mask_path"):
        table[column] = table[column].str.replace(str(tmp_path / "images"), str(tmp_path / "moved"))

    assert run(replace(rows, table=table), tmp_path / "aug") == manifest
    assert snapshot(tmp_path / "aug").data == before.data


def test_a_folder_with_other_files_or_a_file_is_refused_and_left_alone(
    rows: Rows, tmp_path: Path
) -> None:
    before = snapshot(tmp_path / "images")
    with pytest.raises(ValueError, match=r"`destination` .* with 9 other files .* and 4 more"):
        run(rows, tmp_path / "images")
    with pytest.raises(ValueError, match="`destination` to be a folder, but got the file"):
        run(rows, tmp_path / "images" / "IMG_0.jpg")
    assert snapshot(tmp_path / "images") == before


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
