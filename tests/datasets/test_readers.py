"""Each collection's files as one table, through every door, and what is missing or disagrees."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader

import releases
from dermolib import DatasetNotFoundError, ISICDataset, datasets
from dermolib.cli import main
from dermolib.datasets import (
    COLUMNS,
    find_reader,
    ham10000_recaptures,
    list_readers,
    read_challenge_table,
    read_ham10000,
    read_isic2018,
    read_isic2019,
    read_isic2020,
    read_isic2024,
    read_table,
    readers,
    register_reader,
)
from dermolib.io import SUFFIXES, read_image
from dermolib.labels import label_space_of
from releases import (
    write_csv,
    write_ham10000,
    write_images,
    write_isic2018,
    write_isic2019,
    write_isic2020,
    write_isic2024,
)

NAMES = [name for name in list_readers() if name != "challenge"]


def write_drawn(root: Path) -> Path:
    """Write a collection that this module registers itself."""
    write_images(root / "pictures", ["D_1", "D_2"])
    write_csv(root / "drawn.csv", {"ID": ["D_1", "D_2"], "CLASS": [1, 2], "LESION_ID": ["L", "L"]})
    return root


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Register a collection of a project, in a copy of the registry."""
    monkeypatch.setattr(readers, "_READERS", dict(readers._READERS))

    @register_reader("drawn", title="Drawn", labels="two classes")
    def read_drawn(root: Path, *, images: bool = True) -> pd.DataFrame:
        table = read_table(Path(root) / "drawn.csv")
        paths = [str(Path(root) / "pictures" / f"{name}.jpg") for name in table["id"]]
        assert images or not Path(paths[0]).exists()
        return table.assign(image_path=paths, mask_path="")

    return write_drawn(tmp_path / "drawn")


