"""Runs that are cut off, by whatever means, and go on."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import Colours, network

import killing_training
from dermolib import Trainer
from dermolib.datasets.loaders import make_loader
from dermolib.training import History
from dermolib.training.callbacks import KeepBest

N = 12
VALIDATION = 6
LOOKED = 4  # images of the validation set that are looked at before the first step


def trainer(output: Path | None, **options: Any) -> Trainer:
    settings: dict[str, Any] = {"num_classes": 3, "epochs": 2, "batch_size": 4, "device": "cpu"}
    settings |= {"precision": "float32", "learning_rate": 0.05, "progress": False}
    classes = {**settings, **options}["num_classes"]
    return Trainer(network(dropout=0.3, classes=classes), output=output, **{**settings, **options})


class Acting(Colours):
    """Images of which one, counted over all epochs, does something when it is read."""

    def __init__(self, count: int, at: int, act: Callable[[], object], *, seed: int = 0) -> None:
        super().__init__(count, seed=seed)
        self.at, self.act = at, act
        self.reads = 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        if self.reads == self.at:
            self.act()
        self.reads += 1
        return super().__getitem__(index)


def sent(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def fit(folder: Path, data: Any = None, scored: Any = None, **options: Any) -> tuple[History, Any]:
    fitted = trainer(folder, **options)
    data = Colours(N) if data is None else data
    history = fitted.fit(data, Colours(VALIDATION, seed=1) if scored is None else scored)
    return history, fitted.model.state_dict()


def place(folder: Path) -> list[int]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    where: list[int] = state["dermolib"]["place"]
    return where


def check_goes_on(folder: Path, whole: Path) -> None:
    """Look whether a run that was cut off ends as one that was not."""
    history, weights = fit(whole)

    again, found = fit(folder)

    assert again.rows == history.rows
    assert killing_training.same(found, weights)
    assert not (folder / "last.ckpt").exists()


def killed(folder: Path, stride: int, names: list[str]) -> dict[str, int]:
    arguments = [sys.executable, killing_training.__file__, str(folder), str(stride), *names]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(  # noqa: S603 - arguments of this test alone
        arguments,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    kills: dict[str, int] = json.loads(done.stdout)
    return kills


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    kills = killed(tmp_path, 29, list(killing_training.RECIPES))

    assert kills.keys() == killing_training.RECIPES.keys()
    assert all(kills.values())


@pytest.mark.parametrize("read", [0, 1, 5, N - 1, N, 2 * N - 1])
def test_a_request_to_end_is_met_after_the_step(tmp_path: Path, read: int) -> None:
    folder = tmp_path / "run"

    with pytest.raises(SystemExit) as stop:
        fit(folder, Acting(N, read, sent(signal.SIGTERM)))

    assert stop.value.code == 128 + signal.SIGTERM == 143
    assert place(folder) == [(read // 4 + 1) // 3, (read // 4 + 1) % 3]
    check_goes_on(folder, tmp_path / "whole")


def test_a_request_to_end_in_validation_is_met_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    scored = Acting(VALIDATION, LOOKED + 2, sent(signal.SIGTERM), seed=1)

    with pytest.raises(SystemExit, match="143"):
        fit(folder, scored=scored)

    assert scored.reads == LOOKED + VALIDATION
    assert place(folder) == [1, 0]
    check_goes_on(folder, tmp_path / "whole")


def test_a_request_to_end_in_the_last_validation_of_an_early_stop_adds_no_epoch(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"early_stopping": 1, "epochs": 9, "learning_rate": 1e-9}
    history, _ = fit(tmp_path / "whole", **options)
    last = LOOKED + VALIDATION * len(history) - 1
    scored = Acting(VALIDATION, last, sent(signal.SIGTERM), seed=1)

    with pytest.raises(SystemExit, match="143"):
        fit(tmp_path / "run", scored=scored, **options)

    assert fit(tmp_path / "run", **options)[0].rows == history.rows


def test_the_way_on_is_told_on_leaving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit):
        fit(tmp_path, Acting(N, 1, sent(signal.SIGTERM)))

    sentence = f"Asked to end; the state of the run is in {tmp_path / 'last.ckpt'}, the same call"
    assert sentence in caplog.text


def test_signals_are_heard_by_whom_they_were_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    fit(tmp_path)
    with pytest.raises(SystemExit):
        fit(tmp_path, Acting(N, 1, sent(signal.SIGTERM)))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Acting(N, 1, sent(signal.SIGINT)))

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_ctrl_c_leaves_a_folder_of_use(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    with pytest.raises(KeyboardInterrupt):
        fit(folder, Acting(N, N + 5, sent(signal.SIGINT)))

    assert Trainer.load(folder / "best.pt", model=network(), device="cpu").num_classes == 3
    assert place(folder) == [1, 0]
    check_goes_on(folder, tmp_path / "whole")


def fill(path: Path) -> Callable[[], None]:
    """Make the disk full for one file: what is written to it goes where there is never room."""
    return lambda: path.symlink_to("/dev/full")


def check_full(folder: Path, act: Callable[[], None], read: int) -> None:
    sentence = f"to be on a disk with room ({folder}), but got No space left on device. Free some"

    with pytest.raises(OSError, match=re.escape(sentence)):
        fit(folder, Acting(N, read, act), save_every=1)

    assert place(folder)
    for path in folder.glob(".*"):
        path.unlink()
    check_goes_on(folder, folder.with_name("whole"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("read", [5, N + 1])
def test_a_full_disk_leaves_the_state_before(tmp_path: Path, read: int) -> None:
    folder = tmp_path / "run"

    check_full(folder, fill(folder / ".last.ckpt.part"), read)

    assert not (folder / "last.ckpt").exists()  # it went on, and is over


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", [".best-000000000000.pt", ".history-000000000000.csv"])
def test_a_disk_that_is_full_for_other_files_leaves_the_state_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "run"
    monkeypatch.setattr("dermolib.io.secrets.token_hex", lambda count: "0" * 2 * count)

    check_full(folder, fill(folder / name), 5)

    assert not (folder / "last.ckpt").exists()  # it went on, and is over


def test_what_killed_runs_were_writing_is_cleared_away(tmp_path: Path) -> None:
    half, own = tmp_path / ".best-0123456789ab.pt", tmp_path / ".notes-0123456789ab.txt"
    half.touch()
    own.touch()

    fit(tmp_path)

    assert own.exists()
    assert not half.exists()


def test_a_loss_that_is_no_number_keeps_the_state_before_and_names_it(tmp_path: Path) -> None:
    data = Colours(N)

    def spoil() -> None:
        for parameter in fitted.model.parameters():
            torch.nn.init.constant_(parameter, torch.nan)

    fitted = trainer(tmp_path, save_every=1)
    kept = re.escape(f"The state before is kept in {tmp_path / 'last.ckpt'}.")

    with pytest.raises(RuntimeError, match=f"^Expected `train_loss` to be finite.*{kept}$"):
        fitted.fit(Acting(N, 5, spoil), Colours(VALIDATION, seed=1))

    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert state["dermolib"]["place"] == [0, 1]
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert len(trainer(tmp_path, save_every=1).fit(data, Colours(VALIDATION, seed=1))) == 2


def test_a_step_that_makes_no_numbers_is_not_kept(tmp_path: Path) -> None:
    fitted = trainer(
        tmp_path, save_every=1, learning_rate=1e30, optimizer="sgd", schedule="constant"
    )

    with pytest.raises(RuntimeError, match=r"^Expected `weights` to be finite, but got NaN or inf"):
        fitted.fit(Colours(N))

    assert place(tmp_path) == [0, 0]


def stopped(folder: Path, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(folder, Acting(N, 5, sent(signal.SIGINT)), save_every=1, **options)


def test_a_run_can_be_begun_anew(tmp_path: Path) -> None:
    stopped(tmp_path / "run", seed=3)
    history, weights = fit(tmp_path / "whole")

    fitted = trainer(tmp_path / "run")
    again = fitted.fit(Colours(N), Colours(VALIDATION, seed=1), resume=False)

    assert again.rows == history.rows
    assert killing_training.same(fitted.model.state_dict(), weights)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"learning_rate": 0.01, "epochs": 3}, "epochs 2 there, 3 here; learning_rate 0.05 there"),
        (
            {"class_names": ["a", "b", "c"]},
            "class_names ['0', '1', '2'] there, ['a', 'b', 'c'] her",
        ),
        ({"num_classes": 4}, "class_names ['0', '1', '2'] there, ['0', '1', '2', '3'] here"),
        ({"sampler": "balanced"}, "sampler None there, 'balanced' here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"precision": "bf16-mixed"}, "precision '32-true' there, 'bf16-mixed' here"),
    ],
)
def test_an_unfinished_run_of_another_configuration_is_refused(
    tmp_path: Path, options: dict[str, Any], difference: str
) -> None:
    stopped(tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    what = f"a folder without an unfinished run of another configuration ({tmp_path})"

    with pytest.raises(
        ValueError, match=re.escape(f"Expected `output` to be {what}, but got ")
    ) as e:
        trainer(tmp_path, **options).fit(Colours(N, classes=options.get("num_classes", 3)))

    assert difference in str(e.value)
    assert str(e.value).endswith("or `resume=False` to begin anew.")
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_an_unfinished_run_on_another_training_set_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path)

    with pytest.raises(
        ValueError, match=r"training set \{'rows': 12, .* there, \{'rows': 15, .*re\."
    ):
        trainer(tmp_path).fit(Colours(15))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"half of a state" * 99])
def test_a_state_that_is_damaged_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    sentence = "to be the state of a run, but got a file that does not load ("

    with pytest.raises(ValueError, match=re.escape(sentence)) as error:
        fit(tmp_path)

    assert str(error.value).endswith("Pass `resume=False` to begin anew, which replaces it.")
    assert trainer(tmp_path).fit(Colours(N), resume=False).rows


def test_states_and_weights_load_without_code_and_tell_what_the_run_is(tmp_path: Path) -> None:
    stopped(tmp_path, class_names=["red", "green", "blue"])
    fit(tmp_path / "whole", class_names=["red", "green", "blue"])

    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["dermolib"]
    best = torch.load(tmp_path / "whole" / "best.pt", weights_only=True)

    for facts in (state, best):
        assert facts["class_names"] == ["red", "green", "blue"]
        assert facts["config"]["learning_rate"] == 0.05
        assert facts["config"]["epochs"] == 2


def test_plain_loaders_go_on_at_the_last_whole_epoch(tmp_path: Path) -> None:
    data = Acting(N, N + 5, sent(signal.SIGTERM))
    loader: Any = torch.utils.data.DataLoader(data, batch_size=4)

    with pytest.raises(SystemExit, match="143"):
        trainer(tmp_path, save_every=1, epochs=3).fit(loader, Colours(VALIDATION, seed=1))

    assert data.reads == 2 * N
    assert place(tmp_path) == [2, 0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail() -> None:
    raise RuntimeError("Out of luck")


def test_a_new_run_puts_the_results_of_the_finished_one_aside(tmp_path: Path) -> None:
    fit(tmp_path, seed=3)
    best, table = ((tmp_path / name).read_bytes() for name in ("best.pt", "history.csv"))

    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, Acting(N, N - 1, fail))

    assert names(tmp_path) == {"before", "last.ckpt", "tensorboard"}
    assert (tmp_path / "before" / "best.pt").read_bytes() == best
    assert (tmp_path / "before" / "history.csv").read_bytes() == table
    for folder in (tmp_path, tmp_path / "before"):
        assert len(list(folder.glob("tensorboard/events.out.tfevents.*"))) == 1


def test_a_run_that_never_had_weights_takes_none_of_what_was_put_aside(tmp_path: Path) -> None:
    fit(tmp_path, seed=3)
    best = (tmp_path / "best.pt").read_bytes()
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, Acting(N, N - 1, fail))

    with pytest.raises(RuntimeError, match="Out of luck"):
        trainer(tmp_path).fit(Acting(N, N - 1, fail), Colours(VALIDATION), resume=False)

    assert (tmp_path / "before" / "best.pt").read_bytes() == best


def test_a_run_that_goes_on_keeps_its_results_in_place(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, Acting(N, N + 1, fail))

    fit(tmp_path)

    assert names(tmp_path) == {"best.pt", "history.csv", "tensorboard"}


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path: Path) -> None:
    sentence = (
        f"Expected `output` to be a folder that no other run is training in, but got {tmp_path} of "
        "one. Wait for that run to end, stop it, or take another `output`."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        fit(tmp_path, Acting(N, 1, lambda: fit(tmp_path)))

    assert ".lock" not in names(tmp_path)
    assert len(fit(tmp_path)[0]) == 2
    assert names(tmp_path) == {"best.pt", "history.csv", "tensorboard"}


class Described(Colours):
    """Images with a transform that says what it does, or does not."""

    def __init__(self, transform: object) -> None:
        super().__init__(N)
        self.transform = transform


def network_of(width: int, extra: int = 0) -> torch.nn.Module:
    layers = [torch.nn.Flatten(), torch.nn.Linear(192, width), torch.nn.Linear(width, 3)]
    return torch.nn.Sequential(*layers, *[torch.nn.Identity()] * extra)


def begun(folder: Path, data: Any, scored: Any, model: Any) -> History:
    options: dict[str, Any] = {"num_classes": 3, "epochs": 2, "batch_size": 4, "device": "cpu"}
    options |= {"precision": "float32", "progress": False, "output": folder}
    return Trainer(model, **options).fit(data, scored)


def fail_once_scored(callback: object, engine: Any, module: object) -> None:
    """Fail after the first epoch, not after the look at the validation set."""
    del callback, module
    if not engine.sanity_checking:
        fail()


def shuffled(**options: Any) -> Any:
    return make_loader(Colours(N), **{"batch_size": 4, "shuffle": True, **options})


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ({"model": network_of(6)}, {"model": network_of(6, extra=1)}, None),
        ({"model": network_of(6)}, {"model": network_of(7)}, "layers "),
        ({"data": Described("a")}, {"data": Described("b")}, """'transform': "'b'","""),
        ({"data": Described(object())}, {"data": Described(object())}, None),
        ({"scored": Colours(6)}, {"scored": Colours(9)}, "validation set {'rows': 6, 'labels'"),
        ({"scored": Colours(6)}, {"scored": None}, "there, None here"),
        ({"data": shuffled()}, {"data": shuffled()}, None),
        ({"data": shuffled()}, {"data": shuffled(batch_size=6)}, "'batch_size': 6"),
        ({"data": shuffled()}, {"data": shuffled(seed=1)}, "'seed': 1"),
        ({"data": shuffled()}, {"data": shuffled(sample_weights=range(N))}, "'sample_weights': '"),
    ],
)
def test_a_run_goes_on_with_the_same_model_and_the_same_sets_alone(
    tmp_path: Path, first: Any, second: Any, difference: str | None
) -> None:
    usual = {"data": Colours(N), "scored": Colours(6), "model": network_of(6)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeepBest, "on_validation_epoch_end", fail_once_scored)
        with pytest.raises(RuntimeError, match="Out of luck"):
            begun(tmp_path, **{**usual, **first})

    if difference is None:
        assert len(begun(tmp_path, **{**usual, **second})) == 2
        return
    with pytest.raises(ValueError, match=re.escape(difference)):
        begun(tmp_path, **{**usual, **second})


def test_one_changed_byte_of_a_state_is_told(tmp_path: Path) -> None:
    stopped(tmp_path)
    path = tmp_path / "last.ckpt"
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["state_dict"]["model.5.weight"]
    place = content.index(weights.numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"but got a file whose part \S+ is damaged\. Pass `resum"):
        fit(tmp_path)


def test_a_state_of_another_version_is_told(tmp_path: Path) -> None:
    torch.save({"dermolib": {"place": [0, 0]}}, tmp_path / "last.ckpt")

    with pytest.raises(ValueError, match=r"but got one of another version or program\. Pass `resu"):
        fit(tmp_path)


def test_best_weights_that_are_gone_are_missed_before_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, Acting(N, N + 1, fail))
    (tmp_path / "best.pt").unlink()
    data = Acting(N, 0, fail)

    with pytest.raises(
        ValueError, match=r"best\.pt` to be the best weights of the run, but got no"
    ):
        fit(tmp_path, data)

    assert data.reads == 0


def test_a_run_that_fails_before_its_first_step_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, Acting(N, 0, fail))

    assert len(fit(tmp_path, batch_size=6)[0]) == 2


def test_a_new_run_that_fails_before_its_first_step_takes_no_state_that_was_there(
    tmp_path: Path,
) -> None:
    stopped(tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()

    with pytest.raises(RuntimeError, match="Out of luck"):
        trainer(tmp_path).fit(Colours(N), Acting(VALIDATION, 0, fail), resume=False)

    assert (tmp_path / "last.ckpt").read_bytes() == before


class Noisy(Colours):
    """Images that are drawn anew whenever they are read."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return {**sample, "image": sample["image"] + torch.randn(3, 8, 8)}


def test_the_look_at_the_validation_set_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = make_loader(Noisy(VALIDATION, seed=1), batch_size=4)
    history, weights = fit(tmp_path / "looked", scored=noisy, ema=0.5)

    monkeypatch.setattr("lightning.Trainer._run_sanity_check", lambda _: None)
    noisy = make_loader(Noisy(VALIDATION, seed=1), batch_size=4)
    plain, same = fit(tmp_path / "plain", scored=noisy, ema=0.5)

    assert history.rows == plain.rows
    assert killing_training.same(weights, same)


def test_the_model_has_its_own_weights_where_scoring_its_average_failed() -> None:
    fitted = trainer(None, ema=0.99)
    seen: list[Any] = []

    def keep() -> None:
        seen.append({k: v.clone() for k, v in fitted.model.state_dict().items()})
        fail()

    with pytest.raises(RuntimeError, match="Out of luck"):
        fitted.fit(Colours(N), Acting(VALIDATION, LOOKED, keep))

    assert not killing_training.same(fitted.model.state_dict(), seen[0])
