"""A data set over a store against the same one over its folder, and what a store lacks."""

import pickle
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dermolib import ISICDataset, augment_offline, prepare, shades_of_gray
from dermolib._validation import DatasetNotFoundError
from dermolib.datasets.files import Found, find_files
from dermolib.datasets.loaders import make_loader
from dermolib.datasets.store import PreparedStore, load_image
from dermolib.io import (
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    write_image,
    write_mask,
)
from dermolib.preprocessing import field_of_view
from drawing import noise_image

NAMES = [f"IMG_{number}" for number in range(6)]
P = 4
STEPS: list[Any] = ["crop_border", partial(shades_of_gray, p=P)]
SIZE = (10, 14)


@pytest.fixture
def framed(challenge: Path) -> Path:
    """Draw the challenge anew, larger and in a dark frame, so that there is something to cut."""
    for seed, name in enumerate(NAMES):
        image = noise_image(40, 50, seed) // 2 + np.uint8(120)
        image[: 6 + seed] = image[:, :5] = 1
        write_image(challenge / "Train" / f"{name}.jpg", image)
        mask = np.zeros((40, 50), np.bool_)
        mask[15:30, 10 : 30 + seed] = True
        write_mask(challenge / "Train" / f"{name}_seg.png", mask)
    return challenge


@pytest.fixture
def store(framed: Path, tmp_path: Path) -> PreparedStore:
    return prepared(framed, tmp_path / "store")


def prepared(challenge: Path, destination: Path, **options: Any) -> PreparedStore:
    """Prepare the training images with their masks."""
    train = challenge / "Train"
    given_options: dict[str, Any] = {"masks": train, "progress": False, **options}
    return prepare(train, destination, steps=STEPS, image_size=SIZE, **given_options)


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

    assert len(dataset) == 6
    for number in range(6):
        sample = dataset[number]
        assert_same(sample, folder[number])
        assert (sample["image"].dtype, sample["mask"].dtype) == (np.uint8, np.bool_)
        sample["image"][:], sample["mask"][:] = 0, True  # copies, which may be written to
    assert_same(dataset[0], folder[0])


def test_without_masks_a_sample_has_none(framed: Path, store: PreparedStore) -> None:
    dataset = ISICDataset(framed / "metadataTrain.csv", store)

    assert set(dataset[0]) == {"image", "label", "id"}
    np.testing.assert_array_equal(dataset[0]["image"], store["IMG_0"])


def test_the_order_is_that_of_the_table_and_not_of_the_store(
    framed: Path, store: PreparedStore
) -> None:
    table = pd.read_csv(framed / "metadataTrain.csv").iloc[[4, 0, 3]]

    dataset = ISICDataset(table, store)

    assert dataset.ids.tolist() == ["IMG_4", "IMG_0", "IMG_3"]
    for number, name in enumerate(dataset.ids):
        np.testing.assert_array_equal(dataset[number]["image"], store[name])


