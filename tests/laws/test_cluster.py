"""The same jobs on a cluster: joblib sends their tasks to Dask, in processes of this machine."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pytest
from distributed import Client, LocalCluster

from dermolib import prepare
from dying import die_once
from resumable import JOBS, files_of, write_inputs

pytestmark = [
    pytest.mark.slow,  # the processes of a cluster import everything again
    # What a cluster leaves for the collector when it closes is its own matter
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MODULES = {"prepare": "prepare", "hair": "folders"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as machines,
        Client(machines) as client,
    ):
        yield client


@pytest.mark.parametrize("name", ["prepare", "hair", "offline"])
def test_what_a_cluster_makes_is_what_one_process_makes(
    cluster: Client, tmp_path: Path, name: str
) -> None:
    write_inputs(tmp_path)
    JOBS[name].run(tmp_path, tmp_path / "here")

    with joblib.parallel_backend("dask", client=cluster):
        JOBS[name].run(tmp_path, tmp_path / "there")

    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    # No process of the cluster would know the module, had it not worked
    module = "augmentation.offline" if name == "offline" else f"preprocessing.{MODULES[name]}"
    known = cluster.run(lambda: set(sys.modules)).values()
    assert any(f"dermolib.{module}" in found for found in known)


def test_a_killed_worker_of_a_cluster_is_explained_and_the_next_call_goes_on(
    cluster: Client, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    flag = tmp_path / "flag"
    steps = [partial(die_once, flag=str(flag))]
    options: dict[str, Any] = {"steps": steps, "image_size": 12, "workers": 2, "progress": False}
    prepare(tmp_path / "in", tmp_path / "here", **options)
    flag.write_text(str(os.getpid()))
    machines: Any = cluster.cluster
    machines.scheduler.allowed_failures = 0  # rather than to try a task three times

    with joblib.parallel_backend("dask", client=cluster):
        with pytest.raises(BrokenExecutor, match=r"one that was killed.*what is finished is kept"):
            prepare(tmp_path / "in", tmp_path / "there", **options)
        prepare(tmp_path / "in", tmp_path / "there", **options)

    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
