"""Zip files from elsewhere: what may not be unpacked is refused, and nothing of it is left."""

import io
import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.download.unpacking import Contents, check_zip, unpacked

NAMES = ["a.jpg", "LICENSE.txt", "deep/er/b.jpg"]


def packed(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def unpack(archive: Path, folder: Path) -> Contents:
    with unpacked(archive, folder) as content:
        pass
    return content


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def patched(archive: Path, offset: int, values: bytes, *, signature: bytes = b"PK\x01\x02") -> None:
    """Change bytes of the last central header, or another one, counted from its beginning."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(signature) + offset
    data[start : start + len(values)] = values
    archive.write_bytes(data)


def size_of(count: int) -> bytes:
    return struct.pack("<I", count)


@pytest.mark.parametrize("top", ["", "Name/", "name/", "Other/"])
def test_an_archive_unpacks_to_a_folder_of_its_name_with_or_without_one_inside(
    tmp_path: Path, top: str
) -> None:
    files = {name: name.encode() * 100 for name in NAMES}
    archive = packed(tmp_path / "Name.zip", {top + name: data for name, data in files.items()})

    content = unpack(archive, tmp_path / "Name")

    kept = "" if top == "Name/" else top
    assert contents(tmp_path / "Name") == {kept + name: data for name, data in files.items()}
    assert {name: size for name, (size, *_) in content.items()} == {
        kept + name: len(data) for name, data in files.items()
    }


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"Name": b"1"}, {"Name": b"1"}),
        ({"Name": b"1", "Name2/a": b"2"}, {"Name": b"1", "Name2/a": b"2"}),
        ({"Name/a": b"1", "__MACOSX/Name/._a": b"2", "Name/empty/": b""}, {"a": b"1"}),
        ({"Name/a": b"1", "Name/b/._a": b"2", "Name/.DS_Store": b"3"}, {"a": b"1"}),
        ({"Name\\a": b"1"}, {"a": b"1"}),
    ],
    ids=["file of its name", "two", "what a Mac adds", "what a Mac hides", "backslash"],
)
def test_odd_archives_are_understood_and_checked_without_being_written(
    tmp_path: Path, files: dict[str, bytes], wanted: dict[str, bytes]
) -> None:
    archive = packed(tmp_path / "Name.zip", files)

    assert len(check_zip(archive)) == len(wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["Name.zip"]
    unpack(archive, tmp_path / "Name")
    assert contents(tmp_path / "Name") == wanted


def test_the_folder_appears_when_the_block_has_ended_well(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1"})

    with pytest.raises(KeyError), unpacked(archive, tmp_path / "Name"):
        raise KeyError
    with unpacked(archive, tmp_path / "Name"):
        assert not (tmp_path / "Name").exists()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["Name", "Name.zip"]


def test_what_a_killed_run_left_is_deleted_but_no_link_is_followed(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1", "b/c": b"2", "d/e": b"3"})
    elsewhere, left = tmp_path / "elsewhere", tmp_path / ".Name-0123456789ab"
    elsewhere.mkdir()
    (elsewhere / "a").touch()
    (elsewhere / "c").touch()
    (left / "b").mkdir(parents=True)
    (left / "a").touch()
    (left / "b" / "c").touch()
    (tmp_path / ".Name-ba9876543210").symlink_to(elsewhere)
    linked = tmp_path / ".Name-000000000000"
    linked.mkdir()
    (linked / "b").symlink_to(elsewhere)

    unpack(archive, tmp_path / "Name")

    assert contents(tmp_path / "Name") == {"a": b"1", "b/c": b"2", "d/e": b"3"}
    assert contents(elsewhere) == {"a": b"", "c": b""}
    assert not left.exists()
    assert linked.exists()


def test_a_caller_can_end_it(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1", "b": b"2"})

    def stop() -> None:
        raise KeyError

    with pytest.raises(KeyError), unpacked(archive, tmp_path / "Name", check_cancelled=stop):
        raise AssertionError
    with pytest.raises(KeyError):
        check_zip(archive, check_cancelled=stop)

    assert [path.name for path in tmp_path.iterdir()] == ["Name.zip"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder in a folder, so that what leads out of it is seen."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def refused(archive: Path, words: str) -> None:
    """Check that an archive is refused with these words, and leaves nothing anywhere."""
    for call in (partial(unpack, folder=archive.parent / "Name"), check_zip):
        with pytest.raises(ValueError, match=f"^Expected `Name.zip` to be {words}"):
            call(archive)
    found = [path.name for path in archive.parent.parent.rglob("*")]
    assert sorted(found) == ["Name.zip", "in"]


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "a/..", "..", "/etc/evil", "//evil", "C:/evil", "C:evil",
        "a\\..\\..\\evil", "\\\\host\\evil", "./a", "a//b", "a/./b", "", "a:stream", "a\nb",
        "a\x7f", "a ", "a.", "a /b", ".. /evil", "CON", "aux/a", "COM¹", "a?",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_or_is_not_plain_is_refused(folder: Path, name: str) -> None:
    archive = packed(folder / "Name.zip", {"good": b"1", name: b"2"})

    words = "files of plain names that every system can hold and keep apart, but got "
    refused(archive, re.escape(words + repr(name.replace("\\", "/"))))


def test_a_nul_in_a_name_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"good": b"1", "evil.txtXjpg": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"evil.txtX", b"evil.txt\0"))

    refused(archive, r"files of plain names .*, but got 'evil\.txt\\x00jpg', which")


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128, "x/" + "y" * 300])
def test_names_that_a_file_system_cannot_hold_are_refused(folder: Path, name: str) -> None:
    refused(packed(folder / "Name.zip", {name: b"1"}), "files of plain names that every system can")


def test_folders_that_are_nested_too_deep_are_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"/".join("a" * 34): b"1"})

    refused(archive, "an archive of up to 32 nested folders, but got one of 33")


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("a.jpg", "A.JPG"),
        ("straße", "STRASSE"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "É")),
        ("a", "a/b"),
        ("a/b", "A"),
        ("a", "a\\b\\c"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # Python's, when it writes
def test_two_files_of_one_name_are_refused(folder: Path, names: tuple[str, str]) -> None:
    archive = folder / "Name.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, b"1")

    refused(archive, "files of plain names that every system can hold and keep apart, but got")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_whose_memory_has_no_bound_is_refused(folder: Path, method: int) -> None:
    archive = packed(folder / "Name.zip", {"a": b"1"}, method)

    refused(archive, "an archive of files that are stored or deflated, but got 'a'")


def test_an_archive_without_files_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"__MACOSX/a": b"1", "empty/": b""})

    refused(archive, "an archive with files, but got one without")


def test_a_bomb_is_refused_before_anything_is_written(folder: Path) -> None:
    archive = folder / "Name.zip"
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("bomb", "w") as entry,
    ):
        for _ in range(101):
            entry.write(bytes(1 << 20))

    words = (
        "an archive that unpacks to at most 100,000,000 bytes, as one of "
        f"{archive.stat().st_size:,} may, but got one that claims {101 << 20:,}"
    )
    refused(archive, re.escape(words))


KINDS = [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
DAMAGED = "a whole zip file, but got one that is damaged"


@pytest.mark.parametrize(
    ("offset", "values", "words"),
    [
        *(
            (40, struct.pack("<H", kind | 0o777), "an archive of files and folders, without links")
            for kind in KINDS
        ),
        (8, b"\x01\x00", "an archive without passwords, but got 'b'"),
        (24, size_of(4_000_000_000), "an archive that unpacks to at most 100,000,000 bytes"),
        *((24, size_of(claimed), DAMAGED) for claimed in (10, 999, 1001, 5000)),
        # As in the overlapping bombs of D. Fifield, WOOT 2019
        (42, size_of(0), "an archive whose files do not share bytes, but got"),
        (20, size_of(1 << 30), rf"{DAMAGED} \(its files reach beyond"),
        (16, b"\xff\xff\xff\xff", DAMAGED),
        (46, b"c", DAMAGED),
        (9, b"\x08" + bytes(36) + b"\xff", DAMAGED),
    ],
)
def test_an_archive_that_claims_what_is_not_so_is_refused(
    folder: Path, offset: int, values: bytes, words: str
) -> None:
    archive = packed(folder / "Name.zip", {"a": b"x" * 1000, "b": b"x" * 1000})
    patched(archive, offset, values)

    refused(archive, words)


def damage_data(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[40:60] = bytes(20)
    archive.write_bytes(data)


def damage_local_encoding(archive: Path) -> None:
    patched(archive, 7, b"\x08", signature=b"PK\x03\x04")
    patched(archive, 30, b"\xff\xfe\xfa", signature=b"PK\x03\x04")


def claim_the_rest(archive: Path) -> None:
    """Claim what reaches to the end of the archive, and with the name beyond it."""
    packed(archive, {"n" * 50: bytes(100)}, zipfile.ZIP_STORED)
    patched(archive, 20, 2 * size_of(archive.stat().st_size - 30))


def cut(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])


@pytest.mark.parametrize(
    "damage",
    [
        *(damage_data, damage_local_encoding, claim_the_rest, cut),
        *(partial(Path.write_bytes, data=data) for data in (b"", b"<!DOCTYPE html>")),
    ],
)
def test_a_damaged_archive_is_refused(folder: Path, damage: Callable[[Path], Any]) -> None:
    archive = packed(folder / "Name.zip", {"a/name": bytes(range(256)) * 8})
    damage(archive)

    refused(archive, rf"{DAMAGED} \(.+\)\.$")


WHOLE = io.BytesIO()
with zipfile.ZipFile(WHOLE, "w", zipfile.ZIP_DEFLATED) as _file:
    for _name in NAMES:
        _file.writestr(_name, _name * 30)


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(WHOLE.getvalue()) - 1), st.integers(0, 255)),
        min_size=1,
        max_size=4,
    ),
    end=st.integers(0, 40),
)
def test_whatever_is_changed_an_archive_gives_its_files_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(WHOLE.getvalue())
    for place, value in changes:
        data[place] = value
    folder = tmp_path_factory.mktemp("law")
    archive = folder / "in" / "Name.zip"
    archive.parent.mkdir()
    archive.write_bytes(data[: len(data) - end])

    words = ""
    try:
        unpack(archive, folder / "in" / "Name")
    except ValueError as error:
        words = str(error)

    found = contents(folder / "in" / "Name").values()
    assert set(found) <= {b"", *(name.encode() * 30 for name in NAMES)}
    assert bool(found) != words.startswith("Expected `Name.zip` to be ")
    assert [path.name for path in folder.iterdir()] == ["in"]
    assert not list((folder / "in").glob(".*"))
