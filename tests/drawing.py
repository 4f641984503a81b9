"""Images that tests draw."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from dermolib._validation import Image, Mask
from dermolib.datasets.synthetic import draw_hair


def noise_image(height: int, width: int, seed: int) -> Image:
    """Draw an image of random colors."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def skin_image(height: int, width: int, seed: int = 0) -> Image:
    """Draw blotchy skin with a little noise."""
    generator = np.random.default_rng(seed)
    small = generator.normal(0, 12, (height // 16 + 2, width // 16 + 2, 3))
    blotches = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = blotches + np.array([205, 165, 150]) + generator.normal(0, 2, (height, width, 3))
    image: Image = np.clip(skin, 0, 255).astype(np.uint8)
    return image


def hairy_image(
    height: int, width: int, seed: int = 0, *, density: float = 0.06
) -> tuple[Image, Mask]:
    """Draw hair over blotchy skin."""
    skin, generator = skin_image(height, width, seed), np.random.default_rng(seed)
    return draw_hair(skin, density=density, generator=generator)


def lesion_image(height: int, width: int) -> tuple[Image, Mask]:
    """Draw a dark ellipse, off the center, on skin with some texture, and its mask."""
    rows, columns = np.mgrid[:height, :width]
    mask: Mask = ((rows / height - 0.45) / 0.25) ** 2 + ((columns / width - 0.55) / 0.2) ** 2 < 1
    skin = 190 + 12 * np.sin(rows / 3) + 9 * np.cos(columns / 4)
    gray = np.where(mask, skin - 110, skin)
    return np.stack([gray, gray * 0.8, gray * 0.7], axis=2).round().astype(np.uint8), mask


def ellipse(
    height: int,
    width: int,
    middle: tuple[float, float] = (0.5, 0.5),
    radii: tuple[float, float] = (0.25, 0.2),
) -> Mask:
    """Draw an ellipse; all four numbers are fractions of the height and of the width."""
    rows = ((np.arange(height) + 0.5) / height - middle[0]) / radii[0]
    columns = ((np.arange(width) + 0.5) / width - middle[1]) / radii[1]
    inside: Mask = np.hypot(rows[:, None], columns) < 1
    return inside


def write_any(path: Path, image: Image) -> None:
    """Write an image in the format of its ending, in a folder that is made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(image).save(path)