def test_a_registered_collection_is_read_through_every_door(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "drawn" in list_readers()
    assert "from_drawn" in dir(ISICDataset)
    table = find_reader("drawn").read(drawn)
    for dataset in (
        ISICDataset.from_drawn(drawn),
        ISICDataset.from_collection("drawn", drawn),
        ISICDataset(table),
    ):
        assert dataset.labels.tolist() == [0, 1]
        assert dataset[1]["image"].shape == (12, 16, 3)
    assert main(["audit", str(drawn), "--collection", "drawn", "--fail-on", "nothing"]) == 0
    assert capsys.readouterr().out.startswith("Audit of train (2 images)")


def test_names_that_are_taken_or_unknown_are_refused(drawn: Path) -> None:
    for name in ("isic2019", "my data"):
        with pytest.raises(
            ValueError, match="`name` to be an identifier that the library does not"
        ):
            register_reader(name, title="", labels="")(read_table)
    with pytest.raises(ValueError, match="`collection` to be one of 'bcn20000', 'challenge'"):
        ISICDataset.from_collection("isic2021", drawn)
    with pytest.raises(AttributeError, match="'ISICDataset' has no attribute 'from_isic2021'"):
        ISICDataset.from_isic2021(drawn)
    with pytest.raises(ValueError, match="`split` to be one of 'train', but got 'test'"):
        ISICDataset.from_drawn(drawn, "test")
    with pytest.raises(
        TypeError, match=r"`read_drawn\(root, task=..., images=...\)`, but got one th"
    ):
        ISICDataset.from_drawn(drawn, task=1)


@pytest.mark.parametrize(
    ("made", "fragment"),
    [
        (3, "but got an object of type int."),
        (read_table(pd.DataFrame({"ID": ["a"]})), "but got one without image_path, mask_path."),
        (
            pd.DataFrame({"image_path": ["a"]}),
            "but got one without id, diagnosis, lesion, patient, ",
        ),
    ],
)
def test_a_reader_of_a_user_is_named_where_it_makes_no_table(
    drawn: Path, made: Any, fragment: str
) -> None:
    def read_mine(root: Path, *, images: bool = True) -> Any:  # noqa: ARG001 - the form asked for
        return made

    register_reader("drawn", title="", labels="")(read_mine)  # in place of the one before

    start = "read_mine(root)` to be a table of `read_table` with the paths of files, "
    with pytest.raises((TypeError, ValueError), match=re.escape(start + fragment)):
        ISICDataset.from_drawn(drawn)
    assert main(["audit", str(drawn), "--collection", "drawn"]) == 2


@pytest.mark.parametrize(
    ("splits", "fragment"),
    [
        ("train", "`splits` to be a list of names, but got 'train'"),
        ((), "`splits` to be a list of names, but got ()"),
        (("train",), "called as `read_table(root, images=...)`, but got one that takes source, "),
        (("train", "test"), "called as `read_table(root, split, images=...)`, but got one that"),
    ],
)
@pytest.mark.usefixtures("drawn")
def test_a_reader_of_another_form_is_not_registered(splits: Any, fragment: str) -> None:
    with pytest.raises(TypeError, match=re.escape(fragment)):
        register_reader("other", title="", labels="", splits=splits)(read_table)
    assert "other" not in list_readers()


def labels(table: pd.DataFrame) -> list[Any]:
    """Return labels, None where there is none."""
    return [None if pd.isna(label) else int(label) for label in table["label"]]


def test_every_reader_is_public_and_registered_in_the_module_of_its_name() -> None:
    for name in list_readers():
        read = find_reader(name).read
        assert read.__module__ == f"dermolib.datasets.readers.{name}"
        assert getattr(datasets, read.__name__) is read
        assert read.__name__.startswith(f"read_{name}")


@pytest.mark.parametrize("name", list_readers())
def test_every_reader_says_what_is_published_about_its_collection(name: str) -> None:
    about = find_reader(name).about

    assert about is not None
    assert about.images
    assert about.groups
    assert about.masks
    assert about.license
    assert about.url.startswith("https://") or (about.images, about.url) == ("yours", "")
    assert not [text for text in vars(about).values() if "|" in text]  # which ends a field


def test_the_tables_of_the_challenge_are_read_through_its_name(challenge: Path) -> None:
    assert ISICDataset.from_challenge(challenge).ids.tolist() == list(
        read_challenge_table(challenge)["id"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_collection_is_read_to_the_same_columns_with_its_files(
    name: str, tmp_path: Path
) -> None:
    root = releases.write(name, tmp_path)
    table = find_reader(name).read(root)

    assert {*COLUMNS, "image_path", "mask_path"} <= {*table}
    assert (table["image_path"] != "").all()
    assert table["id"].is_unique
    assert table["source"].nunique() == 1
    assert table["year"].nunique() <= 1
    assert label_space_of(table).name == (find_reader(name).label_space or "")
    dataset = ISICDataset.from_collection(name, root, metadata=True)
    assert dataset.ids.tolist() == table["id"].tolist()
    assert dataset[0]["image"].shape == (12, 16, 3)
    assert dataset[0]["metadata"].shape == (13,)
    known = dataset.subset(dataset.labelled)
    assert known.has_labels
    assert known.class_counts().sum() == len(known) > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_collection_is_audited_by_its_name(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = releases.write(name, tmp_path)

    assert main(["audit", str(root), "--collection", name, "--fail-on", "nothing"]) == 0

    assert capsys.readouterr().out.startswith("Audit of train (")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "class_folders"])
def test_images_from_elsewhere_need_no_original_folder(name: str, tmp_path: Path) -> None:
    root = releases.write(name, tmp_path / "root")
    ids = list(find_reader(name).read(root)["id"])
    write_images(tmp_path / "clean", ids)
    for file in [path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES]:
        file.unlink()
    for folder in sorted(filter(Path.is_dir, root.rglob("*")), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    for file in root.glob("*.hdf5"):
        file.unlink()

    dataset = ISICDataset.from_collection(name, root, image_dir=tmp_path / "clean")

    assert dataset.ids.tolist() == ids
    assert dataset[0]["image"].shape == (12, 16, 3)
    with pytest.raises(FileNotFoundError):
        ISICDataset.from_collection(name, root)


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
        ("milk10k", "MILK10k_Training_GroundTruth.csv"),
        ("milk10k", "MILK10k_Training_Metadata.csv"),
        ("milk10k", "MILK10k_Training_Input"),
        ("padufes", "metadata.csv"),
        ("bcn20000", "bcn_20k_train.csv"),
        ("bcn20000", "BCN_20k_train"),
        ("isic_archive", "metadata.csv"),
        ("ph2", "PH2_dataset.txt"),
        ("ph2", "PH2 Dataset images"),
        ("isic2016", "ISBI2016_ISIC_Part3_Training_GroundTruth.csv"),
        ("isic2016", "ISBI2016_ISIC_Part3_Training_Data"),
        ("isic2017", "ISIC-2017_Training_Part3_GroundTruth.csv"),
        ("isic2017", "ISIC-2017_Training_Data"),
        ("derm7pt", "meta"),
        ("derm7pt", "images"),
    ],
)
def test_a_missing_file_is_named_with_the_layout(name: str, lost: str, tmp_path: Path) -> None:
    (releases.write(name, tmp_path) / lost).rename(tmp_path / "elsewhere")

    with pytest.raises(DatasetNotFoundError, match=r"but it does not\. Expected layout: \w"):
        find_reader(name).read(tmp_path)


# The challenge


def test_the_challenge_knows_its_lesions(challenge: Path) -> None:
    assert read_challenge_table(challenge)["lesion"].tolist() == ["L0", "L1", "", "L1", "L2", ""]
    assert read_challenge_table(challenge, "test")["lesion"].tolist() == ["", ""]


def test_a_lesion_of_the_table_itself_is_kept(challenge: Path) -> None:
    table = pd.read_csv(challenge / "metadataTrain.csv", keep_default_na=False)
    table["LESION_ID"] = ["X", "", "", "", "", ""]
    table.to_csv(challenge / "metadataTrain.csv", index=False)

    assert read_challenge_table(challenge)["lesion"].tolist() == ["X", "L1", "", "L1", "L2", ""]


@pytest.mark.parametrize(
    ("file", "text", "fragment"),
    [
        ("lesion_ids", "ID,LESION_ID\nimg_0.jpg,L0\n", "a table with the ids of the training im"),
        ("lesion_ids", "ID,LESION ID\nIMG_0,L0\n", "a table with a column `LESION_ID`, but"),
        ("metadataTrain", "ID,DIAGNOSIS\nIMG_0,MEL\n", "a table with a column `CLASS`"),
    ],
)
def test_an_incomplete_table_of_the_challenge_is_refused(
    challenge: Path, file: str, text: str, fragment: str
) -> None:
    (challenge / f"{file}.csv").write_text(text)

    with pytest.raises(ValueError, match=rf"{file}\.csv` to be {re.escape(fragment)}"):
        read_challenge_table(challenge)


def test_images_without_a_known_lesion_are_counted(challenge: Path) -> None:
    (challenge / "lesion_ids.csv").write_text("ID,LESION_ID\nIMG_0,L0\nIMG_1,L0\n")

    with pytest.warns(UserWarning, match=r"lacks training images: 4 of 6 \(IMG_2, IMG_3"):
        table = read_challenge_table(challenge)

    assert table["lesion"].tolist() == ["L0", "L0", "", "", "", ""]


@pytest.mark.parametrize("name", ["metadataTrain.csv", "Train"])
def test_a_folder_without_the_layout_is_refused(challenge: Path, name: str) -> None:
    (challenge / name).rename(challenge / "elsewhere")

    with pytest.raises(DatasetNotFoundError, match=f"{name}` to exist.*Expected layout: metadata"):
        read_challenge_table(challenge)


@pytest.mark.data
def test_the_real_tables_have_the_counts_of_the_paper(data_dir: Path) -> None:
    train, test = (read_challenge_table(data_dir / "isic_challenge", s) for s in ("train", "test"))

    counts = np.bincount(train["label"].to_numpy(np.int64))
    assert counts.tolist() == [3391, 9657, 2492, 650, 1968, 179, 190, 471]
    assert len(test) == 6333
    assert test["lesion"].isin({*train["lesion"]} - {""}).sum() == 3732


# HAM10000


def test_akiec_of_ham10000_has_no_label_and_sites_are_those_of_isic(tmp_path: Path) -> None:
    table = read_ham10000(write_ham10000(tmp_path))

    assert labels(table) == [4, 4, None, 1]
    assert table["diagnosis"].tolist() == ["bkl", "bkl", "akiec", "nv"]
    assert table["lesion"].tolist() == ["HAM_0", "HAM_0", "HAM_1", "HAM_2"]
    assert table["sex"].tolist() == ["male", "male", "", "female"]
    assert table["site"].tolist() == ["head/neck", "head/neck", "trunk", ""]
    assert ISICDataset.from_ham10000(tmp_path, masks=True)[3]["mask"].sum() == 48


@pytest.mark.parametrize("suffix", [".tab", ""])
def test_the_table_of_the_dataverse_is_separated_by_tabs(tmp_path: Path, suffix: str) -> None:
    path = write_ham10000(tmp_path) / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    path.unlink()
    table.to_csv(tmp_path / f"HAM10000_metadata{suffix}", sep="\t", index=False)

    assert labels(read_ham10000(tmp_path)) == [4, 4, None, 1]


def test_corrections_join_the_lesions_of_pairs_that_are_sure_or_likely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"first": ["ISIC_3", "ISIC_0", "X"], "second": ["ISIC_2", "ISIC_3", "Y"]}
    pairs = pd.DataFrame({**ends, "judgment": ["likely", "unsure", "sure"]})
    monkeypatch.setattr("dermolib.datasets.readers.ham10000.ham10000_recaptures", lambda: pairs)
    write_ham10000(tmp_path)

    table = ISICDataset.from_ham10000(tmp_path, corrections=True).table

    assert table["lesion"].tolist() == ["HAM_0", "HAM_0", "HAM_1", "HAM_1"]
    published = read_ham10000(tmp_path)
    assert published["lesion"].tolist() == ["HAM_0", "HAM_0", "HAM_1", "HAM_2"]
    pd.testing.assert_frame_equal(table.drop(columns="lesion"), published.drop(columns="lesion"))
    with pytest.raises(TypeError, match="`corrections` to be True or False"):
        read_ham10000(tmp_path, corrections="sure")  # type: ignore[arg-type]


