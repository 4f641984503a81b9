"""Calls that read back what earlier calls or users left, for the law that all obey after a change.

Run as ``python tests/rereading.py CHANGES [NAME...]`` this tries so many changes on each of them,
an hour of them by hand, and prints how many came to which end, by kind of file.
"""

import re
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import releases
from mutations import Draw, mutate
from resumable import JOBS, Rows, write_inputs
from waiting import Hang, at_once

SECONDS = 120  # after which a call hangs
_ENDS = ("right", "refused", "other", "FAULT")
_OTHERS = ".of others"
_RUN = r"best[.]pt|history[.]csv"
_OURS = (ValueError, TypeError, RuntimeError, OSError)
_Context = Callable[[Path], Any]


@dataclass(frozen=True)
class Reread:
    """A call that reads files back.

    Attributes:
        make: Writes the files to a folder; takes what `inputs` gives, the folder, and whether to
            write an earlier version.
        call: Reads them again; takes the same inputs and the folder, and returns what it read.
        inputs: Gives what both need; takes a folder.
        files: Pattern of the names of the files that are changed.
        results: Pattern of the files that it writes, and must leave as an undisturbed call does.
        kept: Pattern of the files whose contents stay, if under other names, once it has ended.
        free: Pattern of the changes after which another result is right, since what is there is as
            valid as what was there: of files of users, all.
        cost: How many changes of the cheapest kind take as long as one of these.
    """

    make: Callable[[Any, Path, bool], object]
    call: Callable[[Any, Path], Any]
    inputs: _Context = nullcontext
    files: str = "**/*"
    results: str = ""
    kept: str = ""
    free: str = ""
    cost: int = 1


class Trial(NamedTuple):
    """What was changed, to which end, and what was wrong with that, if anything."""

    file: str
    change: str
    end: str
    fault: str


def _files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder that are neither links nor a lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != ".dermolib.lock"
    }


