"""A dataset over a store against the same one over its folder, and what a store lacks."""

import pickle
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dermolib import (
    DatasetNotFoundError,
    ISICDataset,
    PreparedStore,
    augment_offline,
    make_loader,
    prepare,
    shades_of_gray,
)

# Private: its law holds for rows that no dataset would take
from dermolib.datasets.files import find_files
from dermolib.datasets.store import load_image
from dermolib.io import resize_image, resize_mask, write_image, write_mask
from dermolib.preprocessing import field_of_view
from drawing import noise_image

NAMES = [f"IMG_{number}" for number in range(6)]
P = 4
STEPS: list[Any] = ["crop_border", partial(shades_of_gray, p=P)]
SIZE = (10, 14)


@pytest.fixture
def framed(challenge: Path) -> Path:
    """Draw the challenge again, larger and in a dark frame, so that there is something to crop."""
    for seed, name in enumerate(NAMES):
        image = noise_image(40, 50, seed) // 2 + np.uint8(120)
        image[: 6 + seed] = image[:, :5] = 1
        write_image(challenge / "Train" / f"{name}.jpg", image)
        mask = np.zeros((40, 50), np.bool_)
        mask[15:30, 10 : 30 + seed] = True
        write_mask(challenge / "Train" / f"{name}_seg.png", mask)
    return challenge


def prepared(challenge: Path, destination: Path, **options: Any) -> PreparedStore:
    """Prepare the training images with their masks."""
    train = challenge / "Train"
    given_options: dict[str, Any] = {"masks": train, "progress": False, **options}
    return prepare(train, destination, steps=STEPS, image_size=SIZE, **given_options)


@pytest.fixture
def store(framed: Path, tmp_path: Path) -> PreparedStore:
    return prepared(framed, tmp_path / "store")


def steps_by_hand(image: Any, mask: Any) -> dict[str, Any]:
    """Do to a sample of the folder what the store was made with."""
    box = field_of_view(image)
    return {
        "image": resize_image(shades_of_gray(box.crop(image), p=P), SIZE),
        "mask": resize_mask(box.crop(mask), SIZE),
    }


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.parametrize("opened", [True, False])
def test_samples_of_a_store_are_those_of_the_folder_after_the_steps(
    framed: Path, store: PreparedStore, opened: bool
) -> None:
    options: dict[str, Any] = {"masks": True, "metadata": True}
    folder = ISICDataset.from_challenge(framed, transform=steps_by_hand, **options)

    dataset = ISICDataset(framed / "metadataTrain.csv", store if opened else store.path, **options)

    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - what was pickled just now
    for number in range(6):
        sample = dataset[number]
        assert_same(sample, folder[number])
        assert_same(again[number], sample)
        assert (sample["image"].dtype, sample["mask"].dtype) == (np.uint8, np.bool_)
        sample["image"][:], sample["mask"][:] = 0, True  # copies, which may be written to
    assert_same(dataset[0], folder[0])


def test_the_order_is_that_of_the_table_and_not_of_the_store(
    framed: Path, store: PreparedStore
) -> None:
    table = pd.read_csv(framed / "metadataTrain.csv").iloc[[4, 0, 3]]

    dataset = ISICDataset(table, store)

    assert {*dataset[0]} == {"image", "label", "id"}
    assert dataset.ids.tolist() == ["IMG_4", "IMG_0", "IMG_3"]
    for sample in map(dataset.__getitem__, range(3)):
        np.testing.assert_array_equal(sample["image"], store[sample["id"]])


