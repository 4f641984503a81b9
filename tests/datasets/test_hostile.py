"""Broken and hostile input, one by one and drawn: each gets one clear sentence or a told row."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from dermolib import ISICDataset, grouped_split
from dermolib.datasets import read_table
from dermolib.io import read_image, write_image
from drawing import noise_image

HEADER = "ID,CLASS,SEX,AGE,POSITION\n"
GOOD = "A,1,male,30,head/neck\n"

REFUSED: dict[str, tuple[bytes, str]] = {
    "latin-1": (f"{HEADER}A,1,male,30,Rücken\n".encode("latin-1"), "UTF-8, but got 'utf-8' codec"),
    "utf-16 without a mark": ((HEADER + GOOD).encode("utf-16-le"), "with a column `ID`, but got"),
    "semicolons": ((HEADER + GOOD).replace(",", ";").encode(), "Fields are separated by commas."),
    "a field of a million characters": (
        f"{HEADER}A,1,male,30,{'x' * 1_000_000}\n".encode(),
        "field larger than field limit",
    ),
    "an id of a hundred thousand characters": (
        f"{HEADER}../{'x' * 100_000},1,male,30,x\n".encode(),
        "file names, but got 1 other (row 2: '../xxx",
    ),
    "header only": (HEADER.encode(), "at least one row, but got a header only."),
    "nothing": (b"", "a CSV file with a header, but got an empty file."),
    "an id that leads out": (f"{HEADER}../A,1,male,30,x\n".encode(), "(row 2: '../A')"),
    "an absolute id": (f"{HEADER}/etc/passwd,1,male,30,x\n".encode(), "(row 2: '/etc/passwd')"),
    "an id of another system": (f"{HEADER}C:\\A,1,male,30,x\n".encode(), "(row 2: 'C:"),
    "NUL in an id": (f"{HEADER}A\0B,1,male,30,x\n".encode(), "plain file names, but got 1 other"),
    "a newline in an id": (f'{HEADER}"A\nB",1,male,30,x\n'.encode(), "(row 2: 'A\\nB')"),
    "a hidden id": (f"{HEADER}.A,1,male,30,x\n".encode(), "(row 2: '.A')"),
    "age 300": (
        f"{HEADER}A,1,male,300,x\n".encode(),
        "0..120 years, but got 1 other (row 2: '300'",
    ),
    "age inf": (
        f"{HEADER}A,1,male,inf,x\n".encode(),
        "0..120 years, but got 1 other (row 2: 'inf'",
    ),
    "age -1": (f"{HEADER}A,1,male,-1,x\n".encode(), "0..120 years, but got 1 other (row 2: '-1'"),
    "class 0": (f"{HEADER}A,0,male,30,x\n".encode(), "1..8, but got 1 other (row 2: '0'). Known"),
    "class 9": (f"{HEADER}A,9,male,30,x\n".encode(), "1..8, but got 1 other (row 2: '9'). Known"),
    "class nan": (f"{HEADER}A,nan,male,30,x\n".encode(), "1..8, but got 1 other (row 2: 'nan')"),
    "class inf": (f"{HEADER}A,inf,male,30,x\n".encode(), "1..8, but got 1 other (row 2: 'inf')"),
    "an HTML page": (b"<!DOCTYPE html>\n<html>\n<p>Not found</p>\n", "a column `ID`, but got"),
    "a zip file": (b"PK\x03\x04" + bytes(range(256)), "Save it as UTF-8."),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_table_is_refused_in_words(kind: str, tmp_path: Path) -> None:
    data, sentence = REFUSED[kind]
    path = tmp_path / "table.csv"
    path.write_bytes(data)

    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        read_table(path)

    assert str(caught.value).startswith(f"Expected `{path}` to be a")
    assert len(str(caught.value)) < 800


TAKEN: dict[str, tuple[bytes, dict[str, object]]] = {
    "utf-8 with a mark": ((HEADER + GOOD).encode("utf-8-sig"), {"id": "A", "age": 30.0}),
    "utf-16 with a mark": ((HEADER + GOOD).encode("utf-16"), {"id": "A", "age": 30.0}),
    "a quoted newline": (f'{HEADER}A,1,male,30,"a\nb"\n'.encode(), {"site": "a\nb"}),
    "age -0": (f"{HEADER}A,1,male,-0,x\n".encode(), {"age": 0.0}),
    "age unknown": (f"{HEADER}A,1,male,unknown,x\n".encode(), {"age": None}),
    "class 2.0": (f"{HEADER}A,2.0,male,30,x\n".encode(), {"label": 1}),
    "line ends of Windows": ((HEADER + GOOD).replace("\n", "\r\n").encode(), {"id": "A"}),
    "no line end at the end": ((HEADER + GOOD).rstrip().encode(), {"site": "head/neck"}),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_an_odd_table_is_read(kind: str, tmp_path: Path) -> None:
    data, wanted = TAKEN[kind]
    path = tmp_path / "table.csv"
    path.write_bytes(data)

    row = read_table(path).iloc[0]

    for name, value in wanted.items():
        assert pd.isna(row[name]) if value is None else row[name] == value
    assert not np.signbit(row["age"])


def test_a_class_without_rows_is_counted_as_none(tmp_path: Path) -> None:
    names = [f"I{row}" for row in range(40)]
    for name in names:
        write_image(tmp_path / f"{name}.png", noise_image(2, 2, 0))
    table = pd.DataFrame({"ID": names, "CLASS": [1, 2] * 20})

    dataset = ISICDataset(table, tmp_path)

    assert dataset.class_counts().tolist() == [20, 20, 0, 0, 0, 0, 0, 0]
    assert grouped_split(dataset).counts.index.tolist() == ["MEL", "NV"]


def encoded(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], kind: str) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(image).save(file, kind)
    return file.getvalue()


def animation() -> bytes:
    frames = [PillowImage.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 240)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def bomb() -> bytes:
    """Make a PNG of 30,000 x 30,000 px that is a few hundred bytes."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        digest = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + digest

    size = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


