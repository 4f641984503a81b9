"""Contact sheet: before, mask and after of some images in one PNG."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont, PngImagePlugin

from dermolib._validation import Image, Indices, Mask, PathLike, printable
from dermolib.io import open_file, whole_file

__all__ = ["SheetEntry", "is_contact_sheet", "sheet_entry", "spread_ranks", "write_contact_sheet"]

_CELL = 256  # px of the longer side of a panel
_GAP = 8
_PER_BAND = 6
_LEFT = 64  # px for the names of the rows
_CAPTION = 40
_FONT = 15
_PAPER = (200, 200, 200)  # gray: what is white at the edge of a mask stays in sight
_ROWS = ("before", "mask", "after")
_MARK = ("Software", "dermolib contact sheet")


class SheetEntry(NamedTuple):
    """Name, masked fraction (0..1), and before, mask and after of an image, small."""

    name: str
    masked_fraction: float
    panels: tuple[Image, ...]


def sheet_entry(name: str, before: Image, mask: Mask, after: Image) -> SheetEntry:
    """Make an entry of a full image (H, W, 3), its mask (H, W) and the clean image."""
    white = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)
    return SheetEntry(name, float(mask.mean()), tuple(map(_shrink, (before, white, after))))


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
    values = np.asarray(fractions, dtype=np.float64)
    shown = np.flatnonzero(~np.isnan(values))
    order: Indices = shown[np.argsort(-values[shown], kind="stable")]
    ranks = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.intp)
    return order[ranks]


def is_contact_sheet(path: PathLike) -> bool:
    """Tell whether a file is a sheet of `write_contact_sheet`, which a new one may replace."""
    try:
        with open_file(path) as file, PillowImage.open(file, formats=["PNG"]) as image:
            return image.info.get(_MARK[0]) == _MARK[1]
    except (OSError, SyntaxError, ValueError):
        return False


def write_contact_sheet(path: PathLike, entries: Sequence[SheetEntry]) -> None:
    """Draw entries in bands of six columns, rows before, mask and after, and write a PNG whole."""
    bands = [entries[at : at + _PER_BAND] for at in range(0, len(entries), _PER_BAND)]
    steps = [_GAP + max(len(panel) for entry in band for panel in entry.panels) for band in bands]
    tops = list(accumulate((_CAPTION + len(_ROWS) * step + _GAP for step in steps), initial=_GAP))
    width = _LEFT + min(_PER_BAND, len(entries)) * (_CELL + _GAP)
    sheet = PillowImage.new("RGB", (width, tops[-1]), _PAPER)
    for band, top, step in zip(bands, tops, steps, strict=False):
        _draw_band(sheet, band, top, step)
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


def _draw_band(sheet: PillowImage.Image, band: Sequence[SheetEntry], top: int, step: int) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT)
    places = [top + _CAPTION + number * step for number in range(len(_ROWS))]
    for y, row in zip(places, _ROWS, strict=True):
        draw.text((_GAP, y + step // 2), row, fill="black", font=font, anchor="lm")
    for column, entry in enumerate(band):
        x = _LEFT + column * (_CELL + _GAP)
        name = printable(entry.name)
        while font.getlength(name) > _CELL:
            name = f"…{name[2:]}"  # files of a set share how their names begin
        draw.text((x, top), name, fill="black", font=font)
        words = f"{100 * entry.masked_fraction:.2f} % masked"
        draw.text((x, top + _CAPTION // 2), words, fill="black", font=font)
        for y, panel in zip(places, entry.panels, strict=True):
            sheet.paste(PillowImage.fromarray(panel), (x, y))
