"""Masks and images of every depth, color and orientation: one rule for all that read them."""

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as PillowImage

from dermolib import ISICDataset, prepare, preset
from dermolib.io import as_mask, eight_bits, read_image, read_mask, read_orientation, write_image
from drawing import lesion_image, noise_image

LESION = np.zeros((12, 16), np.bool_)
LESION[3:9, 4:13] = True
NESTED = LESION.astype(np.uint8)
NESTED[5:7, 6:9] = 2


def gray(value: float, dtype: Any = np.uint8) -> Any:
    return (LESION * value).astype(dtype)


def color(lesion: tuple[int, ...], other: tuple[int, ...], dtype: Any = np.uint8) -> Any:
    return np.where(LESION[..., None], np.array(lesion), np.array(other)).astype(dtype)


def palette(colors: list[int], indices: Any = LESION) -> PillowImage.Image:
    image = PillowImage.frombytes("P", (16, 12), indices.astype(np.uint8).tobytes())
    image.putpalette(colors)
    return image


def png(values: Any, **options: Any) -> bytes:
    """Write a PNG, of 16 bits in color too, which Pillow cannot."""
    if isinstance(values, np.ndarray) and values.dtype == np.uint16 and values.ndim == 3:
        return bytes(cv2.imencode(".png", values[..., ::-1])[1])
    return other("PNG", values, **options)


