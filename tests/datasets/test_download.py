"""Collections to a folder, from a server on this machine that does what servers do."""

import argparse
import ast
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dermolib
from dermolib._jobs import exclusive_lock
from dermolib.cli import download as command
from dermolib.datasets.download import collections as archives
from dermolib.datasets.download.collections import Archive, Collection, find_collection, list_files
from dermolib.datasets.download.fetch import Patience, Stopped
from dermolib.datasets.download.part import Part
from dermolib.datasets.download.run import Download, _Run, download, list_collections
from dermolib.datasets.download.threads import in_threads
from fetch_server import Answer, Server, serving

_QUICK = Patience(attempts=3, pause=0, timeout=5)
_CSV = b"image,MEL\nISIC_0000001,1\n" * 20
_CHILD = """
import sys
from dermolib.datasets.download.fetch import Patience, Stopped
from dermolib.datasets.download.collections import Archive, Collection
from dermolib.datasets.download.run import download
files = (Archive("a.csv", "all", (sys.argv[1],)),)
collection = Collection("own", "", "", "", "", files)
try:
    download(collection, sys.argv[2], progress=False, patience=Patience(timeout=3600))
except KeyboardInterrupt:
    sys.exit(130)
"""


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


IMAGES = {
    f"ISIC_{number}.jpg": b"".join(
        hashlib.sha256(b"%d" % (number * 99 + k)).digest() for k in range(40)
    )
    for number in range(5)
}
INPUT = zipped({f"Input/{name}": content for name, content in IMAGES.items()})
TRUTH = zipped({"Truth.csv": _CSV, "__MACOSX/._Truth.csv": b"mac"})
LONG = _CSV * 10
LAYOUT = {
    **{f"Input/{name}": content for name, content in IMAGES.items()},
    "Truth/Truth.csv": _CSV,
    "Metadata.csv": _CSV,
}


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.places.clear()
    shared.asked.clear()
    shared.put("Input.zip", INPUT)
    shared.put("Truth.zip", TRUTH)
    shared.put("Metadata.csv", _CSV)
    return shared


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def collection(server: Server, **known: dict[str, Any]) -> Collection:
    """Describe the three files of the server; more is known of those that are named."""
    parts = {"Input.zip": "images", "Truth.zip": "truth", "Metadata.csv": "metadata"}
    files = tuple(
        Archive(name, part, (server.address(name),), **known.get(name.partition(".")[0], {}))
        for name, part in parts.items()
    )
    return Collection("own", "Own images", "https://page", "CC0", "doi:10.1/2", files)