JPEG = encoded(noise_image(40, 40, 0), "JPEG")
IMAGES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "an HTML page": (".jpg", lambda: b"<html>Not found</html>", "22 bytes that no image decoder"),
    "a cut JPEG": (".jpg", lambda: JPEG[: len(JPEG) // 2], "a readable image file, but got"),
    "a JPEG without its end": (".jpg", lambda: JPEG[:-2], "a readable image file, but got"),
    "nothing": (".jpg", lambda: b"", "0 bytes that no image decoder knows"),
    "a bomb": (".png", bomb, "an image of at most 89,478,485 pixels, but got"),
    "PostScript": (".jpg", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "that no"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_a_hostile_image_is_refused_by_its_path(kind: str, tmp_path: Path) -> None:
    ending, make, sentence = IMAGES[kind]
    path = tmp_path / f"A{ending}"
    path.write_bytes(make())
    dataset = ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path)

    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        dataset[0]

    assert str(caught.value).startswith(f"Expected `{path}` to be ")


def test_an_animation_gives_its_first_picture(tmp_path: Path) -> None:
    (tmp_path / "A.jpg").write_bytes(animation())

    assert ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path)[0]["image"].max() == 10


def test_endings_in_any_case_are_found(tmp_path: Path) -> None:
    for name in ("A.JPG", "B.Jpg", "C.PNG"):
        (tmp_path / name).write_bytes(JPEG)

    assert len(ISICDataset(pd.DataFrame({"ID": ["A", "B", "C"]}), tmp_path)) == 3


def test_a_link_to_what_is_no_image_gives_nothing_away(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "A.jpg").symlink_to(secret)

    with pytest.raises(ValueError, match="8 bytes that no image decoder knows") as caught:
        ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path / "images")[0]

    assert "password" not in str(caught.value)


def test_a_link_to_nothing_is_a_missing_image(tmp_path: Path) -> None:
    (tmp_path / "A.jpg").symlink_to(tmp_path / "nowhere.jpg")

    with pytest.raises(FileNotFoundError, match=r"1 of 1 lack it \(A\)"):
        ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path)


CELLS = st.one_of(
    st.sampled_from(
        [
            "A",
            "../A",
            "/A",
            "a\0",
            "",
            "nan",
            "-0",
            "300",
            "unknown",
            "0",
            "9",
            "2.0",
            "1e400",
            "\n",
        ]
    ),
    st.text(max_size=6),
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le", "cp1252"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    rows=st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=6),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=ENCODINGS,
    quote=st.booleans(),
    header=st.sampled_from([HEADER, "id,age\n", "ID\n", "image,dx\n", ""]),
)
def test_any_table_is_read_row_by_row_or_refused_in_words(
    tmp_path: Path,
    rows: list[list[str]],
    delimiter: str,
    encoding: str,
    quote: bool,
    header: str,
) -> None:
    lines = [delimiter.join(f'"{cell}"' if quote else cell for cell in row) for row in rows]
    path = tmp_path / "table.csv"
    text = header.replace(",", delimiter) + "\n".join(lines)
    path.write_bytes(text.encode(encoding, "replace"))

    try:
        table = read_table(path, delimiter=delimiter)
    except ValueError as error:
        assert str(error).startswith("Expected `")  # noqa: PT017 - either way is right
    else:
        assert len(table) >= 1
        assert table["id"].is_unique
        assert not table["id"].str.contains(r"[/\\\0]").any()
        assert table["age"].dropna().between(0, 120).all()
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
def test_any_damage_to_an_image_ends_in_an_image_or_in_words(
    tmp_path: Path, data: st.DataObject, kind: str
) -> None:
    good = bytearray(encoded(noise_image(9, 7, 1), kind))
    for _ in range(data.draw(st.integers(0, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"A.{kind.lower()}"
    path.write_bytes(good[: data.draw(st.integers(0, len(good)))])

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow warns of damaged metadata
            image = read_image(path)
    except ValueError as error:
        assert str(error).startswith(f"Expected `{path}` to be ")  # noqa: PT017 - either is right
    else:
        assert image.dtype == np.uint8
        assert image.shape[2:] == (3,)
