import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from dermolib import io as images
from dermolib.io import (
    read_image,
    read_mask,
    resize_image,
    resize_mask,
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


def test_a_grey_image_is_repeated_over_the_channels(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    PillowImage.fromarray(grey).save(tmp_path / "a.png")

    image = read_image(tmp_path / "a.png")

    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=2))


def test_a_16_bit_grey_image_keeps_its_upper_eight_bits(tmp_path: Path) -> None:
    deep = np.array([[0, 255, 256, 65535]], dtype=np.uint16)
    PillowImage.fromarray(deep).save(tmp_path / "a.png")

    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 255]


def test_an_alpha_channel_is_dropped(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[..., 0], rgba[..., 3] = 90, 10
    PillowImage.fromarray(rgba).save(tmp_path / "a.png")

    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [90, 0, 0]


def test_a_palette_with_transparency_is_looked_up(tmp_path: Path) -> None:
    image = PillowImage.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 7, 8, 9])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")

    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [7, 8, 9]


def test_a_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    PillowImage.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)

    red, green, blue = read_image(tmp_path / "a.jpg")[4, 4].astype(int)

    assert (red > 240, green < 15, blue < 15) == (True, True, True)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [PillowImage.new("RGB", (4, 4), (shade, 0, 0)) for shade in (255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    assert read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_the_orientation_of_a_camera_is_not_applied(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # a quarter turn
    PillowImage.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=exif)

    assert read_image(tmp_path / "a.jpg").shape == (4, 8, 3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        read_image(tmp_path / "absent.jpg")


@pytest.mark.parametrize("content", [b"", b"<html>error 404</html>", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=rf"Expected `{re.escape(str(path))}` to be an? .*image"):
        read_image(path)


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_truncated_image_is_refused_not_filled_with_grey(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write_image(path, noise_image(64, 64, 0))
    path.write_bytes(path.read_bytes()[:-900])

    with pytest.raises(ValueError, match=r"to be a readable image file, but got .* Fetch the file"):
        read_image(path)


def test_an_image_of_floating_point_is_refused(tmp_path: Path) -> None:
    PillowImage.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "a.tiff")

    with pytest.raises(ValueError, match="an image of 8 or 16 bits, but got one of 32"):
        read_image(tmp_path / "a.tiff")


def test_a_giant_image_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", noise_image(10, 20, 0))
    monkeypatch.setattr(images, "MAX_PIXELS", 199)

    with pytest.raises(ValueError, match="at most 199 pixels, but got 20 x 10"):
        read_image(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    PillowImage.new("1", (30_000, 30_000)).save(buffer, "PNG")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())

    with pytest.raises(ValueError, match=r"bomb\.png` to be an image of at most 89,478,485 pixels"):
        read_image(tmp_path / "bomb.png")


def test_a_mask_survives_writing_and_reading(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((9, 7)) > 0.5

    write_mask(tmp_path / "m.png", mask)

    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", shape=(9, 7)), mask)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", np.ones((4, 5), dtype=np.bool_))

    with pytest.raises(ValueError, match=re.escape("a mask of size (5, 4), but got (4, 5).")):
        read_mask(tmp_path / "m.png", shape=(5, 4))


def test_a_mask_of_0_and_1_is_refused_not_read_as_empty(tmp_path: Path) -> None:
    PillowImage.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "m.png")

    with pytest.raises(ValueError, match="a mask of 0 and 255, but got values up to 1 alone"):
        read_mask(tmp_path / "m.png")


def test_a_mask_is_split_at_half_brightness(tmp_path: Path) -> None:
    PillowImage.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "m.png")

    assert read_mask(tmp_path / "m.png").tolist() == [[False, False, True, True]]


def test_a_mask_of_one_dimension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape("a mask (5, 0) of dtype bool")):
        write_mask(tmp_path / "m.png", np.ones(5, dtype=np.bool_))


def test_a_side_that_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an image that the format can hold, but got 70000 x 1 px"):
        write_image(tmp_path / "a.jpg", np.zeros((70_000, 1, 3), np.uint8))


def test_a_lower_quality_makes_a_smaller_file(tmp_path: Path) -> None:
    for quality in (30, 95):
        write_image(tmp_path / f"{quality}.jpg", noise_image(64, 64, 0), quality=quality)

    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2


def test_a_file_for_another_program_is_not_handed_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")

    with pytest.raises(ValueError, match="that no image decoder knows"):
        read_image(tmp_path / "a.jpg")


def test_a_mask_is_not_written_lossy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a file ending in \.png"):
        write_mask(tmp_path / "m.jpg", np.ones((2, 2), dtype=np.bool_))


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a file ending in \.jpg, \.jpeg or \.png"):
        write_image(tmp_path / "a.bmp", noise_image(2, 2, 0))


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with whole_file(target) as temporary:
        temporary.write_text("old")

    def write_half() -> None:
        with whole_file(target) as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()

    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    quality=st.sampled_from([20, 75, 95]),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_jpeg_is_decoded_to_the_pixels_that_pillow_finds(
    tmp_path: Path, height: int, width: int, quality: int, subsampling: int, progressive: bool
) -> None:
    picture = PillowImage.fromarray(noise_image(height, width, height * width))
    picture.save(
        tmp_path / "a.jpg", quality=quality, subsampling=subsampling, progressive=progressive
    )

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


def test_bytes_between_the_marks_of_a_jpeg_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + bytes(48) + b"\xff\xd9")

    with pytest.raises(ValueError, match=r"52 bytes that no image decoder knows"):
        read_image(tmp_path / "a.jpg")


def test_a_jpeg_whose_pixels_are_missing_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", noise_image(20, 30, 0))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: data.index(b"\xff\xda")] + b"\xff\xd9")

    with pytest.raises(ValueError, match=r"^Expected `.*a\.jpg` to be a readable image file"):
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
