"""Each year's files to one table, and what lacks or disagrees there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader

from dermolib._checks import DatasetNotFoundError
from dermolib.datasets import (
    COLUMNS,
    ISICDataset,
    merge_tables,
    read_challenge_table,
    read_ham10000,
    read_isic2018,
    read_isic2019,
    read_isic2020,
    read_isic2024,
)
from dermolib.images import read_image
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
    with pytest.raises(TypeError, match=r"`tables\[0\]` to be a table with a column `id`"):
        merge_tables([pd.DataFrame({"ID": ["A"]})])


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
    with pytest.raises(ValueError, match="Expected `columns` to be one of 'id'"):
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