class Workshop:
    """A folder in which the files of a call are changed, one change at a time.

    Args:
        subject: The call.
        root: Empty folder.
        inputs: What the call needs beside its files.
    """

    def __init__(self, subject: Reread, root: Path, inputs: Any) -> None:
        """Write the files, an earlier version of them, and note what the call gives."""
        self.subject, self.root, self.inputs = subject, root, inputs
        self.out, self.outside = root / "out", root / "outside"
        for name, earlier in (("fresh", False), ("older", True)):
            subject.make(inputs, self.out, earlier)
            if self.out.exists():
                self.out.rename(root / name)
        self.read_back = sorted(
            path.relative_to(root / "fresh")
            for path in (root / "fresh").glob(subject.files)
            if path.is_file() and path.name != ".dermolib.lock"
        )
        self._restore()
        self.right = subject.call(inputs, self.out)
        # Notes in JSON may say the same in other words
        results = re.compile(f"(?!.*[.]jsonl?$){subject.results or '$'}")
        after = _files(self.out)
        self.after = {name: data for name, data in after.items() if results.fullmatch(name)}
        self._restore()
        self.before = _files(self.root / "fresh")

    def _restore(self) -> None:
        for folder in (self.out, self.outside):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / "fresh", self.out)
        (self.out / _OTHERS).write_bytes(b"of others")
        self.outside.mkdir()

    def try_out(self, draw: Draw) -> Trial:
        """Change a file and make the call; after a refusal, put it back and make the call again."""
        self._restore()
        file = draw(st.sampled_from(self.read_back))
        others = [self.out / one for one in self.read_back if one != file] or [self.out / file]
        change = mutate(
            draw,
            self.out / file,
            others=others,
            older=self.root / "older" / file,
            outside=self.outside,
        )
        changed, outside = _files(self.out), _files(self.outside)
        foreign = {name: data for name, data in changed.items() if name not in self.before}
        kept = {name for name, data in self.before.items() if changed.get(name) == data}
        end, fault = self._end(file)
        if end == "other" and not re.fullmatch(self.subject.free, change):
            fault = "another result"
        lost = self._differing(foreign)
        lost += ["what a link led to"] if _files(self.outside) != outside else []
        if end == "right":
            lost += self._differing(self.after)
            there = {*_files(self.out).values()}
            gone = {name for name, data in changed.items() if data not in there}
            lost += [name for name in sorted(gone) if re.fullmatch(self.subject.kept, name)]
        elif not self.subject.results:
            lost += self._differing({name: self.before[name] for name in kept})
        elif end == "refused" and not fault:
            self._put_back(file, kept, {*foreign})
            again, fault = self._end(file)
            fault = fault or ("" if again == "right" else f"{again} once the file is back")
            lost += self._differing(self.after)
        fault = fault or (f"lost or other: {', '.join(lost[:3])}" if lost else "")
        return Trial(str(file), change, end, fault)

    def _differing(self, wanted: dict[str, bytes]) -> list[str]:
        """List which files are no longer there, or have other contents."""
        paths = {name: self.out / name for name in wanted}
        now = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        return sorted(name for name, data in wanted.items() if now.get(name) != data)

    def _put_back(self, file: Path, kept: set[str], foreign: set[str]) -> None:
        """Undo a change, as the one does who reads why a call was refused."""
        for name in foreign - {_OTHERS}:
            (self.out / name).unlink()
        path = self.out / file
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        for name in {*self.before} - (kept - {file.as_posix()}):
            shutil.copy2(self.root / "fresh" / name, self.out / name)

    def _end(self, file: Path) -> tuple[str, str]:
        """Make the call; returns how it ended, and what is wrong with its words."""
        try:
            with at_once(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of rows that are left out
                result = self.subject.call(self.inputs, self.out)
        except Hang:
            return "hangs", "hangs"
        except Exception as error:
            return "refused", self._unlike_ours(error, file)
        return ("right" if result == self.right else "other"), ""

    def _unlike_ours(self, error: Exception, file: Path) -> str:
        """Say how an error differs from one sentence of ours that names what it is about."""
        words, kind = str(error), type(error).__name__
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = "" if place is None else place.tb_frame.f_code.co_filename.rpartition("lib/")[2]
        at = f"{kind} in {where}:{place.tb_lineno if place else ''}: {words[:300]!r}"
        plain = isinstance(error, FileNotFoundError) or "DatasetNotFound" in kind
        if not isinstance(error, _OURS) or not (words.startswith("Expected `") or plain):
            return f"not of ours: {at}"
        if "\n" in words:
            return f"several lines: {at}"
        return "" if str(self.root) in words or file.name in words else f"names no path: {at}"


@contextmanager
def workshop(name: str, root: Path) -> Iterator[Workshop]:
    """Set up the folder of a call."""
    subject = SUBJECTS[name]
    with subject.inputs(root / "inputs") as inputs:
        yield Workshop(subject, root, inputs)


# Inputs


@contextmanager
def _images(folder: Path) -> Iterator[Path]:
    write_inputs(folder)
    yield folder


@contextmanager
def _served(folder: Path) -> Iterator[Any]:
    write_inputs(folder)
    with JOBS["download"].serving(folder) as collection:
        yield collection


# Jobs


def _job(name: str) -> dict[str, Any]:
    """Make a job and run it once more."""
    job = JOBS[name]

    def make(inputs: Any, folder: Path, earlier: bool) -> None:
        if not earlier or job.settings:
            job.run(inputs, folder, **({"other": True} if earlier else {}))

    return {"make": make, "call": lambda inputs, folder: job.run(inputs, folder), "results": ".*"}


def _prepare(inputs: Path, folder: Path) -> Any:
    JOBS["prepare"].run(inputs, folder)
    return _read_store(inputs, folder)


def _make_store(inputs: Path, folder: Path, earlier: bool) -> None:
    JOBS["prepare"].run(inputs, folder, **({"exclude": ["b.*"]} if earlier else {}))


def _unfinished(inputs: Path, folder: Path, earlier: bool) -> None:
    _make_store(inputs, folder, earlier)
    for name in ("store.json", "index.csv"):
        (folder / name).unlink()


def _remove_hair(inputs: Path, folder: Path, **options: Any) -> None:
    JOBS["hair"].run(inputs, folder, contact_sheet=folder / "sheet.png", errors="raise", **options)


def _segment(inputs: Path, folder: Path, **options: Any) -> None:
    JOBS["segment"].run(inputs, folder, errors="raise", **options)


def _read_artifacts(inputs: Path, folder: Path) -> Any:
    from dermolib.preprocessing import artifact_table

    return artifact_table(inputs / "in", cache=folder, progress=False).to_csv()


def _read_store(inputs: Path, folder: Path) -> Any:
    from dermolib import ISICDataset, PreparedStore
    from dermolib.datasets.store import load_image

    store = PreparedStore(folder)
    table = Rows(inputs).table
    rows = ISICDataset(table, store, masks=True)
    return (
        store.settings,
        [
            store.column(name).tolist()
            for name in ("id", "file", "row", "height", "masked_fraction")
        ],
        [load_image(store.image_path(number)).tobytes() for number in range(len(store))],
        [
            (one["image"].tobytes(), one["mask"].tobytes())
            for one in map(rows.__getitem__, range(3))
        ],
    )


def _read_copies(inputs: Path, folder: Path) -> Any:
    from dermolib import ISICDataset

    rows = ISICDataset(Rows(inputs).table, masks=True).with_augmented(folder)
    samples = [rows[number] for number in range(len(rows))]
    return (
        rows.table.drop(columns=["image_path", "mask_path"]).to_csv(),
        [(one["image"].tobytes(), one["mask"].tobytes()) for one in samples],
    )


def _cut_off(collection: Any, folder: Path, _: bool) -> None:
    """Leave a download of which one file is half there."""
    from dermolib.datasets.download.http import Part  # what a killed call leaves cannot be had

    JOBS["download"].run(collection, folder)
    table, journal = folder / "Table.csv", folder / "downloads.jsonl"
    whole = table.read_bytes()
    table.unlink()
    headers = HTTPMessage()
    headers["ETag"] = '"1"'
    part = Part(folder / "Table.csv.part")
    part.describe(headers, len(whole))
    part.append(whole[:90])
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if table.name not in line))


