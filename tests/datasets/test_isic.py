import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from dermolib import ISICDataset
from dermolib._validation import DatasetNotFoundError
from dermolib.io import read_image, write_image, write_mask
from drawing import noise_image


def open_train(challenge: Path, **options: Any) -> ISICDataset:
    return ISICDataset.from_challenge(challenge, **options)


def test_a_sample_is_a_dictionary_of_image_label_and_id(challenge: Path) -> None:
    dataset = open_train(challenge)

    sample = dataset[3]

    np.testing.assert_array_equal(sample["image"], read_image(challenge / "Train" / "IMG_3.jpg"))
    assert (sample["label"], sample["id"], set(sample)) == (7, "IMG_3", {"image", "label", "id"})


def test_masks_and_metadata_come_on_request(challenge: Path) -> None:
    sample = open_train(challenge, masks=True, metadata=True)[0]

    assert sample["mask"].dtype == np.bool_
    assert sample["mask"].sum() == 48
    assert sample["metadata"].shape == (13,)


def test_a_test_set_has_no_labels(challenge: Path) -> None:
    dataset = open_train(challenge, split="test")

    assert set(dataset[0]) == {"image", "id"}
    assert not dataset.has_labels
    with pytest.raises(RuntimeError, match=r"`labels` to be read from a table with classes"):
        _ = dataset.labels


def test_labels_groups_and_counts_follow_the_table(challenge: Path) -> None:
    dataset = open_train(challenge)

    assert dataset.labels.tolist() == [0, 1, 2, 7, 1, 1]
    assert dataset.groups.tolist() == ["L0", "L1", "IMG_2", "L1", "L2", "IMG_5"]
    assert dataset.class_counts().tolist() == [1, 3, 1, 0, 0, 0, 0, 1]
    assert dataset.ids.tolist() == [f"IMG_{number}" for number in range(6)]


def test_labels_become_a_tensor_without_a_warning(challenge: Path) -> None:
    assert torch.from_numpy(open_train(challenge).labels).tolist() == [0, 1, 2, 7, 1, 1]


def test_a_subset_keeps_order_options_and_groups(challenge: Path) -> None:
    dataset = open_train(challenge, metadata=True)

    part = dataset.subset([4, 1], split="validation")

    assert part.ids.tolist() == ["IMG_4", "IMG_1"]
    assert part.groups.tolist() == ["L2", "L1"]
    assert (part.split, dataset.split) == ("validation", "train")
    np.testing.assert_array_equal(part[1]["metadata"], dataset[1]["metadata"])


def test_an_empty_subset_is_a_dataset_of_no_samples(challenge: Path) -> None:
    part = open_train(challenge).subset([])

    assert len(part) == 0
    assert part.class_counts().sum() == 0
    assert "0 images" in repr(part)


def test_a_transform_gets_image_and_mask_and_replaces_both(challenge: Path) -> None:
    def transform(image: Any, mask: Any) -> dict[str, Any]:
        return {"image": torch.from_numpy(image[mask].mean(axis=0)), "mask": mask.sum()}

    dataset = open_train(challenge, masks=True).with_transform(transform)

    assert dataset[0]["image"].shape == (3,)
    assert dataset[0]["mask"] == 48


def test_samples_collate_into_batches_in_worker_processes(challenge: Path) -> None:
    dataset = open_train(challenge, masks=True, metadata=True)

    batch = next(iter(DataLoader(dataset, batch_size=6, num_workers=1)))

    assert batch["image"].shape == (6, 12, 16, 3)
    assert batch["label"].tolist() == [0, 1, 2, 7, 1, 1]
    assert batch["mask"].dtype == torch.bool
    assert batch["metadata"].dtype == torch.float32
    assert batch["id"][0] == "IMG_0"


def test_a_negative_index_counts_from_the_end(challenge: Path) -> None:
    dataset = open_train(challenge)

    assert dataset[-1]["id"] == "IMG_5"


@pytest.mark.parametrize("index", [6, -7])
def test_a_row_that_is_not_there_is_an_index_error(challenge: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"a row number below 6, but got {index}"):
        open_train(challenge)[index]


