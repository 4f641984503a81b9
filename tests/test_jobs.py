"""The engine of resumable jobs: the journal, the lock, workers, and a full disk in words."""

import errno
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from operator import add
from pathlib import Path
from typing import Any

import cv2
import joblib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib.parallel import ThreadingBackend

from dermolib._jobs import (
    Job,
    describe_differences,
    exclusive_lock,
    fingerprint,
    init_worker,
    one_thread,
    run_tasks,
)
from dermolib.io import digest_file, explain_disk_full, whole_file, write_table
from resumable import forge

_HOLD = """
import os, signal, sys
from pathlib import Path
from dermolib._jobs import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def job_in(folder: Path, **changed: Any) -> Job:
    given: dict[str, Any] = {"kind": "test", "settings": {"size": 1}}
    given |= {"key": "file", "fields": {"value": object}}
    return Job(folder, **{**given, **changed})


def record(name: str, value: int = 0) -> dict[str, Any]:
    return {"file": name, "value": value}


def test_what_was_recorded_is_found_again_and_the_last_record_counts(tmp_path: Path) -> None:
    with job_in(tmp_path / "out").open() as job:
        assert job.get("a") is None
    assert not (tmp_path / "out").exists()  # to open a job writes nothing
    with job_in(tmp_path).open() as job:
        assert job.fresh
        job.add([record("b"), record("a", 1)])
        job.add([record("a", 2)])
        job.forget(["b"])

    with job_in(tmp_path).open() as job:
        assert not job.fresh
        assert list(job.records(["a", "b", "c"])) == [record("a", 2), None, None]
        assert [*job.keys()] == ["a"]
        assert job.is_current("a")
        assert not job.is_current("b")


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.floats(0, 1), st.integers())))
def test_a_record_of_any_text_and_number_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with job_in(folder).open() as job:
        job.add({"file": key, "value": value} for key, value in values.items())
        job.finish(sorted(values))

    with job_in(folder).open() as job:
        assert {key: record["value"] for key in values if (record := job.get(key))} == values


@pytest.mark.parametrize("cut", [1, 9, -1])
def test_a_torn_last_line_is_ignored_and_overwritten(tmp_path: Path, cut: int) -> None:
    with job_in(tmp_path).open() as job:
        job.add([record("a"), record("b", 12345)])
    path = tmp_path / "run.jsonl"
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, last[:cut]]))

    with job_in(tmp_path).open() as job:
        assert list(job.records(["a", "b"])) == [record("a"), None]
        job.add([record("c")])

    last = json.loads(path.read_bytes().splitlines()[2])
    assert last == {**record("c"), "crc32": last["crc32"]}


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"file": "a"}x\n', b"\xff\n", b'{"value": 1}\n', b'{"file": []}\n']
)
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: bytes) -> None:
    with job_in(tmp_path).open() as job:
        job.add([record("a")])
    path = tmp_path / "run.jsonl"
    path.write_bytes(path.read_bytes() + line + path.read_bytes())

    with pytest.raises(ValueError, match=r"damaged line 3\. Delete"), job_in(tmp_path).open():
        raise AssertionError


@given(st.data())
def test_any_changed_byte_of_a_journal_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with job_in(folder).open() as job:
        job.add(map(record, "abc"))
    content = bytearray(job.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))  # without the last line feed it is torn
    content[place] ^= data.draw(st.integers(1, 255))
    job.path.write_bytes(content)

    with pytest.raises(ValueError, match=r"^Expected `.*\n?.*\.$"), job_in(folder).open():
        raise AssertionError


_DEEP = json.loads("[" * 500 + "]" * 500)
FORGED: dict[str, Any] = {
    "a list for a name": {"file": ["a"], "size": 1, "part": 0.5, "digests": []},
    "a text for a size": {"file": "a", "size": "1", "part": 0.5, "digests": []},
    "a fraction that is no number": {"file": "a", "size": 1, "part": float("nan"), "digests": []},
    "an infinite fraction": {"file": "a", "size": 1, "part": float("inf"), "digests": []},
    "levels for a list": {"file": "a", "size": 1, "part": _DEEP, "digests": _DEEP},
    "a field too few": {"file": "a", "size": 1, "part": 0.5},
    "a field too many": {"file": "a", "size": 1, "part": 0.5, "digests": [], "more": 0},
    "another kind of settings": {"kind": "other", "settings": {}},
    "settings of another type": {"kind": "test", "settings": [1]},
    "tables of another type": {"tables": ["a.csv"]},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_record_of_other_types_is_refused_whatever_its_checksum(
    tmp_path: Path, name: str
) -> None:
    given: dict[str, Any] = {"fields": {"size": int, "part": float, "digests": list}}
    with job_in(tmp_path, **given).open() as job:
        job.add([{"file": "a", "size": 1, "part": 0.5, "digests": []}])
    forge(job.path, lambda content: FORGED[name] if "file" in content else None)

    with (
        pytest.raises(ValueError, match=r"damaged line 2\. Delete this line"),
        job_in(tmp_path, **given).open(),
    ):
        raise AssertionError


@pytest.mark.parametrize("text", ["[" * 100_000, '{"file": ' + "9" * 5_000 + "}"])
def test_a_line_that_no_parser_takes_is_refused(tmp_path: Path, text: str) -> None:
    with job_in(tmp_path).open() as job:
        job.add([record("a")])
    start = text.encode()
    checksum = zlib.crc32(start, zlib.crc32(job.path.read_bytes().splitlines(keepends=True)[0]))
    with job.path.open("ab") as file:
        file.write(b'%s, "crc32": %d}\n' % (start, checksum))

    with pytest.raises(ValueError, match=r"damaged line 3\."), job_in(tmp_path).open():
        raise AssertionError


def test_a_record_is_not_taken_from_below_other_settings(tmp_path: Path) -> None:
    for size in (1, 2):
        with job_in(tmp_path / str(size), settings={"size": size}).open() as job:
            job.add([record("a")])
    one, two = (tmp_path / name / "run.jsonl" for name in "12")
    header, _ = one.read_bytes().splitlines(keepends=True)
    one.write_bytes(header + two.read_bytes().splitlines(keepends=True)[1])

    with pytest.raises(ValueError, match=r"damaged line 2\."), job_in(tmp_path / "1").open():
        raise AssertionError


def test_files_are_done_as_recorded_and_those_that_others_changed_are_refused(
    tmp_path: Path,
) -> None:
    files = {name: [tmp_path / f"{name}{n}.png" for n in range(2)] for name in "abcde"}
    for path in (path for paths in files.values() for path in paths):
        path.write_text(path.name)
    given: dict[str, Any] = {"fields": {"digests": list}}
    with job_in(tmp_path, **given).open() as job:
        job.add(
            {"file": name, "digests": [digest_file(path) for path in paths]}
            for name, paths in files.items()
            if name != "e"
        )
        assert job.intact(files, files.__getitem__, workers=2) == {*"abcd"}
        files["a"][0].write_bytes(b"")
        files["b"][1].unlink()
        assert job.intact(files, files.__getitem__) == {*"cd"}

        files["d"][0].write_text("by hand")
        sentence = rf"1 that were changed since \({files['d'][0]}\)\. Move them away, and call"
        with pytest.raises(ValueError, match=sentence):
            job.intact(files, files.__getitem__)
        files["d"][0].unlink()
        os.mkfifo(files["d"][0])
        with pytest.raises(ValueError, match=r"d0\.png` to be a file, but got a named pipe"):
            job.intact(files, files.__getitem__)


def test_a_table_that_others_changed_is_not_overwritten(tmp_path: Path) -> None:
    def finish(*rows: tuple[str], overwrite: bool | None = None) -> None:
        with job_in(tmp_path, tables=["a.csv"]).open(overwrite=overwrite) as job:
            if job.fresh:
                job.add([record("a")])
            job.write_table("a.csv", ["name"], rows)
            if rows != (("killed",),):
                job.finish("a")

    table = tmp_path / "a.csv"
    finish(("first",))
    finish(("killed",))  # between the table and the journal
    finish(("second",))
    table.write_bytes(b"")
    finish(("third",))
    table.unlink()
    finish(("third",))
    assert table.read_text() == '"name"\n"third"\n'
    table.write_text("notes of the user")

    for overwrite in (None, True):
        with pytest.raises(ValueError, match=rf"changed since \({table}\)\. Move them away"):
            finish(("fourth",), overwrite=overwrite)
    assert table.read_text() == "notes of the user"


@pytest.mark.parametrize("text", ["", "{}\n", "[1]\n", "3", '{"kind": "other", "settings": {}}\n'])
def test_a_journal_of_another_tool_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.jsonl").write_text(text)

    with (
        pytest.raises(ValueError, match=r"other files \(run\.jsonl\).*: it stays as it is"),
        job_in(tmp_path).open(overwrite=True),
    ):
        raise AssertionError

    assert (tmp_path / "run.jsonl").read_text() == text


def test_a_journal_that_is_a_link_is_refused_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    with job_in(tmp_path).open() as job:
        job.add([record("a")])
    elsewhere = tmp_path.with_name("elsewhere.jsonl")
    data = job.path.rename(elsewhere).read_bytes()
    job.path.symlink_to(elsewhere)

    with pytest.raises(ValueError, match="a journal in the folder itself, but got a link"):
        job_in(tmp_path).open().__enter__()

    assert elsewhere.read_bytes() == data


def test_other_settings_are_named_and_refused_until_the_user_asks(tmp_path: Path) -> None:
    with job_in(tmp_path).open() as job:
        job.add([record("a"), record("b")])
    before = job.path.read_bytes()
    for overwrite, hint in ((False, "pass `overwrite`"), (None, "call with its settings")):
        with (
            pytest.raises(ValueError, match=rf"another run \(size 1 there, 2 here\).*{hint}"),
            job_in(tmp_path, settings={"size": 2}).open(overwrite=overwrite),
        ):
            raise AssertionError
    assert job.path.read_bytes() == before

    with job_in(tmp_path, settings={"size": 2}).open(overwrite=True) as job:
        job.add([record("b", 2)])

    for _ in range(2):  # as the run left it, and as it was finished
        with job_in(tmp_path, settings={"size": 2}).open() as job:
            assert (job.is_current("a"), job.is_current("b")) == (False, True)
            assert list(job.records(["a", "b"])) == [record("a"), record("b", 2)]
            job.finish(["a", "b"])


def test_a_finished_journal_does_not_tell_how_it_came_about(tmp_path: Path) -> None:
    with job_in(tmp_path / "one").open() as job:
        job.add(map(record, "abc"))
        job.finish([*"abc"])
    with job_in(tmp_path / "two", settings={"size": 2}).open() as job:
        job.add(map(record, "xb"))
    with job_in(tmp_path / "two").open(overwrite=True) as job:
        job.add([record("c"), record("b", 1), record("a"), record("b")])
        job.finish([*"abc"])
        assert job.get("b") == record("b")

    one, two = (tmp_path / name / "run.jsonl" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_files_of_others_are_refused_and_halves_of_ours_removed(tmp_path: Path) -> None:
    with job_in(tmp_path, files=["out.csv"]).open() as job:
        job.add([record("a")])
    kept = [".out-0123456789ab.txt", ".other-0123456789ab.csv", ".out-0123.csv", ".sub/.keep"]
    gone = [".out-0123456789ab.csv", ".run-0123456789ab.jsonl"]
    (tmp_path / ".sub").mkdir()
    (tmp_path / "sub").mkdir()
    for name in (*kept, *gone):
        (tmp_path / name).touch()
    for files in (["out.csv"], ["out.csv", "sub"]):  # a folder is never a file of ours
        with (
            pytest.raises(ValueError, match=r"other files \(sub\)"),
            job_in(tmp_path, files=files).open(),
        ):
            raise AssertionError
    (tmp_path / "sub").rmdir()

    with job_in(tmp_path).open():  # other files may lie there
        pass
    assert (tmp_path / gone[0]).exists()
    with job_in(tmp_path, files=["out.csv"]).open():
        pass

    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(".*")}
    assert found == {*kept, ".sub"}


def test_a_full_disk_loses_no_record(tmp_path: Path) -> None:
    def records() -> Any:
        yield record("b")
        raise OSError(errno.ENOSPC, "No space left on device")

    with job_in(tmp_path).open() as job:
        job.add([record("a")])
        with pytest.raises(OSError, match="No space"):
            job.add(records())
        job.add([record("c")])

    with job_in(tmp_path).open() as job:
        assert list(job.records("abc")) == [record("a"), None, record("c")]


def test_results_come_under_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with job_in(tmp_path).open() as job:
        results = job.map(add, [(1, 1), (2, 2)], workers=1, total=9, done=3, count=lambda n: n)
        assert list(results) == [2, 4]

    assert "9/9" in capsys.readouterr().err


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "file/deeper", "link"):
        with (
            pytest.raises(ValueError, match=r"`destination` to be a folder, but got the file"),
            job_in(tmp_path / name).open(),
        ):
            raise AssertionError


def test_a_folder_takes_one_run_at_a_time_and_a_killed_one_keeps_nobody_out(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    result = subprocess.run(command, check=False)  # noqa: S603 - this interpreter, our code
    assert result.returncode == -signal.SIGKILL
    sentence = "no other run is working on.*then the same call continues its work"

    with exclusive_lock(tmp_path):
        with pytest.raises(ValueError, match=sentence), exclusive_lock(tmp_path):
            raise AssertionError
        assert [path.name for path in tmp_path.iterdir()] == [".dermolib.lock"]

    assert list(tmp_path.iterdir()) == []


def test_a_file_of_others_by_the_name_of_the_lock_stays(tmp_path: Path) -> None:
    lock, other = tmp_path / ".dermolib.lock", tmp_path / "other"
    other.touch()
    places: list[Callable[[], Any]] = [
        lambda: lock.write_text("of the user"),
        lambda: lock.symlink_to(other),
        lambda: lock.symlink_to(lock),
    ]
    for put in places:
        put()
        with (
            pytest.raises(ValueError, match=r"lock` to be missing, but got another file\. Move"),
            exclusive_lock(tmp_path),
        ):
            raise AssertionError
        assert os.path.lexists(lock)
        lock.unlink()


def test_a_run_that_ends_without_a_file_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive_lock(tmp_path / "new"):
        raise KeyError
    with exclusive_lock(tmp_path / "kept"):
        (tmp_path / "kept" / "file").touch()

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_opencv_gets_its_threads_back() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        with one_thread():
            inside = cv2.getNumThreads()

        assert (inside, cv2.getNumThreads()) == (1, 2)
    finally:
        cv2.setNumThreads(before)


class ListBackend(ThreadingBackend):  # type: ignore[misc] # joblib carries no annotations
    """Stands for a backend that only returns lists, as Ray's does."""

    supports_return_generator = False