def test_a_store_takes_the_place_of_the_images_of_a_challenge(
    framed: Path, store: PreparedStore
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    assert dataset.groups.tolist() == ["L0", "L1", "IMG_2", "L1", "L2", "IMG_5"]
    np.testing.assert_array_equal(dataset[2]["image"], store["IMG_2"])
    np.testing.assert_array_equal(dataset[2]["mask"], store.mask(2))
    assert repr(dataset) == f"ISICDataset(6 images for train, from {store.path})"


def test_a_dataset_changes_over_to_a_store_and_back(framed: Path, store: PreparedStore) -> None:
    dataset = ISICDataset.from_challenge(framed, masks=True).subset([5, 1], split="validation")

    over = dataset.with_images(store)

    assert (over.ids.tolist(), over.split) == (["IMG_5", "IMG_1"], "validation")
    np.testing.assert_array_equal(over[0]["image"], store["IMG_5"])
    np.testing.assert_array_equal(over[0]["mask"], store.mask(5))
    assert dataset[0]["image"].shape == (40, 50, 3)
    by_path = dataset.with_images(str(store.path))
    assert by_path.table.equals(over.table)


def test_images_of_a_folder_do_not_take_masks_of_another_size_from_a_store(
    framed: Path, store: PreparedStore
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    back = dataset.with_images(framed / "Train")

    sentence = r"masks\.npy#0` to be a mask \(40, 50\) of dtype bool, but got shape \(10, 14\)"
    with pytest.raises(ValueError, match=sentence):
        back[0]


def test_a_subset_and_a_transform_work_on_a_store(framed: Path, store: PreparedStore) -> None:
    def transform(image: Any, mask: Any) -> dict[str, Any]:
        return {"image": image.mean(), "mask": mask.sum()}

    part = ISICDataset.from_challenge(framed, image_dir=store, masks=True).subset([3, 3, 0])

    means = [
        sample["image"] for sample in map(part.with_transform(transform).__getitem__, range(3))
    ]

    assert means == [store["IMG_3"].mean(), store["IMG_3"].mean(), store["IMG_0"].mean()]


def test_a_dataset_over_a_store_pickles(framed: Path, store: PreparedStore) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - what was pickled just now

    for number in range(6):
        assert_same(again[number], dataset[number])


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

    loader = DataLoader(dataset, batch_size=3, num_workers=workers, multiprocessing_context=context)

    batches = list(loader)
    assert [name for batch in batches for name in batch["id"]] == NAMES
    images = np.concatenate([batch["image"].numpy() for batch in batches])
    masks = np.concatenate([batch["mask"].numpy() for batch in batches])
    np.testing.assert_array_equal(images, store.images)
    np.testing.assert_array_equal(masks, [store.mask(number) for number in range(6)])


def test_the_loader_of_the_library_gives_the_same_batches_of_a_store(
    framed: Path, store: PreparedStore
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store)

    alone, workers = (
        [batch["image"] for batch in make_loader(dataset, batch_size=4, workers=n, shuffle=True)]
        for n in (0, 2)
    )

    for first, second in zip(alone, workers, strict=True):
        np.testing.assert_array_equal(first, second)


def test_rows_that_a_store_lacks_are_counted_and_named(framed: Path, tmp_path: Path) -> None:
    store = prepared(framed, tmp_path / "part", exclude=["*_seg.png", "IMG_1*", "IMG_4*"])
    sentence = (
        f"Expected `{store.path}` to be a folder with an image for each row, but got 2 of 6 lack "
        'it (IMG_1, IMG_4). Fetch them, or pass `missing="drop"` to leave their rows out.'
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(sentence)}$"):
        ISICDataset.from_challenge(framed, image_dir=store)
    with pytest.raises(FileNotFoundError, match=r"2 of 6 lack it \(IMG_1, IMG_4\)\. Make these"):
        ISICDataset.from_challenge(framed).with_images(store)

    with pytest.warns(UserWarning, match=r"Left out rows without an image .* 2 of 6 lack it"):
        dataset = ISICDataset.from_challenge(framed, image_dir=store, missing="drop", masks=True)

    assert dataset.dropped == ("IMG_1", "IMG_4")
    assert dataset.ids.tolist() == ["IMG_0", "IMG_2", "IMG_3", "IMG_5"]
    for number, name in enumerate(dataset.ids):
        np.testing.assert_array_equal(dataset[number]["image"], store[name])


def test_rows_that_failed_are_missing_and_the_others_stay_right(
    framed: Path, tmp_path: Path
) -> None:
    (framed / "Train" / "IMG_2.jpg").write_bytes(b"")
    store = prepared(framed, tmp_path / "skipped", errors="skip")

    with pytest.warns(UserWarning, match=r"1 of 6 lack it \(IMG_2\)"):
        dataset = ISICDataset.from_challenge(framed, image_dir=store, missing="drop", masks=True)

    folder = ISICDataset.from_challenge(framed, transform=steps_by_hand, masks=True)
    for number, row in enumerate([0, 1, 3, 4, 5]):
        assert_same(dataset[number], folder[row])


def test_masks_that_a_store_lacks_are_refused(framed: Path, tmp_path: Path) -> None:
    store = prepared(framed, tmp_path / "bare", masks=None)
    sentence = (
        f"Expected `{store.path}` to be a store with masks, but got one without. Prepare the "
        "folder with `masks=`: what steps cut, masks must be cut by too."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        ISICDataset.from_challenge(framed, image_dir=store, masks=True)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        ISICDataset.from_challenge(framed, masks=True).with_images(store)
    assert (
        ISICDataset.from_challenge(framed, image_dir=store).table["mask_path"].tolist() == [""] * 6
    )


def test_a_store_that_is_not_done_is_refused(framed: Path, tmp_path: Path) -> None:
    (framed / "Train" / "IMG_2.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="1 that cannot be prepared"):
        prepared(framed, tmp_path / "half")

    with pytest.raises(ValueError, match="to be a store that is done, but got one that is not"):
        ISICDataset.from_challenge(framed, image_dir=tmp_path / "half")


def test_a_folder_of_images_with_arrays_beside_them_stays_a_folder(framed: Path) -> None:
    np.save(framed / "Train" / "images.npy", np.zeros(3))

    assert ISICDataset.from_challenge(framed)[0]["image"].shape == (40, 50, 3)


def test_augmented_files_follow_rows_of_a_store(
    framed: Path, store: PreparedStore, tmp_path: Path
) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)
    aug = tmp_path / "aug"
    row = {"ID": "IMG_3_aug1", "CLASS": 8, "LESION_ID": "L1", "PARENT_ID": "IMG_3"}
    write_image(aug / "IMG_3_aug1.png", noise_image(*SIZE, 5))
    write_mask(aug / "IMG_3_aug1_seg.png", np.ones(SIZE, np.bool_))
    pd.DataFrame([row]).to_csv(aug / "manifest.csv", index=False)

    both = dataset.with_augmented(aug)

    assert both.ids.tolist() == [*NAMES, "IMG_3_aug1"]
    np.testing.assert_array_equal(both[3]["image"], store["IMG_3"])
    np.testing.assert_array_equal(both[6]["image"], noise_image(*SIZE, 5))
    assert both[6]["mask"].all()
    batch = next(iter(DataLoader(both, batch_size=7, num_workers=1)))
    assert batch["image"].shape == (7, *SIZE, 3)


def test_copies_are_made_of_rows_of_a_store(framed: Path, tmp_path: Path) -> None:
    train = framed / "Train"
    store = prepare(train, tmp_path / "large", steps=[], image_size=40, masks=train, progress=False)
    dataset = ISICDataset.from_challenge(framed, image_dir=store, masks=True)

    augment_offline(dataset, tmp_path / "aug", factors={"MEL": 3}, progress=False)

    both = dataset.with_augmented(tmp_path / "aug")
    assert both.ids.tolist()[6:] == ["IMG_0_aug1", "IMG_0_aug2"]
    assert both[6]["image"].shape == (40, 40, 3)
    assert both[7]["mask"].shape == (40, 40)


def test_rows_of_a_store_that_is_gone_are_told(framed: Path, store: PreparedStore) -> None:
    dataset = ISICDataset.from_challenge(framed, image_dir=store)
    (store.path / "images.npy").unlink()

    with pytest.raises(DatasetNotFoundError, match=r"images\.npy` to exist, but it does not"):
        dataset[0]


def table_of(ids: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"id": ids})


def test_files_are_found_in_a_folder_with_their_masks_elsewhere(
    framed: Path, tmp_path: Path
) -> None:
    train = framed / "Train"
    write_mask(tmp_path / "masks" / "IMG_1_seg.png", np.ones((2, 2), np.bool_))

    found = find_files(table_of(["IMG_1", "IMG_9"]), train, tmp_path / "masks", masks=True)

    assert isinstance(found, Found)
    assert (found.place, found.stored) == (train, False)
    assert found.images.tolist() == [str(train / "IMG_1.jpg"), ""]
    assert found.masks.tolist() == [str(tmp_path / "masks" / "IMG_1_seg.png"), ""]


def test_rows_are_found_in_a_store(store: PreparedStore) -> None:
    found = find_files(table_of(["IMG_5", "nope", "IMG_0"]), store, "ignored", masks=True)

    assert (found.place, found.stored) == (store.path, True)
    assert found.images.tolist() == [store.image_path(5), "", store.image_path(0)]
    assert found.masks.tolist() == [store.mask_path(5), "", store.mask_path(0)]


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
    table = table_of([str(row) for row in rows])

    folder, stored = (find_files(table, place, masks=False).images for place in alike)

    for row, first, second in zip(rows, folder, stored, strict=True):
        assert bool(first) == bool(second) == (row < 6)
        if first:
            np.testing.assert_array_equal(load_image(first), load_image(second))


@pytest.mark.data
def test_the_real_challenge_reads_a_store_as_its_folder(data_dir: Path, tmp_path: Path) -> None:
    root = data_dir / "isic_challenge"
    store = prepare(
        root / "Train",
        tmp_path / "store",
        steps=[],
        image_size=(150, 200),
        masks=root / "Train",
        exclude=["*_seg.png", "*[1-9].jpg", "*[1-9]0.jpg"],
        progress=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # most rows are left out on purpose
        dataset = ISICDataset.from_challenge(root, image_dir=store, missing="drop", masks=True)

    assert len(dataset) == len(store)
    for number in range(0, len(dataset), 5):
        sample, name = dataset[number], dataset.ids[number]
        np.testing.assert_array_equal(sample["image"], read_image(root / "Train" / f"{name}.jpg"))
        np.testing.assert_array_equal(sample["mask"], read_mask(root / "Train" / f"{name}_seg.png"))