@pytest.mark.parametrize("rows", [[6], [-1]])
def test_a_subset_outside_of_the_table_is_refused(challenge: Path, rows: list[int]) -> None:
    with pytest.raises(IndexError, match=re.escape("row numbers in 0..5, but got")):
        open_train(challenge).subset(rows)


def test_a_subset_by_mask_is_refused(challenge: Path) -> None:
    with pytest.raises(TypeError, match="row numbers, but got dtype bool"):
        open_train(challenge).subset(np.ones(6, dtype=np.bool_))


def test_missing_images_are_counted_and_named(challenge: Path) -> None:
    for number in (1, 4):
        (challenge / "Train" / f"IMG_{number}.jpg").unlink()

    sentence = 'but got 2 of 6 lack it (IMG_1, IMG_4). Fetch them, or pass `missing="drop"`'
    with pytest.raises(FileNotFoundError, match=re.escape(sentence)):
        open_train(challenge)


def test_dropped_rows_are_told_and_kept_by_name(challenge: Path) -> None:
    (challenge / "Train" / "IMG_1.jpg").unlink()

    with pytest.warns(UserWarning, match=r"Left out rows without an image .*1 of 6 lack it"):
        dataset = open_train(challenge, missing="drop")

    assert dataset.dropped == ("IMG_1",)
    assert dataset.ids.tolist() == ["IMG_0", "IMG_2", "IMG_3", "IMG_4", "IMG_5"]


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


def test_a_mask_of_another_size_names_its_file(challenge: Path) -> None:
    write_mask(challenge / "Train" / "IMG_0_seg.png", np.ones((4, 4), dtype=np.bool_))

    with pytest.raises(ValueError, match=r"IMG_0_seg\.png` to be a mask of size \(12, 16\)"):
        open_train(challenge, masks=True)[0]


def test_an_unreadable_image_names_its_file(challenge: Path) -> None:
    (challenge / "Train" / "IMG_0.jpg").write_bytes(b"<html>")

    with pytest.raises(ValueError, match=r"IMG_0\.jpg` to be an image file"):
        open_train(challenge)[0]


def test_a_missing_folder_is_told_its_layout(challenge: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"nowhere` to exist.*a folder with ID\.jpg"):
        ISICDataset(challenge / "metadataTrain.csv", challenge / "nowhere")


@pytest.mark.parametrize("option", ["missing", "split"])
def test_an_unknown_choice_lists_the_known(challenge: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"`{option}` to be one of"):
        ISICDataset(challenge / "metadataTrain.csv", challenge / "Train", **{option: "x"})  # type: ignore[arg-type]  # the wrong value under test


def test_cleaned_images_take_the_place_of_the_originals(challenge: Path, tmp_path: Path) -> None:
    dataset = open_train(challenge, masks=True)
    for name in dataset.ids:
        write_image(tmp_path / "clean" / f"{name}.png", noise_image(12, 16, 99))

    cleaned = dataset.with_images(tmp_path / "clean")

    np.testing.assert_array_equal(cleaned[0]["image"], noise_image(12, 16, 99))
    assert cleaned[0]["mask"].sum() == 48


def test_cleaned_images_must_be_complete(challenge: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="6 of 6 lack it"):
        open_train(challenge).with_images(tmp_path)


def write_manifest(folder: Path, **columns: Any) -> None:
    """Write a folder like that of offline augmentation, of one image made from IMG_3."""
    row = {"ID": "IMG_3_aug1", "CLASS": 8, "LESION_ID": "L1", "PARENT_ID": "IMG_3", **columns}
    write_image(folder / f"{row['ID']}.png", noise_image(12, 16, 5))
    pd.DataFrame([row]).to_csv(folder / "manifest.csv", index=False)


def test_augmented_rows_join_the_group_of_their_source(challenge: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "aug")

    both = open_train(challenge).with_augmented(tmp_path / "aug")

    assert both.ids.tolist()[-2:] == ["IMG_5", "IMG_3_aug1"]
    assert both.groups[-1] == "L1"
    assert both.class_counts()[7] == 2
    np.testing.assert_array_equal(both[6]["image"], noise_image(12, 16, 5))