joblib.register_parallel_backend("list", ListBackend)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "list"])
def test_tasks_run_on_the_active_backend_and_keep_their_order(backend: str) -> None:
    tasks = [(number, 1) for number in range(40)]

    with joblib.parallel_backend(backend):
        results = list(run_tasks(add, tasks, workers=2))
        ready = list(run_tasks(add, tasks, workers=2, ordered=False))

    assert results == sorted(ready) == list(range(1, 41))


def test_a_full_disk_is_explained_and_other_errors_pass_through(tmp_path: Path) -> None:
    sentence = (
        f"Expected `destination` to be on a disk with room ({tmp_path}), but got No space left on "
        "device. Free some space and call again: what is finished is kept."
    )

    with pytest.raises(OSError, match=re.escape(sentence)) as raised, explain_disk_full(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(PermissionError, match=r"^denied$"), explain_disk_full(tmp_path):
        raise PermissionError("denied")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with suppress(KeyError), whole_file(path) as temporary:
        temporary.write_text("second")
        raise KeyError

    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {"a.txt": "first"}


def test_a_table_keeps_any_name(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ["file", "size"], [("caf\udce9\r.png", 3)])

    assert (tmp_path / "a.csv").read_bytes() == b'"file","size"\n"caf\xe9\r.png",3\n'


def test_settings_that_differ_are_named() -> None:
    found, wanted = {"seed": 0, "size": 224, "old": 1}, {"seed": 0, "size": 256}

    words = describe_differences(found, wanted)

    assert words == ["old 1 there, None here", "size 224 there, 256 here"]
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({})


def test_worker_processes_leave_ctrl_c_to_the_process_that_runs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LokyProcess:
        """Stands for a worker process of joblib."""

    handlers: list[tuple[Any, Any]] = []
    monkeypatch.setattr(signal, "signal", lambda *given: handlers.append(given))
    with one_thread():
        init_worker()
        assert handlers == []
        monkeypatch.setattr(multiprocessing, "current_process", LokyProcess)
        init_worker()

    assert handlers == [(signal.SIGINT, signal.SIG_IGN)]