def test_the_recaptures_of_ham10000_are_pairs_of_different_images_listed_once() -> None:
    pairs = ham10000_recaptures()

    assert {*pairs["judgment"]} <= {"sure", "likely", "unsure"}
    ends = pairs[["first", "second"]].to_numpy(str)
    assert (ends[:, 0] < ends[:, 1]).all()
    assert not pairs.duplicated(["first", "second"]).any()
    assert all(re.fullmatch(r"ISIC_00\d{5}", name) for name in ends.ravel())
    assert (pairs["score"].isna() | pairs["score"].between(0, 1)).all()
    for pair in (("ISIC_0033421", "ISIC_0033481"), ("ISIC_0024602", "ISIC_0032283")):
        assert (ends == pair).all(axis=1).any()


@pytest.mark.data
def test_the_corrections_join_lesions_of_real_images(data_dir: Path) -> None:
    table = read_table(data_dir / "isic_challenge" / "lesion_ids.csv")
    pairs = ham10000_recaptures()

    names = table.set_index("id")["lesion"]

    ends = [names[pairs[end]].to_numpy(str) for end in ("first", "second")]
    assert (ends[0] != ends[1]).all()


# 2018


def test_the_classes_of_2018_come_with_their_lesions(tmp_path: Path) -> None:
    table = read_isic2018(write_isic2018(tmp_path))

    assert labels(table) == [1, None, 0]
    assert table["diagnosis"].tolist() == ["NV", "AKIEC", "MEL"]
    assert table["lesion"].tolist() == ["HAM_1", "HAM_2", "HAM_1"]
    test = read_isic2018(tmp_path, "test")  # without ground truth
    assert test["id"].tolist() == ["ISIC_9"]
    assert "label" not in test


