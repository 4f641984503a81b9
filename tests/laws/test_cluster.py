"""The same calls on a cluster: joblib sends their tasks to Dask, in processes of this machine."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import joblib
import pytest
from distributed import Client, LocalCluster

from dermolib import (
    ISICDataset,
    augment_offline,
    make_synthetic_challenge,
    occlusion_removal,
    prepare,
    remove_hair_from_folder,
)
from dermolib.preprocessing import Step

pytestmark = [
    pytest.mark.slow,  # the processes of a cluster import everything anew
    # What a cluster leaves for the collector when it closes is its own matter
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as machines,
        Client(machines) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("challenge") / "drawn"
    return make_synthetic_challenge(root, images_per_class=3, image_size=64, seed=0)


def _has_drawn() -> bool:
    return "dermolib.augmentation.copies" in sys.modules


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_copies_that_a_cluster_draws_are_those_of_one_process(
    cluster: Client, images: Path, tmp_path: Path
) -> None:
    dataset = ISICDataset.from_challenge(images)
    call = partial(augment_offline, dataset, factors={"DF": 3, "VASC": 2}, progress=False)
    call(tmp_path / "here")

    with joblib.parallel_backend("dask", client=cluster):
        call(tmp_path / "there")

    # No process of the cluster would know the module, had it not drawn
    assert [*cluster.run(_has_drawn).values()] == [True, True]
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert len(dataset.with_augmented(tmp_path / "there")) > len(dataset)


def test_a_store_that_a_cluster_prepares_is_that_of_one_process(
    cluster: Client, images: Path, tmp_path: Path
) -> None:
    steps: list[Step] = ["crop_border", partial(occlusion_removal, method="luv")]
    call = partial(
        prepare,
        images / "Train",
        steps=steps,
        image_size=48,
        masks=images / "Train",
        progress=False,
    )
    call(tmp_path / "here")

    with joblib.parallel_backend("dask", client=cluster):
        call(tmp_path / "there")

    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_a_folder_that_a_cluster_cleans_is_that_of_one_process(
    cluster: Client, images: Path, tmp_path: Path
) -> None:
    call = partial(remove_hair_from_folder, images / "Train", method="luv", progress=False)
    call(tmp_path / "here")

    with joblib.parallel_backend("dask", client=cluster):
        call(tmp_path / "there")

    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
