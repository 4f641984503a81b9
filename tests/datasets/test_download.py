"""Collections to a folder, from a server on this machine that does what servers do."""

import ast
import errno
import hashlib
import io
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import dermolib
from dermolib import download
from dermolib.datasets.download import (
    Archive,
    Collection,
    Download,
    RetryPolicy,
    find_collection,
    list_collections,
    list_files,
)
from dermolib.datasets.download import run as download_run
from fetch_server import Answer, Server

CSV = b"image,MEL\nISIC_0000001,1\n" * 20
LONG = CSV * 10
HEADER = '{"kind": "download", "settings": {}}\n'
INTERRUPTED = """
import sys
from dermolib import download
from dermolib.datasets.download import Archive, Collection, RetryPolicy
collection = Collection("own", "", "", "", "", (Archive("a.csv", "all", (sys.argv[1],)),))
try:
    download(collection, sys.argv[2], progress=False, retry=RetryPolicy(timeout=3600))
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
TRUTH = zipped({"Truth.csv": CSV, "__MACOSX/._Truth.csv": b"mac"})
PACKED = {"Input.zip": INPUT, "Truth.zip": TRUTH, "Metadata.csv": CSV}
LAYOUT = {
    **{f"Input/{name}": content for name, content in IMAGES.items()},
    "Truth/Truth.csv": CSV,
    "Metadata.csv": CSV,
}
DAMAGED = INPUT[:60] + bytes(10) + INPUT[70:]


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def files(server: Server) -> None:
    for name, content in PACKED.items():
        server.put(name, content)


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


def get(which: Collection, folder: Any, *parts: str, **options: Any) -> Download:
    retry = RetryPolicy(attempts=3, pause=0, timeout=5)
    options = {"progress": False, "retry": retry, "parts": list(parts) or None, **options}
    return download(which, folder, **options)


def put(folder: Path, **files: bytes) -> None:
    """Put files into a folder; the name ends behind the last underscore."""
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but what was recorded of them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "downloads.jsonl"
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_a_collection_comes_in_the_layout_of_its_publisher_and_says_how_it_was_checked(
    server: Server, folder: Path, workers: int
) -> None:
    md5 = hashlib.md5(TRUTH, usedforsecurity=False).hexdigest()
    capitals = f"sha256:{sha256(CSV)[7:].upper()}"
    digests = {"Truth": {"digest": f"md5:{md5}"}, "Metadata": {"digest": capitals}}
    own = collection(server, Input={"size": len(INPUT)}, **digests)

    done = get(own, folder, workers=workers)
    asked = len(server.asked)
    again = get(own, folder)

    assert contents(folder) == LAYOUT
    assert [file.path.name for file in done.files] == ["Input", "Truth", "Metadata.csv"]
    assert str(done).splitlines() == [
        f"Own images: 3 files in {folder}, 3 downloaded",
        f"  Input: {len(INPUT):,} bytes, matches the published size and the CRC of each file in "
        "it; no digest is published",
        f"  Truth: {len(TRUTH):,} bytes, matches the published MD5",
        f"  Metadata.csv: {len(CSV):,} bytes, matches the published SHA-256",
        "License: CC0. Cite doi:10.1/2.",
    ]
    assert str(again).startswith(f"Own images: 3 files in {folder}, nothing to do: all are there\n")
    assert len(server.asked) == asked
    assert [file.sha256 for file in again.files] == [sha256(data)[7:] for data in PACKED.values()]
    assert [file.size for file in again.files] == [len(data) for data in PACKED.values()]


def test_parts_are_chosen_by_name(server: Server, folder: Path) -> None:
    get(collection(server), folder, parts=(name for name in ["metadata"]))
    server.asked.clear()

    get(collection(server), folder, "truth", "metadata")

    assert [name for name, _ in server.asked] == ["Truth.zip"]
    assert set(contents(folder)) == {"Truth/Truth.csv", "Metadata.csv"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("isic2021", "'isic2018', 'isic2019', 'isic2020', 'ham10000', but got 'isic2021'"),
        (None, "but got None"),
        (["isic2019"], "but got ['isic2019']"),
        ("ISIC 2019", "but got 'ISIC 2019'. Did you mean 'isic2019'?"),
        ("HAM-10000", "but got 'HAM-10000'. Did you mean 'ham10000'?"),
        ("ISIC-2024", "cannot be downloaded here; it is at https://challenge.isic-archive.com/"),
        ("challenge", "cannot be downloaded here; its organizers have its tables, and its images"),
    ],
)
def test_an_unknown_collection_is_refused_with_what_is_known(
    folder: Path, name: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=f"^Expected `collection` .*{re.escape(words)}"):
        download(name, folder)

    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"parts": ["training"]}, ValueError, "one of 'images', 'truth', 'metadata', but got 'tra"),
        ({"parts": "truth"}, TypeError, "a list of names, but got 'truth'. Write `['truth']` for"),
        ({"parts": 3}, TypeError, "a list of names, but got 3."),
        ({"parts": []}, ValueError, "one or more, but got none. Leave `parts` out for the whole"),
        ({"parts": iter(())}, ValueError, "one or more, but got none."),
        ({"workers": 0}, ValueError, "an integer of 1 or more, but got 0."),
    ],
)
def test_options_without_sense_are_refused(
    server: Server, folder: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^Expected `{next(iter(options))}` .*{re.escape(words)}"):
        get(collection(server), folder, **options)


def test_dropped_connections_do_not_show(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flaws = [Answer(drop=1000), Answer(drop=700, whole=True), Answer(status=503)]
    server.put("Input.zip", INPUT, *flaws)
    server.put("Metadata.csv", CSV, Answer(drop=10))

    get(collection(server, Truth={"size": len(TRUTH)}), folder, progress=True)

    assert contents(folder) == LAYOUT
    total = f"{sum(map(len, PACKED.values())) / 1000:.2f}k"
    assert f"{total}/{total}" in capsys.readouterr().err.split("\r")[-1]


def test_what_was_broken_off_is_resumed_by_the_next_call(server: Server, folder: Path) -> None:
    server.put("Input.zip", INPUT, Answer(drop=1000), *[Answer(drop=0)] * 3)
    words = r"the 1,000 bytes received so far are kept in Input\.zip\.part, and the next call"

    with pytest.raises(ConnectionError, match=words):
        get(collection(server), folder, workers=1)
    get(collection(server), folder)

    assert contents(folder) == LAYOUT
    assert "bytes=1000-" in server.ranges()


@pytest.mark.parametrize("unpack", [True, False])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(body=DAMAGED), "one that is damaged"),
        (Answer(body=zipped({"../evil": b"1"})), "'../evil'"),
        (Answer(body=b"<html><title>Sign in</title>"), "an HTML page titled 'Sign in'"),
        (Answer(body=b"PK\x03\x04" + bytes(100)), "one that is damaged"),
        (Answer(length=1000), "one that is damaged"),
    ],
    ids=["crc", "path", "page", "noise", "truncated"],
)
def test_what_is_not_an_archive_of_images_is_deleted_and_downloaded_by_the_next_call(
    server: Server, folder: Path, answer: Answer, words: str, unpack: bool
) -> None:
    server.put("Input.zip", INPUT, answer)

    with pytest.raises(ValueError, match=f"but got {re.escape(words)}") as raised:
        get(collection(server), folder, "images", unpack=unpack)
    left = contents(folder.parent)
    get(collection(server), folder)

    assert left == {}
    assert ("deleted: call again" in str(raised.value)) != ("HTML" in words)
    assert contents(folder) == LAYOUT


def test_archives_can_be_kept_or_left_and_unpacked_later(server: Server, folder: Path) -> None:
    get(collection(server), folder / "kept", keep=True)
    first = get(collection(server), folder / "left", unpack=False)
    left = contents(folder / "left")
    server.asked.clear()
    again = get(collection(server), folder / "left", unpack=False)
    later = get(collection(server), folder / "left")

    assert contents(folder / "kept") == contents(folder / "left") == {**LAYOUT, **PACKED}
    assert left == PACKED
    assert first.files[0].path == folder / "left" / "Input.zip"
    assert server.asked == []
    assert not any(file.downloaded for file in (*again.files, *later.files))


def test_files_that_were_there_are_checked_and_used(server: Server, folder: Path) -> None:
    own = collection(server, Input={"digest": sha256(INPUT)}, Metadata={"size": len(CSV)})
    put(folder, Input_zip=INPUT, Truth_zip=TRUTH, Metadata_csv=CSV)

    done = get(own, folder)

    assert server.asked == []
    assert contents(folder) == {**LAYOUT, "Input.zip": INPUT, "Truth.zip": TRUTH}
    assert [file.check for file in done.files] == [
        "matches the published SHA-256",
        "not checked: it was there before",
        "matches the published size; no digest is published",
    ]


@pytest.mark.parametrize(
    ("known", "name", "words"),
    [
        ({"digest": sha256(CSV)}, "Metadata.csv", "be the published file, but got another"),
        ({"size": len(CSV)}, "Metadata.csv", "another one of 4 bytes. Move it away, and it is"),
        ({}, "Input.zip", "be a whole zip file, but got one that is damaged"),
        ({}, "Metadata.csv.part", "to be left by an earlier call, with its note Metadata"),
        ({}, "Input", "to be a folder, or missing, but got something else. Move it away, and"),
    ],
)
def test_another_file_that_was_there_is_refused_and_left_alone(
    server: Server, folder: Path, known: dict[str, Any], name: str, words: str
) -> None:
    put(folder, **{name: b"mine"})

    with pytest.raises(ValueError, match=f"^Expected `.*{name}` .*{re.escape(words)}") as raised:
        get(collection(server, Metadata=known), folder)

    assert "deleted" not in str(raised.value)
    assert contents(folder)[name] == b"mine"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Metadata.csv.part", "but got something other than files."),
        ("Metadata.csv.part.json", "but got something other than files."),
        ("Metadata.csv", "to be a file, or missing, but got something else."),
        ("Input.zip", "to be a file, or missing, but got something else."),
        ("Metadata.csv/filled", "to be a file, or missing, but got something else."),
    ],
)
def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_comes(
    server: Server, folder: Path, name: str, words: str
) -> None:
    (folder / name).mkdir(parents=True)

    with pytest.raises(ValueError, match=f"^Expected `{folder}/.*{re.escape(words)}"):
        get(collection(server), folder)

    assert server.asked == []


def test_a_link_to_nowhere_is_not_written_through(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "Input").symlink_to("nowhere")

    with pytest.raises(ValueError, match="to be a folder, or missing"):
        get(collection(server), folder)

    assert server.asked == []


def test_folders_that_were_there_are_left_alone_unless_they_are_empty(
    server: Server, folder: Path
) -> None:
    put(folder / "Input", mine_jpg=b"")
    (folder / "Truth").mkdir()

    done = get(collection(server), folder, "images", "truth")

    assert contents(folder) == {"Input/mine.jpg": b"", "Truth/Truth.csv": CSV}
    assert str(done).splitlines()[1] == "  Input: not checked: the folder was there before"


def test_a_folder_that_lost_a_file_is_refused_and_one_with_more_is_not(
    server: Server, folder: Path
) -> None:
    get(collection(server), folder)
    (folder / "Input" / "Thumbs.db").touch()
    assert not any(file.downloaded for file in get(collection(server), folder).files)
    (folder / "Input" / "Thumbs.db").unlink()
    (folder / "Input" / "ISIC_3.jpg").unlink()
    words = (
        "to be a folder with the 5 files as they were unpacked, but got 1 missing or changed "
        "(ISIC_3.jpg). Move the folder away"
    )

    with pytest.raises(ValueError, match=re.escape(words)):
        get(collection(server), folder)
    shutil.rmtree(folder / "Input")
    done = get(collection(server), folder)

    assert contents(folder) == LAYOUT
    assert [file.downloaded for file in done.files] == [True, False, False]
    assert done.files[0].check == "matches the first download"


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(IMAGES["ISIC_2.jpg"]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"X"),
        lambda path: (path.unlink(), path.symlink_to("ISIC_2.jpg")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["swapped", "empty", "last byte", "link", "folder"],
)
def test_an_unpacked_file_that_was_changed_is_named(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, change: Any, small: bool
) -> None:
    if not small:
        monkeypatch.setattr(download_run, "_SMALL", 10)  # as above
    get(collection(server), folder)
    change(folder / "Input" / "ISIC_3.jpg")

    with pytest.raises(ValueError, match=r"but got 1 missing or changed \(ISIC_3\.jpg\)"):
        get(collection(server), folder)

    assert len(server.asked) == 3


def test_unpacked_files_with_other_times_are_read_once(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(collection(server), folder)
    monkeypatch.setattr(download_run, "_SMALL", 10)
    os.utime(folder / "Input" / "ISIC_3.jpg", ns=(0, 0))
    journal = folder / "downloads.jsonl"

    sizes = []
    for _ in range(2):
        get(collection(server), folder, "images")
        sizes.append(journal.stat().st_size)

    assert sizes[0] == sizes[1]
    assert "Input.zip" in journal.read_text().splitlines()[-1]


def test_a_folder_of_a_user_whose_name_is_like_ours_is_left_alone(
    server: Server, folder: Path
) -> None:
    for name in (".Input-unpacking", ".Input-0123456789ab"):
        put(folder / name, mine_jpg=b"mine")
    put(folder / ".Input-0123456789ab", ISIC__3_jpg=b"half")
    (folder / "Truth").symlink_to(folder / ".Input-unpacking", target_is_directory=True)
    (folder / ".Input-ba9876543210").symlink_to(folder / ".Input-unpacking")

    get(collection(server), folder, "images")

    assert (folder / ".Input-unpacking" / "mine.jpg").read_bytes() == b"mine"
    assert (folder / ".Input-0123456789ab" / "mine.jpg").read_bytes() == b"mine"
    (folder / ".Input-unpacking" / "mine.jpg").unlink()
    with pytest.raises(ValueError, match=r"Truth` to be a folder, or missing, but got a link"):
        get(collection(server), folder, "truth")


def test_another_file_than_the_first_time_is_refused_and_the_way_out_leads_out(
    server: Server, folder: Path
) -> None:
    get(collection(server), folder)
    (folder / "Metadata.csv").unlink()
    server.put("Metadata.csv", LONG)
    journal = folder / "downloads.jsonl"
    words = (
        "Expected `Metadata.csv` to be the file of the first download (see downloads.jsonl), "
        f"with the SHA-256 {sha256(CSV)[7:]}, but got "
    )
    way = f"delete the line of 'Metadata.csv' in {journal}, or that file, and call again."

    with pytest.raises(ValueError, match=f"^{re.escape(words)}.*{re.escape(way)}$"):
        get(collection(server), folder)
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if "Metadata.csv" not in line))
    get(collection(server), folder)

    assert (folder / "Metadata.csv").read_bytes() == LONG


def test_a_table_that_was_changed_after_the_download_is_refused(
    server: Server, folder: Path
) -> None:
    get(collection(server), folder)
    path = folder / "Metadata.csv"
    state = path.stat()
    path.write_bytes(b"X" + CSV[1:])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    with pytest.raises(ValueError, match=r"to be the file of the first download \(see down"):
        get(collection(server), folder)


def test_a_large_file_is_known_again_by_its_size_and_time(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(collection(server), folder)
    # Private: else the test would need a file of 64 MB
    monkeypatch.setattr(download_run, "_SMALL", 10)
    monkeypatch.setattr(download_run, "check_digest", lambda *_: pytest.fail("was read"))

    get(collection(server), folder)

    assert server.asked[3:] == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", HEADER.replace("download", "other"), HEADER + '{"name": "a", "s": 1}\n'],
)
def test_a_damaged_journal_is_refused(server: Server, folder: Path, text: str) -> None:
    put(folder, downloads_jsonl=text.encode())

    with pytest.raises(ValueError, match=r"^Expected `.*downloads\.jsonl"):
        get(collection(server), folder)

    assert server.asked == []


def test_a_disk_without_room_is_refused_before_anything_comes(server: Server, folder: Path) -> None:
    own = collection(server, Input={"size": 1 << 60}, Metadata={"size": 100})
    words = rf"on a disk with room .* free bytes where these `parts` need {(1 << 61) + 100:,}\."

    with pytest.raises(OSError, match=words) as raised:
        get(own, folder)

    assert raised.value.errno == errno.ENOSPC
    assert server.asked == []


def test_an_interrupted_call_ends_soon_and_the_next_one_resumes(
    server: Server, folder: Path
) -> None:
    url = server.put("a.csv", LONG, Answer(drop=2000, stall=True))
    part = folder / "a.csv.part"
    command = [sys.executable, "-c", INTERRUPTED, url, str(folder)]
    with subprocess.Popen(command) as child:  # noqa: S603 - this interpreter, our code
        while not part.exists() or part.stat().st_size < 2000:
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        try:
            status = child.wait(timeout=60)  # the server would be waited for much longer
        finally:
            child.kill()

    get(Collection("own", "", "", "", "", (Archive("a.csv", "all", (url,)),)), folder)

    assert status == 130
    assert contents(folder) == {"a.csv": LONG}
    assert server.ranges() == [None, "bytes=2000-"]


def test_the_first_error_ends_a_call_and_stops_the_other_files(
    server: Server, folder: Path
) -> None:
    server.put("Input.zip", INPUT, Answer(status=404))

    with pytest.raises(ConnectionError, match="404 Not Found"):
        get(collection(server), folder, workers=1)

    assert [name for name, _ in server.asked] == ["Input.zip"]


def test_an_error_stops_the_unpacking_of_other_files(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopped = threading.Event(), threading.Event()

    @contextmanager
    def unpack(*_: Path, check_cancelled: Callable[[], object]) -> Iterator[None]:
        begun.set()
        try:
            while True:
                check_cancelled()
        finally:
            stopped.set()
        yield

    def fail(*_: Any, **__: Any) -> None:
        begun.wait()
        raise ConnectionError

    monkeypatch.setattr(download_run, "unpacked", unpack)
    monkeypatch.setattr(download_run, "transfer", fail)
    put(folder, Input_zip=INPUT)

    with pytest.raises(ConnectionError):
        get(collection(server), folder, "images", "metadata")

    assert stopped.wait(timeout=60)


@pytest.mark.parametrize("destination", ["data", "data/inside", "data/in/side"])
def test_a_destination_that_is_or_lies_in_a_file_is_refused(
    server: Server, tmp_path: Path, destination: str
) -> None:
    put(tmp_path, data=b"")
    words = f"to be a folder, or missing, but got the file {tmp_path}/data. Name another folder."

    with pytest.raises(FileExistsError, match=f"^Expected `destination` {re.escape(words)}$"):
        get(collection(server), tmp_path / destination)


@pytest.mark.parametrize("destination", [None, 3, b"data"])
def test_a_destination_that_is_not_a_path_is_refused(server: Server, destination: Any) -> None:
    with pytest.raises(TypeError, match=rf"`destination` to be the path .* got {destination!r}\.$"):
        get(collection(server), destination)


OFFICIAL = """
    ISIC2018_Task1-2_Training_Input ISIC2018_Task1_Training_GroundTruth
    ISIC2018_Task3_Training_Input ISIC2018_Task3_Training_GroundTruth
    ISIC2018_Task3_Training_LesionGroupings.csv ISIC2018_Task3_Test_Input
    ISIC2018_Task3_Test_GroundTruth ISIC_2019_Training_Input
    ISIC_2019_Training_GroundTruth.csv ISIC_2019_Training_Metadata.csv ISIC_2019_Test_Input
    ISIC_2019_Test_GroundTruth.csv ISIC_2019_Test_Metadata.csv ISIC_2020_Training_JPEG
    ISIC_2020_Training_GroundTruth_v2.csv ISIC_2020_Training_Duplicates.csv ISIC_2020_Test_JPEG
    ISIC_2020_Test_Metadata.csv HAM10000_images_part_1 HAM10000_images_part_2
    HAM10000_metadata.csv HAM10000_segmentations_lesion_tschandl