def test_task_1_of_2018_has_masks_and_no_labels(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2018(write_isic2018(tmp_path), task=1, masks=True)

    assert dataset.ids.tolist() == ["ISIC_4", "ISIC_5"]
    assert dataset[0]["mask"].sum() == 48
    assert "label" not in dataset[0]


def test_the_test_set_of_2018_of_the_dataverse_is_read(tmp_path: Path) -> None:
    write_isic2018(tmp_path)
    (tmp_path / "ISIC2018_Task3_Test_Input").rename(tmp_path / "ISIC2018_Task3_Test_Images")
    columns = {"lesion_id": ["HAMTEST_1"], "image_id": ["ISIC_9"], "dx": ["bkl"], "age": ["65.0"]}
    write_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", columns)

    table = read_isic2018(tmp_path, "test")

    assert table[["id", "label", "lesion", "age"]].to_numpy().tolist() == [
        ["ISIC_9", 4, "HAMTEST_1", 65.0]
    ]


def test_a_task_of_2018_that_is_unknown_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expected `task` to be 1 or 3, but got 2"):
        read_isic2018(tmp_path, task=2)
    for name in ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"to be a folder of images ID\.jpg, but got none"):
        read_isic2018(tmp_path, task=1)
    with pytest.raises(ValueError, match="`root` to be a folder with images or masks, but got"):
        read_isic2018(tmp_path, "test", task=1, images=False)


