"""A figure of eight real hairy images with the mask and the result of every method."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dermolib._validation import DatasetNotFoundError, Image
from dermolib.io import read_image
from hair_parts.scripts import own_removers

__all__ = ["draw_gallery"]

# File, what it is an example of, and the square that is shown: left edge and top as fractions of
# width and height, side as one of the shorter side. Chosen by eye before any method was run.
_SHOWN = (
    ("hairy_native/ISIC_0011300.jpg", "dense, bundles", 0.2, 0.05, 0.75),
    ("hairy_native/ISIC_0000115.jpg", "thick and thin", 0.35, 0.3, 0.55),
    ("hairy_native/ISIC_0009953.jpg", "over network", 0.2, 0.1, 0.7),
    ("hairy_native/ISIC_0009992.jpg", "ruler, white hair", 0.45, 0.3, 0.65),
    ("isic2018_task1/images/ISIC_0006350.jpg", "thin", 0.4, 0.2, 0.5),
    ("isic2018_task1/images/ISIC_0012338.jpg", "blond, ruler", 0.3, 0.4, 0.55),
    ("isic2018_task1/images/ISIC_0016006.jpg", "light and dark", 0.1, 0.0, 0.55),
    ("isic2018_task1/images/ISIC_0012316.jpg", "stubble, ruler", 0.05, 0.3, 0.5),
)
_MARK = np.array([0, 255, 120], np.uint8)


def draw_gallery(data: Path, path: Path) -> None:
    """Draw the figure: a column for each image, two rows for each method."""
    removers = own_removers()
    labels = ["image", *(f"{name}: {what}" for name in removers for what in ("mask", "result"))]
    figure = Figure((2.9 * len(_SHOWN), 2.9 * len(labels)), dpi=100, layout="compressed")
    axes = figure.subplots(len(labels), len(_SHOWN))
    for column, (file, what, *square) in enumerate(_SHOWN):
        if not (data / file).exists():
            raise DatasetNotFoundError(data / file, "hairy_native and isic2018_task1 in one folder")
        image = read_image(data / file)
        tiles = [image]
        for remove in removers.values():
            clean, mask = remove(image)
            tiles += [np.where(mask[..., None], _MARK, image), clean]
        for cell, tile in zip(axes[:, column], tiles, strict=True):
            cell.imshow(_crop(tile, *square))
            cell.set(xticks=[], yticks=[])
        axes[0, column].set_title(f"{Path(file).stem}\n{what}")
    for cell, label in zip(axes[:, 0], labels, strict=True):
        cell.set_ylabel(label, fontsize=13)
    figure.savefig(path)


def _crop(image: Image, left: float, top: float, side: float) -> Image:
    height, width = image.shape[:2]
    pixels = round(side * min(height, width))
    first, second = (
        min(round(top * height), height - pixels),
        min(round(left * width), width - pixels),
    )
    return image[first : first + pixels, second : second + pixels]
