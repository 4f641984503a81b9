"""Artifacts: seven probabilities for each image, whatever it was given as, found once and kept."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from dermolib import ISICDataset, make_synthetic_challenge
from dermolib._jobs import LOCK, exclusive_lock
from dermolib._validation import DatasetNotFoundError, Image
from dermolib.io import write_image
from dermolib.preprocessing import ARTIFACTS, artifact_table, artifacts, detect_artifacts
from dermolib.preprocessing.picture import Picture, look
from drawing import noise_image

ROOT = Path(__file__).parents[2]
LOOK = "dermolib.preprocessing.artifacts.look"
IMAGES = [noise_image(40 + seed, 50, seed) // 4 + np.uint8(60 + 20 * seed) for seed in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, image in enumerate(IMAGES):
        write_image(tmp_path / "in" / ("ab" if number < 2 else "cd") / f"{number}.png", image)
    return tmp_path / "in"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """List the shapes of the images that the network looks at."""
    shapes = list[tuple[int, ...]]()

    def counted(image: Image) -> Picture:
        shapes.append(image.shape)
        return look(image)

    monkeypatch.setattr(LOOK, counted)
    return shapes


def values() -> npt.NDArray[np.float64]:
    return np.array([list(detect_artifacts(image).values()) for image in IMAGES])


def test_an_image_has_a_probability_of_each_artifact() -> None:
    found = detect_artifacts(IMAGES[0])

    assert tuple(found) == ARTIFACTS
    assert all(type(value) is float and 0 <= value <= 1 for value in found.values())
    assert len({*found.values()}) > 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (700, 20)])
@pytest.mark.parametrize("color", [0, 128, 255])
def test_any_image_has_probabilities(size: tuple[int, int], color: int) -> None:
    found = np.array([*detect_artifacts(np.full((*size, 3), color, np.uint8)).values()])

    assert np.all((found >= 0) & (found <= 1))


def test_the_image_is_not_modified_and_any_view_will_do() -> None:
    before, view = IMAGES[1].copy(), IMAGES[1][::2, ::-1]
    view.flags.writeable = False

    assert detect_artifacts(view) == detect_artifacts(view.copy())
    np.testing.assert_array_equal(IMAGES[1], before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_becomes_a_table(folder: Path, workers: int) -> None:
    table = artifact_table(folder, workers=workers, progress=False)

    assert table.index.tolist() == ["0", "1", "2", "3", "4"]
    assert table.index.name == "id"
    assert tuple(table.columns) == ARTIFACTS
    np.testing.assert_allclose(table, values(), rtol=1e-6)


def test_paths_arrays_and_tables_give_the_same(folder: Path) -> None:
    paths = sorted(folder.rglob("*.png"))
    rows = pd.DataFrame({"id": [f"I{n}" for n in range(5)], "image_path": [*map(str, paths)]})

    of_paths, of_arrays, of_rows = (
        artifact_table(given, progress=False) for given in (paths, IMAGES, rows.iloc[::-1])
    )

    pd.testing.assert_frame_equal(of_paths, of_arrays)
    assert of_rows.index.tolist() == ["I4", "I3", "I2", "I1", "I0"]
    np.testing.assert_array_equal(of_rows, of_paths[::-1])


def test_a_dataset_becomes_a_table_of_its_ids(tmp_path: Path) -> None:
    root = make_synthetic_challenge(tmp_path / "c", images_per_class=1, image_size=32, seed=0)
    dataset = ISICDataset.from_challenge(root)

    table = artifact_table(dataset, progress=False)

    assert table.index.tolist() == dataset.table["id"].tolist()
    assert table.notna().all(axis=None)


def test_files_of_one_name_are_named_by_their_paths(folder: Path) -> None:
    shutil.copy(folder / "ab" / "0.png", folder / "cd" / "0.png")

    table = artifact_table(folder, progress=False)

    assert table.index.tolist()[:2] == ["ab/0.png", "ab/1.png"]
    np.testing.assert_array_equal(table.loc["ab/0.png"], table.loc["cd/0.png"])


def test_broken_and_missing_images_are_named_and_the_others_found(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"<html>")
    rows = ["", folder / "gone.png", folder / "broken.png", folder / "ab" / "0.png"]
    table = pd.DataFrame({"id": [*"abcd"], "image_path": [*map(str, rows)]})

    with pytest.warns(UserWarning, match=r"3 of 4 images cannot be read \(a: no file.*b: .*c: "):
        found = artifact_table(table, progress=False)

    assert found.isna().all(axis=1).tolist() == [True, True, True, False]


def test_an_empty_list_is_an_empty_table() -> None:
    assert artifact_table([], progress=False).shape == (0, 7)


def test_what_was_found_is_kept_by_the_content_of_an_image(
    folder: Path, tmp_path: Path, looked: list[tuple[int, ...]]
) -> None:
    cache = tmp_path / "cache"
    first = artifact_table(folder, cache=cache, progress=False)
    assert len(looked) == 5
    write_image(folder / "new.png", IMAGES[0][:20])
    (folder / "ab" / "0.png").rename(folder / "moved.png")

    second = artifact_table(folder, cache=cache, progress=False)

    assert looked[5:] == [(20, 50, 3)]
    np.testing.assert_array_equal(second.loc["moved"], first.loc["0"])
    np.testing.assert_array_equal(second.loc["3"], first.loc["3"])


def test_arrays_are_kept_by_their_size_and_pixels(
    tmp_path: Path, looked: list[tuple[int, ...]]
) -> None:
    flat = IMAGES[0].reshape(50, 40, 3)
    for _ in range(2):
        artifact_table([IMAGES[0], flat], cache=tmp_path / "cache", progress=False)

    assert looked == [IMAGES[0].shape, flat.shape]


def test_another_network_looks_again(
    folder: Path,
    tmp_path: Path,
    looked: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact_table(folder, cache=tmp_path / "cache", progress=False)
    monkeypatch.setattr(artifacts, "network_digest", lambda: "another")

    artifact_table(folder, cache=tmp_path / "cache", progress=False)

    assert len(looked) == 10


def test_a_call_that_was_interrupted_is_continued(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_BLOCK", 1)
    seen, most = list[Image](), 3

    def stop(image: Image) -> Picture:
        if len(seen) == most:
            raise KeyboardInterrupt
        seen.append(image)
        return look(image)

    monkeypatch.setattr(LOOK, stop)
    with pytest.raises(KeyboardInterrupt):
        artifact_table(folder, cache=tmp_path / "cache", progress=False)
    most = 5
    table = artifact_table(folder, cache=tmp_path / "cache", progress=False)
    monkeypatch.setattr(LOOK, look)

    assert len(seen) == 5
    np.testing.assert_array_equal(table, artifact_table(folder, progress=False))


def test_a_cache_in_use_and_one_of_something_else_are_refused(folder: Path, tmp_path: Path) -> None:
    with (
        exclusive_lock(tmp_path / "cache"),
        pytest.raises(ValueError, match="`cache` to be a folder that no other run"),
    ):
        artifact_table(folder, cache=tmp_path / "cache", progress=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="`cache` to be a folder, but got the file"):
        artifact_table(folder, cache=tmp_path / "file", progress=False)
    assert not (tmp_path / "cache" / LOCK).exists()


@pytest.mark.parametrize(
    ("images", "options", "error", "words"),
    [
        ("nowhere", {}, DatasetNotFoundError, "nowhere"),
        (3, {}, TypeError, "`images` to be a dataset"),
        (IMAGES[0], {}, TypeError, "`images` to be a dataset"),
        ([IMAGES[0][..., 0]], {}, ValueError, r"`images\[0\]` to be an RGB image"),
        (pd.DataFrame({"id": ["a"]}), {}, TypeError, "`images` .* `image_path`"),
        ([], {"workers": 0}, ValueError, "`workers` to be an integer of 1 or more"),
    ],
)
def test_what_is_unfit_for_a_table_is_refused(
    images: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        artifact_table(images, progress=False, **options)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`image` to be an RGB image .* dtype float64"):
        detect_artifacts(np.zeros((4, 4, 3)))  # type: ignore[arg-type] # that is the mistake


@pytest.mark.data
def test_artifacts_of_images_that_the_network_has_not_seen_are_found(data_dir: Path) -> None:
    folder = data_dir / "isic2018_task1"
    splits = pd.read_csv(ROOT / "scripts" / "picture_splits.csv", index_col="ID")["split"]
    flags = pd.read_csv(folder / "artefacts.csv", index_col="ID")
    names = [str(name) for name in splits.index[splits == "test"]]

    table = artifact_table([folder / "images" / f"{name}.jpg" for name in names], progress=False)

    shown = flags.loc[names, list(ARTIFACTS)]
    areas = [roc_auc_score(shown[name], table[name]) for name in ARTIFACTS]
    assert np.mean(areas) > 0.88
    assert min(areas) > 0.78
    assert np.abs(table.mean() - shown.mean()).max() < 0.15  # as many as there are
