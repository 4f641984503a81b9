"""Each year's files to one table, and what lacks or disagrees there."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader

from dermolib import ISICDataset, merge_tables
from dermolib._validation import DatasetNotFoundError
from dermolib.datasets import (
    COLUMNS,
    read_challenge_table,
    read_ham10000,
    read_isic2018,
    read_isic2019,
    read_isic2020,
    read_isic2024,
)
from dermolib.io import read_image
from releases import (
    write_csv,
    write_ham10000,
    write_images,
    write_isic2018,
    write_isic2019,
    write_isic2020,
    write_isic2024,
)

WRITERS: dict[str, Callable[[Path], Path]] = {
    "ham10000": write_ham10000,
    "isic2018": write_isic2018,
    "isic2019": write_isic2019,
    "isic2020": write_isic2020,
    "isic2024": write_isic2024,
}
READERS: dict[str, Callable[..., pd.DataFrame]] = {
    "ham10000": read_ham10000,
    "isic2018": read_isic2018,
    "isic2019": read_isic2019,
    "isic2020": read_isic2020,
    "isic2024": read_isic2024,
}


def labels(table: pd.DataFrame) -> list[Any]:
    """Return labels, None where there is none."""
    return [None if pd.isna(label) else int(label) for label in table["label"]]


@pytest.mark.parametrize("name", READERS)
def test_every_collection_is_read_to_the_same_columns_with_its_files(
    name: str, tmp_path: Path
) -> None:
    table = READERS[name](WRITERS[name](tmp_path))

    assert set(table) - {"malignant"} == {*COLUMNS, "image_path", "mask_path"}
    assert (table["image_path"] != "").all()
    assert table["id"].is_unique
    assert table["source"].nunique() == table["year"].nunique() == 1


@pytest.mark.parametrize("name", READERS)
def test_every_collection_opens_as_a_dataset(name: str, tmp_path: Path) -> None:
    open_it = getattr(ISICDataset, f"from_{name}")

    dataset = open_it(WRITERS[name](tmp_path), metadata=True)

    assert len(dataset) == len(READERS[name](tmp_path))
    assert dataset[0]["image"].shape == (12, 16, 3)
    assert dataset[0]["metadata"].shape == (13,)
    known = dataset.subset(dataset.labelled)
    assert known.has_labels
    assert known.class_counts().sum() == len(known) > 0


def test_akiec_of_ham10000_has_no_label(tmp_path: Path) -> None:
    table = read_ham10000(write_ham10000(tmp_path))

    assert labels(table) == [4, 4, None, 1]
    assert table["diagnosis"].tolist() == ["bkl", "bkl", "akiec", "nv"]
    assert table["lesion"].tolist() == ["HAM_0", "HAM_0", "HAM_1", "HAM_2"]
    assert table["sex"].tolist() == ["male", "male", "", "female"]


def test_sites_of_ham10000_are_those_of_isic_where_they_are_the_same(tmp_path: Path) -> None:
    table = read_ham10000(write_ham10000(tmp_path))

    assert table["site"].tolist() == ["head/neck", "head/neck", "trunk", ""]


def test_masks_of_ham10000_are_found(tmp_path: Path) -> None:
    dataset = ISICDataset.from_ham10000(write_ham10000(tmp_path), masks=True)

    assert dataset[3]["mask"].sum() == 48


def test_the_table_of_the_dataverse_is_separated_by_tabs(tmp_path: Path) -> None:
    table = pd.read_csv(write_ham10000(tmp_path) / "HAM10000_metadata.csv", dtype=str)
    (tmp_path / "HAM10000_metadata.csv").unlink()
    table.to_csv(tmp_path / "HAM10000_metadata.tab", sep="\t", index=False)

    assert labels(read_ham10000(tmp_path)) == [4, 4, None, 1]


def test_the_classes_of_2018_come_with_their_lesions(tmp_path: Path) -> None:
    table = read_isic2018(write_isic2018(tmp_path))

    assert labels(table) == [1, None, 0]
    assert table["diagnosis"].tolist() == ["NV", "AKIEC", "MEL"]
    assert table["lesion"].tolist() == ["HAM_1", "HAM_2", "HAM_1"]


def test_a_test_set_without_truth_has_no_labels(tmp_path: Path) -> None:
    table = read_isic2018(write_isic2018(tmp_path), "test")

    assert table["id"].tolist() == ["ISIC_9"]
    assert "label" not in table


def test_task_1_of_2018_has_masks_and_no_labels(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2018(write_isic2018(tmp_path), task=1, masks=True)

    assert dataset.ids.tolist() == ["ISIC_4", "ISIC_5"]
    assert dataset[0]["mask"].sum() == 48
    assert "label" not in dataset[0]


def test_ids_of_2019_lose_what_says_that_they_were_shrunk(tmp_path: Path) -> None:
    table = read_isic2019(write_isic2019(tmp_path))

    assert table["id"].tolist() == ["ISIC_4", "ISIC_3", "ISIC_2", "ISIC_1"]
    assert labels(table) == [1, 3, 7, 0]
    assert Path(table["image_path"].iloc[3]).name == "ISIC_1_downsampled.jpg"
    assert table["label"].dtype == np.int64


def test_an_unknown_diagnosis_of_2019_is_no_class(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2019(write_isic2019(tmp_path), "test")

    assert labels(dataset.table) == [None, 1, 5]
    assert dataset.table["diagnosis"].tolist() == ["UNK", "NV", "DF"]
    assert dataset.labelled.tolist() == [1, 2]
    assert dataset.class_counts().tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    assert set(dataset[1]) == {"image", "id"}
    sentence = "labels` to be known for all rows, but got 1 of 3 rows without one. Take the others:"
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        _ = dataset.labels


def test_the_truth_of_the_test_set_of_2019_may_lack(tmp_path: Path) -> None:
    (write_isic2019(tmp_path) / "ISIC_2019_Test_GroundTruth.csv").unlink()

    assert "label" not in read_isic2019(tmp_path, "test")


def test_targets_and_patients_of_2020_are_read(tmp_path: Path) -> None:
    table = read_isic2020(write_isic2020(tmp_path))

    assert labels(table) == [None, 0, 4, None]
    assert table["malignant"].tolist() == [False, True, False, False]
    assert table["patient"].tolist() == ["IP_0", "IP_0", "IP_1", "IP_2"]
    test = ISICDataset.from_isic2020(tmp_path, "test")
    assert test.table[["id", "patient"]].to_numpy().tolist() == [["ISIC_8", "IP_9"]]


def test_a_target_stays_with_its_rows(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2020(write_isic2020(tmp_path))

    assert dataset.subset([1, 3]).table["malignant"].tolist() == [True, False]


def test_images_of_2024_come_from_their_hdf5_file(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2024(write_isic2024(tmp_path))

    assert labels(dataset.table) == [None, 7, 0, None]
    assert dataset.table["malignant"].tolist() == [False, True, True, False]
    for number in range(4):
        alone = read_image(tmp_path / "single" / f"ISIC_{number}.jpg")
        np.testing.assert_array_equal(dataset[number]["image"], alone)


def test_worker_processes_read_an_hdf5_file(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2024(write_isic2024(tmp_path))
    first = dataset[0]["image"]  # opened here before the workers fork

    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork")

    images = np.concatenate([batch["image"].numpy() for batch in loader])
    np.testing.assert_array_equal(images[0], first)
    np.testing.assert_array_equal(images, [dataset[number]["image"] for number in range(4)])


def test_an_image_that_an_hdf5_file_lacks_is_named(tmp_path: Path) -> None:
    import h5py

    with h5py.File(write_isic2024(tmp_path) / "train-image.hdf5", "a") as file:
        del file["ISIC_2"]

    with pytest.raises(FileNotFoundError, match=r"1 of 4 lack it \(ISIC_2\)"):
        ISICDataset.from_isic2024(tmp_path)


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("ham10000", "HAM10000_metadata.csv"),
        ("isic2018", "ISIC2018_Task3_Training_Input"),
        ("isic2018", "ISIC2018_Task3_Training_GroundTruth"),
        ("isic2019", "ISIC_2019_Training_GroundTruth.csv"),
        ("isic2019", "ISIC_2019_Training_Metadata.csv"),
        ("isic2019", "ISIC_2019_Training_Input"),
        ("isic2020", "ISIC_2020_Training_GroundTruth_v2.csv"),
        ("isic2020", "train"),
        ("isic2024", "train-metadata.csv"),
        ("isic2024", "train-image.hdf5"),
    ],
)
def test_a_file_that_lacks_is_told_with_the_layout(name: str, lost: str, tmp_path: Path) -> None:
    (WRITERS[name](tmp_path) / lost).rename(tmp_path / "elsewhere")

    with pytest.raises(DatasetNotFoundError, match=r"but it does not\. Expected layout: \w"):
        READERS[name](tmp_path)


def test_truth_and_metadata_of_other_ids_are_refused(tmp_path: Path) -> None:
    path = write_isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    path.write_text(path.read_text().replace("ISIC_2,", "ISIC_22,"))

    sentence = "to be a truth of the ids of the metadata, but got 1 of them missing (ISIC_2)."
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_isic2019(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("ISIC_4,0.0,1.0", "ISIC_4,1.0,1.0", "one class of each row is 1, but got 1 other (row 5"),
        ("ISIC_4,0.0,1.0", "ISIC_4,0.0,0.0", "one class of each row is 1, but got 1 other (row 5"),
        ("ISIC_4,0.0,1.0", "ISIC_4,0.0,0.7", "a truth of 0 and 1, but got '0.7' in row 5."),
        ("image,MEL", "image,DERM", "one class of each row is 1, but got 1 other (row 2"),
        ("image,", "file,", "a truth with the columns image, MEL, NV, BCC, AK, BKL"),
    ],
)
def test_a_truth_that_does_not_say_one_class_is_refused(
    before: str, after: str, sentence: str, tmp_path: Path
) -> None:
    path = write_isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    path.write_text(path.read_text().replace(before, after))

    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_isic2019(tmp_path)


def test_an_unknown_code_is_refused_with_the_known(tmp_path: Path) -> None:
    path = write_isic2020(tmp_path) / "ISIC_2020_Training_GroundTruth_v2.csv"
    path.write_text(path.read_text().replace("solar lentigo", "moon lentigo"))

    sentence = "diagnoses are in the vocabulary, but got 1 other (row 4: 'moon lentigo'). Known are"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_isic2020(tmp_path)


def test_task_2_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected `task` to be 1 or 3, but got 2"):
        read_isic2018(tmp_path, task=2)


def test_an_archive_that_unpacked_to_a_folder_in_itself_is_found(tmp_path: Path) -> None:
    folder = write_isic2019(tmp_path) / "ISIC_2019_Training_Input"
    folder.rename(tmp_path / "inner")
    folder.mkdir()
    (tmp_path / "inner").rename(folder / "ISIC_2019_Training_Input")

    assert (read_isic2019(tmp_path)["image_path"] != "").all()


def test_images_of_2018_and_2019_are_one_in_a_merged_table(tmp_path: Path) -> None:
    first = read_isic2018(write_isic2018(tmp_path / "2018"))
    second = read_isic2019(write_isic2019(tmp_path / "2019"))

    table, conflicts = merge_tables([first, second])

    assert table["id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"]
    assert table["label"].tolist() == [1, 7, 0, 1]  # akiec is SCC by the later table
    assert table["label"].dtype == np.int64
    told = conflicts[["id", "column", "kept", "other"]].to_numpy().tolist()
    assert sorted(told) == [
        ["ISIC_1", "label", 1, 0],
        ["ISIC_2", "lesion", "HAM_2", "BCN_1"],
        ["ISIC_3", "label", 0, 3],
        ["ISIC_3", "lesion", "HAM_1", "BCN_1"],
    ]
    assert set(conflicts["kept_source"]) == {"ISIC 2018"}
    assert set(conflicts["other_source"]) == {"ISIC 2019"}
    assert ISICDataset(table).labels.tolist() == [1, 7, 0, 1]


def test_a_merged_table_keeps_targets_of_one_collection(tmp_path: Path) -> None:
    first = read_isic2019(write_isic2019(tmp_path / "2019"))
    second = read_isic2020(write_isic2020(tmp_path / "2020"))

    table, _ = merge_tables([first, second])

    assert len(table) == 5  # ISIC_1 to ISIC_4, and ISIC_0 of 2020 alone
    by_id = table.set_index("id")
    assert by_id.loc["ISIC_1", "malignant"]
    assert by_id["malignant"].isna().loc["ISIC_4"]
    assert by_id.loc["ISIC_1", "patient"] == "IP_0"


def test_merging_no_table_or_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a list of one table or more"):
        merge_tables([])
    with pytest.raises(ValueError, match="a list of one table or more, but got DataFrame"):
        merge_tables(pd.DataFrame({"id": ["A"]}))  # type: ignore[arg-type]  # the wrong type under test
    with pytest.raises(TypeError, match=r"`tables\[1\]` to be a data frame, but got an object of"):
        merge_tables([pd.DataFrame({"ID": ["A"]}), {"ID": ["A"]}])  # type: ignore[list-item]  # as above
    with pytest.raises(
        ValueError, match=r"`tables\[0\]` to be a table with a column `ID`, but got"
    ):
        merge_tables([pd.DataFrame({"name": ["A"]})])


def test_a_foreign_table_names_its_columns(tmp_path: Path) -> None:
    from dermolib.datasets import read_table

    write_images(tmp_path / "images", ["a", "b"])
    path = tmp_path / "own.csv"
    path.write_text("file;type;subject\na;Nevus;P1\nb;melanoma;P1\n")

    table = read_table(
        path,
        columns={"id": "file", "diagnosis": "type", "patient": "subject"},
        vocabulary="isic2020",
        delimiter=";",
    )

    assert labels(table) == [1, 0]
    dataset = ISICDataset(table, tmp_path / "images")
    assert dataset.groups.tolist() == ["P1", "P1"]


def test_a_column_that_was_named_and_is_not_there_is_refused(tmp_path: Path) -> None:
    from dermolib.datasets import read_table

    write_csv(tmp_path / "t.csv", {"ID": ["A"]})

    with pytest.raises(ValueError, match=r"a table with a column `when`, but got the columns 'ID'"):
        read_table(tmp_path / "t.csv", columns={"year": "when"})
    with pytest.raises(ValueError, match="Expected `columns` to be one of 'label'"):
        read_table(tmp_path / "t.csv", columns={"yeer": "when"})


def test_a_dataset_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="`image_dir` to be a folder, but got none, and no paths"):
        ISICDataset(pd.DataFrame({"ID": ["A"]}))


@pytest.mark.data
def test_most_test_images_of_the_challenge_share_a_lesion_with_training(data_dir: Path) -> None:
    root = data_dir / "isic_challenge"
    train, test = (read_challenge_table(root, side) for side in ("train", "test"))

    shared = test["lesion"].isin(set(train["lesion"]) - {""})

    assert (int(shared.sum()), len(test)) == (3732, 6333)


def frame(ids: str, lesions: str, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids), "lesion": lesions.split("."), **columns})


def test_lesions_that_share_an_image_are_one_in_a_merged_table() -> None:
    first = frame("xz", "HAM_1.HAM_1", patient=["", "P1"])
    second = frame("xyw", "L9.L9.L8", patient=["P7", "P7", "P8"])

    table, conflicts = merge_tables([first, second])

    assert table.set_index("id")["lesion"].to_dict() == {
        "x": "HAM_1", "z": "HAM_1", "y": "HAM_1", "w": "L8",
    }  # fmt: skip
    assert conflicts[["id", "column", "kept", "other"]].to_numpy().tolist() == [
        ["x", "lesion", "HAM_1", "L9"]
    ]
    groups = ISICDataset(table.assign(image_path="-", mask_path="")).groups
    assert groups[0] == groups[1] == groups[2] != groups[3]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"sex": pd.Categorical(["male"])}, {"sex": pd.Categorical(["female"])}),
        ({"age": [1]}, {"age": [1.5]}),
        ({"lesion": [np.nan]}, {"lesion": ["L1"]}),
        ({"lesion": [3]}, {"lesion": ["L1"]}),
        ({"age": [40]}, {"age": [np.nan]}),
        ({"patient": [4]}, {}),
    ],
)
def test_columns_of_any_types_merge_without_a_value_lost(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    tables = [pd.DataFrame({"id": [name], **more}) for name, more in (("a", first), ("b", second))]

    merged, conflicts = merge_tables(tables)

    assert conflicts.empty
    for column, values in first.items():
        assert str(merged[column].iloc[0]) in {str(values[0]), f"{values[0]}.0", ""}
    for column, values in second.items():
        assert str(merged[column].iloc[1]) == str(values[0])


def test_a_code_that_cannot_be_the_diagnosis_of_another_table_is_told() -> None:
    first = pd.DataFrame({"id": ["A", "B"], "diagnosis": ["akiec", "AKIEC"], "source": ["H", "H"]})
    second = pd.DataFrame({"id": ["A", "B"], "label": [1, 7], "source": ["I", "I"]})

    table, conflicts = merge_tables([first, second])

    assert table["label"].tolist() == [1, 7]
    assert conflicts.to_numpy().tolist() == [["A", "label", 1, "I", "akiec", "H"]]


def test_an_image_with_and_without_the_ending_of_shrunk_ones_is_refused(tmp_path: Path) -> None:
    for name in ("Metadata", "GroundTruth"):
        path = write_isic2019(tmp_path) / f"ISIC_2019_Training_{name}.csv"
        path.write_text(path.read_text().replace("ISIC_2,", "ISIC_1,"))

    with pytest.raises(ValueError, match=r"in which each id stands once, but got ISIC_1 twice"):
        read_isic2019(tmp_path)


def test_a_truth_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = write_isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    path.write_text(path.read_text().replace("image,MEL,NV", "image,NV ,NV"))

    with pytest.raises(ValueError, match="a truth with each column once, but got 'NV' twice"):
        read_isic2019(tmp_path)


def test_the_official_files_of_2024_are_read(tmp_path: Path) -> None:
    write_isic2024(tmp_path / "kaggle")
    rows = pd.read_csv(tmp_path / "kaggle" / "train-metadata.csv", dtype=str)
    root = tmp_path / "official"
    write_images(root / "ISIC_2024_Training_Input", list(rows["isic_id"]))
    truth = rows[["isic_id", "target"]].rename(columns={"target": "malignant"})
    truth.to_csv(root / "ISIC_2024_Training_GroundTruth.csv", index=False)

    bare = read_isic2024(root)

    assert bare["malignant"].tolist() == [False, True, True, False]
    assert "label" not in bare
    rows[["isic_id", "lesion_id", "iddx_full"]].iloc[::-1].to_csv(
        root / "ISIC_2024_Training_Supplement.csv", index=False
    )
    rows.drop(columns=["target", "iddx_full", "lesion_id"]).to_csv(
        root / "metadata.csv", index=False
    )
    full = read_isic2024(root)
    assert labels(full) == [None, 7, 0, None]
    assert full["lesion"].tolist() == ["", "IL_1", "IL_2", ""]
    assert full["patient"].tolist() == ["IP_0", "IP_0", "IP_1", "IP_2"]
    assert (full["image_path"] != "").all()


def test_the_test_set_of_2018_of_the_dataverse_is_read(tmp_path: Path) -> None:
    write_isic2018(tmp_path)
    (tmp_path / "ISIC2018_Task3_Test_Input").rename(tmp_path / "ISIC2018_Task3_Test_Images")
    columns = {"lesion_id": ["HAMTEST_1"], "image_id": ["ISIC_9"], "dx": ["bkl"], "age": ["65.0"]}
    write_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", columns)

    table = read_isic2018(tmp_path, "test")

    assert table[["id", "label", "lesion", "age"]].to_numpy().tolist() == [
        ["ISIC_9", 4, "HAMTEST_1", 65.0]
    ]


def test_a_table_without_ending_may_be_separated_by_tabs(tmp_path: Path) -> None:
    path = write_ham10000(tmp_path) / "HAM10000_metadata.csv"
    pd.read_csv(path, dtype=str).to_csv(tmp_path / "HAM10000_metadata", sep="\t", index=False)
    path.unlink()

    assert labels(read_ham10000(tmp_path)) == [4, 4, None, 1]


def test_images_that_are_published_as_duplicates_are_of_one_lesion(tmp_path: Path) -> None:
    pairs = {"image_name_1": ["ISIC_0", "ISIC_8"], "image_name_2": ["ISIC_3", "ISIC_9"]}
    write_csv(write_isic2020(tmp_path) / "ISIC_2020_Training_Duplicates.csv", pairs)

    table = read_isic2020(tmp_path)

    assert table["lesion"].tolist() == ["IL_0", "IL_1", "IL_2", "IL_0"]


@pytest.mark.parametrize("name", ["isic2018", "isic2019", "isic2020", "isic2024", "ham10000"])
def test_images_from_elsewhere_need_no_original_folder(name: str, tmp_path: Path) -> None:
    root = WRITERS[name](tmp_path / "root")
    ids = list(READERS[name](root)["id"])
    write_images(tmp_path / "clean", ids)
    for folder in [*root.rglob("*_Input"), root / "train", *root.glob("HAM10000_images*")]:
        if folder.is_dir():
            shutil.rmtree(folder)
    (root / "train-image.hdf5").unlink(missing_ok=True)

    dataset = getattr(ISICDataset, f"from_{name}")(root, image_dir=tmp_path / "clean")

    assert dataset.ids.tolist() == ids
    assert dataset[0]["image"].shape == (12, 16, 3)
    with pytest.raises(FileNotFoundError):
        getattr(ISICDataset, f"from_{name}")(root)


def test_images_may_lie_in_folders_and_files_of_several_kinds(tmp_path: Path) -> None:
    root = write_isic2024(tmp_path)
    write_images(tmp_path / "more", ["ISIC_9"])
    frame = pd.DataFrame({"ID": ["ISIC_1", "ISIC_9"]})

    for places in ([root / "train-image.hdf5", tmp_path / "more"],
                   [tmp_path / "more", root / "train-image.hdf5"]):  # fmt: skip
        dataset = ISICDataset(frame, places)
        assert dataset[1]["image"].shape == dataset[0]["image"].shape == (12, 16, 3)
    with pytest.raises(ValueError, match="`image_dir` to be a folder, or several, but got none"):
        ISICDataset(frame, [])


def test_a_list_of_duplicates_without_its_columns_is_refused(tmp_path: Path) -> None:
    write_csv(write_isic2020(tmp_path) / "ISIC_2020_Training_Duplicates.csv", {"a": ["x"]})

    with pytest.raises(ValueError, match="the columns image_name_1 and image_name_2, but got the"):
        read_isic2020(tmp_path)


def test_a_folder_without_images_lacks_every_image(tmp_path: Path) -> None:
    for file in (write_isic2019(tmp_path) / "ISIC_2019_Training_Input").iterdir():
        file.unlink()

    assert (read_isic2019(tmp_path)["image_path"] == "").all()
    with pytest.raises(FileNotFoundError, match="4 of 4 lack it"):
        ISICDataset.from_isic2019(tmp_path)


def test_a_task_without_images_or_masks_is_told(tmp_path: Path) -> None:
    for name in ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"):
        (tmp_path / name).mkdir()

    with pytest.raises(ValueError, match=r"to be a folder of images ID\.jpg, but got none"):
        read_isic2018(tmp_path, task=1)
    with pytest.raises(
        ValueError, match="`root` to be a folder with images or masks, but got neither"
    ):
        read_isic2018(tmp_path, "test", task=1, images=False)