def get(which: Collection, folder: Path, **options: Any) -> Download:
    return download(which, folder, **{"progress": False, "patience": _QUICK, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but what was noted of them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "downloads.json"
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_a_collection_comes_in_the_layout_of_its_publisher(
    server: Server, folder: Path, workers: int
) -> None:
    done = get(collection(server), folder, workers=workers)

    assert contents(folder) == LAYOUT
    assert [file.path for file in done.files] == [
        folder / "Input",
        folder / "Truth",
        folder / "Metadata.csv",
    ]
    assert all(file.fetched for file in done.files)
    assert done.files[0].sha256 == hashlib.sha256(INPUT).hexdigest()
    assert done.files[0].size == len(INPUT)


def test_the_result_says_how_each_file_was_checked(server: Server, folder: Path) -> None:
    md5 = hashlib.md5(TRUTH, usedforsecurity=False).hexdigest()
    own = collection(
        server,
        Input={"size": len(INPUT)},
        Truth={"digest": f"md5:{md5}"},
        Metadata={"digest": sha256(_CSV)},
    )

    done = get(own, folder)

    assert str(done).splitlines() == [
        f"Own images: 3 files in {folder}, 3 fetched",
        f"  Input: {len(INPUT):,} bytes, checked by its size as published, and the CRC of each "
        "file in it, without a digest",
        f"  Truth: {len(TRUTH):,} bytes, checked by the published MD5",
        f"  Metadata.csv: {len(_CSV):,} bytes, checked by the published SHA-256",
        "Licence: CC0. Cite doi:10.1/2.",
    ]


def test_a_second_call_does_nothing_and_says_so(server: Server, folder: Path) -> None:
    first = get(collection(server), folder)
    server.asked.clear()

    again = get(collection(server), folder)

    assert server.asked == []
    assert str(again).startswith(f"Own images: 3 files in {folder}, nothing to do: all are there\n")
    assert [file.sha256 for file in again.files] == [file.sha256 for file in first.files]
    assert not any(file.fetched for file in again.files)
    assert contents(folder) == LAYOUT


def test_parts_are_chosen_by_name(server: Server, folder: Path) -> None:
    get(collection(server), folder, parts=["metadata"])
    server.asked.clear()

    get(collection(server), folder, parts=["truth", "metadata"])

    assert [name for name, _ in server.asked] == ["Truth.zip"]
    assert set(contents(folder)) == {"Truth/Truth.csv", "Metadata.csv"}


def test_an_unknown_collection_lists_the_known_ones(folder: Path) -> None:
    sentence = (
        "Expected `collection` to be one of 'isic2018', 'isic2019', 'isic2020', 'ham10000', but "
        "got 'isic2021'."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        download("isic2021", folder)

    assert list_collections() == ["isic2018", "isic2019", "isic2020", "ham10000"]
    assert not folder.exists()


@pytest.mark.parametrize("name", [None, 2019, ["isic2019"]])
def test_what_names_no_collection_is_refused(folder: Path, name: Any) -> None:
    with pytest.raises(ValueError, match=rf"^Expected `collection` .* got {re.escape(repr(name))}"):
        download(name, folder)


def test_an_unknown_part_lists_the_known_ones(server: Server, folder: Path) -> None:
    words = r"^Expected `parts` to be one of 'images', 'truth', 'metadata', but got 'training'\.$"

    with pytest.raises(ValueError, match=words):
        get(collection(server), folder, parts=["training"])


def test_a_part_that_is_no_list_is_refused(server: Server, folder: Path) -> None:
    words = r"^Expected `parts` to be a list of names, but got 'truth'\. Write `\['truth'\]` for"

    with pytest.raises(TypeError, match=words):
        get(collection(server), folder, parts="truth")


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_one_or_more(server: Server, folder: Path, workers: int) -> None:
    words = rf"^Expected `workers` to be an integer of 1 or more, but got {workers}\.$"

    with pytest.raises(ValueError, match=words):
        get(collection(server), folder, workers=workers)


def test_dropped_connections_do_not_show(server: Server, folder: Path) -> None:
    server.put("Input.zip", INPUT, Answer(drop=1000), Answer(drop=500), Answer(status=503))
    server.put("Metadata.csv", _CSV, Answer(drop=10))

    get(collection(server), folder)

    assert contents(folder) == LAYOUT


def test_what_was_broken_off_is_taken_up_by_the_next_call(server: Server, folder: Path) -> None:
    server.put("Input.zip", INPUT, Answer(drop=1000), *[Answer(drop=0)] * 3)
    own = collection(server)
    words = r"the 1,000 bytes that have come are kept in Input\.zip\.part, and it goes on from"

    with pytest.raises(ConnectionError, match=words):
        get(own, folder, workers=1)
    server.asked.clear()
    get(own, folder)

    assert contents(folder) == LAYOUT
    assert "bytes=1000-" in server.ranges()


def test_a_wrong_digest_leaves_nothing_in_the_place_of_the_file(
    server: Server, folder: Path
) -> None:
    own = collection(server, Input={"digest": sha256(INPUT)})
    server.put("Input.zip", zipped({"Input/a.jpg": b"another"}))

    with pytest.raises(ValueError, match=r"^Expected `Input.zip` to be the file of its publisher"):
        get(own, folder, parts=["images"])

    assert contents(folder) == {}


def test_a_truncated_archive_is_thrown_away_and_fetched_by_the_next_call(
    server: Server, folder: Path
) -> None:
    server.put("Input.zip", INPUT, Answer(length=1000))
    own = collection(server)
    words = (
        r"^Expected `Input\.zip\.part` to be a whole zip file, but got one that is damaged "
        r"\(.*\)\. It was thrown away: call again to fetch it\.$"
    )

    with pytest.raises(ValueError, match=words):
        get(own, folder, parts=["images"])
    left = contents(folder)
    get(own, folder)

    assert left == {}
    assert contents(folder) == LAYOUT


def damaged() -> bytes:
    data = bytearray(INPUT)
    data[60:70] = bytes(10)
    return bytes(data)


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (damaged(), "one that is damaged"),
        (zipped({"../evil": b"1"}), "'../evil'"),
        (b"<html><title>Sign in</title>", "an HTML page titled 'Sign in'"),
        (b"PK\x03\x04" + bytes(100), "one that is damaged"),
    ],
    ids=["crc", "path", "page", "noise"],
)
def test_what_is_no_archive_of_images_is_refused_and_nothing_of_it_stays(
    server: Server, folder: Path, content: bytes, words: str, unpack: bool
) -> None:
    server.put("Input.zip", content)

    with pytest.raises(ValueError, match=f"but got {re.escape(words)}"):
        get(collection(server), folder, parts=["images"], unpack=unpack)

    assert contents(folder.parent) == {}


def test_archives_can_be_kept(server: Server, folder: Path) -> None:
    get(collection(server), folder, keep=True)

    assert contents(folder) == {**LAYOUT, "Input.zip": INPUT, "Truth.zip": TRUTH}


def test_archives_that_were_not_unpacked_are_unpacked_later_and_stay(
    server: Server, folder: Path
) -> None:
    first = get(collection(server), folder, unpack=False)
    packed = contents(folder)
    server.asked.clear()
    again = get(collection(server), folder, unpack=False)
    later = get(collection(server), folder)

    assert packed == {"Input.zip": INPUT, "Truth.zip": TRUTH, "Metadata.csv": _CSV}
    assert first.files[0].path == folder / "Input.zip"
    assert server.asked == []
    assert not any(file.fetched for file in (*again.files, *later.files))
    assert contents(folder) == {**LAYOUT, **packed}


def test_a_file_that_was_there_is_checked_and_used(server: Server, folder: Path) -> None:
    own = collection(server, Input={"digest": sha256(INPUT)}, Metadata={"size": len(_CSV)})
    folder.mkdir()
    (folder / "Input.zip").write_bytes(INPUT)
    (folder / "Truth.zip").write_bytes(TRUTH)
    (folder / "Metadata.csv").write_bytes(_CSV)

    done = get(own, folder)

    assert server.asked == []
    assert contents(folder) == {**LAYOUT, "Input.zip": INPUT, "Truth.zip": TRUTH}
    assert [file.checked for file in done.files] == [
        "the published SHA-256",
        "nobody: it was there before",
        "its size as published, without a digest",
    ]


@pytest.mark.parametrize("known", [{"digest": sha256(_CSV)}, {"size": len(_CSV)}])
def test_another_file_that_was_there_is_refused_and_left_alone(
    server: Server, folder: Path, known: dict[str, Any]
) -> None:
    folder.mkdir()
    (folder / "Metadata.csv").write_bytes(b"mine")
    sentence = (
        f"Expected `{folder / 'Metadata.csv'}` to be the file of its publisher, but got another "
        "one of 4 bytes. Move it away, and it is fetched again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(collection(server, Metadata=known), folder, parts=["metadata"])

    assert contents(folder) == {"Metadata.csv": b"mine"}


def test_an_archive_that_was_there_and_is_damaged_is_left_alone(
    server: Server, folder: Path
) -> None:
    folder.mkdir()
    (folder / "Input.zip").write_bytes(b"mine")

    with pytest.raises(ValueError, match=r"^Expected `Input\.zip` to be a whole zip file, .*\)\.$"):
        get(collection(server), folder, parts=["images"])

    assert contents(folder) == {"Input.zip": b"mine"}


def test_a_folder_that_was_there_is_left_alone_and_named(server: Server, folder: Path) -> None:
    (folder / "Input").mkdir(parents=True)
    (folder / "Input" / "mine.jpg").touch()

    done = get(collection(server), folder, parts=["images"])

    assert contents(folder) == {"Input/mine.jpg": b""}
    assert str(done).splitlines()[1] == ("  Input: checked by nobody: its folder was there before")


def test_an_empty_folder_is_filled(server: Server, folder: Path) -> None:
    (folder / "Input").mkdir(parents=True)

    get(collection(server), folder)

    assert contents(folder) == LAYOUT


def test_a_folder_that_lost_a_file_is_told(server: Server, folder: Path) -> None:
    get(collection(server), folder)
    (folder / "Input" / "ISIC_3.jpg").unlink()
    sentence = (
        f"Expected `{folder / 'Input'}` to be the 5 files of 6,400 bytes that were unpacked, but "
        "got 4 of 5,120. Move the folder away, and it is fetched again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(collection(server), folder)


def test_files_may_be_added_to_a_folder(server: Server, folder: Path) -> None:
    get(collection(server), folder)
    (folder / "Input" / "Thumbs.db").touch()

    done = get(collection(server), folder)

    assert not any(file.fetched for file in done.files)


def test_a_folder_that_was_taken_away_is_fetched_again(server: Server, folder: Path) -> None:
    get(collection(server), folder)
    shutil.rmtree(folder / "Input")

    done = get(collection(server), folder)

    assert contents(folder) == LAYOUT
    assert [file.fetched for file in done.files] == [True, False, False]
    assert done.files[0].checked == "the SHA-256 of the first download"


def test_another_file_than_the_first_time_is_refused(server: Server, folder: Path) -> None:
    get(collection(server), folder)
    first = hashlib.sha256(_CSV).hexdigest()
    (folder / "Metadata.csv").unlink()
    server.put("Metadata.csv", _CSV + b"more")
    words = (
        "Expected `Metadata.csv` to be the file of the first download, as downloads.json has it, "
        f"with the SHA-256 {first}, but got "
    )

    with pytest.raises(ValueError, match=f"^{re.escape(words)}"):
        get(collection(server), folder)


def test_a_table_that_was_changed_after_the_download_is_told(server: Server, folder: Path) -> None:
    get(collection(server), folder)
    path = folder / "Metadata.csv"
    state = path.stat()
    path.write_bytes(b"X" + _CSV[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    with pytest.raises(
        ValueError, match=r"to be the file of the first download, as downloads.json"
    ):
        get(collection(server), folder)


def test_a_large_file_is_known_again_by_its_size_and_time(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(collection(server), folder)
    monkeypatch.setattr("dermolib.datasets.download.run._SMALL", 10)
    monkeypatch.setattr(
        "dermolib.datasets.download.run.digest_of", lambda *_: pytest.fail("was read")
    )

    get(collection(server), folder)

    assert server.asked[3:] == []


def test_what_was_noted_can_be_read_by_others(server: Server, folder: Path) -> None:
    get(collection(server), folder)

    noted = json.loads((folder / "downloads.json").read_text())

    assert noted["format"] == "dermolib-downloads-1"
    assert noted["files"]["Input.zip"]["sha256"] == hashlib.sha256(INPUT).hexdigest()
    assert noted["files"]["Input.zip"]["files"] == 5


def test_notes_that_a_killed_call_had_begun_are_thrown_away(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / ".downloads-0123456789ab.json").touch()
    (folder / ".mine-0123456789ab.json").touch()

    get(collection(server), folder, parts=["metadata"])

    assert set(contents(folder)) == {"Metadata.csv", ".mine-0123456789ab.json"}


def test_a_call_that_ends_stops_unpacking_and_leaves_nothing_of_it(
    server: Server, folder: Path
) -> None:
    folder.mkdir()
    (folder / "Input.zip").write_bytes(INPUT)
    files = collection(server).files[:1]
    run = _Run(folder, files, unpack=True, keep=False, patience=None, progress=False)

    run.stop.set()
    with pytest.raises(Stopped):
        run.obtain(files[0])

    assert contents(folder) == {"Input.zip": INPUT}


_NOTES = '{"format": "dermolib-downloads-1", "files": %s}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "other", "files": {}}',
        _NOTES % "[1]",
        _NOTES % '{"a": 3}',
        _NOTES % '{"a": {"size": 1}}',
        _NOTES % '{"a": {"size": "1", "sha256": "", "checked": "", "fetched": true}}',
    ],
)
def test_damaged_notes_are_refused(server: Server, folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "downloads.json").write_text(text)
    words = f"Expected `{folder / 'downloads.json'}` to be the file that `download` writes, but"

    with pytest.raises(ValueError, match=f"^{re.escape(words)} got another one .*Delete it"):
        get(collection(server), folder)


def test_two_calls_do_not_work_on_one_folder(server: Server, folder: Path) -> None:
    words = "^Expected `destination` to be a folder that no other run is working on"

    with exclusive_lock(folder), pytest.raises(ValueError, match=words):
        get(collection(server), folder)


def test_a_full_disk_is_told_and_what_came_stays(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Part.append

    def append(self: Part, block: bytes) -> None:
        whole(self, block[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Part, "append", append)

    with pytest.raises(
        OSError, match=r"on a disk with room .* what is finished is kept\."
    ) as raised:
        get(collection(server), folder, parts=["images"])

    assert raised.value.errno == errno.ENOSPC
    assert (folder / "Input.zip.part").read_bytes() == INPUT[:100]


def test_a_disk_without_room_is_refused_before_anything_comes(server: Server, folder: Path) -> None:
    own = collection(server, Input={"size": 1 << 60}, Metadata={"size": 100})
    sentence = (
        rf"to be on a disk with {(1 << 61) + 100:,} free bytes \({folder}\), but got one with"
    )

    with pytest.raises(OSError, match=sentence) as raised:
        get(own, folder)

    assert raised.value.errno == errno.ENOSPC
    assert server.asked == []


def test_the_bar_ends_at_the_sum_of_all_bytes(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("Input.zip", INPUT, Answer(drop=1000), Answer(drop=700, whole=True))
    total = len(INPUT) + len(TRUTH) + len(_CSV)

    get(collection(server, Truth={"size": len(TRUTH)}), folder, progress=True)

    shown = capsys.readouterr().err.split("\r")[-1]
    assert f"{total / 1000:.2f}k/{total / 1000:.2f}k" in shown


def interrupt(server: Server, folder: Path, number: int) -> int:
    """Let a process fetch half a file and wait for the rest, and send it a signal."""
    url = server.put("a.csv", LONG, Answer(drop=2000, stall=True))
    command = [sys.executable, "-c", _CHILD, url, str(folder)]
    part = folder / "a.csv.part"
    with subprocess.Popen(command) as child:  # noqa: S603 - this interpreter, our code
        while not part.exists() or part.stat().st_size < 2000:
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(number)
        try:
            return child.wait(timeout=60)  # the server would be waited for much longer
        finally:
            child.kill()


def test_an_interrupted_call_ends_soon_and_the_next_one_goes_on(
    server: Server, folder: Path
) -> None:
    status = interrupt(server, folder, signal.SIGINT)
    own = Collection("own", "", "", "", "", (Archive("a.csv", "all", (server.address("a.csv"),)),))

    get(own, folder)

    assert status == 130
    assert contents(folder) == {"a.csv": LONG}
    assert server.ranges() == [None, "bytes=2000-"]


def test_a_call_that_is_killed_anywhere_is_finished_by_the_next_one(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "killing_downloads.py"
    result = subprocess.run(  # noqa: S603 - this interpreter, our script
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 40


@pytest.mark.parametrize("workers", [1, 3, 9])
def test_threads_give_results_in_order(workers: int) -> None:
    results = in_threads(lambda item: item * 2, [3, 1, 2], workers=workers, stop=threading.Event())

    assert results == [6, 2, 4]


def test_the_first_error_in_a_thread_ends_all() -> None:
    stop = threading.Event()
    seen = []

    def work(item: int) -> None:
        seen.append(item)
        if item == 0:
            raise KeyError(item)
        stop.wait()

    with pytest.raises(KeyError):
        in_threads(work, [0, 1, *range(2, 50)], workers=2, stop=stop)

    assert stop.is_set()
    assert len(seen) < 4


def test_no_items_need_no_threads() -> None:
    results = in_threads(lambda item: item, list[int](), workers=2, stop=threading.Event())

    assert results == []


_OFFICIAL = {
    "ISIC2018_Task1-2_Training_Input",
    "ISIC2018_Task1_Training_GroundTruth",
    "ISIC2018_Task3_Training_Input",
    "ISIC2018_Task3_Training_GroundTruth",
    "ISIC2018_Task3_Training_LesionGroupings.csv",
    "ISIC2018_Task3_Test_Input",
    "ISIC2018_Task3_Test_GroundTruth",
    "ISIC_2019_Training_Input",
    "ISIC_2019_Training_GroundTruth.csv",
    "ISIC_2019_Training_Metadata.csv",
    "ISIC_2019_Test_Input",
    "ISIC_2019_Test_GroundTruth.csv",
    "ISIC_2019_Test_Metadata.csv",
    "ISIC_2020_Training_JPEG",
    "ISIC_2020_Training_GroundTruth_v2.csv",
    "ISIC_2020_Training_Duplicates.csv",
    "ISIC_2020_Test_JPEG",
    "ISIC_2020_Test_Metadata.csv",
    "HAM10000_images_part_1",
    "HAM10000_images_part_2",
    "HAM10000_metadata.csv",
    "HAM10000_segmentations_lesion_tschandl",
}


def test_the_official_names_are_what_readers_look_for() -> None:
    files = [file for name in list_collections() for file in find_collection(name).files]

    targets = [file.target for file in files]

    assert set(targets) >= _OFFICIAL
    assert len(set(targets)) == len(targets)


@pytest.mark.parametrize("name", list_collections())
def test_what_is_known_of_a_file_is_well_formed(name: str) -> None:
    for file in find_collection(name).files:
        assert all(url.startswith("https://") for url in file.urls)
        assert file.urls[0].endswith(file.name) or "dataverse.harvard.edu" in file.urls[0]
        assert file.digest is None or re.fullmatch(
            r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.digest
        )
        assert file.size is None or file.size > 1000


def test_nothing_else_in_the_library_fetches_a_collection() -> None:
    root = Path(dermolib.__file__).parent
    users = set()
    for path in root.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        if modules & {
            "dermolib.datasets.download",
            "dermolib.datasets.download.run",
            "dermolib.datasets.download.fetch",
            "dermolib.datasets.download.web",
        }:
            users.add(str(path.relative_to(root)))

    users -= {"datasets/__init__.py", "downloading/__init__.py"}  # name it, and call nothing
    assert users == {"_fetch.py", "downloading/run.py", "cli/download.py"}


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(dest="command"))
    given = parser.parse_args(["download", *words])
    code: int = given.run(given)
    return code


@pytest.fixture
def registered(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setitem(archives._COLLECTIONS, "own", collection(server))
    return lambda: None


@pytest.mark.usefixtures("registered")
def test_the_command_fetches_a_collection_and_says_how_it_was_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(
        "own", str(folder), "--part", "truth", "--part", "metadata", "--workers", "2"
    )

    assert code == 0
    assert set(contents(folder)) == {"Truth/Truth.csv", "Metadata.csv"}
    assert "Own images: 2 files in" in capsys.readouterr().out


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("option", "names"),
    [("--keep", {"Truth/Truth.csv", "Truth.zip"}), ("--no-unpack", {"Truth.zip"})],
)
def test_the_command_keeps_archives(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, names: set[str]
) -> None:
    run_command("own", str(folder), "--part", "truth", option, "--quiet")

    assert set(contents(folder)) == names
    assert capsys.readouterr() == ("", "")


def test_the_command_lists_collections_and_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    run_command("--list")
    collections = capsys.readouterr().out.splitlines()
    run_command("isic2019", "--list")
    files = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in collections] == list_collections()
    assert len(files) == 7
    assert files[2].split() == [
        "training", "1,291,479", "SHA-256", "ISIC_2019_Training_GroundTruth.csv"
    ]  # fmt: skip
    assert "\n".join(files) == list_files("isic2019")


@pytest.mark.parametrize(("words", "got"), [([], "none"), (["isic2019"], "'isic2019'")])
def test_the_command_without_a_folder_says_what_it_needs(words: list[str], got: str) -> None:
    sentence = (
        f"Expected `NAME DIR` to be two words, such as `isic2019 data`, but got {got}. `--list` "
        "shows the collections."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run_command(*words)


def described(*names: str) -> Collection:
    files = tuple(Archive(name, "all", ("http://127.0.0.1:9/a",)) for name in names)
    return Collection("own", "Own images", "", "", "", files)


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.csv", "/evil.csv", "a/b.csv", "a\\b.csv", "C:evil.csv", "..", "...zip", ""),
        *("a\x00.csv", "a\n.csv", "a.csv.", "a.csv ", "a .zip", ".lock", ".zip", "x" * 201, None),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: Any) -> None:
    words = r"to be a plain file name of up to 200 bytes that begins with no point, but got"

    with pytest.raises((TypeError, ValueError), match=f"^Expected `name` {words} "):
        Archive(name, "all", ("http://127.0.0.1:9/a",))


@pytest.mark.parametrize(
    "name", ["downloads.json", "DOWNLOADS.JSON", "downloads.json.zip", "a.csv.part", "a.Part.json"]
)
def test_a_name_that_downloads_need_themselves_is_refused(name: str) -> None:
    sentence = (
        "Expected `name` to be none of downloads.json, *.part and *.part.json, which `download` "
        f"writes itself, but got {name!r}."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Archive(name, "all", ("http://127.0.0.1:9/a",))


@pytest.mark.parametrize(
    "names",
    [
        ("a.csv", "a.csv"),
        ("a.csv", "A.csv"),
        ("A.zip", "A"),
        ("a", "A.zip"),
        ("A.zip", "A.zip.zip"),
        ("\u00e9.csv", "e\u0301.csv"),
    ],
)
def test_two_files_of_a_collection_do_not_share_a_place(names: tuple[str, ...]) -> None:
    sentence = (
        "Expected `files` to be without two of one name or unpacked folder, however it is spelled, "
        f"but got {names[0]!r} and {names[1]!r}."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        described(*names)


_HTTP = ("https://a/b",)
_URLS = "Expected `urls` to be a tuple of addresses of https:// or http://, one or more, but got "
_SIZE = "Expected `size` to be an integer of 0 or more, but got "
_DIGEST = (
    "Expected `digest` to be sha256: and 64 or md5: and 32 hexadecimal digits, or None, but got "
)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"urls": "https://a/b"}, f"{_URLS}'https://a/b'. Write `('https://a/b',)` for this one."),
        ({"urls": ()}, f"{_URLS}()."),
        ({"urls": ["https://a/b"]}, f"{_URLS}['https://a/b']."),
        ({"urls": (3,)}, f"{_URLS}(3,)."),
        ({"urls": ("file:///etc/passwd",)}, f"{_URLS}('file:///etc/passwd',)."),
        ({"size": -1}, f"{_SIZE}-1."),
        ({"size": 1.5}, f"{_SIZE}1.5 of type float."),
        ({"size": True}, f"{_SIZE}True of type bool."),
        *(
            ({"digest": digest}, f"{_DIGEST}{digest!r}.")
            for digest in ("a" * 64, "sha256:abc", f"md5:{'g' * 32}", f"sha1:{'a' * 40}", "", 3)
        ),
        ({"part": ""}, "Expected `part` to be a name, but got ''."),
        ({"part": None}, "Expected `part` to be a name, but got None."),
    ],
)  # fmt: skip
def test_what_cannot_be_true_of_a_file_is_refused(known: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(words)}$"):
        Archive("a.csv", **{"part": "all", "urls": _HTTP, **known})


@pytest.mark.parametrize("files", [(), [Archive("a.csv", "all", _HTTP)], ("a.csv",), None])
def test_a_collection_is_of_files(files: Any) -> None:
    words = "Expected `files` to be a tuple of `Archive`, one or more, but got "

    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(words)}"):
        Collection("own", "", "", "", "", files)


def test_the_texts_of_a_collection_are_texts() -> None:
    with pytest.raises(TypeError, match=r"^Expected `licence` to be a text, but got None\.$"):
        Collection("own", "", "", None, "", (Archive("a.csv", "all", _HTTP),))  # type: ignore[arg-type]  # refused


def test_a_digest_may_be_in_capitals(server: Server, folder: Path) -> None:
    digest = f"sha256:{sha256(_CSV).removeprefix('sha256:').upper()}"
    own = collection(server, Metadata={"digest": digest})

    get(own, folder, parts=["metadata"])
    again = get(own, folder, parts=["metadata"])

    assert not again.files[0].fetched


def test_a_part_of_someone_else_is_refused_before_anything_comes_and_left_alone(
    server: Server, folder: Path
) -> None:
    folder.mkdir()
    (folder / "Metadata.csv.part").write_bytes(b"mine")
    sentence = (
        f"Expected `{folder / 'Metadata.csv.part'}` to be what an earlier call has left, with its "
        "note Metadata.csv.part.json beside it, but got a file without one. Move it away, and call "
        "again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(collection(server), folder)

    assert contents(folder) == {"Metadata.csv.part": b"mine"}
    assert server.asked == []


def test_a_part_of_someone_else_beside_a_file_that_is_there_is_left_alone(
    server: Server, folder: Path
) -> None:
    get(collection(server), folder)
    (folder / "Metadata.csv.part").write_bytes(b"mine")

    get(collection(server), folder)

    assert (folder / "Metadata.csv.part").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["Metadata.csv.part", "Metadata.csv.part.json"])
def test_a_folder_in_the_place_of_a_part_is_refused(
    server: Server, folder: Path, name: str
) -> None:
    (folder / name).mkdir(parents=True)
    words = f"Expected `{folder / 'Metadata.csv.part'}` to be what an earlier call has left"
    got = "but got no file in one of these places."

    with pytest.raises(ValueError, match=f"^{re.escape(words)}.* {re.escape(got)}"):
        get(collection(server), folder)


@pytest.mark.parametrize("link", [False, True])
def test_a_file_in_the_place_of_an_unpacked_folder_is_refused(
    server: Server, folder: Path, link: bool
) -> None:
    folder.mkdir()
    if link:
        (folder / "Input").symlink_to("nowhere")
    else:
        (folder / "Input").write_bytes(b"mine")
    sentence = (
        f"Expected `{folder / 'Input'}` to be a folder, or not there, but got something else. Move "
        "it away, and call again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(collection(server), folder)

    assert server.asked == []


@pytest.mark.parametrize("name", ["Metadata.csv", "Input.zip"])
@pytest.mark.parametrize("filled", [False, True])
def test_a_folder_in_the_place_of_a_file_is_refused(
    server: Server, folder: Path, name: str, filled: bool
) -> None:
    (folder / name).mkdir(parents=True)
    if filled:
        (folder / name / "mine").touch()
    sentence = (
        f"Expected `{folder / name}` to be a file, or not there, but got something else. Move it "
        "away, and call again."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(collection(server), folder)

    assert server.asked == []


@pytest.mark.parametrize("destination", ["data", "data/inside", "data/in/side"])
def test_a_destination_that_is_or_lies_in_a_file_is_refused(
    server: Server, tmp_path: Path, destination: str
) -> None:
    (tmp_path / "data").touch()
    sentence = (
        f"Expected `destination` to be a folder, or not there, but got the file {tmp_path}/data. "
        "Name another folder."
    )

    with pytest.raises(FileExistsError, match=f"^{re.escape(sentence)}$"):
        get(collection(server), tmp_path / destination)


@pytest.mark.parametrize("destination", [None, 3, b"data"])
def test_a_destination_that_is_no_path_is_refused(server: Server, destination: Any) -> None:
    words = rf"^Expected `destination` to be the path of a folder, but got {destination!r}\.$"

    with pytest.raises(TypeError, match=words):
        get(collection(server), destination)


def test_a_folder_in_the_place_of_the_notes_is_refused(server: Server, folder: Path) -> None:
    (folder / "downloads.json").mkdir(parents=True)

    with pytest.raises(ValueError, match=r"to be the file that `download` writes, but got anothe"):
        get(collection(server), folder)


def test_the_way_out_of_the_first_download_is_named_and_leads_out(
    server: Server, folder: Path
) -> None:
    get(collection(server), folder)
    (folder / "Metadata.csv").unlink()
    server.put("Metadata.csv", LONG)
    way = (
        "To take the file that is there now, delete the entry 'Metadata.csv' in "
        f"{folder / 'downloads.json'}, or that file, and call again."
    )

    with pytest.raises(ValueError, match=f"{re.escape(way)}$"):
        get(collection(server), folder)
    noted = json.loads((folder / "downloads.json").read_text())
    del noted["files"]["Metadata.csv"]
    (folder / "downloads.json").write_text(json.dumps(noted))
    get(collection(server), folder)

    assert (folder / "Metadata.csv").read_bytes() == LONG


@pytest.mark.parametrize("name", ["isic2024", "ISIC-2024"])
def test_the_collection_of_2024_is_said_to_be_elsewhere(folder: Path, name: str) -> None:
    words = "It cannot be fetched here; it is at https://challenge.isic-archive.com/data/#2024."

    with pytest.raises(ValueError, match=f"^Expected `collection` .*{re.escape(words)}$"):
        download(name, folder)


def test_the_challenge_is_said_to_be_elsewhere(folder: Path) -> None:
    words = "It cannot be fetched here; its organisers have its tables, and its images are those of"

    with pytest.raises(ValueError, match=f"^Expected `collection` .*{re.escape(words)}"):
        download("challenge", folder)


@pytest.mark.parametrize(
    ("name", "known"),
    [("ISIC2019", "isic2019"), ("ISIC 2019", "isic2019"), ("HAM-10000", "ham10000")],
)
def test_a_name_in_another_spelling_suggests_the_known_one(
    folder: Path, name: str, known: str
) -> None:
    words = f"but got {name!r}. Did you mean {known!r}?"

    with pytest.raises(ValueError, match=f"{re.escape(words)}$"):
        download(name, folder)


@pytest.mark.parametrize("parts", [[], (), iter(())])
def test_no_parts_at_all_are_refused(server: Server, folder: Path, parts: Any) -> None:
    sentence = (
        r"^Expected `parts` to be a list of names, one or more, but got none\. Leave `parts` out"
    )

    with pytest.raises(ValueError, match=sentence):
        get(collection(server), folder, parts=parts)


def test_parts_may_come_from_a_generator(server: Server, folder: Path) -> None:
    done = get(collection(server), folder, parts=(name for name in ["metadata"]))

    assert [file.name for file in done.files] == ["Metadata.csv"]


def test_parts_that_are_no_list_of_any_kind_are_refused(server: Server, folder: Path) -> None:
    with pytest.raises(TypeError, match=r"^Expected `parts` to be a list of names, but got 3\.$"):
        get(collection(server), folder, parts=3)


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["isic2019", "data"], "DIR"),
        (["isic2019", "--part", "training"], "--part"),
        (["--keep"], "--keep"),
        (["--no-unpack", "--quiet"], "--no-unpack and --quiet"),
        (["--workers", "2"], "--workers"),
    ],
)
def test_the_command_that_lists_refuses_what_it_would_not_heed(words: list[str], got: str) -> None:
    sentence = (
        f"Expected `--list` to be alone or with NAME, but got it with {got}. Leave out one or the "
        "other."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run_command("--list", *words)
