"""Image files, read whole or refused, and written whole or not at all."""

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from dermolib._validation import (
    Image,
    Mask,
    PathLike,
    as_path,
    check_image,
    check_mask,
    check_number,
    expected,
    require,
)
from dermolib.io.files import read_bytes, whole_file

__all__ = [
    "MAX_PIXELS",
    "decode_image",
    "read_image",
    "read_mask",
    "resize_image",
    "resize_mask",
    "write_image",
    "write_mask",
]

MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels (Pillow's bound against decompression bombs)."""

# Others hand a file to programs outside (PostScript) or have decoders that few people check
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")
_AS_RGB = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)  # OpenCV 4.10 gives BGR alone
_JPEG_SUFFIXES = (".jpg", ".jpeg")


def read_image(path: PathLike) -> Image:
    """Read an image file as RGB; every other mode is converted as follows, nothing is guessed.

    Gray is repeated over the three channels, a palette is looked up, CMYK is converted, an alpha
    channel is dropped, 16-bit values keep their upper eight bits, and an animation gives its first
    frame. The orientation tag of a camera is not applied, so that an image stays aligned with its
    mask. Memory: about 12 bytes per pixel, with the file and the result.

    Args:
        path: JPEG, PNG, TIFF, BMP, GIF or WebP file.

    Returns:
        Image (H, W, 3), uint8 RGB in 0..255.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, truncated, no image, or larger than `MAX_PIXELS`.
    """
    return decode_image(read_bytes(path), str(path))


def decode_image(data: bytes, name: str) -> Image:
    """Decode the bytes of an image file as `read_image` does.

    Args:
        data: Bytes of a JPEG, PNG, TIFF, BMP, GIF or WebP file.
        name: What they are called in errors.

    Returns:
        Image (H, W, 3), uint8 RGB in 0..255.

    Raises:
        ValueError: The bytes are none, truncated, no image, or of one larger than `MAX_PIXELS`.

    Examples:
        >>> decode_image(b"<html>Not found</html>", "ISIC_1.jpg")
        Traceback (most recent call last):
        ValueError: Expected `ISIC_1.jpg` to be an image file, but got 22 bytes ...
    """
    image = _decode_jpeg(data)
    return np.array(_to_rgb(_decode(data, name))) if image is None else image


def read_mask(path: PathLike, *, shape: tuple[int, int] | None = None) -> Mask:
    """Read a mask file: what is at least half bright is True.

    Args:
        path: Image file, 0 for background and 255 for foreground.
        shape: Height and width that the mask must have, in pixels.

    Returns:
        Mask (H, W), bool.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read as an image, or its size is not `shape`.
    """
    values = np.array(_to_rgb(_decode(read_bytes(path), str(path))).convert("L"))
    mask: Mask = values >= 128
    got, hint = (
        f"values up to {values.max()} alone",
        "Multiply the values of a mask of 0 and 1 by 255.",
    )
    require(mask.any() or not values.any(), str(path), "a mask of 0 and 255", got, hint)
    fits = shape is None or mask.shape == tuple(shape)
    hint = "A mask must have the size of its image."
    require(fits, str(path), f"a mask of size {shape}", mask.shape, hint)
    return mask


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Bring an image to a size, squeezed where its proportions are others.

    What shrinks is averaged by area, first over whole squares of 2 x 2 pixels while that leaves
    twice the size or more, then over the rest. That takes a third of the time of one step and is
    under half a level from it on average, up to ten where a large image is sharp. What grows is
    interpolated linearly. An image that has the size already is returned as it is, the same object.
    Memory: about 1 byte per pixel of a large image that shrinks.

    Args:
        image: Image (H, W, 3), uint8 RGB; it is not modified.
        size: Height and width wanted, in px.

    Returns:
        Image (height, width, 3), uint8.

    Examples:
        >>> image = np.zeros((1024, 768, 3), np.uint8)
        >>> resize_image(image, (224, 224)).shape, resize_image(image, (1024, 768)) is image
        ((224, 224, 3), True)
    """
    check_image(image)
    return _resize(image, size)


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Bring a mask to a size as `resize_image` does: a pixel is True where half of it or more was.

    Args:
        mask: Mask (H, W), bool; it is not modified.
        size: Height and width wanted, in px.

    Returns:
        Mask (height, width), bool.
    """
    check_mask(mask, mask.shape[:2])
    if mask.shape == tuple(size):
        return mask
    resized: Mask = _resize(mask.astype(np.uint8) * np.uint8(255), size) >= 128
    return resized


