"""Contact sheet: before, mask and after of some images in one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont, PngImagePlugin

from dermolib._validation import (
    Image,
    Indices,
    Mask,
    PathLike,
    check_image,
    check_mask,
    check_number,
    require,
)
from dermolib.io import whole_file

__all__ = ["SheetEntry", "is_contact_sheet", "spread_ranks", "write_contact_sheet"]

_CELL = 256  # px of the longer side of a panel
_GAP = 8
_PER_BAND = 6
_LEFT = 64  # px for the names of the rows
_CAPTION = 40
_FONT = 15
_PAPER = (200, 200, 200)  # gray: what is white at the edge of a mask stays in sight
_ROWS = ("before", "mask", "after")
_MARK = ("Software", "dermolib contact sheet")


@dataclass(frozen=True)
class SheetEntry:
    """One image of a contact sheet, already small.

    Attributes:
        name: File name.
        masked_fraction: Fraction of masked pixels of the full image, 0..1.
        panels: Before, mask and after, each (h, w, 3), uint8 RGB, of at most 256 px a side.
    """

    name: str
    masked_fraction: float
    panels: tuple[Image, Image, Image]

    @classmethod
    def shrink(cls, name: str, before: Image, mask: Mask, after: Image) -> "SheetEntry":
        """Make an entry of a full image (H, W, 3), its mask (H, W) and the clean image."""
        check_image(before, "before")
        height, width = before.shape[:2]
        check_mask(mask, (height, width))
        check_image(after, "after")
        white = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)
        return cls(name, float(mask.mean()), (_shrink(before), _shrink(white), _shrink(after)))


def spread_ranks(fractions: npt.ArrayLike, *, count: int) -> Indices:
    """Choose images at even steps from the most masked to the least.

    Args:
        fractions: Masked fraction of each image (N,), nan for images that cannot be shown.
        count: How many to choose, 1 or more.

    Returns:
        Positions (min(count, images that can be shown),); equal fractions keep their order.

    Examples:
        >>> spread_ranks([0.1, 0.4, float("nan"), 0.2, 0.3], count=3).tolist()
        [1, 3, 0]
    """
    check_number(count, "count", low=1, integer=True)
    values = np.asarray(fractions, dtype=np.float64)
    shown = np.flatnonzero(~np.isnan(values))
    order: Indices = shown[np.argsort(-values[shown], kind="stable")]
    ranks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.intp)
    return order[ranks]


def is_contact_sheet(path: PathLike) -> bool:
    """Tell whether a file is a sheet of `write_contact_sheet`, which a new one may replace."""
    try:
        with PillowImage.open(path, formats=["PNG"]) as image:
            return image.info.get(_MARK[0]) == _MARK[1]
    except (OSError, SyntaxError, ValueError):
        return False


def write_contact_sheet(path: PathLike, entries: Sequence[SheetEntry]) -> None:
    """Draw entries in bands of six columns, rows before, mask and after, and write a PNG whole."""
    require(Path(path).suffix.lower() == ".png", "path", "a file ending in .png", path)
    require(entries, "entries", "one image or more", "none")
    columns = min(_PER_BAND, len(entries))
    bands = [entries[at : at + _PER_BAND] for at in range(0, len(entries), _PER_BAND)]
    heights = [_band_height(band) for band in bands]
    size = (_LEFT + columns * (_CELL + _GAP), sum(heights) + _GAP)
    sheet = PillowImage.new("RGB", size, _PAPER)
    top = _GAP
    for band, height in zip(bands, heights, strict=True):
        _draw_band(sheet, band, top)
        top += height
    text = PngImagePlugin.PngInfo()
    text.add_text(*_MARK)
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG", pnginfo=text)


def _shrink(image: Image) -> Image:
    scale = min(1.0, _CELL / max(image.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    # Areas are averaged, so that a hair of less than a pixel is still seen
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)


def _panel_height(band: Sequence[SheetEntry]) -> int:
    return max(len(panel) for entry in band for panel in entry.panels)


def _band_height(band: Sequence[SheetEntry]) -> int:
    return _CAPTION + len(_ROWS) * (_panel_height(band) + _GAP) + _GAP


def _draw_band(sheet: PillowImage.Image, band: Sequence[SheetEntry], top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT)
    step = _panel_height(band) + _GAP
    for number, row in enumerate(_ROWS):
        y = top + _CAPTION + number * step + step // 2
        draw.text((_GAP, y), row, fill="black", font=font, anchor="lm")
    for column, entry in enumerate(band):
        x = _LEFT + column * (_CELL + _GAP)
        draw.text((x, top), _fit(entry.name, font), fill="black", font=font)
        words = f"{100 * entry.masked_fraction:.2f} % masked"
        draw.text((x, top + _CAPTION // 2), words, fill="black", font=font)
        for number, panel in enumerate(entry.panels):
            sheet.paste(PillowImage.fromarray(panel), (x, top + _CAPTION + number * step))


def _fit(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a name at its beginning, which files of a set share, to the width of a panel."""
    shown = name.encode(errors="replace").decode()
    while font.getlength(shown) > _CELL:
        shown = f"…{shown[2:]}"
    return shown
