"""Training by several processes: as one would, and whatever the machine."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from colors import Colors, network, same

import training_together
from dermolib import Trainer, weighted_accuracy
from training_together import CLASSES, OPTIONS, TRAIN, VALIDATION, trained


def run(*arguments: str) -> str:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 - arguments of this test alone
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower().replace("asked to end", "")
    return done.stdout


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train with `torch.distributed.run` in two processes."""
    folder = tmp_path_factory.mktemp("together")
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    run(*launch, training_together.__file__, str(folder))
    return folder


def results(folder: Path, name: str) -> list[Any]:
    return [torch.load(folder / f"{name}{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kept", "lost"], ids=["with an output", "without an output"])
def test_two_processes_train_as_one_with_batches_twice_as_large(together: Path, name: str) -> None:
    alone = trained(None, {**OPTIONS, "batch_size": 8})

    first, second = results(together, name)

    assert first["rows"] == second["rows"]
    assert same(first["weights"], second["weights"])
    for row, wanted in zip(first["rows"], alone["rows"], strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)
        assert row["validation_weighted_accuracy"] == wanted["validation_weighted_accuracy"]
        assert row["validation_accuracy"] == wanted["validation_accuracy"]
    for weight, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][weight], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_scores_and_predictions_of_all_rows_are_whole_and_in_order(together: Path) -> None:
    alone = trained(None, {**OPTIONS, "batch_size": 8})
    labels = torch.from_numpy(Colors(VALIDATION, seed=1).labels)

    for result in results(together, "kept"):
        score = weighted_accuracy(result["predicted"], labels, num_classes=CLASSES)
        assert result["scores"]["weighted_accuracy"] == float(score)
        assert result["scores"] == pytest.approx(alone["scores"], rel=1e-5)
        torch.testing.assert_close(result["predicted"], alone["predicted"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result["one row"], alone["one row"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_each_image_is_read_by_one_process_once_in_an_epoch(together: Path) -> None:
    first, second = results(together, "kept")

    half = TRAIN // 2
    for epoch in range(OPTIONS["epochs"]):
        part = slice(epoch * half, (epoch + 1) * half)
        assert sorted(first["train"][part] + second["train"][part]) == list(range(TRAIN))
    assert sorted(first["validation"] + second["validation"]) == list(range(VALIDATION))


@pytest.mark.slow
def test_one_process_writes_the_files(together: Path) -> None:
    first, second = results(together, "written")

    assert first
    assert not second
    assert sorted(path.name for path in (together / "run").iterdir()) == [
        "best.pt",
        "history.csv",
        "run.json",
        "tensorboard",
    ]
    best = torch.load(together / "run" / "best.pt", weights_only=True)
    assert same(best["state_dict"], results(together, "kept")[1]["weights"])


@pytest.mark.slow
def test_processes_that_are_ended_or_killed_go_on_together(tmp_path: Path) -> None:
    moments = run(training_together.__file__, str(tmp_path))

    assert int(moments) == len(training_together.MOMENTS)


def test_machines_and_strategies_reach_the_engine_untouched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def engine(**options: Any) -> Any:
        given.update(options)
        raise InterruptedError

    monkeypatch.setattr(lightning, "Trainer", engine)
    place: dict[str, Any] = {"devices": [0, 3], "num_nodes": 4, "strategy": object()}

    with pytest.raises(InterruptedError):
        Trainer(network(), **{**OPTIONS, **place}).evaluate(Colors(4))

    assert {name: given[name] for name in place} == place
    assert given["strategy"] is place["strategy"]
    assert not [plugin for plugin in given["plugins"] if "Environment" in type(plugin).__name__]


def test_one_process_does_not_take_the_tasks_of_a_cluster_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "1"}.items():
        monkeypatch.setenv(name, value)

    scores = Trainer(network(), **OPTIONS).evaluate(Colors(6))

    assert scores["n"] == 6


def test_processes_that_would_each_train_alone_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    sentence = (
        r"^Expected `devices` to be 4, as many processes as `torchrun` has started on this "
        r"machine, but got 1\. Pass `devices=4, num_nodes=2, strategy='ddp'`\.$"
    )

    with pytest.raises(ValueError, match=sentence):
        Trainer(network(), output=tmp_path, **OPTIONS).fit(Colors(4))
