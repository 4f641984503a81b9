"""Runs that are cut off, by whatever means, and resume."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from colors import Acting, Colors, fail, network, same, weights

import killing_training
from dermolib import Trainer, make_loader
from dermolib.training import History

N = 12
VALIDATION = 6
CHECKED = 4  # images of the validation set that are scored before the first step


def trainer(output: Path | None, **options: Any) -> Trainer:
    settings: dict[str, Any] = {"num_classes": 3, "epochs": 2, "batch_size": 4, "device": "cpu"}
    settings |= {"precision": "float32", "learning_rate": 0.05, "progress": False, **options}
    model = network(dropout=0.3, classes=settings["num_classes"])
    return Trainer(settings.pop("model", model), output=output, **settings)


def sent(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def fit(folder: Path, data: Any = None, scored: Any = None, **options: Any) -> tuple[History, Any]:
    fitted = trainer(folder, **options)
    data = Colors(N) if data is None else data
    history = fitted.fit(data, Colors(VALIDATION, seed=1) if scored is None else scored)
    return history, fitted.model.state_dict()


def broken(folder: Path, read: int = 5, **options: Any) -> None:
    """Begin a run that fails before it reads an image."""
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(folder, Acting(N, read, fail), **{"save_every": 1, **options})


def position(folder: Path) -> list[int]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    where: list[int] = state["dermolib"]["position"]
    return where


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Any]:
    """Train without a break."""
    return fit(tmp_path_factory.mktemp("whole"))


def check_resumes(folder: Path, whole: tuple[History, Any]) -> None:
    """Check that a run that was cut off ends as one that was not."""
    again, found = fit(folder)

    assert again.rows == whole[0].rows
    assert same(found, whole[1])
    assert not (folder / "last.ckpt").exists()


@pytest.mark.slow
def test_a_run_killed_anywhere_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    names = list(killing_training.OPTIONS)
    arguments = [sys.executable, killing_training.__file__, str(tmp_path), "29", *names]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(  # noqa: S603 - arguments of this test alone
        arguments, capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 0, done.stderr
    kills: dict[str, int] = json.loads(done.stdout)
    assert list(kills) == names
    assert all(kills.values())


@pytest.mark.parametrize("read", [0, 5, N - 1, N, 2 * N - 1])
def test_sigterm_ends_the_run_after_the_step(tmp_path: Path, read: int, whole: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        fit(tmp_path, Acting(N, read, sent(signal.SIGTERM)))

    assert stop.value.code == 128 + signal.SIGTERM == 143
    assert position(tmp_path) == [(read // 4 + 1) // 3, (read // 4 + 1) % 3]
    check_resumes(tmp_path, whole)


def test_sigterm_in_validation_ends_the_run_after_it(
    tmp_path: Path, whole: Any, caplog: pytest.LogCaptureFixture
) -> None:
    scored = Acting(VALIDATION, CHECKED + 2, sent(signal.SIGTERM), seed=1)

    with pytest.raises(SystemExit, match="143"):
        fit(tmp_path, scored=scored)

    sentence = f"Ended by SIGTERM; the same call resumes from the state in {tmp_path / 'last.ckpt'}"
    assert sentence in caplog.text
    assert scored.reads == CHECKED + VALIDATION
    assert position(tmp_path) == [1, 0]
    check_resumes(tmp_path, whole)


def test_sigterm_in_the_last_validation_of_an_early_stop_adds_no_epoch(tmp_path: Path) -> None:
    options: dict[str, Any] = {"early_stopping": 1, "epochs": 9, "learning_rate": 1e-9}
    history, _ = fit(tmp_path / "whole", **options)
    last = CHECKED + VALIDATION * len(history) - 1
    scored = Acting(VALIDATION, last, sent(signal.SIGTERM), seed=1)

    with pytest.raises(SystemExit, match="143"):
        fit(tmp_path / "run", scored=scored, **options)

    assert fit(tmp_path / "run", **options)[0].rows == history.rows


def test_ctrl_c_leaves_a_folder_to_resume_from_and_signals_as_they_were(
    tmp_path: Path, whole: Any
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, Acting(N, N + 5, sent(signal.SIGINT)))

    assert Trainer.load(tmp_path / "best.pt", model=network(), device="cpu").num_classes == 3
    assert position(tmp_path) == [1, 0]
    check_resumes(tmp_path, whole)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        (".last-000000000000.ckpt", 5),
        (".last-000000000000.ckpt", N + 1),
        ("..best-000000000000-000000000000.pt", 5),
        ("..history-000000000000-000000000000.csv", N - 1),
    ],
)
def test_a_full_disk_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: int, whole: Any
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    full = partial((tmp_path / name).symlink_to, "/dev/full")
    sentence = f"to be on a disk with room ({tmp_path}), but got No space left on device. Free"

    with pytest.raises(OSError, match=re.escape(sentence)):
        fit(tmp_path, Acting(N, read, full), save_every=1)

    assert position(tmp_path)
    assert not list(tmp_path.glob(".*"))
    check_resumes(tmp_path, whole)


def test_what_killed_runs_were_writing_is_removed(tmp_path: Path) -> None:
    broken(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())["run"]
    halves = [tmp_path / f".best-{run}.pt", tmp_path / f"..best-{run}-0123456789ab.pt"]
    others = [tmp_path / ".best-0123456789ab.pt", tmp_path / ".notes-0123456789ab.txt"]
    for path in halves + others:
        path.touch()

    fit(tmp_path)

    assert all(path.exists() for path in others)
    assert not any(path.exists() for path in halves)


def test_a_loss_that_is_not_finite_keeps_the_state_before_and_names_it(tmp_path: Path) -> None:
    def spoil() -> None:
        for parameter in fitted.model.parameters():
            torch.nn.init.constant_(parameter, torch.nan)

    fitted = trainer(tmp_path, save_every=1)
    kept = re.escape(f"The state before is kept in {tmp_path / 'last.ckpt'}.")

    with pytest.raises(RuntimeError, match=f"^Expected `train_loss` to be finite.*{kept}$"):
        fitted.fit(Acting(N, 5, spoil), Colors(VALIDATION, seed=1))

    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert position(tmp_path) == [0, 1]
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert len(fit(tmp_path, save_every=1)[0]) == 2


def test_a_step_to_weights_that_are_not_finite_is_not_saved(tmp_path: Path) -> None:
    options: dict[str, Any] = {"optimizer": "sgd", "schedule": "constant"}
    with pytest.raises(RuntimeError, match=r"^Expected `weights` to be finite, but got NaN or inf"):
        trainer(tmp_path, save_every=1, learning_rate=1e39, **options).fit(Colors(N))

    assert position(tmp_path) == [0, 0]


def test_a_run_whose_worker_was_killed_says_so_and_resumes(tmp_path: Path, whole: Any) -> None:
    class Killed(Colors):
        def __getitem__(self, index: int) -> Any:
            if (
                torch.utils.data.get_worker_info() is not None
                and (tmp_path / "history.csv").exists()
            ):
                sent(signal.SIGKILL)()
            return super().__getitem__(index)

    with pytest.raises(
        RuntimeError, match=r"killed, most often because memory ran out\. .* is kept\.$"
    ):
        fit(tmp_path, Killed(N), workers=1)

    assert position(tmp_path) == [1, 0]
    check_resumes(tmp_path, whole)


def test_a_run_can_be_started_over(tmp_path: Path, whole: Any) -> None:
    broken(tmp_path, seed=3)

    fitted = trainer(tmp_path)
    again = fitted.fit(Colors(N), Colors(VALIDATION, seed=1), resume=False)

    assert again.rows == whole[0].rows
    assert same(fitted.model.state_dict(), whole[1])


def network_of(width: int, extra: int = 0) -> torch.nn.Module:
    layers = [torch.nn.Flatten(), torch.nn.Linear(192, width), torch.nn.Linear(width, 3)]
    return torch.nn.Sequential(*layers, *[torch.nn.Identity()] * extra)


def shuffled(act: Callable[[], object] | None, **options: Any) -> Any:
    data = Colors(N) if act is None else Acting(N, 5, act)
    return make_loader(data, **{"batch_size": 4, "shuffle": True, **options})


def transformed(transform: object, act: Callable[[], object] | None) -> Any:
    data: Any = Colors(N) if act is None else Acting(N, 5, act)
    data.transform = transform
    return data


def loader(**options: Any) -> Callable[[Any], Any]:
    return partial(shuffled, **options)


def described(words: object) -> Callable[[Any], Any]:
    return partial(transformed, words)


FOUR: dict[str, Any] = {"num_classes": 4, "data": lambda _: Colors(N, classes=4)}
FOUR["scored"] = Colors(8, classes=4)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ({}, {"learning_rate": 0.01, "epochs": 3}, "epochs 2 there, 3 here; learning_rate 0.05 th"),
        ({}, {"class_names": ["a", "b", "c"]}, "class_names ['0', '1', '2'] there, ['a', 'b', 'c'"),
        ({}, FOUR, "class_names ['0', '1', '2'] there, ['0', '1', '2', '3'] here"),
        ({}, {"sampler": "balanced"}, "sampler None there, 'balanced' here"),
        ({}, {"seed": 1}, "seed 0 there, 1 here"),
        ({}, {"precision": "bf16-mixed"}, "precision '32-true' there, 'bf16-mixed' here"),
        ({}, {"data": lambda _: Colors(15)}, "training set {'rows': 12, "),
        ({"model": network_of(6)}, {"model": network_of(6, extra=1)}, None),
        ({"model": network_of(6)}, {"model": network_of(7)}, "layers "),
        ({"data": described("a")}, {"data": described("b")}, """'transform': "'b'","""),
        ({"data": described(object())}, {"data": described(object())}, None),
        ({}, {"scored": Colors(9)}, "validation set {'rows': 6, 'labels'"),
        ({"data": loader()}, {"data": loader()}, None),
        ({"data": loader()}, {"data": loader(batch_size=6)}, "'batch_size': 6"),
        ({"data": loader()}, {"data": loader(seed=1)}, "'seed': 1"),
        ({"data": loader()}, {"data": loader(sample_weights=range(N))}, "'sample_weights': '"),
    ],
)
def test_a_run_resumes_with_the_same_options_model_and_sets_alone(
    tmp_path: Path, first: Any, second: Any, difference: str | None
) -> None:
    usual = partial(transformed, None)
    data = first.get("data", usual)(fail)
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(tmp_path, **{"save_every": 1, **first, "data": data})
    before = (tmp_path / "last.ckpt").read_bytes()
    again = {**second, "data": second.get("data", usual)(None)}

    if difference is None:
        assert len(fit(tmp_path, **again)[0]) == 2
        return
    what = f"a folder without an unfinished run of another configuration ({tmp_path})"
    sentence = f"Expected `output` to be {what}, but got "
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as error:
        fit(tmp_path, **again)
    assert difference in str(error.value)
    assert str(error.value).endswith("or `resume=False` to start over.")
    assert (tmp_path / "last.ckpt").read_bytes() == before


def edited(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what a state says."""

    def edit(path: Path) -> None:
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)

    return edit