def _download(collection: Any, folder: Path) -> None:
    from dermolib import download
    from dermolib.datasets.download import RetryPolicy

    retry = RetryPolicy(attempts=2, pause=0)
    download(collection, folder, progress=False, retry=retry)


def _extract(inputs: Path, folder: Path) -> Any:
    return JOBS["features"].run(inputs, folder).values.tobytes()


# Training


def _fit(folder: Path, data: Any) -> Any:
    from colors import Colors, network, trainer

    fitted = trainer(network(dropout=0.3), epochs=3, output=folder, save_every=1, progress=False)
    history = fitted.fit(data, Colors(6, seed=1))
    return history.rows, _digest(fitted.model.state_dict())


def _digest(weights: Any) -> dict[str, Any]:
    return {
        key: (value.dtype, value.shape, value.numpy().tobytes()) for key, value in weights.items()
    }


def _stop_fit(_: Any, folder: Path, earlier: bool) -> None:
    from colors import Acting

    def stop() -> None:
        raise KeyboardInterrupt

    try:
        _fit(folder, Acting(18, 22 if earlier else 45, stop))
    except KeyboardInterrupt:
        return


def _finish_fit(_: Any, folder: Path, earlier: bool) -> None:
    from colors import Colors

    _fit(folder, Colors(18, seed=int(earlier)))


def _resume(_: Any, folder: Path) -> Any:
    from colors import Colors

    return _fit(folder, Colors(18))


def _save(_: Any, folder: Path, earlier: bool) -> None:
    from dermolib import Trainer, build_model

    folder.mkdir()
    _seed(int(earlier))
    model = build_model("custom_cnn", num_classes=3, image_size=8)
    Trainer(model, num_classes=3, class_names=["a", "b", "c"], device="cpu").save(folder / "m.pt")