def test_a_manifest_without_rows_adds_none(challenge: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("ID,CLASS,PARENT_ID\n")

    assert len(open_train(challenge).with_augmented(tmp_path)) == 6


def test_an_augmented_image_of_another_split_would_leak(challenge: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "aug")
    without_source = open_train(challenge).subset([0, 1, 2])

    with pytest.raises(ValueError, match=r"but got 1 others \(IMG_3\)\. Augment the training rows"):
        without_source.with_augmented(tmp_path / "aug")


def test_an_augmented_row_without_lesion_has_that_of_its_source(
    challenge: Path, tmp_path: Path
) -> None:
    write_manifest(tmp_path / "aug", LESION_ID="")

    assert open_train(challenge).with_augmented(tmp_path / "aug").groups[-1] == "L1"


def test_an_augmented_image_of_another_class_is_refused(challenge: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "aug", CLASS=1)

    with pytest.raises(ValueError, match=r"the class of their source, but got others \(IMG_3_aug1"):
        open_train(challenge).with_augmented(tmp_path / "aug")


def test_a_folder_named_like_an_image_is_none(challenge: Path) -> None:
    (challenge / "Train" / "IMG_1.jpg").unlink()
    (challenge / "Train" / "IMG_1.jpg").mkdir()

    with pytest.raises(FileNotFoundError, match=r"1 of 6 lack it \(IMG_1\)"):
        open_train(challenge)


def test_images_may_lie_elsewhere_than_their_masks(challenge: Path, tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / "other" / f"IMG_{number}.png", noise_image(12, 16, 77))

    dataset = open_train(challenge, image_dir=tmp_path / "other", masks=True)

    np.testing.assert_array_equal(dataset[0]["image"], noise_image(12, 16, 77))
    assert dataset[0]["mask"].sum() == 48


@pytest.mark.parametrize("made", [torch.zeros(3), {"img": 1}])
def test_a_transform_of_another_form_is_told_how_to_wrap_it(challenge: Path, made: Any) -> None:
    dataset = open_train(challenge, transform=lambda **_: made)

    with pytest.raises(TypeError, match=r"returns a dictionary with image, but got .* Wrap it:"):
        dataset[0]


def test_augmented_ids_must_be_new(challenge: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "aug", ID="IMG_0")

    with pytest.raises(ValueError, match=r"a folder of new ids, but got known ones \(IMG_0\)"):
        open_train(challenge).with_augmented(tmp_path / "aug")


def test_validation_rows_take_no_augmented_images(challenge: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match="'train' to take augmented images, but got 'validation'"
    ):
        open_train(challenge).subset([0], split="validation").with_augmented(tmp_path)


def test_a_folder_without_manifest_is_told(challenge: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"manifest\.csv` to exist"):
        open_train(challenge).with_augmented(tmp_path)


@pytest.mark.data
def test_the_real_challenge_opens_with_what_is_there(data_dir: Path) -> None:
    with pytest.warns(UserWarning, match="11470 of 18998 lack it"):
        dataset = ISICDataset.from_challenge(
            data_dir / "isic_challenge", missing="drop", masks=True
        )

    assert dataset.class_counts().tolist() == [836, 5042, 382, 98, 822, 85, 107, 156]
    assert dataset[0]["mask"].shape == (150, 200)


@pytest.mark.parametrize("index", [slice(0, 2), "0", 1.0, np.True_])
def test_what_is_no_row_number_is_refused(challenge: Path, index: Any) -> None:
    with pytest.raises(TypeError, match=r"`index` to be a row number, but got .* with `subset`\."):
        open_train(challenge)[index]


def test_rows_without_a_label_take_no_augmented_images(challenge: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path / "aug")
    rows = open_train(challenge).table
    rows["label"] = rows["label"].astype("Int64").mask(rows["id"] == "IMG_0")

    with pytest.raises(RuntimeError, match="known for all rows, but got 1 of 6 rows without one"):
        ISICDataset(rows).with_augmented(tmp_path / "aug")


def test_masks_of_a_table_stay_where_the_images_come_from_elsewhere(
    challenge: Path, tmp_path: Path
) -> None:
    for number in range(6):
        write_image(tmp_path / "other" / f"IMG_{number}.png", noise_image(12, 16, 77))

    dataset = ISICDataset(open_train(challenge).table, tmp_path / "other", masks=True)

    assert dataset[0]["mask"].sum() == 48
