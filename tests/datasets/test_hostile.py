"""Broken and hostile image files, one by one and drawn: each is refused in one sentence."""

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

from dermolib import ISICDataset
from dermolib.io import read_image, write_mask
from drawing import noise_image


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


def test_a_mask_of_another_size_names_its_file(challenge: Path) -> None:
    write_mask(challenge / "Train" / "IMG_0_seg.png", np.ones((4, 4), np.bool_))

    with pytest.raises(ValueError, match=r"IMG_0_seg\.png` to be a mask of size \(12, 16\)"):
        ISICDataset.from_challenge(challenge, masks=True)[0]


def test_an_animation_gives_its_first_image(tmp_path: Path) -> None:
    (tmp_path / "A.jpg").write_bytes(animation())

    assert ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path)[0]["image"].max() == 10


def test_a_link_to_another_file_gives_nothing_away(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("password")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "A.jpg").symlink_to(secret)

    with pytest.raises(ValueError, match="8 bytes that no image decoder knows") as caught:
        ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path / "images")[0]

    assert "password" not in str(caught.value)


def test_a_link_to_nothing_is_a_missing_image(tmp_path: Path) -> None:
    (tmp_path / "A.jpg").symlink_to(tmp_path / "nowhere.jpg")

    with pytest.raises(FileNotFoundError, match=r"1 of 1 without \(A\)"):
        ISICDataset(pd.DataFrame({"ID": ["A"]}), tmp_path)


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