def test_a_store_takes_the_place_of_the_images_of_a_challenge(
    framed: Path, store: PreparedStore
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    assert dataset.groups.tolist() == ["L0", "L1", "IMG_2", "L1", "L2", "IMG_5"]
    np.testing.assert_array_equal(dataset[2]["image"], store["IMG_2"])
    np.testing.assert_array_equal(dataset[2]["mask"], store.mask(2))
    assert repr(dataset) == f"ISICDataset(6 images for train, from {store.path})"
    part = dataset.subset([3, 3, 0]).with_transform(
        lambda image, mask: {"image": image.mean(), "mask": mask}
    )
    means = [part[number]["image"] for number in range(3)]
    assert means == [store[name].mean() for name in ("IMG_3", "IMG_3", "IMG_0")]


def test_a_dataset_changes_over_to_a_store_and_back(framed: Path, store: PreparedStore) -> None:
    dataset = ISICDataset.from_challenge(framed, masks=True).subset([5, 1], split="validation")

    over = dataset.with_images(store)

    assert (over.ids.tolist(), over.split) == (["IMG_5", "IMG_1"], "validation")
    np.testing.assert_array_equal(over[0]["image"], store["IMG_5"])
    np.testing.assert_array_equal(over[0]["mask"], store.mask(5))
    assert dataset[0]["image"].shape == (40, 50, 3)
    assert dataset.with_images(str(store.path)).table.equals(over.table)
    sentence = r"masks\.npy#5` to be a mask \(40, 50\) of dtype bool, but got shape \(10, 14\)"
    with pytest.raises(ValueError, match=sentence):
        over.with_images(framed / "Train")[0]


@pytest.mark.parametrize(
    ("context", "workers"),
    [
        ("fork", 2),
        pytest.param("spawn", 1, marks=pytest.mark.slow),  # a fresh process imports everything
    ],
)
def test_worker_processes_read_the_store(
    framed: Path, store: PreparedStore, context: str, workers: int
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)
    options: dict[str, Any] = {"batch_size": 3, "multiprocessing_context": context}

    for loader in (
        DataLoader(dataset, num_workers=workers, **options),
        make_loader(dataset, workers=workers, **options),
    ):
        batches = list(loader)
        assert [name for batch in batches for name in batch["id"]] == NAMES
        images = np.concatenate([batch["image"].numpy() for batch in batches])
        masks = np.concatenate([batch["mask"].numpy() for batch in batches])
        np.testing.assert_array_equal(images, store.images)
        np.testing.assert_array_equal(masks, [store.mask(number) for number in range(6)])


def test_rows_that_a_store_lacks_are_counted_and_named(framed: Path, tmp_path: Path) -> None:
    (framed / "Train" / "IMG_4.jpg").write_bytes(b"")
    options: dict[str, Any] = {"exclude": ["*_seg.png", "IMG_1*"], "errors": "skip"}
    store = prepared(framed, tmp_path / "part", **options)
    sentence = (
        f"Expected `{store.path}` to be a folder with an image for each row, but got 2 of 6 "
        'without (IMG_1, IMG_4). Fetch them, or pass `missing="drop"` to leave their rows out.'
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(sentence)}$"):
        ISICDataset.from_challenge(framed, image_dir=store)
    with pytest.raises(FileNotFoundError, match=r"2 of 6 without \(IMG_1, IMG_4\)\. Make these"):
        ISICDataset.from_challenge(framed).with_images(store)

    with pytest.warns(UserWarning, match=r"Left out rows without an image .* 2 of 6 without"):
        dataset = ISICDataset.from_challenge(framed, image_dir=store, missing="drop", masks=True)

    folder = ISICDataset.from_challenge(framed, transform=steps_by_hand, masks=True)
    assert dataset.dropped == ("IMG_1", "IMG_4")
    for number, row in enumerate([0, 2, 3, 5]):
        assert_same(dataset[number], folder[row])


def test_masks_that_a_store_lacks_are_refused(framed: Path, tmp_path: Path) -> None:
    store = prepared(framed, tmp_path / "bare", masks=None)
    dataset = ISICDataset.from_challenge(framed, masks=True)

    with pytest.raises(ValueError, match=r"a store with masks, .* folder with `masks=`"):
        ISICDataset.from_challenge(framed, image_dir=store, masks=True)
    with pytest.raises(ValueError, match=r"a store with masks, .* folder with `masks=`"):
        dataset.with_images(store)
    rows = ISICDataset.from_challenge(framed, image_dir=store).table
    assert rows["mask_path"].tolist() == [""] * 6


def test_a_store_that_is_incomplete_or_gone_is_refused(
    framed: Path, store: PreparedStore, tmp_path: Path
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store)
    (framed / "Train" / "IMG_2.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="1 that cannot be prepared"):
        prepared(framed, tmp_path / "half")

    with pytest.raises(ValueError, match="to be a complete store, but got one that is not"):
        ISICDataset.from_challenge(framed, image_dir=tmp_path / "half")
    (store.path / "images.npy").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"images\.npy` to exist, but it does not"):
        dataset[0]


def test_a_folder_of_images_with_arrays_beside_them_stays_a_folder(framed: Path) -> None:
    np.save(framed / "Train" / "images.npy", np.zeros(3))

    assert ISICDataset.from_challenge(framed)[0]["image"].shape == (40, 50, 3)


def test_augmented_files_follow_rows_of_a_store(framed: Path, tmp_path: Path) -> None:
    train = framed / "Train"
    store = prepare(train, tmp_path / "large", steps=[], image_size=40, masks=train, progress=False)
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    augment_offline(dataset, tmp_path / "aug", factors={"MEL": 3}, progress=False)

    both = dataset.with_augmented(tmp_path / "aug")
    assert both.ids.tolist() == [*NAMES, "IMG_0_aug1", "IMG_0_aug2"]
    np.testing.assert_array_equal(both[3]["image"], store["IMG_3"])
    assert both[7]["mask"].shape == (40, 40)
    batch = next(iter(DataLoader(both, batch_size=8, num_workers=1)))
    assert batch["image"].shape == (8, 40, 40, 3)


def test_files_are_found_in_a_folder_with_their_masks_elsewhere(
    framed: Path, store: PreparedStore, tmp_path: Path
) -> None:
    train, rows = framed / "Train", pd.DataFrame({"id": ["IMG_1", "IMG_9"]})
    write_mask(tmp_path / "masks" / "IMG_1_seg.png", np.ones((2, 2), np.bool_))

    found = find_files(rows, train, tmp_path / "masks", masks=True)
    stored = find_files(rows, store, "ignored", masks=True)

    assert (found.place, found.stored) == (train, False)
    assert found.images.tolist() == [str(train / "IMG_1.jpg"), ""]
    assert found.masks.tolist() == [str(tmp_path / "masks" / "IMG_1_seg.png"), ""]
    assert (stored.place, stored.stored) == (store.path, True)
    assert stored.images.tolist() == [store.image_path(1), ""]
    assert stored.masks.tolist() == [store.mask_path(1), ""]


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedStore]:
    """Write a folder, and a store of the same images."""
    root = tmp_path_factory.mktemp("alike")
    for number in range(6):
        write_image(root / "in" / f"{number}.png", noise_image(3, 4, number))
    store = prepare(root / "in", root / "out", steps=[], image_size=(3, 4), progress=False)
    return root / "in", store


