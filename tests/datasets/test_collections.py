"""Collections with other classes than the eight, and two images of a lesion as one sample."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

import releases
from dermolib import DatasetNotFoundError, ISICDataset, grouped_split, make_loader, preset
from dermolib.datasets import (
    PairDataset,
    find_reader,
    read_isic_archive,
    read_milk10k,
    read_onehot,
    read_padufes,
)
from dermolib.io import read_image
from dermolib.labels import LABEL_SPACES, label_space_of
from releases import (
    MILK10K,
    MONET,
    Row,
    write_bcn20000,
    write_csv,
    write_images,
    write_isic_archive,
    write_milk10k,
    write_onehot,
    write_padufes,
)

MELANOMA = "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma Invasive"
KERATOSIS = "Benign::Benign epidermal proliferations::Seborrheic keratosis"
CODES: Mapping[str, Mapping[str, int | None]] = {
    "milk10k": {code: label for label, code in enumerate(MILK10K)},
    "padufes": {"ACK": 0, "BCC": 1, "MEL": 2, "NEV": 3, "SCC": 4, "SEK": 5},
    "bcn20000": {"MEL": 0, "NV": 1, "BCC": 2, "AK": 3, "BKL": 4, "DF": 5, "VASC": 6, "SCC": 7},
    "isic_archive": {MELANOMA: 0, KERATOSIS: 4, "Benign": None, "Indeterminate::Anything": None},
    "onehot": {"nevus": 0, "melanoma": 1, "wart": 2},
}
SITES: Mapping[str, Mapping[str, str]] = {
    "milk10k": {"head_neck_face": "head/neck", "upper_extremity": "upper extremity"},
    "padufes": {"NOSE": "head/neck", "THIGH": "lower extremity", "BACK": "posterior torso"},
}


SINGLE: Mapping[str, Mapping[str, int | None]] = {
    "ph2": {"common nevus": 1, "atypical nevus": 1, "melanoma": 0},
    "isic2016": {"benign": 0, "malignant": 1},
    "isic2017": {"melanoma": 0, "seborrheic_keratosis": 4, "nevus": 1},
    "derm7pt": {"melanoma metastasis": 0, "blue nevus": 1, "lentigo": None, "vascular lesion": 6},
    "class_folders": {"Melanoma": 0, "NotMelanoma": 1, "Wart": 2},
}
KNOWN = {"isic2017": "as", "derm7pt": "lst"}  # lesion, age, sex, site


def fresh_rows(name: str, seed: int) -> list[Row]:
    """Draw the rows of 4 to 12 lesions, each of two images."""
    random = np.random.default_rng(seed)
    known = {"milk10k": "l", "padufes": "lp", "bcn20000": "l", "isic_archive": "lp", "onehot": "p"}
    sites = ["", *SITES.get(name, {"anterior torso": "", "palms/soles": ""})]
    rows: list[Row] = []
    for lesion in range(random.integers(4, 13)):
        patient = f"PAT_{lesion // 2}" if "p" in known[name] else ""
        told = (
            str(random.choice(list(CODES[name]))),
            f"{lesion % 2 + 1 if name == 'padufes' else f'IL_{lesion}'}"
            if "l" in known[name]
            else "",
            patient,
            str(random.choice(["", *range(0, 90, 5)])),
            str(random.choice(["", "male", "female"])),
            str(random.choice(sites)),
        )
        rows += [(f"{patient or 'ISIC'}_{lesion}_{image}", *told) for image in range(2)]
    return rows


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", CODES)
def test_a_fresh_folder_is_read_as_it_was_written(name: str, seed: int, tmp_path: Path) -> None:
    rows = fresh_rows(name, seed)
    write: Callable[..., Path] = getattr(releases, f"write_{name}")

    table = find_reader(name).table(write(tmp_path, rows), "train")

    ids, codes, lesions, patients, ages, sexes, sites = (
        list(one) for one in zip(*rows, strict=True)
    )
    assert table["id"].tolist() == ids
    assert table["diagnosis"].tolist() == codes
    wanted = [CODES[name][code] for code in codes]
    assert table["label"].astype(object).where(table["label"].notna(), None).tolist() == wanted
    joined = [f"{patient}_{lesion}" for patient, lesion in zip(patients, lesions, strict=True)]
    assert table["lesion"].tolist() == (joined if name == "padufes" else lesions)
    assert table["patient"].tolist() == patients
    assert table["age"].astype(object).where(table["age"].notna(), "").tolist() == [
        float(age) if age else "" for age in ages
    ]
    assert table["sex"].tolist() == sexes
    assert table["site"].tolist() == [SITES.get(name, {}).get(site, site) for site in sites]
    assert [Path(path).stem for path in table["image_path"]] == ids
    assert all(map(Path.is_file, map(Path, table["image_path"])))
    dataset = ISICDataset.from_collection(name, tmp_path)
    assert len({*dataset.groups}) == len({*(patients if any(patients) else lesions)} - {""})


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", SINGLE)
def test_a_fresh_folder_of_one_image_a_lesion_is_read_as_it_was_written(
    name: str, seed: int, tmp_path: Path
) -> None:
    random, known, codes = np.random.default_rng(seed), KNOWN.get(name, ""), [*SINGLE[name]]
    rows: list[Row] = [
        (
            f"LES_{number}",
            codes[number] if number < len(codes) else str(random.choice(codes)),
            f"case {number}" if "l" in known else "",
            "",
            str(random.choice(["", *range(0, 90, 5)])) if "a" in known else "",
            str(random.choice(["", "male", "female"])) if "s" in known else "",
            str(random.choice(["", "back", "head neck"])) if "t" in known else "",
        )
        for number in range(random.integers(5, 12))
    ]
    write: Callable[..., Path] = getattr(releases, f"write_{name}")
    options = {"kind": "dermoscopic"} if name == "derm7pt" else {}

    table = find_reader(name).table(write(tmp_path, rows), "train", **options)

    wanted = pd.DataFrame(
        rows, columns=["id", "diagnosis", "lesion", "patient", "age", "sex", "site"]
    )
    wanted["site"] = wanted["site"].replace("head neck", "head/neck")  # as ISIC writes it
    made = table.set_index("id").loc[wanted["id"]].reset_index()
    assert len(table) == len(rows)
    for column in ("diagnosis", "lesion", "patient", "sex", "site"):
        assert made[column].tolist() == wanted[column].tolist()
    ages = [float(age) if age else None for age in wanted["age"]]
    assert [None if np.isnan(age) else age for age in made["age"]] == ages
    labels = made["label"].astype(object).where(made["label"].notna(), None)
    assert labels.tolist() == [SINGLE[name][code] for code in wanted["diagnosis"]]
    assert [Path(path).stem for path in made["image_path"]] == wanted["id"].tolist()
    masked = name in ("ph2", "isic2016", "isic2017")
    if masked:
        data = ISICDataset.from_collection(name, tmp_path, masks=True)
        assert [int(data[row]["mask"].sum()) for row in range(len(data))] == [48] * len(rows)
    assert (made["mask_path"] != "").all() == masked


def test_the_other_splits_of_collections_have_their_own_rows(tmp_path: Path) -> None:
    made = {
        (name, split): find_reader(name).table(
            releases.write(name, tmp_path / f"{name}{split}"), split
        )
        for name, split in (
            ("isic2016", "test"),
            ("isic2017", "validation"),
            ("isic2017", "test"),
            ("derm7pt", "validation"),
            ("class_folders", "validation"),
            ("class_folders", "test"),
        )
    }

    labels = {key: table.get("label", table["diagnosis"]).tolist() for key, table in made.items()}
    assert labels == {
        ("isic2016", "test"): [0, 1],
        ("isic2017", "validation"): [1],
        ("isic2017", "test"): [1],
        ("derm7pt", "validation"): ["lentigo", "lentigo"],
        ("class_folders", "validation"): [1],
        ("class_folders", "test"): [2],
    }
    assert made["derm7pt", "validation"]["image_type"].tolist() == ["dermoscopic", "clinical"]
    assert made["isic2016", "test"]["malignant"].tolist() == [False, True]


def test_both_images_of_a_case_of_derm7pt_are_one_sample(tmp_path: Path) -> None:
    root = releases.write("derm7pt", tmp_path)
    kinds = (ISICDataset.from_derm7pt(root, kind=kind) for kind in ("dermoscopic", "clinical"))

    pairs = PairDataset(*kinds)

    assert [pairs[row]["id"] for row in range(len(pairs))] == [
        "case 1",
        "case 3",
        "case 4",
        "case 7",
    ]
    assert pairs[0].keys() >= {"image", "clinical"}


def test_files_of_one_name_in_two_classes_have_their_folders_in_their_ids(tmp_path: Path) -> None:
    for code in ("a", "b"):
        write_images(tmp_path / code, ["1", f"only_{code}"])

    dataset = ISICDataset.from_class_folders(tmp_path)

    assert dataset.ids.tolist() == ["a_1.jpg", "only_a", "b_1.jpg", "only_b"]
    assert dataset.label_space.codes == ("a", "b")
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert ISICDataset.from_class_folders(tmp_path, label_space=["b", "a"]).labels.tolist() == [
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("name", "file", "before", "after", "fragment"),
    [
        (
            "ph2",
            "PH2_dataset.txt",
            "  2 ||",
            "  3 ||",
            "diagnoses are 0 to 2, but got 1 other (row 4: '3",
        ),
        (
            "ph2",
            "PH2_dataset.txt",
            "||",
            "|",
            "rows such as `|| IMD003 || || 0 || ... ||`, but got n",
        ),
        (
            "isic2016",
            "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
            "benign",
            "nevus",
            "0 or 1, but got 1 other (row 1: 'ISIC_0000000,nevus'",
        ),
        (
            "isic2017",
            "ISIC-2017_Training_Part3_GroundTruth.csv",
            "1.0,0.0",
            "1.0,1.0",
            "one class of each row is 1, but got 1 other (row 3: 'ISIC_0000002')",
        ),
        (
            "isic2017",
            "ISIC-2017_Training_Part3_GroundTruth.csv",
            "melanoma",
            "mel",
            "with the columns image_id, melanoma, seborrheic_keratosis, but got",
        ),
        (
            "isic2017",
            "ISIC-2017_Training_Data/ISIC-2017_Training_Data_metadata.csv",
            "ISIC_0000002",
            "X",
            "metadata of all images of the ground truth, but got 1 of them missing (ISIC_0000002)",
        ),
        ("derm7pt", "meta/train_indexes.csv", "3", "4", "rows of meta.csv, 0..3, but got '4'"),
        ("derm7pt", "meta/train_indexes.csv", "3", "2", "names each row once, but got 2 twice"),
        ("derm7pt", "meta/meta.csv", "lentigo", "moon", "diagnoses are in the vocabulary, but got"),
    ],
)
def test_odd_contents_of_other_collections_are_refused_in_one_sentence(
    name: str, file: str, before: str, after: str, fragment: str, tmp_path: Path
) -> None:
    path = releases.write(name, tmp_path) / file
    path.write_text(path.read_text().replace(before, after))

    with pytest.raises(ValueError, match=re.escape(fragment)):
        find_reader(name).table(tmp_path, "train")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a/1"], "a folder with two classes or more, but got a. Expected layout"),
        (["a/1", "b/1", "loose"], "but got 1 beside them (loose.jpg)"),
        (["train/a/1", "training/b/1"], "one folder of train, but got"),
    ],
)
def test_folders_that_are_no_classes_are_refused(
    names: list[str], words: str, tmp_path: Path
) -> None:
    for name in names:
        write_images((tmp_path / name).parent, [Path(name).name])

    with pytest.raises(ValueError, match=re.escape(words)):
        find_reader("class_folders").table(tmp_path, "train")
    with pytest.raises(DatasetNotFoundError, match="a folder of images for each class"):
        find_reader("class_folders").table(tmp_path / "nowhere", "train")
    (tmp_path / "a.csv").touch()
    with pytest.raises(DatasetNotFoundError, match="to be a folder, but it is a file"):
        find_reader("class_folders").table(tmp_path / "a.csv", "train")


@pytest.mark.parametrize(
    ("name", "before", "after", "fragment"),
    [
        (
            "milk10k",
            "SCCKA",
            "SCC",
            "a ground truth in which one class of each row is 1, but got 1 ot",
        ),
        (
            "milk10k",
            "IL_0002000,0.0",
            "IL_7,0.0",
            "all lesions of the metadata, but got 1 of them m",
        ),
        (
            "milk10k",
            "lesion_id",
            "image",
            "with the columns lesion_id, AKIEC, BCC, BEN_OTH, BKL, DF",
        ),
        (
            "padufes",
            "NEV",
            "NEVUS!",
            "got 1 other (row 4: 'NEVUS!'). Known are ack, bcc, mel, nev, ",
        ),
        ("padufes", "img_id", "image", "a table with a column `img_id`, but got the columns"),
        (
            "padufes",
            "PAT_8_15_9.png",
            "PAT_8_15_820.jpg",
            "each id appears once, but got PAT_8_15_82",
        ),
        (
            "bcn20000",
            ",AK,",
            ",ACK,",
            "(row 3: 'ACK'). Known are mel, nv, bcc, ak, bkl, df, vasc, sc",
        ),
        ("isic_archive", "Benign,Benign -", "Bad,Worse -", "1 other (row 5: 'Bad::Worse - Other')"),
        ("onehot", "1.0", "2.0", "a table with two columns of 0 and 1 or more, but got wart."),
        ("onehot", "0.0,1.0,0.0", "1.0,1.0,0.0", "one class of each row is 1, but got 2 other"),
    ],
)
def test_a_table_of_other_content_is_refused_with_the_rows(
    name: str, before: str, after: str, fragment: str, tmp_path: Path
) -> None:
    root = releases.write(name, tmp_path)
    for file in root.glob("*.csv"):
        if "Metadata" not in file.name:
            file.write_text(file.read_text().replace(before, after))

    with pytest.raises(ValueError, match=rf"Expected `.*csv` to be .*{re.escape(fragment)}"):
        find_reader(name).read(root)


@pytest.mark.parametrize("name", [*CODES])
def test_a_folder_of_something_else_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()

    with pytest.raises((DatasetNotFoundError, ValueError)) as refused:
        find_reader(name).read(tmp_path)

    assert "csv" in str(refused.value).lower()
    assert "\n" not in str(refused.value)


# MILK10k


def test_milk10k_has_skin_tones_and_concepts_and_a_kind_of_each_image(tmp_path: Path) -> None:
    table = read_milk10k(write_milk10k(tmp_path))

    assert table["image_type"].tolist() == ["clinical: close-up", "dermoscopic"] * 3
    assert table["skin_tone"].tolist() == [pd.NA, pd.NA, 5, 5, 5, 5]
    assert table["MONET_hair"].tolist() == [0.1, 0.101, 0.102, 0.103, 0.104, 0.105]
    assert [name for name in table if str(name).startswith("MONET")] == [
        f"MONET_{one}" for one in MONET
    ]
    for kind, ids in (("dermoscopic", [1, 3, 5]), ("clinical", [0, 2, 4])):
        some = read_milk10k(tmp_path, kind=kind)
        assert some["id"].tolist() == table["id"].iloc[ids].tolist()
        assert some["label"].tolist() == [9, 7, 2]
    with pytest.raises(ValueError, match="`kind` to be one of 'clinical', 'dermoscopic'"):
        read_milk10k(tmp_path, kind="dermoscopy")


def test_metadata_of_milk10k_without_kinds_or_with_odd_tones_are_refused(tmp_path: Path) -> None:
    path = write_milk10k(tmp_path) / "MILK10k_Training_Metadata.csv"
    text = path.read_text()

    path.write_text(text.replace(",5,", ",6,"))
    with pytest.raises(
        ValueError, match=r"`skin_tone_class` is 0\.\.5, or empty, but got 4 other \(r"
    ):
        read_milk10k(tmp_path)
    path.write_text(text.replace("0.605", "1.605"))
    with pytest.raises(
        ValueError, match=r"`MONET_skin_.*_pen` is 0\.\.1, or empty, but got 1 other"
    ):
        read_milk10k(tmp_path)
    path.write_text(text.replace("image_type", "type"))
    with pytest.raises(
        ValueError, match="a table with the column `image_type`, but got one without"
    ):
        read_milk10k(tmp_path)
    path.write_text(text.replace(",5,", ",-1,"))
    assert read_milk10k(tmp_path)["skin_tone"].isna().all()
    path.write_text(text.replace("skin_tone_class", "tone").replace("MONET", "CONCEPT"))
    table = read_milk10k(tmp_path)
    assert table["skin_tone"].isna().all()
    assert "MONET_hair" not in table


def test_the_test_split_of_milk10k_has_no_labels(tmp_path: Path) -> None:
    table = read_milk10k(write_milk10k(tmp_path), "test")

    assert table["id"].tolist() == ["ISIC_91", "ISIC_92"]
    assert "label" not in table
    assert label_space_of(table).name == "milk10k"
    assert table["site"].tolist() == ["upper extremity"] * 2


def test_milk10k_is_labelled_in_other_spaces_where_its_codes_have_a_place(tmp_path: Path) -> None:
    dataset = ISICDataset.from_milk10k(write_milk10k(tmp_path), label_space="challenge")

    assert dataset.class_counts().tolist() == [2, 0, 0, 0, 0, 0, 0, 0]
    assert dataset.unplaced == {"SCCKA": 2, "BEN_OTH": 2}
    binary = ISICDataset.from_milk10k(tmp_path, label_space="binary")
    assert binary.labels.tolist() == [1, 1, 1, 1, 0, 0]


# Pairs


def open_pairs(root: Path, **options: Any) -> PairDataset:
    """Open the training lesions of MILK10k with both images."""
    kinds = ("dermoscopic", "clinical")
    return PairDataset(*(ISICDataset.from_milk10k(root, kind=kind, **options) for kind in kinds))


def test_a_pair_has_both_images_of_its_lesion(tmp_path: Path) -> None:
    table = read_milk10k(write_milk10k(tmp_path)).set_index(["lesion", "image_type"])
    pairs = open_pairs(tmp_path, metadata=True)

    assert pairs.ids.tolist() == pairs.groups.tolist() == pairs.table["id"].tolist()
    assert pairs.labels.tolist() == [9, 7, 2]
    assert pairs.class_counts().tolist() == [0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0]
    assert pairs.label_space == LABEL_SPACES["milk10k"]
    for number, lesion in enumerate(["IL_0000652", "IL_0003176", "IL_0002000"]):
        sample = pairs[number]
        assert (sample["id"], sample["label"]) == (lesion, pairs.labels[number])
        for key, kind in (("image", "dermoscopic"), ("clinical", "clinical: close-up")):
            path = table.loc[(lesion, kind), "image_path"]
            np.testing.assert_array_equal(sample[key], read_image(str(path)))
    assert sample["metadata"].shape == (13,)
    last: Any = torch.tensor(-1)  # as `Subset` with a permutation passes it
    assert pairs[-1]["id"] == pairs[last]["id"] == "IL_0002000"


def test_the_second_set_may_be_in_another_order_and_have_more(tmp_path: Path) -> None:
    write_milk10k(tmp_path)
    first, second = (
        ISICDataset.from_milk10k(tmp_path, kind=kind) for kind in ("dermoscopic", "clinical")
    )

    pairs = PairDataset(first.subset([1, 0]), second.subset([2, 0, 1]), name="close_up")

    for number, row in enumerate([1, 0]):
        np.testing.assert_array_equal(pairs[number]["close_up"], second[row]["image"])


def test_pairs_are_split_by_lesion_and_loaded_with_draws_that_repeat(tmp_path: Path) -> None:
    pairs = open_pairs(write_milk10k(tmp_path)).with_transform(preset("strong", image_size=16))

    train, test = grouped_split(pairs, fractions=(0.6, 0.4))
    assert sorted([*train, *test]) == [0, 1, 2]
    part = pairs.subset(train, split="train")
    assert part.ids.tolist() == pairs.ids[train].tolist()
    first, again = (next(iter(make_loader(part, workers=workers))) for workers in (0, 1))
    for key in ("image", "clinical"):
        assert bool((first[key] == again[key]).all())
    assert not bool((first["image"] == first["clinical"]).all())


def test_what_is_not_one_image_of_each_lesion_is_no_half_of_a_pair(tmp_path: Path) -> None:
    both = ISICDataset.from_milk10k(write_milk10k(tmp_path))
    first = ISICDataset.from_milk10k(tmp_path, kind="dermoscopic")

    with pytest.raises(
        ValueError, match=r"`second` to be .* several of some \(IL_0000652, IL_00031"
    ):
        PairDataset(first, both)
    with pytest.raises(
        ValueError, match=r"got 2 of 3 without \(IL_0003176, IL_0002000\)\. Take the"
    ):
        PairDataset(first, both.subset([0]))
    with pytest.raises(ValueError, match="`name` to be a key that a sample does not have, but got"):
        PairDataset(first, first, name="image")
    with pytest.raises(
        TypeError, match="`first` to be an `ISICDataset` with one image of each lesi"
    ):
        PairDataset(DataLoader(first), first)  # type: ignore[arg-type]
    archive = ISICDataset.from_isic_archive(write_isic_archive(tmp_path / "archive"))
    with pytest.raises(
        ValueError, match=r"images without a lesion \(ISIC_0000004\)\. Read one kind"
    ):
        PairDataset(archive, archive)


# PAD-UFES-20


def test_a_number_of_a_lesion_is_of_one_patient_alone(tmp_path: Path) -> None:
    table = read_padufes(write_padufes(tmp_path))

    assert table["lesion"].tolist() == ["PAT_8_15", "PAT_8_15", "PAT_12_15", "PAT_30_41"]
    assert table["skin_type"].tolist() == [2, pd.NA, pd.NA, pd.NA]
    assert table["site"].tolist() == ["head/neck", "head/neck", "upper extremity", "lip"]
    assert ISICDataset.from_padufes(tmp_path).groups.tolist() == [
        "PAT_8",
        "PAT_8",
        "PAT_12",
        "PAT_30",
    ]


@pytest.mark.parametrize("places", [("images",), ("images/imgs_part_1", "images/imgs_part_2")])
def test_the_photographs_may_lie_in_other_folders(places: tuple[str, ...], tmp_path: Path) -> None:
    ids = read_padufes(write_padufes(tmp_path / "whole"))["id"]
    root = tmp_path / "moved"
    for number, place in enumerate(places):
        write_images(root / place, list(ids[number :: len(places)]), ".png")
    (tmp_path / "whole" / "metadata.csv").rename(root / "metadata.csv")

    assert (read_padufes(root)["image_path"] != "").all()


# BCN20000


def test_the_test_split_of_bcn20000_has_no_labels(tmp_path: Path) -> None:
    dataset = ISICDataset.from_bcn20000(write_bcn20000(tmp_path), "test")

    assert dataset.ids.tolist() == ["BCN_0000000042"]
    assert not dataset.has_labels
    assert dataset[0]["image"].shape == (12, 16, 3)


# The archive


def test_the_archive_tells_malignancy_and_kinds(tmp_path: Path) -> None:
    table = read_isic_archive(write_isic_archive(tmp_path))

    assert table["malignant"].tolist() == [True, False, pd.NA, False]
    assert table["label"].tolist() == [0, 1, pd.NA, pd.NA]
    dermoscopic = ISICDataset.from_isic_archive(tmp_path, kind="dermoscopic", label_space="binary")
    assert dermoscopic.labels.tolist() == [1]
    for kind in ("clinical", "Clinical: close-up"):
        assert read_isic_archive(tmp_path, kind=kind)["id"].tolist() == table["id"].tolist()[1:]
    with pytest.raises(
        ValueError, match=r"got 'TBP'\. There are clinical: close-up, dermoscopic\."
    ):
        read_isic_archive(tmp_path, kind="TBP")


def test_an_archive_without_diagnoses_has_no_labels(tmp_path: Path) -> None:
    write_csv(tmp_path / "metadata.csv", {"isic_id": ["ISIC_1"], "attribution": ["Anonymous"]})
    write_images(tmp_path / "images", ["ISIC_1"], ".JPG")  # as older versions of the tool wrote

    table = read_isic_archive(tmp_path)

    assert "label" not in table
    assert table["image_type"].tolist() == table["diagnosis"].tolist() == [""]
    assert table["image_path"].str.endswith("ISIC_1.JPG").all()


# One-hot


def test_the_columns_of_0_and_1_are_the_classes(tmp_path: Path) -> None:
    dataset = ISICDataset.from_onehot(write_onehot(tmp_path))

    assert dataset.label_space.codes == ("nevus", "melanoma", "wart")
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.class_counts().tolist() == [1, 2, 0]
    assert dataset.groups.tolist() == ["P1", "P2", "P1"]
    two = read_onehot(tmp_path / "clinic.csv", classes=["melanoma", "nevus"], image="FileName")
    assert two["label"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"classes": ["nevus", "mole"]}, "the columns nevus, mole, but got one without mole"),
        (
            {"classes": ["nevus", "wart"]},
            "one class of each row is 1, but got 2 other (row 2: 'b.png",
        ),
        (
            {"image": "picture"},
            "a table with the column picture, but got the columns filename, nevu",
        ),
        (
            {"classes": ["nevus"]},
            "a table with two columns of 0 and 1 or more, but got nevus. Name",
        ),
    ],
)
def test_other_columns_of_a_one_hot_table_are_refused(
    options: dict[str, Any], fragment: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(fragment)):
        read_onehot(write_onehot(tmp_path), **options)


@pytest.mark.parametrize("name", [*CODES])
def test_tables_are_read_as_spreadsheets_write_them(name: str, tmp_path: Path) -> None:
    wanted = find_reader(name).read(releases.write(name, tmp_path))
    for file in tmp_path.glob("*.csv"):
        text = file.read_text().replace(",", ";")
        file.write_text("sep=;\n" + text.replace("\n", "\n;;;\n", 1))

    pd.testing.assert_frame_equal(find_reader(name).read(tmp_path), wanted)


def test_a_column_of_names_is_no_class(tmp_path: Path) -> None:
    write_images(tmp_path, ["0", "1"])
    write_csv(tmp_path / "two.csv", {"name": ["0", "1"], "a": [1, 0], "b": [0, 1]})

    table = read_onehot(tmp_path)

    assert label_space_of(table).codes == ("a", "b")
    assert table["image_path"].tolist() == [f"{tmp_path / name}.jpg" for name in "01"]


def test_a_folder_of_several_tables_is_refused(tmp_path: Path) -> None:
    (write_onehot(tmp_path) / "more.csv").write_text("image,a,a\nx,0,1\n")

    with pytest.raises(
        ValueError, match=r"but got clinic\.csv, more\.csv\. Give the path of the file"
    ):
        read_onehot(tmp_path)
    with pytest.raises(ValueError, match="to be a table with each column once, but got a, a twice"):
        read_onehot(tmp_path / "more.csv")
