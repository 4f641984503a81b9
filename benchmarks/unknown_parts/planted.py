"""Images that are no dermoscopic images, planted as unknown ones."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from sklearn.datasets import load_sample_images

from dermolib._validation import Image
from dermolib.io import read_image

__all__ = ["KINDS"]

_HEIGHT, _WIDTH = 150, 200  # as the dermoscopic images
_NUMBER = 40  # of each kind that is drawn

_PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
_GRAY = ("brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png")
_MICROSCOPY = ("ihc.png", "retina.jpg", "cell.png", "hubble_deep_field.jpg")
_DOCUMENTS = ("page.png", "text.png")

_Tiles = tuple[list[Image], list[str]]


def _picture(name: str) -> Image:
    """Read a picture of scikit-image in RGB."""
    return read_image(Path(skimage.data.__file__).parent / name)


def _tiles(pictures: Mapping[str, Image]) -> _Tiles:
    """Cut pictures into up to 12 tiles each; a picture is a group."""
    images, groups = [], []
    for name, picture in pictures.items():
        scale = max(1.0, _HEIGHT / picture.shape[0], _WIDTH / picture.shape[1])
        size = (round(scale * picture.shape[1]), round(scale * picture.shape[0]))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        tops = range(0, picture.shape[0] - _HEIGHT + 1, _HEIGHT)
        lefts = range(0, picture.shape[1] - _WIDTH + 1, _WIDTH)
        cut = [picture[y : y + _HEIGHT, x : x + _WIDTH] for y in tops for x in lefts]
        chosen = np.linspace(0, len(cut) - 1, min(12, len(cut))).astype(int)
        images += [np.ascontiguousarray(cut[place]) for place in chosen]
        groups += [name] * len(chosen)
    return images, groups


def _photographs() -> _Tiles:
    samples = load_sample_images()
    named = {name: _picture(name) for name in _PHOTOGRAPHS}
    pairs = zip(samples.filenames, samples.images, strict=True)
    return _tiles(named | {Path(name).name: np.asarray(image) for name, image in pairs})


def _drawn(draw: Callable[[np.random.Generator], Image], seed: int) -> _Tiles:
    """Draw images, each a group of its own."""
    generator = np.random.default_rng(seed)
    return [draw(generator) for _ in range(_NUMBER)], [str(n) for n in range(_NUMBER)]


def _noise(generator: np.random.Generator) -> Image:
    """Draw noise of any grain around any color."""
    drawn = generator.normal(0, 1, (_HEIGHT, _WIDTH, 3))
    noise = np.asarray(cv2.GaussianBlur(drawn, (0, 0), generator.uniform(0.3, 6)))
    scaled = generator.uniform(20, 90) * noise / noise.std() + generator.uniform(60, 200, 3)
    return np.asarray(np.clip(scaled, 0, 255), np.uint8)


def _blank(generator: np.random.Generator) -> Image:
    """Fill an image with one color: black, white, gray, skin or any."""
    colors = [(0, 0, 0), (255, 255, 255), [int(generator.integers(30, 230))] * 3, (224, 172, 150)]
    colors.append(generator.integers(0, 256, 3).tolist())
    return np.full((_HEIGHT, _WIDTH, 3), colors[generator.integers(len(colors))], np.uint8)


def _shapes(generator: np.random.Generator) -> Image:
    """Draw rectangles, disks and lines in plain colors."""
    image: npt.NDArray[np.uint8] = np.full(
        (_HEIGHT, _WIDTH, 3), generator.integers(0, 256, 3), np.uint8
    )
    for _ in range(int(generator.integers(3, 9))):
        color = generator.integers(0, 256, 3).tolist()
        first, second = (
            (int(generator.integers(0, _WIDTH)), int(generator.integers(0, _HEIGHT)))
            for _ in range(2)
        )
        kind = generator.integers(3)
        if kind == 0:
            cv2.rectangle(image, first, second, color, -1)
        elif kind == 1:
            cv2.circle(image, first, int(generator.integers(5, 60)), color, -1)
        else:
            cv2.line(image, first, second, color, int(generator.integers(1, 12)))
    return image


KINDS: Mapping[str, Callable[[], _Tiles]] = {
    "photographs": _photographs,
    "textures, gray": lambda: _tiles({name: _picture(name) for name in _GRAY}),
    "microscopy, fundus, sky": lambda: _tiles({name: _picture(name) for name in _MICROSCOPY}),
    "documents": lambda: _tiles({name: _picture(name) for name in _DOCUMENTS}),
    "noise": lambda: _drawn(_noise, 1),
    "one color": lambda: _drawn(_blank, 2),
    "drawn shapes": lambda: _drawn(_shapes, 3),
}
"""Images (150, 200, 3) uint8 of each kind and their groups: the picture that a tile is cut from."""
