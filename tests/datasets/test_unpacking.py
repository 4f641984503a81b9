"""Zip files from elsewhere: what may not be unpacked is refused, and nothing of it is left."""

import io
import re
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.download.unpacking import Content, check_zip, unpacked

NAMES = ["a.jpg", "LICENSE.txt", "deep/er/b.jpg"]


def packed(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    """Write a zip of files; further options are attributes of all its entries."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in options.items():
                setattr(info, key, value)
            archive.writestr(info, content)
    return path


def unpack(archive: Path, folder: Path) -> Content:
    with unpacked(archive, folder) as content:
        pass
    return content


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def patched(archive: Path, offset: int, values: bytes, *, signature: bytes = b"PK\x01\x02") -> None:
    """Change bytes of the last central header, or another one, counted from its beginning."""
    data = bytearray(archive.read_bytes())
    start = data.rindex(signature) + offset
    data[start : start + len(values)] = values
    archive.write_bytes(data)


@pytest.mark.parametrize("top", ["", "Name/", "name/", "Other/"])
def test_an_archive_unpacks_to_a_folder_of_its_name_with_or_without_one_inside(
    tmp_path: Path, top: str
) -> None:
    files = {name: name.encode() * 100 for name in NAMES}
    archive = packed(tmp_path / "Name.zip", {top + name: data for name, data in files.items()})

    content = unpack(archive, tmp_path / "Name")

    kept = "" if top == "Name/" else top
    assert contents(tmp_path / "Name") == {kept + name: data for name, data in files.items()}
    assert content == Content(3, sum(map(len, files.values())))


@pytest.mark.parametrize("files", [{"Name": b"1"}, {"Name": b"1", "Name2/a": b"2"}])
def test_a_file_of_the_folders_name_is_a_file(tmp_path: Path, files: dict[str, bytes]) -> None:
    archive = packed(tmp_path / "Name.zip", files)

    unpack(archive, tmp_path / "Name")

    assert contents(tmp_path / "Name") == files


def test_what_a_mac_adds_and_empty_folders_are_left_out(tmp_path: Path) -> None:
    files = {"Name/": b"", "Name/a": b"1", "__MACOSX/Name/._a": b"2", "Name/empty/": b""}
    archive = packed(tmp_path / "Name.zip", files)

    content = unpack(archive, tmp_path / "Name")

    assert [path.name for path in (tmp_path / "Name").iterdir()] == ["a"]
    assert content == Content(1, 1)


def test_backslashes_are_read_as_slashes(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"Name/a": b"1"})
    archive.write_bytes(archive.read_bytes().replace(b"Name/a", b"Name\\a"))

    unpack(archive, tmp_path / "Name")

    assert contents(tmp_path / "Name") == {"a": b"1"}


def test_the_folder_appears_when_the_block_has_ended_well(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1"})

    with pytest.raises(KeyError), unpacked(archive, tmp_path / "Name"):
        raise KeyError
    with unpacked(archive, tmp_path / "Name"):
        assert not (tmp_path / "Name").exists()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["Name", "Name.zip"]


def test_what_a_killed_run_left_is_thrown_away(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1"})
    (tmp_path / ".Name-unpacking" / "a").mkdir(parents=True)

    unpack(archive, tmp_path / "Name")

    assert contents(tmp_path / "Name") == {"a": b"1"}
    assert not (tmp_path / ".Name-unpacking").exists()


def test_a_link_in_the_place_of_the_unfinished_folder_is_not_followed(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / ".Name-unpacking").symlink_to(tmp_path / "elsewhere")

    unpack(archive, tmp_path / "Name")

    assert contents(tmp_path / "elsewhere") == {"kept": b""}


def test_a_caller_can_end_it(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"a": b"1", "b": b"2"})

    def stop() -> None:
        raise KeyError

    with pytest.raises(KeyError), unpacked(archive, tmp_path / "Name", check_cancelled=stop):
        raise AssertionError
    with pytest.raises(KeyError):
        check_zip(archive, check_cancelled=stop)

    assert [path.name for path in tmp_path.iterdir()] == ["Name.zip"]


def refused(archive: Path, words: str) -> None:
    """Check that an archive is refused with these words, and leaves nothing anywhere."""
    inside = archive.parent / "Name"
    with pytest.raises(ValueError, match=f"^Expected `Name.zip` to be {words}"):
        unpack(archive, inside)
    with pytest.raises(ValueError, match=f"^Expected `Name.zip` to be {words}"):
        check_zip(archive)
    found = [path.name for path in archive.parent.parent.rglob("*")]
    assert sorted(found) == ["Name.zip", "in"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder in a folder, so that what leads out of it is seen."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "a/..", "..", "/etc/evil", "//evil", "C:/evil", "C:evil",
        "a\\..\\..\\evil", "\\\\host\\evil", "./a", "a//b", "a/./b", "", "a:stream", "a\nb",
        "a\x7f", "a ", "a.", "a /b", ".. /evil",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_or_is_not_plain_is_refused(folder: Path, name: str) -> None:
    archive = packed(folder / "Name.zip", {"good": b"1", name: b"2"})

    words = "an archive whose names stay inside its folder and are plain, but got "
    refused(archive, re.escape(words + repr(name)))


def test_a_nul_in_a_name_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"good": b"1", "evil.txtXjpg": b"2"})
    archive.write_bytes(archive.read_bytes().replace(b"evil.txtX", b"evil.txt\0"))

    refused(archive, r"an archive whose names .* plain, but got 'evil\.txt\\x00jpg'\.$")


@pytest.mark.parametrize("name", ["n" * 256, "é" * 128, "/".join("a" * 33), "x/" + "y" * 300])
def test_names_that_a_file_system_cannot_hold_are_refused(folder: Path, name: str) -> None:
    archive = packed(folder / "Name.zip", {name: b"1"})

    refused(archive, "an archive of names of up to 255 bytes in up to 32 folders, but got")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]
)
def test_a_link_or_a_device_is_refused(folder: Path, kind: int) -> None:
    archive = packed(folder / "Name.zip", {"evil": b"/etc"}, external_attr=(kind | 0o777) << 16)

    refused(archive, "an archive of files and folders, without links and devices, but got 'evil'")


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

    refused(archive, "an archive without two files of one name, but got")


def test_an_archive_without_files_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"__MACOSX/a": b"1", "empty/": b""})

    refused(archive, "an archive with files, but got one without")


def test_a_password_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"a": b"1"})
    patched(archive, 8, b"\x01\x00")

    refused(archive, "an archive without passwords, but got 'a'")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_whose_memory_has_no_bound_is_refused(folder: Path, method: int) -> None:
    archive = folder / "Name.zip"
    with zipfile.ZipFile(archive, "w", method) as file:
        file.writestr("a", b"1")

    refused(archive, "an archive of files that are stored or deflated, but got 'a'")


def test_a_bomb_is_refused_before_anything_is_written(folder: Path) -> None:
    archive = folder / "Name.zip"
    block = bytes(1 << 20)
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("bomb", "w") as entry,
    ):
        for _ in range(101):
            entry.write(block)
    size = archive.stat().st_size

    words = (
        f"an archive that unpacks to at most 100,000,000 bytes, as one of {size:,} may, but got "
        f"one that claims {101 << 20:,}"
    )
    refused(archive, re.escape(words))


def test_ten_gigabytes_of_ten_kilobytes_are_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"a": bytes(5_000_000)})
    patched(archive, 24, struct.pack("<I", 4_000_000_000))

    refused(archive, r"an archive that unpacks to at most 100,000,000 bytes")


@pytest.mark.parametrize("claimed", [10, 999, 1001, 5000])
def test_a_size_other_than_claimed_is_refused(folder: Path, claimed: int) -> None:
    archive = packed(folder / "Name.zip", {"a": b"x" * 1000})
    patched(archive, 24, struct.pack("<I", claimed))

    refused(archive, r"a whole zip file, but got one that is damaged \(.*\)\.$")


def test_files_that_share_their_bytes_are_refused(folder: Path) -> None:
    """As in the overlapping bombs of D. Fifield, WOOT 2019."""
    archive = packed(folder / "Name.zip", {"a": b"x" * 1000, "b": b"x" * 1000})
    patched(archive, 42, struct.pack("<I", 0))

    refused(archive, "an archive whose files do not share bytes, but got")


def test_a_file_beyond_the_end_is_refused(folder: Path) -> None:
    archive = packed(folder / "Name.zip", {"a": b"x" * 1000})
    patched(archive, 20, struct.pack("<I", 1 << 30))

    refused(archive, r"a whole zip file, but got one that is damaged \(its files reach beyond")


def damage_crc(archive: Path) -> None:
    patched(archive, 16, b"\xff\xff\xff\xff")


def damage_data(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[40:60] = bytes(20)
    archive.write_bytes(data)


def damage_name(archive: Path) -> None:
    patched(archive, 46, b"other")


def damage_encoding(archive: Path) -> None:
    patched(archive, 9, b"\x08")
    patched(archive, 46, b"\xff\xfe\xfa")


def damage_local_encoding(archive: Path) -> None:
    patched(archive, 7, b"\x08", signature=b"PK\x03\x04")
    patched(archive, 30, b"\xff\xfe\xfa", signature=b"PK\x03\x04")


def claim_the_rest(archive: Path) -> None:
    """Claim what reaches to the end of the archive, and with the name beyond it."""
    packed(archive, {"n" * 50: bytes(100)}, compress_type=zipfile.ZIP_STORED)
    size = struct.pack("<I", archive.stat().st_size - 30)
    patched(archive, 20, size + size)


def cut(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-30])


def empty(archive: Path) -> None:
    archive.write_bytes(b"")


def page(archive: Path) -> None:
    archive.write_bytes(b"<!DOCTYPE html><title>Sorry</title>")


@pytest.mark.parametrize(
    "damage",
    [
        damage_crc,
        damage_data,
        damage_name,
        damage_encoding,
        damage_local_encoding,
        claim_the_rest,
        cut,
        empty,
        page,
    ],
)
def test_a_damaged_archive_is_refused(folder: Path, damage: Callable[[Path], None]) -> None:
    archive = packed(folder / "Name.zip", {"a/name": bytes(range(256)) * 8})
    damage(archive)

    refused(archive, r"a whole zip file, but got one that is damaged \(.+\)\.$")


def test_checking_finds_what_unpacking_would(tmp_path: Path) -> None:
    archive = packed(tmp_path / "Name.zip", {"Name/a": b"1", "__MACOSX/b": b"2"})

    assert check_zip(archive) == Content(1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["Name.zip"]


_WHOLE = io.BytesIO()
with zipfile.ZipFile(_WHOLE, "w", zipfile.ZIP_DEFLATED) as _file:
    for _name in NAMES:
        _file.writestr(_name, _name * 30)


@settings(max_examples=300)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(_WHOLE.getvalue()) - 1), st.integers(0, 255)),
        min_size=1,
        max_size=4,
    ),
    end=st.integers(0, 40),
)
def test_whatever_is_changed_an_archive_gives_its_files_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(_WHOLE.getvalue())
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
    assert not (folder / "in" / ".Name-unpacking").exists()