def _load(_: Any, folder: Path) -> Any:
    from dermolib import Trainer

    loaded = Trainer.load(folder / "m.pt", device="cpu")
    return loaded.class_names, _digest(loaded.model.state_dict())


def _save_weights(_: Any, folder: Path, earlier: bool) -> None:
    import torch
    from safetensors.torch import save_file

    from dermolib import build_model

    folder.mkdir()
    _seed(int(earlier))
    state = build_model("custom_cnn", num_classes=3, image_size=8).state_dict()
    torch.save(state, folder / "w.pt")
    save_file(state, folder / "w.safetensors")


def _load_weights(_: Any, folder: Path) -> Any:
    from dermolib import build_model

    build = partial(build_model, "custom_cnn", num_classes=3, image_size=8)
    return [
        _digest(build(weights=folder / name).state_dict()) for name in ("w.pt", "w.safetensors")
    ]


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


# Files of users


def _write_split(_: Any, folder: Path, earlier: bool) -> None:
    from dermolib import grouped_split

    folder.mkdir()
    grouped_split(_split_table(), seed=int(earlier)).save(folder / "split.csv")


def _split_table() -> Any:
    import pandas as pd

    ids = [f"ISIC_{number}" for number in range(12)]
    return pd.DataFrame({"id": ids, "label": [0, 1] * 6, "lesion": ""})


def _read_split(_: Any, folder: Path) -> Any:
    from dermolib.datasets import load_split

    split = load_split(folder / "split.csv", _split_table())
    return split.names, [rows.tolist() for rows in split]


def _read_collection(name: str, _: Any, folder: Path) -> Any:
    from dermolib import ISICDataset

    rows = ISICDataset.from_collection(name, folder, missing="drop")
    table = rows.table.drop(columns=["image_path", "mask_path"], errors="ignore")
    return table.to_csv(), [rows[number]["image"].tobytes() for number in range(len(rows))]


def _write_challenge(_: Any, folder: Path, earlier: bool) -> None:
    from dermolib import make_synthetic_challenge

    make_synthetic_challenge(folder, images_per_class=1, image_size=32, seed=int(earlier))


def _write_release(name: str, _: Any, folder: Path, earlier: bool) -> None:
    if not earlier:
        releases.write(name, folder)


def _read_challenge(_: Any, folder: Path) -> Any:
    from dermolib import ISICDataset

    rows = ISICDataset(folder / "metadataTrain.csv", folder / "Train", masks=True)
    samples = [rows[number] for number in range(len(rows))]
    return (
        rows.table.drop(columns=["image_path", "mask_path"]).to_csv(),
        [(one["image"].tobytes(), one["mask"].tobytes()) for one in samples],
    )


def _write_judged(_: Any, folder: Path, earlier: bool) -> None:
    """Write a truth, two answers and metadata, all by the same ids."""
    import numpy as np
    import pandas as pd

    folder.mkdir()
    generator = np.random.default_rng(int(earlier))
    ids = [f"ISIC_{number}" for number in range(24)]
    target = np.arange(24) % 2
    truth = {"image": ids, "MEL": target, "NV": 1 - target}
    pd.DataFrame(truth).to_csv(folder / "truth.csv", index=False)
    for name in ("a", "b"):
        melanoma = generator.random(24).round(3)
        answer = {"image": ids, "MEL": melanoma, "NV": (1 - melanoma).round(3)}
        pd.DataFrame(answer).to_csv(folder / f"{name}.csv", index=False)
    table = {"image": ids, "lesion": generator.integers(0, 12, 24), "sex": ["female", "male"] * 12}
    pd.DataFrame(table).to_csv(folder / "lesions.csv", index=False)


