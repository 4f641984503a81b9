"""Image files: every mode, broken files, and sizes."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageFile

from dermolib.io import (
    images,
    read_image,
    read_mask,
    remove_halves,
    resize_image,
    resize_mask,
    shrink_image,
    whole_file,
    write_image,
    write_mask,
)
from drawing import noise_image


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_png_gives_back_every_pixel(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("png") / "a.png"
    image = noise_image(height, width, seed)

    write_image(path, image)

    np.testing.assert_array_equal(read_image(path), image)


def test_a_jpeg_of_one_colour_keeps_its_channel_order(tmp_path: Path) -> None:
    image = np.full((16, 16, 3), (200, 100, 50), dtype=np.uint8)

    write_image(tmp_path / "a.jpg", image)

    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() <= 3


def palette() -> PillowImage.Image:
    image = PillowImage.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 7, 8, 9])
    return image


GRAY = PillowImage.fromarray(np.array([[0, 20, 255]], np.uint8))
DEEP = PillowImage.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
FRAMES = [PillowImage.new("RGB", (4, 4), (shade, 0, 0)) for shade in (255, 0)]
TURNED = PillowImage.Exif()
TURNED[0x0112] = 6  # by 90 degrees


@pytest.mark.parametrize(
    ("file", "picture", "options", "row"),
    [
        ("gray.png", GRAY, {}, [[0] * 3, [20] * 3, [255] * 3]),
        ("16 bits.png", DEEP, {}, [[0] * 3, [0] * 3, [1] * 3, [255] * 3]),
        ("alpha.png", PillowImage.new("RGBA", (1, 2), (90, 0, 0, 10)), {}, [[90, 0, 0]]),
        ("palette.png", palette(), {"transparency": b"\x00\x80"}, [[7, 8, 9]] * 2),
        ("cmyk.tif", PillowImage.new("CMYK", (1, 1), (0, 255, 255, 0)), {}, [[255, 0, 0]]),
        (
            "moves.gif",
            FRAMES[0],
            {"save_all": True, "append_images": FRAMES[1:]},
            [[255, 0, 0]] * 4,
        ),
        ("turned.jpg", PillowImage.new("RGB", (3, 5)), {"exif": TURNED}, [[0, 0, 0]] * 3),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, file: str, picture: PillowImage.Image, options: dict[str, Any], row: Any
) -> None:
    picture.save(tmp_path / file, **options)

    image = read_image(tmp_path / file)

    assert image[0].tolist() == row
    assert image.shape[:2] == picture.size[::-1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        read_image(tmp_path / "absent.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an image file, but got 0 bytes that no image decoder knows"),
        (b"<html>error 404</html>", "an image file, but got 22 bytes that no image decoder knows"),
        (b"\xff\xd8\xff", "image file, but got"),
        (b"\xff\xd8" + bytes(48) + b"\xff\xd9", "got 52 bytes that no image decoder knows"),
        # Nothing is handed to a program outside
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "that no image decoder knows"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=rf"^Expected `{re.escape(str(path))}` to be .*{words}"):
        read_image(path)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_image_is_refused_not_filled_with_grey(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write_image(path, noise_image(64, 64, 0))
    path.write_bytes(path.read_bytes()[:-900])

    with pytest.raises(ValueError, match=r"to be a readable image file, but got .* Fetch the file"):
        read_image(path)


def test_a_giant_image_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", noise_image(10, 20, 0))
    monkeypatch.setattr(images, "MAX_PIXELS", 199)

    with pytest.raises(ValueError, match="at most 199 pixels, but got 20 x 10"):
        read_image(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    PillowImage.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")

    with pytest.raises(ValueError, match=r"bomb\.png` to be an image of at most 89,478,485 pixels"):
        read_image(tmp_path / "bomb.png")


def test_a_mask_survives_writing_and_reading(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((9, 7)) > 0.5

    write_mask(tmp_path / "m.png", mask)

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", shape=(9, 7)), mask)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.full((4, 5), 255, np.uint8)).save(tmp_path / "m.png")

    words = "a mask of size (5, 4), but got (4, 5). A mask must have the size of its image."
    with pytest.raises(ValueError, match=re.escape(words)):
        read_mask(tmp_path / "m.png", shape=(5, 4))


@pytest.mark.parametrize(
    ("write", "file", "pixels", "words"),
    [
        (write_mask, "m.png", np.ones(5, np.bool_), "a mask (5, 0) of dtype bool"),
        (write_mask, "m.jpg", np.ones((2, 2), np.bool_), "a file ending in .png"),
        (write_image, "a.bmp", noise_image(2, 2, 0), "a file ending in .jpg, .jpeg or .png"),
        (write_image, "a.jpg", np.zeros((70_000, 1, 3), np.uint8), "but got 70000 x 1 px"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    tmp_path: Path, write: Callable[..., None], file: str, pixels: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        write(tmp_path / file, pixels)
    assert not list(tmp_path.iterdir())


def test_a_lower_quality_makes_a_smaller_file(tmp_path: Path) -> None:
    for quality in (30, 95):
        write_image(tmp_path / f"{quality}.jpg", noise_image(64, 64, 0), quality=quality)

    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    quality=st.sampled_from([20, 75, 95]),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_jpeg_is_decoded_to_the_pixels_that_pillow_finds(
    tmp_path: Path, height: int, width: int, quality: int, subsampling: int, progressive: bool
) -> None:
    picture = PillowImage.fromarray(noise_image(height, width, height * width))
    options: dict[str, Any] = {
        "quality": quality,
        "subsampling": subsampling,
        "progressive": progressive,
    }
    picture.save(tmp_path / "a.jpg", **options)

    image = read_image(tmp_path / "a.jpg")

    with PillowImage.open(tmp_path / "a.jpg") as opened:
        assert (image == np.asarray(opened)).all()


def test_what_follows_the_end_of_a_jpeg_is_no_harm(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", noise_image(20, 30, 0))
    image = read_image(tmp_path / "a.jpg")

    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"a camera's notes")

    assert (read_image(tmp_path / "a.jpg") == image).all()


def test_a_png_with_the_name_of_a_jpeg_is_read(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise_image(20, 30, 0))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")

    assert (read_image(tmp_path / "a.jpg") == noise_image(20, 30, 0)).all()


def test_a_jpeg_whose_pixels_are_missing_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", noise_image(20, 30, 0))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: data.index(b"\xff\xda")] + b"\xff\xd9")

    with pytest.raises(ValueError, match=r"^Expected `.*a\.jpg` to be an? (readable )?image file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("size", [(100, 80), (224, 224), (300, 401)])
def test_shrinking_is_nearly_the_average_by_area(size: tuple[int, int]) -> None:
    image = np.asarray(cv2.GaussianBlur(noise_image(1024, 1024, 0), (0, 0), 4), np.uint8)

    resized = resize_image(image, size)

    area = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    distance = np.abs(resized.astype(int) - area)
    assert resized.shape == (*size, 3)
    assert distance.max() <= 2
    assert distance.mean() < 0.5


def test_an_image_of_one_colour_keeps_it_at_every_size() -> None:
    image = np.full((96, 64, 3), (200, 30, 7), np.uint8)

    sizes = [(1, 1), (5, 9), (24, 16), (96, 64), (200, 300), (200, 10)]

    assert all((resize_image(image, size) == (200, 30, 7)).all() for size in sizes)


def test_an_image_that_has_the_size_is_the_same_object() -> None:
    image, mask = noise_image(8, 9, 0), np.zeros((8, 9), np.bool_)

    assert resize_image(image, (8, 9)) is image
    assert resize_mask(mask, (8, 9)) is mask


def test_a_mask_is_resized_by_majority() -> None:
    mask = np.zeros((8, 8), np.bool_)
    mask[:, :3] = True

    assert resize_mask(mask, (2, 2)).tolist() == [[True, False], [True, False]]
    assert resize_mask(mask, (8, 8)).dtype == np.bool_


def test_resizing_refuses_what_is_no_image() -> None:
    with pytest.raises(TypeError, match=r"Expected `image` to be an RGB image \(H, W, 3\)"):
        resize_image(np.zeros((4, 4, 3)), (2, 2))  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match=r"Expected `mask` to be a mask \(4, 4\) of dtype bool"):
        resize_mask(np.zeros((4, 4), np.uint8), (2, 2))


def test_a_name_of_255_bytes_is_written_and_what_a_killed_run_left_of_it_is_removed(
    tmp_path: Path,
) -> None:
    path = tmp_path / f"{'é' * 125}x.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
    half = tmp_path / temporary.name
    half.touch()

    remove_halves([tmp_path], [path.name])

    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_threads_that_decode_at_once_leave_the_flag_of_pillow_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "a.png"
    write_image(path, noise_image(40, 60, 0))
    path.write_bytes(path.read_bytes()[:-900])

    def refused(_: int) -> bool:
        try:
            read_image(path)
        except ValueError:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(refused, range(200)))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a forked worker needs `fork`")
def test_a_worker_that_is_forked_while_an_image_is_decoded_decodes_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise_image(9, 9, 0))
    code = f"""
import os
from dermolib.io import images
with images._STRICT:
    images._STRICT._lock.acquire()
    child = os.fork()
    if child == 0:
        images.read_image({str(tmp_path / "a.png")!r})
        os._exit(7)
    images._STRICT._lock.release()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)  # noqa: S603 - own code

    assert done.stdout.split() == ["7"], done.stderr


@pytest.mark.parametrize(
    ("shape", "shrunk"),
    [((300, 400), (150, 200)), ((90, 40), (90, 40)), ((200, 1), (200, 1)), ((1000, 2), (200, 1))],
)
def test_an_image_shrinks_to_a_longer_side_and_never_grows(
    shape: tuple[int, int], shrunk: tuple[int, int]
) -> None:
    image = np.full((*shape, 3), 7, np.uint8)
    small = shrink_image(image, 200)
    assert small.shape == (*shrunk, 3)
    assert (small is image) == (shape == shrunk)