def _resize(pixels: Image, size: tuple[int, int]) -> Image:
    height, width = size
    while _halves(pixels.shape[0], height) and _halves(pixels.shape[1], width):
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=way).astype(np.uint8, copy=False)


def _halves(side: int, wanted: int) -> bool:
    return side % 2 == 0 and side >= 4 * wanted


def write_image(path: PathLike, image: Image, *, quality: int = 95) -> None:
    """Write an image whole or not at all: beside the target first, then renamed.

    Memory: about 7 bytes per pixel beside the image.

    Args:
        path: Target; ``.jpg`` and ``.jpeg`` are lossy, ``.png`` keeps every pixel.
        image: Image (H, W, 3), uint8 RGB.
        quality: JPEG quality, 1..100.

    Raises:
        TypeError: `image` is not uint8.
        ValueError: `image` is not RGB, or the ending is none of the three.
    """
    check_image(image)
    check_number(quality, "quality", low=1, high=100, integer=True)
    _write(as_path(path, "path"), np.ascontiguousarray(image[..., ::-1]), quality)


def write_mask(path: PathLike, mask: Mask) -> None:
    """Write a mask as 0 and 255, whole or not at all.

    Args:
        path: Target with the ending ``.png``: a lossy format would change the mask.
        mask: Mask (H, W), bool.

    Raises:
        TypeError: `mask` is not bool.
        ValueError: `mask` is not two-dimensional, or the ending is not ``.png``.
    """
    path = as_path(path, "path")
    is_png = path.suffix.lower() == ".png"
    require(is_png, "path", "a file ending in .png", path)
    height, width = (*getattr(mask, "shape", ()), 0, 0)[:2]
    check_mask(mask, (height, width))
    _write(path, mask.astype(np.uint8) * np.uint8(255), 100)


def _write(path: Path, pixels: npt.NDArray[np.uint8], quality: int) -> None:
    suffix = path.suffix.lower()
    known = suffix in (*_JPEG_SUFFIXES, ".png")
    require(known, "path", "a file ending in .jpg, .jpeg or .png", path)
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(suffix, pixels, options)
    got = f"{pixels.shape[0]} x {pixels.shape[1]} px"
    require(done, "image", "an image that the format can hold", got)
    with whole_file(path) as temporary:
        temporary.write_bytes(data.data)


def _decode_jpeg(data: bytes) -> Image | None:
    """Decode a whole RGB JPEG in half of Pillow's time, to the same pixels; None for other bytes.

    Only Pillow tells a truncated file from a whole one, so that what may be truncated goes there.
    """
    if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
        return None
    try:
        with PillowImage.open(io.BytesIO(data), formats=["JPEG"]) as header:
            known = header.mode == "RGB" and header.width * header.height <= MAX_PIXELS
    except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError):
        return None
    flags = _AS_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if known else None
    if pixels is not None and _AS_RGB == cv2.IMREAD_COLOR:
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _decode(data: bytes, name: str) -> PillowImage.Image:
    """Decode a file in full, or say which file it is and what is wrong with it."""
    try:
        with PillowImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_kind(name, image)
            image.load()
            return image
    except UnidentifiedImageError:
        got = f"{len(data)} bytes that no image decoder knows"
        raise ValueError(expected(name, "an image file", got)) from None
    except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
        raise ValueError(expected(name, *_too_large("a larger one"))) from error
    except (OSError, SyntaxError, ValueError) as error:
        if str(error).startswith("Expected `"):
            raise
        hint = "Fetch the file again, or leave its row out of the table."
        raise ValueError(expected(name, "a readable image file", error, hint)) from error


def _too_large(got: str) -> tuple[str, str, str]:
    what = f"an image of at most {MAX_PIXELS:,} pixels"
    return what, got, "Resize it with a tool that you trust with the file."


def _check_kind(name: str, image: PillowImage.Image) -> None:
    hint = "The range of its values is unknown: write it as 8-bit RGB."
    known = image.mode not in ("F", "I")
    require(known, name, "an image of 8 or 16 bits", "one of 32", hint)
    fits = image.width * image.height <= MAX_PIXELS
    require(fits, name, *_too_large(f"{image.width} x {image.height}"))


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    if image.mode.startswith("I"):  # I;16 and its byte orders
        upper = np.asarray(image).astype(np.uint16) >> 8
        image = PillowImage.fromarray(upper.astype(np.uint8))
    if image.mode == "P":
        # Pillow warns when a palette with transparency loses it in one step
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")
