"""The folder of a run: what is the user's stays, what is taken from the disk is what was left."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colors import Acting, Colors, fail, network, same
from torch.utils.data import Subset

from dermolib import ISICDataset, Trainer, prepare, preset
from dermolib.io import write_image

N = 12
OPTIONS: dict[str, Any] = {"num_classes": 3, "epochs": 2, "batch_size": 4, "learning_rate": 0.05}
OPTIONS |= {"device": "cpu", "precision": "float32", "progress": False, "save_every": 1}


def fit(folder: Path, data: Any = None, *, resume: bool = True, seed: int = 0) -> Trainer:
    trainer = Trainer(network(seed=seed), output=folder, seed=seed, **OPTIONS)
    trainer.fit(Colors(N) if data is None else data, Colors(6, seed=1), resume=resume)
    return trainer


def broken(folder: Path, read: int, *, resume: bool = True, seed: int = 0) -> None:
    """Begin a run that fails before it reads an image."""
    with pytest.raises(RuntimeError, match="Out of luck"):
        fit(folder, Acting(N, read, fail), resume=resume, seed=seed)


def contents(folder: Path) -> dict[str, Any]:
    """Tell all that lies in a folder, with the targets of links, and when it was written."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mtime_ns,
            path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() or path.is_symlink()
    }


