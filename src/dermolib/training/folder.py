"""The folder of a run: its mark lists the files that are ours, and no others are touched."""

import json
import logging
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dermolib._jobs import describe_differences, exclusive_lock, fingerprint
from dermolib._validation import listed, printable, require
from dermolib.io import TEMPORARY, digest_file, open_file, parse_json, read_bytes
from dermolib.training.checkpoint import METADATA_KEY, check_parts, load_content

__all__ = ["BEST_NAME", "HISTORY_NAME", "LOG_NAME", "STATE_NAME", "RunFolder"]

BEST_NAME = "best.pt"
"""File name of the best weights in the folder of a run."""

HISTORY_NAME = "history.csv"
"""File name of the table with a row for each epoch."""

STATE_NAME = "last.ckpt"
"""File name of the state from which a run resumes."""

LOG_NAME = "tensorboard"
"""Folder of the TensorBoard log."""

_MARK = "run.json"
_FILES = (BEST_NAME, HISTORY_NAME, STATE_NAME)
_HEAD = {"kind": "dermolib training run", "format": 1}
_ID = re.compile("[0-9a-f]{12}")
_EARLIER = re.compile("run-([1-9][0-9]{0,8})")
_RESTORE = (
    "Restore it, or pass `resume=False` to start over: what is there is kept in a folder `run-1` "
    "or the next one."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Mark:
    """What in a folder is ours.

    Attributes:
        run: Id of the run whose files lie in the folder, or None.
        finished: Whether that run has ended.
        keeps_state: Whether it has kept its state, from which it can be prolonged.
        files: What runs have written there: digests by name, none for the folder of the log.
        starting: Id of a run that has not made its first step.
        archive: Folder that the files are being moved to.
    """

    run: str | None = None
    finished: bool = False
    keeps_state: bool = False
    files: dict[str, str] = field(default_factory=dict)
    starting: str | None = None
    archive: str | None = None


class RunFolder:
    """The folder of a run, in which only what runs have written is ever changed.

    New files are written under temporary names, and `commit` lets them take their places together.
    It notes their digests in the mark first, so that a run that is killed in between goes on from
    there. What the mark does not list is refused; what was changed since is kept.

    Args:
        path: Folder, made by `open` where missing. It may be a link to one; no link in it is
            followed.
        log: Whether the run writes a TensorBoard log.

    Attributes:
        path: The folder.
        log: Whether the run writes a TensorBoard log.
        run: Id of the run, which its temporary files and logs have in their names.
    """

    def __init__(self, path: Path, *, log: bool) -> None:
        """Draw the id of a new run; nothing is read or written yet."""
        self.path, self.log, self.run = path, log, secrets.token_hex(6)
        self._mark = _Mark()
        self._seen: dict[str, Any] = {}  # states of our files as they came to their places

    @contextmanager
    def open(self, *, first: bool) -> Iterator[None]:
        """Refuse a folder with files of others, keep other runs out, and mend what a kill left.

        Only the first of the processes that share a run does the last two.

        Raises:
            ValueError: Files are in the way, or another run trains in the folder.
        """
        self._look()
        with ExitStack() as stack:
            if first:
                # A file system without locks trains as well
                with suppress(NotImplementedError):
                    stack.enter_context(exclusive_lock(self.path, "output"))
                self._look()  # another run may have ended in between
                self._mend()
                stack.callback(self._leave)
            yield

    def temporary(self, name: str) -> Path:
        """Name the file to write before `commit` lets it take its place."""
        return _temporary(self.path / name, self.run)

    def unfinished(self, metadata: dict[str, Any], *, prolong: bool = False) -> Path | None:
        """Find the state of a run of this configuration, which goes on under its id.

        Args:
            metadata: Configuration of the run.
            prolong: Whether a finished run may go on, for more epochs than it had.

        Raises:
            ValueError: The run is one of another configuration, a file of it was changed, or there
                is no run to prolong.
        """
        mark, path, best = self._mark, self.path / STATE_NAME, self.path / BEST_NAME
        there = self._lies(STATE_NAME) or os.path.lexists(_temporary(path, mark.run))
        there = there and STATE_NAME in mark.files and not mark.archive
        what = f"True or False without a run in {self.path} that kept its state"
        hint = "Train with `keep_state=True` what may be prolonged."
        require(there or not prolong, "resume", what, "'prolong'", hint)
        prolong &= mark.finished
        if not there or (mark.finished and not prolong):
            return None
        for name in _FILES:
            self.check(name)
        if BEST_NAME in mark.files:
            require(best.exists(), str(best), "the best weights of the run", "no file", _RESTORE)
            check_parts(best, "the best weights of the run", _RESTORE)
        found = load_content(path, "the state of a run", _RESTORE, mmap=True)[METADATA_KEY]
        flat = [{"class_names": run["class_names"], **run["config"]} for run in (found, metadata)]
        if prolong:
            before, now = (run.pop("epochs") for run in flat)
            what, stopped = f"more than {before}, those that the run had", found["stopped"]
            require(now > before, "epochs", what, now)
            what, got = "True or False for a run that stopped early", "'prolong'"
            require(not stopped, "resume", what, got, "Start a new run with other options.")
        differences = "; ".join(describe_differences(*flat))
        what = f"a folder without an unfinished run of another configuration ({self.path})"
        hint = "Use the same options and images, another `output`, or `resume=False` to start over."
        require(not differences, "output", what, differences, hint)
        self.run = str(mark.run)
        return path

    def check(self, name: str) -> Path:
        """Refuse a file that is not as the run left it; a missing one passes."""
        path = self.path / name
        # The first process may be moving it to its place
        places = (path, _temporary(path, self._mark.run), path)
        found = {_digest(place) for place in places if os.path.lexists(place)}
        what, got = "as the run left it", "a file that was changed, or is of another run"
        known = not found or self._mark.files.get(name) in found
        require(known, str(path), what, got, _RESTORE)
        return path

    def begin(self) -> None:
        """Note that a run is starting, before it writes anything else."""
        files = {**self._mark.files, **({LOG_NAME: ""} if self.log else {})}
        self._write(replace(self._mark, files=files, starting=self.run))

    @property
    def starting(self) -> bool:
        """Whether the run has begun and has not committed anything."""
        return self._mark.starting == self.run

    def commit(self) -> None:
        """Let what was written take its place, the first time in that of an earlier run."""
        if self.starting:
            self._retire()
        staged = [name for name in _FILES if self.temporary(name).exists()]
        digests = {name: _digest(self.temporary(name)) or "" for name in staged}
        files = {**self._mark.files, **digests}
        mark = replace(self._mark, finished=False, keeps_state=False)
        self._write(replace(mark, run=self.run, starting=None, files=files))
        for name in staged:
            self._put(name)

    def finish(self, *, keep_state: bool) -> None:
        """Note that the run has ended, and remove its state unless it is kept."""
        self._write(replace(self._mark, finished=True, keeps_state=keep_state))
        if not keep_state:
            self._remove_state()

    def _look(self) -> None:
        """Read the mark, and refuse what is in the way of a run."""
        # In this order: what a first process makes in between is listed by then
        present = [name for name in (*_FILES, LOG_NAME, _MARK) if self._lies(name)]
        mark = self._read()
        known = {_MARK, *mark.files} if mark else set[str]()
        wanted = {*known, *_FILES, _MARK, *([LOG_NAME] if self.log else ())}
        odd = [
            name
            for name in present
            if name in wanted and not (name in known and self._is_plain(name))
        ]
        what = "a new folder or that of an earlier run"
        got = f"{self.path} with {listed(odd, most=9)}, which no run has written there"
        hint = "Choose another `output`, or move away what is yours: it is never touched."
        require(not odd, "output", what, got, hint)
        self._mark = mark or _Mark()
        self._note_states()

    def _lies(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def _is_plain(self, name: str) -> bool:
        """Tell whether what lies under a name can be ours: a folder or a file, never a link."""
        mode = (self.path / name).lstat().st_mode
        return stat.S_ISDIR(mode) if name == LOG_NAME else stat.S_ISREG(mode)

    def _read(self) -> _Mark | None:
        """Read the mark; None where there is none, or something else under its name."""
        if not (self._lies(_MARK) and self._is_plain(_MARK)):
            return None
        # Of another type, length or depth than ours
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
            content = dict(parse_json(read_bytes(self.path / _MARK)))
            digest = content.pop("digest")
            mark = _Mark(**{name: content.pop(name) for name in asdict(_Mark())})
            ids = all(one is None or _ID.fullmatch(one) for one in (mark.run, mark.starting))
            inside = mark.archive is None or _EARLIER.fullmatch(mark.archive)
            if ids and inside and (content, digest) == (_HEAD, fingerprint(asdict(mark))):
                return mark
        return None

    def _write(self, mark: _Mark, folder: Path | None = None) -> None:
        """Write the mark, or that of another folder."""
        content = {**_HEAD, **asdict(mark), "digest": fingerprint(asdict(mark))}
        temporary = self.temporary(_MARK)
        temporary.write_text(json.dumps(content, indent=1), encoding="ascii")
        if folder is not None:
            temporary.replace(folder / _MARK)
        else:
            self._put(_MARK)
            self._mark = mark

    def _put(self, name: str) -> None:
        """Move a file to its place; what someone else has put there meanwhile is kept."""
        path = self.path / name
        if self._lies(name) and _state(path) != self._seen.get(name):
            kept = self._new_archive() / name
            path.rename(kept)
            words = f"{path} was changed while the run went on, and is kept as {kept}"
            _log.warning("%s", printable(words))
        self.temporary(name).replace(path)
        self._seen[name] = _state(path)

    def _mend(self) -> None:
        """Finish what a run that was killed had begun, and remove what it left half done."""
        mark = self._mark
        if mark.archive is not None:
            self._retire()
        elif mark.run is not None:
            self._complete(mark.run)
        for path in self.path.glob(".run-*.json"):
            if TEMPORARY.fullmatch(path.name) and _begins_mark(path):
                path.unlink()
        if mark.starting is not None:
            self._clean(mark.starting, logs=True)
            self._restore()
        self._note_states()

    def _note_states(self) -> None:
        ours = (*_FILES, _MARK)
        self._seen = {name: _state(self.path / name) for name in ours if self._lies(name)}

    def _complete(self, run: str) -> None:
        """Let the files that a run has noted in the mark take their places."""
        for name in {*_FILES} & {*self._mark.files}:
            half = _temporary(self.path / name, run)
            if self._is_changed(name) and _digest(half) == self._mark.files[name]:
                half.replace(self.path / name)
        if self._mark.finished and not self._mark.keeps_state:
            self._remove_state()
        self._clean(run)

    def _is_changed(self, name: str) -> bool:
        """Tell whether a file that the mark lists is missing, or not as the run left it."""
        return _digest(self.path / name) != self._mark.files[name]

    def _remove_state(self) -> None:
        if STATE_NAME in self._mark.files and not self._is_changed(STATE_NAME):
            (self.path / STATE_NAME).unlink()

    def _retire(self) -> None:
        """Move what an earlier run left to a folder of its own; remove what came to nothing."""
        if self._mark.archive is None and self._is_worth_keeping():
            self._write(replace(self._mark, archive=self._new_archive().name))
        mark, archive = self._mark, None
        if mark.archive is not None:
            archive = self.path / mark.archive
            archive.mkdir(exist_ok=True)
            self._write(replace(mark, starting=None, archive=None), archive)
        self._remove_state()
        for path in self._results():
            if archive is None:
                path.unlink()
            else:
                place = archive / path.relative_to(self.path)
                place.parent.mkdir(exist_ok=True)
                path.rename(place)
        files = {LOG_NAME: ""} if LOG_NAME in mark.files else {}
        self._write(_Mark(files=files, starting=mark.starting))

    def _is_worth_keeping(self) -> bool:
        """Tell whether a run has results, or someone has changed a file of it."""
        files = [name for name in _FILES if name in self._mark.files and self._lies(name)]
        results = {BEST_NAME, HISTORY_NAME} & {*files}
        return self._mark.finished or bool(results) or any(map(self._is_changed, files))

    def _results(self) -> list[Path]:
        """List the files of the run that the mark names."""
        files = [self.path / name for name in _FILES if name in self._mark.files]
        logs = self._logs(self._mark.run) if self._mark.run else []
        return [*(path for path in files if os.path.lexists(path)), *logs]

    def _logs(self, run: str) -> list[Path]:
        return sorted((self.path / LOG_NAME).glob(f"events.out.tfevents.*.{run}"))

    def _new_archive(self) -> Path:
        """Make the next of the folders ``run-1``, ``run-2`` and so on."""
        found = [_EARLIER.fullmatch(path.name) for path in self.path.iterdir()]
        number = max([int(match[1]) for match in found if match], default=0)
        while True:
            number += 1
            with suppress(FileExistsError):
                path = self.path / f"run-{number}"
                path.mkdir()
                return path

    def _leave(self) -> None:
        """Remove what the run has left half done; of one without a step, all that it wrote."""
        with suppress(OSError):  # the next run does it
            self._clean(self.run, logs=self.starting)
            if self.starting:
                self._restore()

    def _clean(self, run: str, *, logs: bool = False) -> None:
        """Remove the temporary files of a run, and its logs."""
        halves = [_temporary(self.path / name, run) for name in (*_FILES, _MARK)]
        for path in self.path.glob(f"..*-{run}-*"):  # halves of halves, of `whole_file`
            match = TEMPORARY.fullmatch(path.name)
            if match and path.with_name(match["stem"] + match["suffix"]) in halves:
                path.unlink()
        for path in [*halves, *(self._logs(run) if logs else [])]:
            path.unlink(missing_ok=True)

    def _restore(self) -> None:
        """Note that no run is starting; a folder without anything of ours gets no mark."""
        mark = replace(self._mark, starting=None)
        if mark.run is None and LOG_NAME in mark.files:
            with suppress(OSError):  # where someone else's files lie in it
                (self.path / LOG_NAME).rmdir()
        if mark.run is None and not (LOG_NAME in mark.files and self._lies(LOG_NAME)):
            (self.path / _MARK).unlink(missing_ok=True)
            self._mark = _Mark()
        else:
            self._write(mark)


def _temporary(path: Path, run: str | None) -> Path:
    return path.with_name(f".{path.stem}-{run}{path.suffix}")


def _state(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _begins_mark(path: Path) -> bool:
    """Tell whether a file is a mark, or the beginning of one."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    data, head = path.read_bytes(), json.dumps(_HEAD, indent=1)[:-2].encode("ascii")
    return bool(data) and data[: len(head)] == head[: len(data)]


def _digest(path: Path) -> str | None:
    """Digest a file, one of torch by the checksums of its parts, which costs next to nothing."""
    with suppress(FileNotFoundError):
        # Whatever the readers of a broken archive raise
        with suppress(Exception), open_file(path) as file, zipfile.ZipFile(file) as archive:
            parts = [(one.filename, one.file_size, one.CRC) for one in archive.filelist]
            return fingerprint([os.fstat(file.fileno()).st_size, parts])
        return digest_file(path)
    return None