@given(rows=st.lists(st.integers(0, 8), max_size=12))
def test_any_choice_of_rows_is_found_alike_in_folder_and_store(
    alike: tuple[Path, PreparedStore], rows: list[int]
) -> None:
    table = pd.DataFrame({"id": [str(row) for row in rows]})

    folder, stored = (find_files(table, place, masks=False).images for place in alike)

    for row, first, second in zip(rows, folder, stored, strict=True):
        assert bool(first) == bool(second) == (row < 6)
        if first:
            np.testing.assert_array_equal(load_image(first), load_image(second))


def one_row(name: str = "A", **columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"ID": [name], "CLASS": [1], **columns})


def test_a_table_with_paths_of_its_own_needs_neither_masks_nor_texts(tmp_path: Path) -> None:
    path, mask = tmp_path / "of another name.png", tmp_path / "m.png"
    write_image(path, noise_image(12, 16, 0))
    write_mask(mask, np.ones((12, 16), np.bool_))
    one_row(image_path=path).to_csv(tmp_path / "table.csv", index=False)

    tables: list[Any] = [
        one_row(image_path=path),
        one_row(image_path=str(path), mask_path=[None]),
        one_row(image_path=path, mask_path=mask),
        tmp_path / "table.csv",
    ]

    for table in tables:
        dataset = ISICDataset(table)
        np.testing.assert_array_equal(dataset[0]["image"], noise_image(12, 16, 0))
        assert dataset.image_paths.tolist() == [str(path)]
    assert ISICDataset(tables[2], masks=True)[0]["mask"].all()
    with pytest.raises(FileNotFoundError, match=r"an image and a mask for each row, but got 1 of"):
        ISICDataset(tables[0], masks=True)
    with pytest.raises(TypeError, match=r"`image_path` to be a column of paths, but got 5 in row"):
        ISICDataset(one_row(image_path=5))
    with pytest.raises(ValueError, match=r"the folder of the images, or a column `image_path`"):
        ISICDataset(one_row())