def linked(target: Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def written(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def filled(path: Path) -> None:
    path.mkdir()
    (path / "events.out.tfevents.1.me").write_text("mine")


def pipe(path: Path) -> None:
    os.mkfifo(path)


FILES = ["history.csv", "best.pt", "last.ckpt", "run.json"]


@pytest.mark.parametrize("name", [*FILES, "tensorboard"])
@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link", "link to nothing"])
def test_what_is_in_the_way_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, kind: str
) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "run"
    folder.mkdir()
    elsewhere.mkdir() if name == "tensorboard" else elsewhere.write_text("mine")
    make = {
        "file": written("mine"),
        "folder": filled,
        "pipe": pipe,
        "link": linked(elsewhere),
        "link to nothing": linked(tmp_path / "absent"),
    }[kind]
    make(folder / name)
    before = contents(folder)

    with pytest.raises(
        ValueError, match=f"^Expected `output` to be .* with {name}, which"
    ) as error:
        fit(folder, Acting(N, 0, fail))

    assert "Choose another `output`, or move away what is yours" in str(error.value)
    assert contents(folder) == before
    assert elsewhere.is_dir() or elsewhere.read_text() == "mine"
    assert not (tmp_path / "absent").exists()


def test_names_like_those_of_a_run_may_lie_beside_and_stay(tmp_path: Path) -> None:
    fit(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())["run"]
    os.mkfifo(tmp_path / ".run-0123456789ab.json")
    (tmp_path / ".run-0123456789ac.json").touch()
    (tmp_path / f".best-{run}.pt.bak").write_text("mine")
    (tmp_path / f".folder-{run}").mkdir()
    (tmp_path / ".lock").touch()
    before = {path.name for path in tmp_path.iterdir()}
    fit(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before | {"run-1"}
    assert (tmp_path / f".best-{run}.pt.bak").read_text() == "mine"


class _Named(Colors):
    """A set of one's own, whose paths are not those of files."""

    def __init__(self, paths: Any) -> None:
        super().__init__(N)
        self.image_paths = paths


@pytest.mark.parametrize("paths", [{"a": 1}, [None] * N, ["https://example.org/a.jpg"] * N, []])
def test_paths_of_a_set_of_ones_own_are_not_looked_up(tmp_path: Path, paths: Any) -> None:
    fit(tmp_path, _Named(paths))
    assert (tmp_path / "best.pt").exists()


def test_other_files_may_lie_beside_and_stay(tmp_path: Path) -> None:
    folder = tmp_path / "link"
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")  # a folder elsewhere, such as on a larger disk
    for name in ("before", "run-1"):
        (folder / name).mkdir()
        (folder / name / "thesis.txt").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    fit(folder)
    (folder / "tensorboard" / "events.out.tfevents.1.me").write_text("mine")
    before["tensorboard/events.out.tfevents.1.me"] = contents(folder)[
        "tensorboard/events.out.tfevents.1.me"
    ]
    first = (folder / "best.pt").read_bytes()

    fit(folder, seed=1)

    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    assert (folder / "run-2" / "best.pt").read_bytes() == first


@pytest.mark.parametrize("earlier", ["none", "finished", "unfinished"])
def test_a_run_that_fails_in_its_first_batch_leaves_the_folder_as_it_was(
    tmp_path: Path, earlier: str
) -> None:
    if earlier != "none":
        fit(tmp_path) if earlier == "finished" else broken(tmp_path, N + 1)
    before = contents(tmp_path)
    before.pop("run.json", None)

    broken(tmp_path, 0, resume=False, seed=1)

    after = contents(tmp_path)
    mark = after.pop("run.json", None)
    assert after == before
    assert (mark is None) == (earlier == "none")
    assert bool(list(tmp_path.iterdir())) == (earlier != "none")


def test_failed_attempts_do_not_cost_the_weights_of_a_finished_run(tmp_path: Path) -> None:
    fit(tmp_path)
    files = {name: (tmp_path / name).read_bytes() for name in ("best.pt", "history.csv")}

    for seed in (1, 2, 3):
        broken(tmp_path, N + 1 if seed < 3 else 5, resume=False, seed=seed)

    assert sorted(path.name for path in tmp_path.glob("run-*")) == ["run-1", "run-2", "run-3"]
    assert {name: (tmp_path / "run-1" / name).read_bytes() for name in files} == files
    for number in (1, 2, 3):
        earlier = {path.name for path in (tmp_path / f"run-{number}").iterdir()}
        assert earlier == {"best.pt", "history.csv", "run.json", "tensorboard"}
        assert len(list(tmp_path.glob(f"run-{number}/tensorboard/events.out.tfevents.*"))) == 1
    assert len(list(tmp_path.glob("tensorboard/*"))) == 1
    broken(tmp_path, 5, resume=False, seed=4)  # the third one had come to nothing
    assert not (tmp_path / "run-4").exists()
    assert len(list(tmp_path.glob("tensorboard/*"))) == 1


def test_a_file_that_was_changed_is_kept_by_a_new_run(tmp_path: Path) -> None:
    fit(tmp_path)
    (tmp_path / "history.csv").write_text("with my notes")
    (tmp_path / "best.pt").unlink()

    def edit() -> None:
        (tmp_path / "history.csv").write_text("while it ran")

    fit(tmp_path, Acting(N, N + 1, edit), seed=1)

    assert (tmp_path / "run-1" / "history.csv").read_text() == "with my notes"
    assert (tmp_path / "run-2" / "history.csv").read_text() == "while it ran"
    assert (tmp_path / "history.csv").read_text().startswith("epoch,")


@pytest.mark.parametrize("name", ["best.pt", "history.csv"])
def test_a_file_of_another_run_is_noticed_before_the_first_step(tmp_path: Path, name: str) -> None:
    fit(tmp_path / "other", seed=1)
    broken(tmp_path / "run", N + 1)
    content = (tmp_path / "other" / name).read_bytes()
    (tmp_path / "run" / name).write_bytes(content)

    with pytest.raises(ValueError, match=f"{name}` to be as the run left it, but got a file that"):
        fit(tmp_path / "run", Acting(N, 0, lambda: pytest.fail("an image was read")))

    assert (tmp_path / "run" / name).read_bytes() == content


class Failing:
    """A transform that fails at an image, and is written like the one that it wraps."""

    def __init__(self, transform: Any, at: int) -> None:
        self.transform, self.left = transform, at

    def __call__(self, *, image: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            fail()
        return self.transform(image=image)

    def __repr__(self) -> str:
        return repr(self.transform)


@pytest.mark.parametrize("kind", ["folder", "store", "subset", "validation"])
def test_images_that_changed_under_the_same_ids_are_noticed(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame(
        {"ID": [f"I{n}" for n in range(N)], "CLASS": [1 + n % 8 for n in range(N)]}
    )

    def fitted(seed: int, *, at: int | None = None, place: str = "images") -> None:
        folder = tmp_path / place
        pixels = np.random.default_rng(seed).integers(0, 256, (N, 16, 16, 3), np.uint8)
        for number in range(N):
            write_image(folder / f"I{number}.png", pixels[number])
        source: Any = folder
        if kind == "store":
            source = prepare(
                folder, tmp_path / f"{place}{seed}", steps=[], image_size=16, progress=False
            )
        transform: Any = preset("evaluation", image_size=16)
        data: Any = ISICDataset(table, source, transform=transform)
        scored = data if kind == "validation" else None
        if at is not None:
            data = data.with_transform(Failing(transform, at))
        options = {**OPTIONS, "num_classes": 8, "class_weights": None, "output": tmp_path / "run"}
        data = Subset(data, range(N)) if kind == "subset" else data
        Trainer(network(classes=8), **options).fit(data, scored)

    with pytest.raises(RuntimeError, match="Out of luck"):
        fitted(0, at=6)
    name = "validation set" if kind == "validation" else "training set"
    with pytest.raises(ValueError, match=f"but got .*images of the {name} '[0-9a-f]+' there, '"):
        fitted(1)
    fitted(0, place="copy")  # the same images elsewhere

    assert (tmp_path / "run" / "best.pt").exists()


def test_a_best_file_of_another_run_is_noticed_at_the_end(tmp_path: Path) -> None:
    fit(tmp_path / "other", seed=1)
    content = (tmp_path / "other" / "best.pt").read_bytes()
    folder = tmp_path / "run"

    def swap() -> None:
        (folder / "best.pt").write_bytes(content)

    scored = Acting(6, 4 + 6 + 5, swap, seed=1)  # in the last validation
    trainer = Trainer(network(), output=folder, **{**OPTIONS, "learning_rate": 1e-9})
    with pytest.raises(ValueError, match=r"best\.pt` to be as the run left it"):
        trainer.fit(Colors(N), scored)

    assert (folder / "best.pt").read_bytes() == content
    assert (folder / "last.ckpt").exists()


@pytest.mark.parametrize("name", ["run.json", "history.csv", "last.ckpt"])
def test_a_file_that_is_changed_while_the_run_goes_on_is_kept(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    def change() -> None:
        (tmp_path / name).write_text("mine")

    fit(tmp_path, Acting(N, N + 2, change))  # in the second epoch

    assert (tmp_path / "run-1" / name).read_text() == "mine"
    assert "was changed while the run went on, and is kept as" in caplog.text
    loaded = Trainer.load(tmp_path / "best.pt", model=network())
    assert same(loaded.model.state_dict(), fit(tmp_path / "other").model.state_dict())


def marked(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """Change the mark of a run."""

    def edit(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda _: "",
        lambda _: "[]",
        lambda _: "[" * 100_000,
        lambda _: '{"format": ' + "9" * 5_000 + "}",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"finished": false', '"finished": true'),
        marked(lambda mark: mark.update(run=5)),
        marked(lambda mark: mark.update(files=["best.pt"])),
        marked(lambda mark: mark.update(archive="../elsewhere")),
        marked(lambda mark: mark.update(more=1)),
        marked(lambda mark: mark.pop("starting")),
    ],
    ids=[
        *("empty", "list", "deep", "long number", "cut short", "finished", "number", "files"),
        *("elsewhere", "more", "less"),
    ],
)
def test_a_mark_that_was_changed_is_refused(tmp_path: Path, edit: Callable[[str], str]) -> None:
    broken(tmp_path, N + 1)
    mark = tmp_path / "run.json"
    mark.write_text(edit(mark.read_text()))
    before = contents(tmp_path)

    for resume in (True, False):
        with pytest.raises(ValueError, match=r"`output` to be .*run\.json, which no run has"):
            fit(tmp_path, resume=resume)

    assert contents(tmp_path) == before


def test_a_move_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path)
    files = {name: (tmp_path / name).read_bytes() for name in ("best.pt", "history.csv")}
    rename = Path.rename

    def fail_at_table(path: Path, target: Any) -> Path:
        if path.name == "history.csv":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_at_table)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, seed=1)
    monkeypatch.undo()
    again = fit(tmp_path, seed=2)

    assert {name: (tmp_path / "run-1" / name).read_bytes() for name in files} == files
    assert not (tmp_path / "run-2").exists()
    best = torch.load(tmp_path / "best.pt", weights_only=True)["state_dict"]
    assert same(best, again.model.state_dict())


def test_an_earlier_run_can_be_resumed_where_it_was_moved(tmp_path: Path) -> None:
    fit(tmp_path)

    fit(tmp_path, seed=1)
    fit(tmp_path / "run-1", seed=2)

    assert (tmp_path / "run-1" / "run-1" / "best.pt").exists()