"""


def test_the_official_names_are_what_readers_look_for_and_all_is_well_formed() -> None:
    files = [file for name in list_collections() for file in find_collection(name).files]

    targets = [file.target for file in files]

    assert set(targets) >= set(OFFICIAL.split())
    assert len(set(targets)) == len(targets)
    for file in files:
        assert all(url.startswith("https://") for url in file.urls)
        assert file.urls[0].endswith(file.name) or "dataverse.harvard.edu" in file.urls[0]
        assert file.size is None or file.size > 1000


def test_the_list_of_files_names_part_size_digest_and_name() -> None:
    files = list_files("isic2019").splitlines()

    assert [line.split()[0] for line in list_files().splitlines()] == list_collections()
    assert len(files) == 7
    row = ["training", "1,291,479", "SHA-256", "ISIC_2019_Training_GroundTruth.csv"]
    assert files[2].split() == row
    assert files[4].split() == ["test", "size", "unknown", "-", "ISIC_2019_Test_Input.zip"]


def test_nothing_else_in_the_library_downloads_a_collection() -> None:
    root = Path(dermolib.__file__).parent
    users = set()
    for path in root.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        modules = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        if any(module.startswith("dermolib.datasets.download") for module in modules):
            users.add(path.relative_to(root).as_posix())

    assert {name for name in users if "datasets/download/" not in name} == {"cli/download.py"}


NAME = "Expected `name` to be a plain file name of up to 200 bytes without a leading dot, but got "
OURS = "Expected `name` to be none of downloads.jsonl, *.part and *.part.json, which `download` "
URLS = "Expected `urls` to be a tuple of addresses of https:// or http://, one or more, but got "
DIGEST = "Expected `digest` to be sha256: and 64 or md5: and 32 hexadecimal digits, or None, but "


@pytest.mark.parametrize(
    ("known", "words"),
    [
        *(
            ({"name": name}, f"{NAME}{name!r}.")
            for name in (
                *("../evil.csv", "/evil.csv", "a/b.csv", "a\\b.csv", "C:evil.csv", "..", "...zip"),
                *("a\x00.csv", "a\n.csv", "a.csv.", "a.csv ", "a .zip", ".lock", ".zip", "", None),
                *("x" * 201, "é" * 101),
            )
        ),
        *(
            ({"name": name}, f"{OURS}writes itself, but got {name!r}.")
            for name in ("downloads.jsonl", "DOWNLOADS.JSONL", "downloads.jsonl.zip")
        ),
        *(({"name": name}, OURS) for name in ("a.csv.part", "a.Part.json")),
        ({"urls": "https://a/b"}, f"{URLS}'https://a/b'. Write `('https://a/b',)` for this one."),
        *(
            ({"urls": urls}, f"{URLS}{urls}.")
            for urls in ((), ["https://a/b"], (3,), ("file:///etc/passwd",), ("ftp://a",))
        ),
        ({"size": -1}, "Expected `size` to be an integer of 0 or more, but got -1."),
        ({"size": 1.5}, "Expected `size` to be an integer of 0 or more, but got 1.5 of type"),
        *(
            ({"digest": digest}, f"{DIGEST}got {digest!r}.")
            for digest in ("a" * 64, "sha256:abc", f"md5:{'g' * 32}", f"sha1:{'a' * 40}", "", 3)
        ),
        ({"part": ""}, "Expected `part` to be a name, but got ''."),
        ({"part": None}, "Expected `part` to be a name, but got None."),
    ],
)  # fmt: skip
def test_what_cannot_be_true_of_a_file_is_refused(known: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(words)}"):
        Archive(**{"name": "a.csv", "part": "all", "urls": ("https://a/b",), **known})


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
def test_two_files_of_a_collection_do_not_share_a_place(names: tuple[str, str]) -> None:
    words = f"in any spelling, but got {names[0]!r} and {names[1]!r}."

    with pytest.raises(ValueError, match=f"^Expected `files` to be without two that .*{words}$"):
        described(tuple(Archive(name, "all", ("http://a",)) for name in names))


def described(files: Any, license_: Any = "") -> Collection:
    return Collection("own", "", "", license_, "", files)


@pytest.mark.parametrize("files", [(), [Archive("a.csv", "all", ("http://a",))], ("a.csv",), None])
def test_a_collection_is_of_files_and_texts(files: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="`files` to be a tuple of `Archive`, one or"):
        described(files)
    with pytest.raises(TypeError, match="`license` to be a text, but got 3"):
        described((Archive("a.csv", "all", ("http://a",)),), 3)