def test_where_nothing_matches_the_message_shows_what_was_looked_for_and_what_is_there(
    tmp_path: Path, store: PreparedStore
) -> None:
    for name in ("c.jpg", "b.png", "a.jpg", "d.jpg"):
        write_image(tmp_path / "images" / name, noise_image(8, 8, 0))
    (tmp_path / "masks").mkdir()

    for place, words in [
        (tmp_path / "images", "(X.JPG), looking for X.jpg among a.jpg, b.png, c.jpg. Fetch them"),
        (tmp_path / "masks", "(X.JPG), looking for X.jpg among no files."),
        (store.path, "(X.JPG), looking for X.JPG among IMG_0, IMG_1, IMG_2."),
    ]:
        with pytest.raises(FileNotFoundError, match=re.escape(words)) as raised:
            ISICDataset(one_row("X.JPG"), place)
        assert str(raised.value).startswith(f"Expected `{place}` to be a folder with an image")
    with pytest.raises(FileNotFoundError, match=r"masks` .*for b_seg\.png among no files"):
        ISICDataset(one_row("b"), tmp_path / "images", masks=True, mask_dir=tmp_path / "masks")


def test_one_file_for_two_rows_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "A.jpg", noise_image(8, 8, 0))
    table = pd.DataFrame({"ID": ["A", "A.jpg"], "CLASS": [1, 2]})

    with pytest.raises(ValueError, match=r"a file for each row, but got .*A\.jpg alone for A and "):
        ISICDataset(table, tmp_path)


def test_masks_are_found_in_a_folder_of_their_own_and_below(tmp_path: Path) -> None:
    for file in ("images/MEL/A.jpg", "images/NV/B.jpg"):
        write_image(tmp_path / file, noise_image(8, 8, 0))
    for file in ("images/masks/A.png", "own/B.png", "own/deep/A_mask.png"):
        write_mask(tmp_path / file, np.ones((8, 8), np.bool_))
    rows = pd.DataFrame({"id": ["A", "B"]})

    beside = find_files(rows, tmp_path / "images", masks=True)
    own = find_files(rows, tmp_path / "images", tmp_path / "own", masks=True)

    images = [tmp_path / "images" / file for file in ("MEL/A.jpg", "NV/B.jpg")]
    assert [*map(Path, beside.images)] == images
    assert beside.masks.tolist() == [str(tmp_path / "images" / "masks" / "A.png"), ""]
    assert [*map(Path, own.masks)] == [tmp_path / "own/deep/A_mask.png", tmp_path / "own/B.png"]


@pytest.mark.parametrize("name", ["IMG_2_downsampled", "img_2", "IMG_2.jpg"])
def test_a_store_finds_its_images_however_an_id_is_written(store: PreparedStore, name: str) -> None:
    assert store.find([name, "IMG_2", "absent"]).tolist() == [2, 2, -1]
    assert ISICDataset(one_row(name), store).image_paths.tolist() == [store.image_path(2)]
