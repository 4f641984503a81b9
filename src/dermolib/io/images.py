"""Image files, read whole or refused, and written whole or not at all."""

import io
import os
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageFile, UnidentifiedImageError

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
from dermolib.io.pixels import as_mask, eight_bits

__all__ = [
    "MAX_PIXELS",
    "decode_image",
    "read_image",
    "read_mask",
    "read_orientation",
    "resize_image",
    "resize_mask",
    "shrink_image",
    "write_image",
    "write_mask",
]

MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels (Pillow's bound against decompression bombs)."""

# Others hand a file to programs outside (PostScript) or have decoders that few people check
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")
_AS_RGB = getattr(cv2, "IMREAD_COLOR_RGB", cv2.IMREAD_COLOR)  # OpenCV 4.10 gives BGR alone
_ORIENTATION = 0x0112  # EXIF tag
_STORED = {  # 90-degree turns to the left, then a flip left to right, that take an orientation back
    **{1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True)},
    **{5: (3, True), 6: (1, False), 7: (1, True), 8: (3, False)},
}
_PNG, _TAGGED = b"\x89PNG", (b"eXIf", b"Raw profile type", b"Orientation")
_JPEG_SUFFIXES = (".jpg", ".jpeg")


def read_image(path: PathLike) -> Image:
    """Read an image file as RGB; every other mode is converted as follows.

    Gray is repeated over the three channels, a palette is looked up, CMYK is converted, an alpha
    channel is dropped, and an animation gives its first frame. Of 16-bit values the upper eight of
    the bits in use are kept: an image without a value above 4095 is of 12 bits, one without a value
    above 255 of 8. Values of 32 bits are refused, since their range is unknown. Pixels come as they
    are stored in JPEG, PNG, TIFF and WebP: the orientation tag of a camera is not applied, so
    that an image stays aligned with its mask. Memory: about 12 bytes per pixel, with the file and
    the result.

    Args:
        path: JPEG, PNG, TIFF, BMP, GIF or WebP file.

    Returns:
        Image (H, W, 3), uint8 RGB in 0..255.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, truncated, no image, of 32-bit values, or larger than
            `MAX_PIXELS`.
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
    if image is not None:
        return image
    values = eight_bits(_decode(data, name)[0])
    if values.ndim == 2:
        values = values[..., None]
    color = values.shape[2] >= 3
    return np.ascontiguousarray(values[..., :3] if color else values[..., :1].repeat(3, axis=2))


def read_orientation(data: bytes) -> int:
    """Read the orientation tag (EXIF or XMP) of an image file, which no function here applies.

    Args:
        data: Bytes of an image file.

    Returns:
        Orientation, 1..8; 1, as stored, where there is no tag or none that can be read.
    """
    # Pillow would decode a PNG to find out, since the tag may follow the pixels
    if data.startswith(_PNG) and not any(word in data for word in _TAGGED):
        return 1
    try:
        with PillowImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            tag = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # decoders fail in ways of their own on broken files
        return 1
    return tag if tag in _STORED else 1


def read_mask(path: PathLike, *, shape: tuple[int, int] | None = None) -> Mask:
    """Read a mask file by the rule of `as_mask`: black is background, one other value is lesion.

    Masks of 0 and 1, of 0 and 255, of 16 or 32 bits, in white or another color, with a palette,
    whose colors count and not its indices, and in the alpha channel are read; several classes are
    refused. As in `read_image`, pixels come as they are stored: an orientation tag is not applied,
    neither that of the mask nor that of its image.

    Args:
        path: Image file.
        shape: Height and width that the mask must have, in pixels.

    Returns:
        Mask (H, W), bool.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read as an image, its values are not those of a mask, or its
            size is not `shape`.
    """
    values, lossy = _decode(read_bytes(path), str(path), mask=True)
    fits = shape is None or values.shape[:2] == tuple(shape)
    hint = "A mask must have the size of its image."
    require(fits, str(path), f"a mask of size {shape}", values.shape[:2], hint)
    return as_mask(values, str(path), lossy=lossy)


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


def shrink_image(image: Image, side: int) -> Image:
    """Bring an image to a longer side of so many px as `resize_image` does; none is enlarged.

    Examples:
        >>> shrink_image(np.zeros((300, 400, 3), np.uint8), 200).shape
        (150, 200, 3)
    """
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return resize_image(image, (height, width))


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


class _Strict:
    """While any file is decoded, Pillow refuses truncated ones, whatever another library has set.

    Its flag is one for all threads, so that the first that begins sets it, and the last that ends
    sets it back. A forked worker has none of the threads of its parent, which may have been at it.
    """

    def __init__(self) -> None:
        self._lock, self._running, self._given = threading.Lock(), 0, False
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._forget_threads)

    def _forget_threads(self) -> None:
        if self._running:
            ImageFile.LOAD_TRUNCATED_IMAGES = self._given
        self._lock, self._running = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._given = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                ImageFile.LOAD_TRUNCATED_IMAGES = self._given


_STRICT = _Strict()


def _decode(data: bytes, name: str, *, mask: bool = False) -> tuple[npt.NDArray[Any], bool]:
    """Decode a file in full, or say which file it is and what is wrong with it.

    Returns the values as they are stored, (H, W) or (H, W, C), and whether the format changes them.
    """
    try:
        with _STRICT, PillowImage.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_kind(name, image, mask=mask)
            deep, turned = _is_deep(image), 1
            if image.format == "TIFF":  # the one format of which decoders apply the tag
                turned = image.getexif().get(_ORIENTATION, 1)
            image.load()
            lossy = image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
            lossy |= image.format == "WEBP" and b"VP8L" not in data
            values = _deep_values(data) if deep else None
            return _as_stored(_values(image) if values is None else values, turned), lossy
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


def _check_kind(name: str, image: PillowImage.Image, *, mask: bool) -> None:
    hint = "The range of its values is unknown: write it as 8-bit RGB."
    known = mask or image.mode not in ("F", "I")
    require(known, name, "an image of 8 or 16 bits", "one of 32", hint)
    fits = image.width * image.height <= MAX_PIXELS
    require(fits, name, *_too_large(f"{image.width} x {image.height}"))


def _is_deep(image: PillowImage.Image) -> bool:
    """Tell whether several channels have 16 bits each, of which Pillow would drop the lower."""
    several = image.mode in ("LA", "RGB", "RGBA", "RGBX")
    return several and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _deep_values(data: bytes) -> npt.NDArray[np.uint16] | None:
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        return None
    return np.concatenate([values[..., 2::-1], values[..., 3:]], axis=2).astype(np.uint16)


def _values(image: PillowImage.Image) -> npt.NDArray[Any]:
    """Give the values of an image: gray, or RGB, with alpha where it has some."""
    if image.mode in ("F", "I"):
        return np.array(image)
    if image.mode.startswith("I;16"):  # in either order of bytes
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return np.array(image)
    if image.mode == "1":
        return np.array(image.convert("L"))
    transparent = "transparency" in image.info or image.mode in ("PA", "RGBa", "La")
    return np.array(image.convert("RGBA" if transparent else "RGB"))


def _as_stored(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Take back an orientation that a decoder has applied."""
    turns, mirrored = _STORED.get(orientation, (0, False))
    values = np.rot90(values, turns)
    return values[:, ::-1] if mirrored else values