def changed(path: Path) -> None:
    """Change one bit of a weight."""
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["state_dict"]["model.5.weight"]
    content[content.index(weights.numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:99]),
        lambda path: path.write_bytes(b"half a state" * 99),
        changed,
        edited(lambda state: state["dermolib"].update(position="here")),
        edited(lambda state: state["dermolib"].update(position=[0, 1, 2])),
        edited(lambda state: state["dermolib"].update(position=[9, 0])),
        edited(lambda state: state["dermolib"].update(config=[1])),
        edited(lambda state: state.update(callbacks=[])),
        edited(lambda state: state.update(epoch=99)),
        edited(lambda state: state.update(optimizer_states=[{"state": {}, "param_groups": []}])),
        edited(lambda state: state["state_dict"].update({"model.5.bias": torch.zeros(7)})),
        edited(lambda state: state.pop("loops")),
    ],
    ids=[
        *("empty", "cut short", "other content", "changed bit", "position a text"),
        *("position of three", "position beyond the run", "config a list", "callbacks a list"),
        *("epoch beyond the run", "other optimizer", "other shapes", "no loops"),
    ],
)
def test_a_changed_state_is_refused_and_kept(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    broken(tmp_path)
    damage(tmp_path / "last.ckpt")
    content = (tmp_path / "last.ckpt").read_bytes()
    sentence = f"Expected `{tmp_path / 'last.ckpt'}` to be "

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}") as error:
        fit(tmp_path, Acting(N, 0, lambda: pytest.fail("an image was read")))

    assert "Restore it, or pass `resume=False` to start over" in str(error.value)
    assert trainer(tmp_path).fit(Colors(N), resume=False).rows
    kept = [path.read_bytes() for path in tmp_path.glob("run-1/last.ckpt")]
    assert kept in ([content], [])
    assert kept or "is damaged" in str(error.value)


