"""Rows of a table with their images: samples, subsets, missing files, augmented rows."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Resize

from dermolib import DatasetNotFoundError, ISICDataset
from dermolib.datasets.copies import COLUMNS, MANIFEST, copies_job  # a folder is forged
from dermolib.io import digest_file, write_image
from drawing import noise_image
from releases import write_images, write_isic2024


def open_train(challenge: Path, **options: Any) -> ISICDataset:
    return ISICDataset.from_challenge(challenge, **options)


def write_others(folder: Path) -> None:
    """Write another image for each row of the challenge."""
    for number in range(6):
        write_image(folder / f"IMG_{number}.png", noise_image(12, 16, 77))


def test_a_sample_has_image_label_id_mask_and_metadata(challenge: Path) -> None:
    dataset = open_train(challenge, masks=True, metadata=True)

    sample = dataset[3]

    assert len(dataset) == 6
    assert {*sample} == {"image", "label", "id", "mask", "metadata"}
    assert (sample["label"], sample["id"]) == (7, "IMG_3")
    assert (sample["image"].dtype, sample["image"].shape) == (np.uint8, (12, 16, 3))
    assert sample["mask"].sum() == 48
    assert dataset[-1]["id"] == "IMG_5"
    assert repr(dataset) == f"ISICDataset(6 images for train, from {challenge / 'Train'})"


def test_images_of_several_folders_are_said_to_be(tmp_path: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        write_images(tmp_path / patient, [patient])
    table = pd.DataFrame({"id": ["P2", "P1", "P3"]})

    dataset = ISICDataset(table, tmp_path)

    where = f"{tmp_path / 'P2'} and 2 more"
    assert repr(dataset) == f"ISICDataset(3 images for train, from {where})"


def test_the_opener_of_a_collection_has_the_page_of_its_reader() -> None:
    page = ISICDataset.from_milk10k.__doc__ or ""

    assert page.startswith("Open 'milk10k', see `from_collection`, with the layout and options of ")
    assert "two images of each lesion" in page


def test_labels_ids_and_groups_are_in_the_order_of_the_table(challenge: Path) -> None:
    dataset = open_train(challenge)

    assert torch.from_numpy(dataset.labels).tolist() == [0, 1, 2, 7, 1, 1]
    assert dataset.class_counts().tolist() == [1, 3, 1, 0, 0, 0, 0, 1]
    assert dataset.ids.tolist() == [f"IMG_{number}" for number in range(6)]
    assert dataset.groups.tolist() == ["L0", "L1", "IMG_2", "L1", "L2", "IMG_5"]


def test_a_label_space_travels_with_the_data_set(challenge: Path, tmp_path: Path) -> None:
    dataset = open_train(challenge, label_space="isic2018")

    part = dataset.subset(dataset.labelled[::-1], split="validation")

    assert dataset.label_space.name == part.label_space.name == "isic2018"
    assert dataset.unplaced == {"SCC": 1}
    assert dataset.class_counts().tolist() == [1, 3, 1, 0, 0, 0, 0]
    assert part.labels.tolist() == [1, 1, 2, 1, 0]
    assert ISICDataset(part.table).label_space == part.label_space
    words = (
        r"1 of 6 rows without one \(IMG_3\), as the label space isic2018 has no place for SCC \(1"
    )
    with pytest.raises(RuntimeError, match=words):
        _ = dataset.labels
    path = tmp_path / "own.csv"
    path.write_text("ID,diagnosis\nIMG_0,wart\nIMG_1,naevus\n")
    own = ISICDataset(path, challenge / "Train", label_space=["naevus", "wart"])
    assert (own.labels.tolist(), own[0]["label"]) == ([1, 0], 1)
    assert own.with_transform(None).with_images(challenge / "Train").label_space.codes[1] == "wart"


def test_test_rows_have_no_label(challenge: Path) -> None:
    dataset = ISICDataset.from_challenge(challenge, "test")

    assert {*dataset[0]} == {"image", "id"}
    assert dataset.labelled.tolist() == []
    with pytest.raises(RuntimeError, match="read from a table with classes, but got none"):
        _ = dataset.labels
    with pytest.raises(RuntimeError, match="read from a table with classes, but got none"):
        dataset.class_counts()


def test_a_subset_keeps_order_options_and_groups(challenge: Path) -> None:
    dataset = open_train(challenge, metadata=True)

    part = dataset.subset([4, 1], split="validation")

    assert part.ids.tolist() == ["IMG_4", "IMG_1"]
    assert part.groups.tolist() == ["L2", "L1"]
    assert (part.split, dataset.split) == ("validation", "train")
    np.testing.assert_array_equal(part[1]["metadata"], dataset[1]["metadata"])
    none = dataset.subset([])
    assert (len(none), none.class_counts().sum()) == (0, 0)
    assert "0 images" in repr(none)


@pytest.mark.parametrize(
    ("rows", "error", "fragment"),
    [
        ([6], IndexError, "row numbers in 0..5, but got 6..6"),
        ([-1], IndexError, "row numbers in 0..5, but got -1..-1"),
        (np.ones(6, np.bool_), TypeError, "row numbers, but got dtype bool. Find those of a mask"),
    ],
)
def test_a_subset_of_other_rows_is_refused(
    challenge: Path, rows: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        open_train(challenge).subset(rows)


@pytest.mark.parametrize(
    "index",
    [6, -7, slice(0, 2), "0", 1.0, np.True_, torch.tensor(True), torch.tensor(1.0), np.array([1])],
    ids=lambda index: f"{type(index).__name__} {index}",
)
def test_what_is_not_a_row_number_is_refused(challenge: Path, index: Any) -> None:
    error = IndexError if isinstance(index, int) else TypeError
    with pytest.raises(error, match=r"a row number below 6|a row number, but .* with `subset`"):
        open_train(challenge)[index]


def test_a_transform_gets_image_and_mask_and_replaces_both(challenge: Path) -> None:
    def transform(image: Any, mask: Any) -> dict[str, Any]:
        return {"image": torch.from_numpy(image[mask].mean(axis=0)), "mask": mask.sum()}

    dataset = open_train(challenge, masks=True).with_transform(transform)

    assert dataset[0]["image"].shape == (3,)
    assert dataset[0]["mask"] == 48


@pytest.mark.parametrize(
    ("transform", "masks", "fragment"),
    [
        (
            "paper",
            False,
            "`transform` to be a function, but got 'paper'. Make one, such as `preset(",
        ),
        (
            lambda x: x,
            False,
            "as `<lambda>(image=...)`, but got one that takes x. It returns a dict",
        ),
        (nn.Identity(), True, "as `forward(image=..., mask=...)`, but got one that takes input."),
        (
            Compose([Resize(8)]),
            True,
            "moves the mask as well, but got torchvision.transforms.transforms.Compose. Use `",
        ),
        (
            lambda image: image,
            True,
            "`lambda image, mask: {'image': transform(image), 'mask': mask}`, if it moves no",
        ),
    ],
)
def test_what_cannot_be_called_as_a_transform_is_refused_at_once(
    challenge: Path, transform: Any, masks: bool, fragment: str
) -> None:
    dataset = open_train(challenge, masks=masks)

    for use in (
        dataset.with_transform,
        lambda one: ISICDataset(dataset.table, transform=one, masks=masks),
    ):
        with pytest.raises(TypeError, match=re.escape(fragment)):
            use(transform)


@pytest.mark.parametrize("made", [torch.zeros(3), {"img": 1}])
def test_a_transform_of_another_form_is_refused_with_a_wrapper(challenge: Path, made: Any) -> None:
    dataset = open_train(challenge, transform=lambda **_: made)

    with pytest.raises(TypeError, match=r"returns a dictionary with image, but got .* Wrap it:"):
        dataset[0]


def test_samples_collate_into_batches_in_worker_processes(challenge: Path) -> None:
    dataset = open_train(challenge, masks=True, metadata=True)

    batch = next(iter(DataLoader(dataset, batch_size=6, num_workers=1)))

    assert batch["image"].shape == (6, 12, 16, 3)
    assert batch["label"].tolist() == [0, 1, 2, 7, 1, 1]
    assert batch["mask"].dtype == torch.bool
    assert batch["metadata"].dtype == torch.float32
    assert batch["id"][0] == "IMG_0"


def test_names_of_any_characters_are_kept(challenge: Path) -> None:
    names = ["é", "a b", b"\xff".decode("utf-8", "surrogateescape")]
    table = open_train(challenge).table.iloc[:3].assign(id=names)

    assert [sample["id"] for sample in map(ISICDataset(table).__getitem__, range(3))] == names


def test_missing_images_are_counted_and_named_or_dropped(challenge: Path) -> None:
    for number in (1, 4):
        (challenge / "Train" / f"IMG_{number}.jpg").unlink()
    (challenge / "Train" / "IMG_4.jpg").mkdir()  # a folder is not an image

    sentence = 'but got 2 of 6 without (IMG_1, IMG_4). Fetch them, or pass `missing="drop"`'
    with pytest.raises(FileNotFoundError, match=re.escape(sentence)):
        open_train(challenge)
    with pytest.warns(UserWarning, match=r"Left out rows without an image .*2 of 6 without"):
        dataset = open_train(challenge, missing="drop")
    assert dataset.dropped == ("IMG_1", "IMG_4")
    assert dataset.ids.tolist() == ["IMG_0", "IMG_2", "IMG_3", "IMG_5"]


def test_a_missing_mask_matters_only_where_masks_are_wanted(challenge: Path) -> None:
    (challenge / "Train" / "IMG_1_seg.png").unlink()

    assert len(open_train(challenge)) == 6
    with pytest.raises(FileNotFoundError, match="an image and a mask for each row"):
        open_train(challenge, masks=True)


def test_jpg_is_taken_before_png_in_any_letter_case(challenge: Path) -> None:
    train = challenge / "Train"
    write_image(train / "IMG_0.png", noise_image(2, 2, 0))
    (train / "IMG_1.jpg").rename(train / "IMG_1.JPG")

    dataset = open_train(challenge)

    assert dataset[0]["image"].shape == (12, 16, 3)
    assert dataset[1]["id"] == "IMG_1"


def test_images_may_be_in_folders_and_files_of_several_kinds(tmp_path: Path) -> None:
    root = write_isic2024(tmp_path)
    write_images(tmp_path / "more", ["ISIC_9"])
    frame = pd.DataFrame({"ID": ["ISIC_1", "ISIC_9"]})
    places = [root / "train-image.hdf5", tmp_path / "more"]

    for order in (places, places[::-1]):
        dataset = ISICDataset(frame, order)
        assert dataset[1]["image"].shape == dataset[0]["image"].shape == (12, 16, 3)
    with pytest.raises(ValueError, match="`image_dir` to be a folder, or several, but got none"):
        ISICDataset(frame, [])
    with pytest.raises(ValueError, match="`image_dir` to be a folder, but got none, and no paths"):
        ISICDataset(frame)


def test_a_missing_folder_is_refused_with_its_layout(challenge: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"nowhere` to exist.*a folder with ID\.jpg"):
        ISICDataset(challenge / "metadataTrain.csv", challenge / "nowhere")


@pytest.mark.parametrize("option", ["missing", "split"])
def test_an_unknown_choice_lists_the_known(challenge: Path, option: str) -> None:
    options: Any = {option: "x"}
    with pytest.raises(ValueError, match=f"`{option}` to be one of"):
        ISICDataset(challenge / "metadataTrain.csv", challenge / "Train", **options)


def test_masks_stay_where_the_images_come_from_elsewhere(challenge: Path, tmp_path: Path) -> None:
    write_others(tmp_path / "other")
    original = open_train(challenge, masks=True)

    for dataset in (
        original.with_images(tmp_path / "other"),
        open_train(challenge, image_dir=tmp_path / "other", masks=True),
        ISICDataset(original.table, tmp_path / "other", masks=True),
    ):
        np.testing.assert_array_equal(dataset[0]["image"], noise_image(12, 16, 77))
        assert dataset[0]["mask"].sum() == 48
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"6 of 6 without .* Make these files"):
        original.with_images(tmp_path / "empty")


def write_copies(folder: Path, *rows: dict[str, str]) -> Path:
    """Write a folder like that of offline augmentation, of images made from IMG_3."""
    known = {"ID": "IMG_3_aug1", "CLASS": "8", "LESION_ID": "L1", "PARENT_ID": "IMG_3"}
    records = [{**dict.fromkeys(COLUMNS, ""), **known, **row} for row in rows]
    job = copies_job(folder, {})
    with job.open():
        job.start()
        for row in records:
            path = folder / f"{row['ID']}.png"
            write_image(path, noise_image(12, 16, 5))
            job.add([{**row, "digests": [digest_file(path)]}])
        job.write_table(MANIFEST, COLUMNS, [[*row.values()] for row in records])
        job.finish([row["ID"] for row in records])
    return folder


@pytest.mark.parametrize("lesion", ["L1", ""])
def test_augmented_rows_join_the_group_of_their_parent(
    challenge: Path, tmp_path: Path, lesion: str
) -> None:
    both = open_train(challenge).with_augmented(write_copies(tmp_path, {"LESION_ID": lesion}))

    assert both.ids.tolist()[-2:] == ["IMG_5", "IMG_3_aug1"]
    assert both.groups[-1] == "L1"
    assert both.class_counts()[7] == 2
    np.testing.assert_array_equal(both[6]["image"], noise_image(12, 16, 5))


def test_a_manifest_without_rows_adds_none(challenge: Path, tmp_path: Path) -> None:
    assert len(open_train(challenge).with_augmented(write_copies(tmp_path))) == 6


@pytest.mark.parametrize(
    ("columns", "fragment"),
    [
        ({"PARENT_ID": "X"}, "but got 1 others (X). Augment the training rows after the split"),
        ({"CLASS": "1"}, "the class of their parent, but got others (IMG_3_aug1)"),
        ({"ID": "IMG_0"}, "a folder of new ids, but got known ones (IMG_0)"),
    ],
)
def test_augmented_images_of_other_rows_are_refused(
    challenge: Path, tmp_path: Path, columns: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(fragment)):
        open_train(challenge).with_augmented(write_copies(tmp_path, columns))


def test_only_labeled_training_rows_take_augmented_images(challenge: Path, tmp_path: Path) -> None:
    dataset = open_train(challenge)
    with pytest.raises(DatasetNotFoundError, match=r"manifest\.csv` to exist"):
        dataset.with_augmented(tmp_path)
    write_copies(tmp_path, {})
    with pytest.raises(RuntimeError, match="'train' to take augmented images, but got 'valida"):
        dataset.subset([0], split="validation").with_augmented(tmp_path)
    rows = dataset.table
    rows["label"] = rows["label"].astype("Int64").mask(rows["id"] == "IMG_0")
    with pytest.raises(RuntimeError, match="known for all rows, but got 1 of 6 rows without one"):
        ISICDataset(rows).with_augmented(tmp_path)


@pytest.mark.data
def test_the_real_challenge_opens_with_what_is_there(data_dir: Path) -> None:
    with pytest.warns(UserWarning, match="11470 of 18998 without"):
        dataset = open_train(data_dir / "isic_challenge", missing="drop", masks=True)

    assert dataset.class_counts().tolist() == [836, 5042, 382, 98, 822, 85, 107, 156]
    assert dataset[0]["mask"].shape == (150, 200)
