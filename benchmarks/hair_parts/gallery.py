"""A figure of eight real hairy images with the mask and the result of every method."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.io import read_image, write_image
from hair_parts.removers import own_removers

__all__ = ["SHOWN", "Shown", "draw_gallery"]

_TILE = 286  # with the gap
_GAP = 6
_MARK = np.array([0, 255, 120], dtype=np.uint8)


@dataclass(frozen=True)
class Shown:
    """A real image and the square of it that is shown.

    Attributes:
        file: File below the folder of the data.
        what: What it is an example of.
        left: Left edge of the square, as a share of the width.
        top: Upper edge, as a share of the height.
        side: Side of the square, as a share of the shorter side.
    """

    file: str
    what: str
    left: float
    top: float
    side: float

    def crop(self, image: Image) -> Image:
        """Cut the square out of an image (H, W, 3) and scale it for the figure."""
        height, width = image.shape[:2]
        side = round(self.side * min(height, width))
        top = min(round(self.top * height), height - side)
        left = min(round(self.left * width), width - side)
        square = image[top : top + side, left : left + side]
        way = cv2.INTER_AREA if side > _TILE - _GAP else cv2.INTER_CUBIC
        tile = cv2.resize(square, (_TILE - _GAP, _TILE - _GAP), interpolation=way)
        return np.pad(tile, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255).astype(np.uint8)


SHOWN = (
    Shown("hairy_native/ISIC_0011300.jpg", "dense, bundles", 0.2, 0.05, 0.75),
    Shown("hairy_native/ISIC_0000115.jpg", "thick and thin", 0.35, 0.3, 0.55),
    Shown("hairy_native/ISIC_0009953.jpg", "over network", 0.2, 0.1, 0.7),
    Shown("hairy_native/ISIC_0009992.jpg", "ruler, white hair", 0.45, 0.3, 0.65),
    Shown("isic2018_task1/images/ISIC_0006350.jpg", "thin", 0.4, 0.2, 0.5),
    Shown("isic2018_task1/images/ISIC_0012338.jpg", "blond, ruler", 0.3, 0.4, 0.55),
    Shown("isic2018_task1/images/ISIC_0016006.jpg", "light and dark", 0.1, 0.0, 0.55),
    Shown("isic2018_task1/images/ISIC_0012316.jpg", "stubble, ruler", 0.05, 0.3, 0.5),
)
"""Four images at native size and four of 512 px, as chosen by eye before any method was run."""


def draw_gallery(data: Path, path: Path) -> None:
    """Draw the figure: a column for each image, two rows for each method.

    Args:
        data: Folder of the data.
        path: Target, ending in ``.png`` or ``.jpg``.
    """
    removers = own_removers()
    labels = ["image", *(f"{name}: {what}" for name in removers for what in ("mask", "result"))]
    columns = []
    for shown in SHOWN:
        file = data / shown.file
        if not file.exists():
            raise DatasetNotFoundError(file, "hairy_native and isic2018_task1 below one folder")
        image = read_image(file)
        tiles = [shown.crop(image)]
        for remove in removers.values():
            clean, mask = remove(image)
            marked = image.copy()
            marked[mask] = _MARK
            tiles += [shown.crop(marked), shown.crop(clean)]
        columns.append(np.vstack(tiles))
    write_image(path, _figure(np.hstack(columns), labels), quality=88)


def _figure(sheet: Image, labels: list[str]) -> Image:
    """Name the rows and columns of a sheet of tiles."""
    dpi, margin, head = 100, 40, 44
    height, width = sheet.shape[0] + head, sheet.shape[1] + margin
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi)
    figure.figimage(sheet, xo=margin, yo=0, origin="upper")
    for number, shown in enumerate(SHOWN):
        middle = (margin + (number + 0.5) * _TILE) / width
        text = f"{Path(shown.file).stem}\n{shown.what}"
        figure.text(middle, 1 - head / 2 / height, text, ha="center", va="center", fontsize=11)
    for number, label in enumerate(labels):
        middle = 1 - (head + (number + 0.5) * _TILE) / height
        place = margin / 2 / width
        figure.text(place, middle, label, ha="center", va="center", fontsize=13, rotation=90)
    buffer = BytesIO()
    figure.savefig(buffer, format="raw")
    drawn = np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(drawn[..., :3])