def test_missing_best_weights_are_reported_before_the_first_step(tmp_path: Path) -> None:
    broken(tmp_path, N + 1)
    (tmp_path / "best.pt").unlink()

    with pytest.raises(
        ValueError, match=r"best\.pt` to be the best weights of the run, but got no"
    ):
        fit(tmp_path, Acting(N, 0, lambda: pytest.fail("an image was read")))


def test_states_and_weights_load_without_code_and_carry_the_run(tmp_path: Path) -> None:
    names: dict[str, Any] = {"class_names": ["red", "green", "blue"]}
    broken(tmp_path, N + 1, **names)

    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["dermolib"]
    best = torch.load(tmp_path / "best.pt", weights_only=True)

    for part in (state, best):
        assert part["class_names"] == ["red", "green", "blue"]
        assert (part["config"]["learning_rate"], part["config"]["epochs"]) == (0.05, 2)


def test_plain_loaders_resume_at_the_last_whole_epoch(tmp_path: Path) -> None:
    data = Acting(N, N + 5, sent(signal.SIGTERM))
    loader: Any = torch.utils.data.DataLoader(data, batch_size=4)

    with pytest.raises(SystemExit, match="143"):
        fit(tmp_path, loader, save_every=1, epochs=3)

    assert data.reads == 2 * N
    assert position(tmp_path) == [2, 0]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_resumed_run_keeps_its_results_in_place(tmp_path: Path) -> None:
    broken(tmp_path, N + 1)

    fit(tmp_path)

    assert names(tmp_path) == {"best.pt", "history.csv", "run.json", "tensorboard"}


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path: Path) -> None:
    sentence = f"`output` to be a folder that no other run is working on, but got {tmp_path} of"

    with pytest.raises(ValueError, match=re.escape(sentence)):
        fit(tmp_path, Acting(N, 1, lambda: fit(tmp_path)))

    assert ".dermolib.lock" not in names(tmp_path)
    assert len(fit(tmp_path)[0]) == 2