def other(form: str, values: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = values if isinstance(values, PillowImage.Image) else PillowImage.fromarray(values)
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


MASKS = {
    **{f"8 bits up to {top}": png(gray(top)) for top in (1, 2, 100, 255)},
    **{f"16 bits up to {top}": png(gray(top, np.uint16)) for top in (1, 255, 4095, 65535)},
    "16-bit color of 0 and 1": png(color((1, 1, 1), (0, 0, 0), np.uint16)),
    "16-bit color of 0 and 255": png(color((255, 0, 0), (0, 0, 0), np.uint16)),
    "one bit": png(LESION),
    "32-bit integers": other("TIFF", gray(255, np.int32)),
    "floating point": other("TIFF", gray(1, np.float32)),
    "BMP of one bit": other("BMP", LESION),
    "GIF": other("GIF", gray(255)),
    "JPEG": other("JPEG", gray(255), quality=60),
    "lossy WebP": other("WEBP", color((255, 255, 255), (0, 0, 0)), quality=50),
    "white": png(color((255, 255, 255), (0, 0, 0))),
    "red": png(color((255, 0, 0), (0, 0, 0))),
    "dark blue": png(color((0, 0, 40), (0, 0, 0))),
    "opaque": png(color((255, 255, 255, 255), (0, 0, 0, 255))),
    "alpha over black": png(color((0, 0, 0, 255), (0, 0, 0, 0))),
    "alpha over white": png(color((255, 255, 255, 255), (255, 255, 255, 0))),
    "red overlay": png(color((255, 0, 0, 128), (0, 0, 0, 0))),
    "black on hidden white": png(color((0, 0, 0, 255), (255, 255, 255, 0))),
    "gray and alpha": png(PillowImage.fromarray(color((9, 255), (9, 0)), "LA")),
    "palette of 0 and 255": png(palette([0, 0, 0, 255, 255, 255])),
    "palette of white and black": png(palette([255, 255, 255, 0, 0, 0], ~LESION)),
    "palette of black and dark red": png(palette([0, 0, 0, 128, 0, 0])),
    "transparent palette": png(palette([7, 7, 7, 255, 0, 0]), transparency=0),
}
REFUSED = {
    "classes": (png(NESTED), "a mask of 0 and one other value, but got 0, 1, 2."),
    "classes of gray": (png(NESTED * np.uint8(127)), "but got 0, 127, 254."),
    "classes of palette": (
        png(palette([0, 0, 0, 255, 0, 0, 0, 255, 0], NESTED)),
        "one other color, but got (0 0 0), (0 255 0), (255 0 0).",
    ),
    "classes without background": (png(gray(1) + np.uint8(1)), "but got 1, 2."),
    "red on white": (png(color((255, 0, 0), (255, 255, 255))), "one other color, but got"),
    "dark JPEG": (other("JPEG", gray(90)), "bright in places, but got values up to"),
    "image": (png(noise_image(12, 16, 0)), "a mask of a bright lesion on black, but got one of"),
    "32-bit values": (
        other("TIFF", np.arange(192, dtype=np.float32).reshape(12, 16)),
        "but got more than 8 values of 32 bits.",
    ),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_is_read_the_same_by_reader_dataset_and_store(tmp_path: Path, kind: str) -> None:
    write_image(tmp_path / "images" / "a.png", noise_image(12, 16, 0))
    path = tmp_path / "masks" / "a_seg.png"
    path.parent.mkdir()
    path.write_bytes(MASKS[kind])
    options: dict[str, Any] = {"steps": [], "image_size": (12, 16), "progress": False}

    table = pd.DataFrame({"ID": ["a"], "CLASS": [1]})
    dataset = ISICDataset(table, tmp_path / "images", mask_dir=path.parent, masks=True)
    store = prepare(tmp_path / "images", tmp_path / "store", masks=path.parent, **options)

    assert read_mask(path, shape=(12, 16)).tolist() == LESION.tolist()
    assert dataset[0]["mask"].tolist() == LESION.tolist()
    assert store.mask(0).tolist() == LESION.tolist()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_mask_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, kind: str) -> None:
    data, words = REFUSED[kind]
    (tmp_path / "m.png").write_bytes(data)

    sentence = rf"^Expected `{re.escape(str(tmp_path / 'm.png'))}` to be .*{re.escape(words)}"
    with pytest.raises(ValueError, match=sentence):
        read_mask(tmp_path / "m.png")


def test_an_image_with_a_mask_drawn_on_it_is_no_mask(tmp_path: Path) -> None:
    image, lesion = lesion_image(60, 80)
    image[lesion] = image[lesion] // 2 + np.array([127, 0, 0], np.uint8)
    write_image(tmp_path / "m.jpg", image)

    with pytest.raises(ValueError, match="a mask of a bright lesion on black, but got one of"):
        read_mask(tmp_path / "m.jpg")


def test_an_empty_and_a_full_mask_are_what_they_are() -> None:
    assert not as_mask(np.zeros((3, 4), np.uint16)).any()
    assert all(as_mask(np.full((3, 4), value, np.uint8)).all() for value in (1, 255))


@pytest.mark.parametrize("resize", [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("size", [(300, 200), (224, 224)])
def test_a_soft_edge_is_cut_at_half_brightness(resize: int, size: tuple[int, int]) -> None:
    _, lesion = lesion_image(400, 600)
    values = cv2.resize(lesion.astype(np.uint8) * np.uint8(255), size, interpolation=resize)

    assert (as_mask(values) == (values >= 128)).all()
    assert (as_mask(np.dstack([values, values // 3, values // 5])) == (values >= 128)).all()
    assert (as_mask(values.astype(np.uint16) * 257) == (values >= 128)).all()


@given(
    lesion=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    value=st.integers(1, 255),
)
def test_any_two_values_of_any_dtype_are_a_mask(lesion: Any, value: int) -> None:
    kinds = [np.uint8, np.uint16, np.int32, np.float64]

    masks = [as_mask((lesion * value).astype(dtype)) for dtype in kinds]

    assert all((mask == lesion).all() and mask.dtype == np.bool_ for mask in masks)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 5), np.uint8), ((4,), np.uint8), ((2, 3, 3), np.float32)]
)
def test_what_has_the_form_of_no_mask_is_refused(shape: tuple[int, ...], dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"`lesion` to be a mask \(H, W\), or one in color"):
        as_mask(np.zeros(shape, dtype), "lesion")


@pytest.mark.parametrize(
    "mask",
    [gray(1), gray(255), color((255, 0, 0), (0, 0, 0))],
    ids=["0 and 1", "0 and 255", "red"],
)
def test_a_preset_takes_masks_by_the_same_rule(mask: Any) -> None:
    evaluation = preset("evaluation", image_size=16, normalize=False)
    image = noise_image(12, 16, 0)

    made = evaluation(image=image, mask=mask)["mask"]

    assert made.any()
    assert (made == evaluation(image=image, mask=LESION)["mask"]).all()
    with pytest.raises(ValueError, match="a mask of 0 and one other value, but got 0, 1, 2"):
        evaluation(image=image, mask=NESTED)


RAMP = np.linspace(0, 1, 192).reshape(12, 16)


@pytest.mark.parametrize("top", [255, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_16_bit_image_keeps_the_upper_bits_of_those_in_use(
    tmp_path: Path, top: int, channels: int
) -> None:
    values = np.round(RAMP * top).astype(np.uint16)
    shown = values if channels == 1 else values[..., None].repeat(channels, axis=2)
    for ending in ("png", "tiff"):
        path = tmp_path / f"a.{ending}"
        path.write_bytes(bytes(cv2.imencode(f".{ending}", shown)[1]))

        image = read_image(path)

        assert image.shape == (12, 16, 3)
        assert (image == (values // ((top + 1) // 256))[..., None]).all()


def test_the_channels_of_a_16_bit_image_stay_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.array([[[60000, 2000, 300]]], np.uint16)))

    assert read_image(tmp_path / "a.png").tolist() == [[[234, 7, 1]]]


@given(hnp.arrays(np.uint16, (3, 4)))
def test_eight_bits_keep_the_order_of_values(values: Any) -> None:
    made = eight_bits(values)

    order = np.argsort(values, axis=None)
    assert made.dtype == np.uint8
    assert (np.diff(made.reshape(-1)[order].astype(int)) >= 0).all()
    assert made.max() > 0 or values.max() == 0


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_an_image_of_32_bits_is_refused(tmp_path: Path, dtype: Any) -> None:
    (tmp_path / "a.tif").write_bytes(other("TIFF", (RAMP * 255).astype(dtype)))

    with pytest.raises(ValueError, match="an image of 8 or 16 bits, but got one of 32"):
        read_image(tmp_path / "a.tif")


def deep_tiff(values: Any, orientation: int) -> bytes:
    """Write a TIFF of 16-bit RGB with an orientation, which neither library here can."""
    height, width = values.shape[:2]
    start = 10 + 12 * 10 + 4
    tags = [
        *[(256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, start), (259, 3, 1, 1)],
        *[(262, 3, 1, 2), (273, 4, 1, start + 6), (274, 3, 1, orientation), (277, 3, 1, 3)],
        *[(278, 4, 1, height), (279, 4, 1, values.nbytes)],
    ]
    packed = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + bytes(4)
    pixels: bytes = values.astype("<u2").tobytes()
    return head + struct.pack("<HHH", 16, 16, 16) + pixels


TURNED: dict[str, Callable[[Any, Any], bytes]] = {
    "JPEG": lambda image, exif: other("JPEG", image, exif=exif, quality=100, subsampling=0),
    "PNG": lambda image, exif: other("PNG", image, exif=exif),
    "TIFF": lambda image, exif: other("TIFF", image, exif=exif),
    "deep TIFF": lambda image, exif: deep_tiff(image.astype(np.uint16) * 257, exif[0x0112]),
    "WebP": lambda image, exif: other("WEBP", image, exif=exif, lossless=True),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", TURNED)
def test_pixels_come_as_they_are_stored_whatever_the_orientation_says(
    tmp_path: Path, form: str, orientation: int
) -> None:
    image = np.kron(noise_image(3, 4, 0), np.ones((8, 8, 1), np.uint8))
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = TURNED[form](image, exif)
    (tmp_path / "a.jpg").write_bytes(data)

    read = read_image(tmp_path / "a.jpg")

    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).max() <= (4 if form == "JPEG" else 0)
    assert read_orientation(data) == orientation


def test_a_mask_is_as_stored_too_and_fits_its_image(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    (tmp_path / "m.tif").write_bytes(other("TIFF", gray(255), exif=exif))

    assert read_mask(tmp_path / "m.tif", shape=(12, 16)).tolist() == LESION.tolist()


@pytest.mark.parametrize("data", [b"", b"no image", png(LESION), b"\x89PNG eXIf", b"II*\0" * 9])
def test_what_has_no_orientation_is_as_stored(data: bytes) -> None:
    assert read_orientation(data) == 1