# 2019


def test_ids_of_2019_lose_the_suffix_of_downsampled_files(tmp_path: Path) -> None:
    table = read_isic2019(write_isic2019(tmp_path))

    assert table["id"].tolist() == ["ISIC_4", "ISIC_3", "ISIC_2", "ISIC_1"]
    assert labels(table) == [1, 3, 7, 0]
    assert Path(table["image_path"].iloc[3]).name == "ISIC_1_downsampled.jpg"
    assert table["label"].dtype == np.int64


def test_an_unknown_diagnosis_of_2019_is_not_a_class(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2019(write_isic2019(tmp_path), "test")

    assert labels(dataset.table) == [None, 1, 5]
    assert dataset.table["diagnosis"].tolist() == ["UNK", "NV", "DF"]
    assert dataset.labelled.tolist() == [1, 2]
    assert dataset.class_counts().tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    assert {*dataset[1]} == {"image", "id"}
    assert dataset.unplaced == {"UNK": 1}
    sentence = (
        "labels` to be known for all rows, but got 1 of 3 rows without one (ISIC_7), as the label "
        "space challenge has no place for UNK (1). Take the others:"
    )
    with pytest.raises(RuntimeError, match=re.escape(sentence)):
        _ = dataset.labels
    (tmp_path / "ISIC_2019_Test_GroundTruth.csv").unlink()
    assert "label" not in read_isic2019(tmp_path, "test")


@pytest.mark.parametrize(
    ("before", "after", "fragment"),
    [
        ("ISIC_2,", "ISIC_22,", "the ids of the metadata, but got 1 of them missing (ISIC_2)."),
        ("ISIC_4,0.0,1.0", "ISIC_4,1.0,1.0", "one class of each row is 1, but got 1 other (row 5"),
        ("ISIC_4,0.0,1.0", "ISIC_4,0.0,0.0", "one class of each row is 1, but got 1 other (row 5"),
        ("ISIC_4,0.0,1.0", "ISIC_4,0.0,0.7", "a ground truth of 0 and 1, but got '0.7' in row 5."),
        ("image,MEL", "image,DERM", "one class of each row is 1, but got 1 other (row 2"),
        ("image,", "file,", "a ground truth with the columns image, MEL, NV, BCC, AK, BKL"),
        ("image,MEL,NV", "image,NV ,NV", "with each column once, but got 'NV' twice"),
        ("ISIC_2,", "ISIC_1,", "each id appears once, but got ISIC_1 twice"),
    ],
)
def test_an_invalid_ground_truth_is_refused(
    before: str, after: str, fragment: str, tmp_path: Path
) -> None:
    path = write_isic2019(tmp_path) / "ISIC_2019_Training_GroundTruth.csv"
    path.write_text(path.read_text().replace(before, after))

    with pytest.raises(ValueError, match=re.escape(fragment)):
        read_isic2019(tmp_path)


def test_an_archive_that_unpacked_to_a_folder_in_itself_is_found(tmp_path: Path) -> None:
    folder = write_isic2019(tmp_path) / "ISIC_2019_Training_Input"
    folder.rename(tmp_path / "inner")
    folder.mkdir()
    (tmp_path / "inner").rename(folder / "ISIC_2019_Training_Input")

    assert (read_isic2019(tmp_path)["image_path"] != "").all()


def test_a_folder_without_images_lacks_every_image(tmp_path: Path) -> None:
    for file in (write_isic2019(tmp_path) / "ISIC_2019_Training_Input").iterdir():
        file.unlink()

    assert (read_isic2019(tmp_path)["image_path"] == "").all()
    with pytest.raises(FileNotFoundError, match="4 of 4 without"):
        ISICDataset.from_isic2019(tmp_path)


# 2020


def test_targets_and_patients_of_2020_are_read(tmp_path: Path) -> None:
    table = read_isic2020(write_isic2020(tmp_path))

    assert labels(table) == [None, 0, 4, None]
    assert table["malignant"].tolist() == [False, True, False, False]
    assert table["patient"].tolist() == ["IP_0", "IP_0", "IP_1", "IP_2"]
    assert ISICDataset(table).subset([1, 3]).table["malignant"].tolist() == [True, False]
    test = ISICDataset.from_isic2020(tmp_path, "test")
    assert test.table[["id", "patient"]].to_numpy().tolist() == [["ISIC_8", "IP_9"]]


def test_an_unknown_code_is_refused_with_the_known(tmp_path: Path) -> None:
    path = write_isic2020(tmp_path) / "ISIC_2020_Training_GroundTruth_v2.csv"
    path.write_text(path.read_text().replace("solar lentigo", "moon lentigo"))

    sentence = "diagnoses are in the vocabulary, but got 1 other (row 4: 'moon lentigo'). Known are"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_isic2020(tmp_path)


def test_images_that_are_published_as_duplicates_are_of_one_lesion(tmp_path: Path) -> None:
    path = write_isic2020(tmp_path) / "ISIC_2020_Training_Duplicates.csv"
    pairs = {"image_name_1": ["ISIC_0", "ISIC_8"], "image_name_2": ["ISIC_3", "ISIC_9"]}
    write_csv(path, pairs)

    assert read_isic2020(tmp_path)["lesion"].tolist() == ["IL_0", "IL_1", "IL_2", "IL_0"]
    write_csv(path, {"a": ["x"]})
    with pytest.raises(ValueError, match="the columns image_name_1 and image_name_2, but got the"):
        read_isic2020(tmp_path)


# 2024


def test_images_of_2024_come_from_their_hdf5_file(tmp_path: Path) -> None:
    dataset = ISICDataset.from_isic2024(write_isic2024(tmp_path))

    assert labels(dataset.table) == [None, 7, 0, None]
    assert dataset.table["malignant"].tolist() == [False, True, True, False]
    alone = [read_image(tmp_path / "single" / f"ISIC_{number}.jpg") for number in range(4)]
    np.testing.assert_array_equal([dataset[number]["image"] for number in range(4)], alone)
    # Opened here before the workers fork
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork")
    images = np.concatenate([batch["image"].numpy() for batch in loader])
    np.testing.assert_array_equal(images, alone)


def test_an_image_that_an_hdf5_file_lacks_is_named(tmp_path: Path) -> None:
    import h5py

    with h5py.File(write_isic2024(tmp_path) / "train-image.hdf5", "a") as file:
        del file["ISIC_2"]

    with pytest.raises(FileNotFoundError, match=r"1 of 4 without \(ISIC_2\)"):
        ISICDataset.from_isic2024(tmp_path)


def test_the_files_of_2024_of_the_archive_are_read(tmp_path: Path) -> None:
    write_isic2024(tmp_path / "kaggle")
    rows = pd.read_csv(tmp_path / "kaggle" / "train-metadata.csv", dtype=str)
    root = tmp_path / "archive"
    write_images(root / "ISIC_2024_Training_Input", list(rows["isic_id"]))
    truth = rows[["isic_id", "target"]].rename(columns={"target": "malignant"})
    truth.to_csv(root / "ISIC_2024_Training_GroundTruth.csv", index=False)

    bare = read_isic2024(root)

    assert bare["malignant"].tolist() == [False, True, True, False]
    assert "label" not in bare
    supplement = rows[["isic_id", "lesion_id", "iddx_full"]].iloc[::-1]
    supplement.to_csv(root / "ISIC_2024_Training_Supplement.csv", index=False)
    more = rows.drop(columns=["target", "iddx_full", "lesion_id"])
    more.to_csv(root / "metadata.csv", index=False)
    full = read_isic2024(root)
    assert labels(full) == [None, 7, 0, None]
    assert full["lesion"].tolist() == ["", "IL_1", "IL_2", ""]
    assert full["patient"].tolist() == ["IP_0", "IP_0", "IP_1", "IP_2"]
    assert (full["image_path"] != "").all()


def test_a_ground_truth_that_is_not_text_is_refused_by_its_path(tmp_path: Path) -> None:
    root = write_isic2018(tmp_path)
    name = "ISIC2018_Task3_Training_GroundTruth"
    (root / name / f"{name}.csv").write_bytes(b"image,MEL\xff,dx\n")

    with pytest.raises(ValueError, match=f"Expected `.*{name}.csv` to be"):
        read_isic2018(root)