def test_a_run_that_fails_before_its_first_step_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    broken(tmp_path / "new", 0)
    assert len(fit(tmp_path / "new", batch_size=6)[0]) == 2
    broken(tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()

    with pytest.raises(RuntimeError, match="Out of luck"):
        trainer(tmp_path).fit(Colors(N), Acting(VALIDATION, 0, fail), resume=False)

    assert (tmp_path / "last.ckpt").read_bytes() == before


class Noisy(Colors):
    """Images that are drawn anew whenever they are read."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return {**sample, "image": sample["image"] + torch.randn(3, 8, 8)}


def test_the_sanity_check_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(folder: Path) -> tuple[History, Any]:
        scored = make_loader(Noisy(VALIDATION, seed=1), batch_size=4)
        return fit(folder, scored=scored, ema=0.5)

    history, found = run(tmp_path / "checked")
    engine = lightning.Trainer
    monkeypatch.setattr(
        lightning, "Trainer", lambda **given: engine(**{**given, "num_sanity_val_steps": 0})
    )
    plain, wanted = run(tmp_path / "plain")

    assert history.rows == plain.rows
    assert same(found, wanted)


def test_the_model_has_its_own_weights_where_scoring_its_average_failed() -> None:
    fitted, seen = trainer(None, ema=0.99), []

    def keep() -> None:
        seen.append(weights(fitted.model))
        fail()

    with pytest.raises(RuntimeError, match="Out of luck"):
        fitted.fit(Colors(N), Acting(VALIDATION, CHECKED, keep))

    assert not same(fitted.model.state_dict(), seen[0])


@pytest.mark.parametrize("scored", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9, "optimizer": "sgd"}], ids=["plain", "average"]
)
def test_a_prolonged_run_equals_one_that_had_all_epochs_from_the_start(
    tmp_path: Path, scored: bool, options: dict[str, Any]
) -> None:
    def run(folder: str, epochs: int, **more: Any) -> tuple[Any, Any]:
        settings = {"schedule": "constant", "keep_state": True, **options}
        fitted = trainer(tmp_path / folder, epochs=epochs, **settings)
        seen = Colors(VALIDATION, seed=1) if scored else None
        return fitted.fit(Colors(N), seen, **more).rows, fitted.model.state_dict()

    whole, weights = run("whole", 4)
    run("parts", 2)
    prolonged, own = run("parts", 4, resume="prolong")

    assert prolonged == whole
    assert all(torch.equal(own[name], value) for name, value in weights.items())
    assert (tmp_path / "parts" / "best.pt").exists()
    assert not list(tmp_path.glob("parts/run-*"))
    words = "`epochs` to be more than 4, those that the run had, but got 3"
    with pytest.raises(ValueError, match=words):
        run("parts", 3, resume="prolong")


def test_a_prolonged_run_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    steady: dict[str, Any] = {"schedule": "constant", "keep_state": True}
    whole = trainer(tmp_path / "whole", epochs=4, **steady)
    rows = whole.fit(Colors(N)).rows
    trainer(tmp_path / "run", epochs=2, **steady).fit(Colors(N))

    cut = trainer(tmp_path / "run", epochs=4, save_every=1, **steady)
    with pytest.raises(RuntimeError, match="Out of luck"):
        cut.fit(Acting(N, N + 5, fail), resume="prolong")
    again = trainer(tmp_path / "run", epochs=4, **steady)

    assert again.fit(Colors(N), resume="prolong").rows == rows
    ends = (fitted.model.state_dict().values() for fitted in (whole, again))
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"keep_state": False},
            "`resume` to be True or False without a run in .*`keep_state=True`",
        ),
        ({"schedule": "onecycle"}, "`schedule` to be 'constant' without `warmup`, or your own"),
        ({"warmup": 0.5}, "`schedule` to be 'constant' without `warmup`, or your own"),
        (
            {"learning_rate": 0.01},
            "another configuration .* but got learning_rate 0.05 there, 0.01",
        ),
    ],
)
def test_what_cannot_be_prolonged_is_refused(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    kept = options.get("keep_state", True)
    trainer(tmp_path, schedule="constant", keep_state=kept).fit(Colors(N))

    fitted = trainer(tmp_path, epochs=4, **{"schedule": "constant", "keep_state": True, **options})
    with pytest.raises(ValueError, match=words):
        fitted.fit(Colors(N), resume="prolong")
    with pytest.raises(ValueError, match="`resume` to be True, False or 'prolong', but got 'on'"):
        fitted.fit(Colors(N), resume="on")
    with pytest.raises(ValueError, match="`output` to be a folder for `resume='prolong'`"):
        trainer(None, schedule="constant").fit(Colors(N), resume="prolong")


def test_a_finished_run_is_not_prolonged_unasked(tmp_path: Path) -> None:
    for _ in range(2):
        trainer(tmp_path, schedule="constant", keep_state=True).fit(Colors(N))

    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == [
        *("best.pt", "history.csv", "last.ckpt", "run-1", "run.json", "tensorboard"),
    ]
