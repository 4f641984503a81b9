"""Laws of other people's frameworks: what dermolib gives them works there, or is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import distributed

import sharing_rows
from dermolib import make_loader
from sharing_rows import EPOCHS, ROWS, WAYS


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go through two epochs in each way, in two processes."""
    folder = tmp_path_factory.mktemp("rows")
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(  # noqa: S603 - arguments of this test alone
        [sys.executable, *launch, sharing_rows.__file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow  # fresh processes import everything again
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_see_each_row_once_in_an_epoch(two_processes: Path, way: str) -> None:
    place = list(WAYS).index(way)
    first, second = (
        json.loads((two_processes / f"{place} {rank}.json").read_text()) for rank in range(2)
    )

    for epoch in range(EPOCHS):
        assert len(first[epoch]) == len(second[epoch])
        assert sorted(first[epoch] + second[epoch]) == list(range(ROWS))
    assert first[0] != first[1]


def test_batches_are_dealt_out_by_accelerate_or_by_the_loader_but_not_by_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    at_work: Any = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "accelerate.state", at_work)
    loader = make_loader(list(range(10)), batch_size=2)

    asked_by_itself = [row for batch in loader for row in batch.tolist()]
    batches: Any = loader.batch_sampler
    asked_by_accelerate = [row for batch in batches for row, _ in batch]

    assert (len(loader), asked_by_itself) == (3, [1, 3, 5, 7, 9])
    assert (len(batches), asked_by_accelerate) == (5, list(range(10)))