def _judge(_: Any, folder: Path) -> Any:
    """Read as `dermolib score` and `dermolib compare` do."""
    from dermolib.evaluation import files, official_scores

    truth = files.read_truth(folder / "truth.csv", None)
    truth, answers = files.read_answers([folder / "a.csv", folder / "b.csv"], truth)
    groups = files.read_groups(folder / "lesions.csv", truth)
    sexes = files.read_subgroups(folder / "lesions.csv", truth, "sex")
    scores = official_scores(folder / "truth.csv", folder / "a.csv").to_csv()
    parts = [files.as_given(truth, values) for values in answers]
    return scores, str(parts), groups[1].tolist(), sexes.tolist()


_OFFLINE = _job("offline")
SUBJECTS = {
    "prepare": Reread(_make_store, _prepare, _images, results=".*"),
    "prepare, unfinished": Reread(_unfinished, _prepare, _images, results=".*"),
    "store": Reread(_make_store, _read_store, _images),
    "hair": Reread(
        lambda inputs, folder, earlier: _remove_hair(inputs, folder, other=earlier),
        _remove_hair,
        _images,
        results=".*",
    ),
    "segment": Reread(
        lambda inputs, folder, earlier: _segment(inputs, folder, other=earlier),
        _segment,
        _images,
        results=".*",
    ),
    "artifacts": Reread(_job("artifacts")["make"], _read_artifacts, _images),
    "offline": Reread(**_OFFLINE, inputs=_images),
    "copies": Reread(_OFFLINE["make"], _read_copies, _images),
    "download": Reread(_job("download")["make"], _download, _served, results=".*"),
    "download, cut off": Reread(_cut_off, _download, _served, results=".*"),
    "features": Reread(_job("features")["make"], _extract, _images),
    "training, cut off": Reread(_stop_fit, _resume, files="*.*", results=_RUN, cost=6),
    "training, finished": Reread(
        _finish_fit, _resume, files="*.*", results=_RUN, kept=_RUN, cost=6
    ),
    "model": Reread(_save, _load, free="(older|values).*", cost=2),
    "weights": Reread(_save_weights, _load_weights, free=".*", cost=2),
    "judged": Reread(_write_judged, _judge, free=".*"),
    "split": Reread(_write_split, _read_split, free=".*"),
    "challenge": Reread(_write_challenge, _read_challenge, free=".*"),
    **{
        name: Reread(
            partial(_write_release, name),
            partial(_read_collection, name),
            files="**/*.[cht]*",
            free=".*",
        )
        for name in ("ham10000", "isic2018", "isic2019", "isic2020", "isic2024")
    },
}
"""The calls by name."""


def try_many(name: str, changes: int, *, random: bool) -> list[Trial]:
    """Try changes on one call: fewer where it is slow, and the same in each run unless random."""
    trials: list[Trial] = []

    @settings(
        max_examples=max(1, changes // SUBJECTS[name].cost),
        derandomize=not random,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(st.data())
    def law(data: Any) -> None:
        trials.append(place.try_out(data.draw))

    with tempfile.TemporaryDirectory() as folder, workshop(name, Path(folder)) as place:
        law()
    return trials


def main(changes: int, names: list[str]) -> int:
    """Try changes on calls, and print how many came to which end; returns the number of faults."""
    total: Counter[str] = Counter()
    warnings.simplefilter("error")
    for name in names or SUBJECTS:
        trials = try_many(name, changes, random=True)
        ends = Counter((Path(one.file).suffix, "FAULT" if one.fault else one.end) for one in trials)
        for suffix in sorted({suffix for suffix, _ in ends}):
            counts = " ".join(f"{ends[suffix, end]:5} {end}" for end in _ENDS)
            sys.stdout.write(f"{name:20} *{suffix:12} {counts}\n")
        faults = Counter(f"{one.file}, {one.change}: {one.fault}" for one in trials if one.fault)
        sys.stdout.writelines(f"  {count} x {words}\n" for words, count in sorted(faults.items()))
        sys.stdout.flush()
        total.update(end for _, end in ends.elements())
    counts = ", ".join(f"{total[end]} {end}" for end in _ENDS)
    sys.stdout.write(f"{total.total()} changes: {counts}\n")
    return total["FAULT"]


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]), sys.argv[2:]), 1))
