"""Runs of every remover and every fill over the images, and what comes out of them."""

import importlib
import importlib.util
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dermolib._validation import Image, Mask
from hair_parts.images import load
from hair_parts.measures import agreement, psnr, squared_error, ssim_map, to_psnr
from hair_parts.scripts import Remover
from hair_parts.simulation import KINDS, HairyImage, Kind, jpeg_round_trip, simulate_hair

__all__ = [
    "SOURCES",
    "WIDE",
    "Drawing",
    "FillScores",
    "Scores",
    "run_fills",
    "run_lesions",
    "run_removers",
]

WIDE = 0.2
"""Coverage from which on a pixel is hair where the table asks how much the definition matters."""

SOURCES = ("true", "widened", "found")
"""Masks that fills get: the true one, the true one and 2 px around it, that of a remover."""


@dataclass
class Scores:
    """What one remover did, image by image in the order of the ids.

    Attributes:
        dice: For each kind, Dice of the mask with the hair that covers half a pixel or more.
        dice_wide: The same for hair that covers `WIDE` of a pixel or more.
        recall: For each kind, the share of hair that was found.
        precision: For each kind, the share of the mask that is hair.
        psnr: For each kind, PSNR in dB of the pixels that hair covers by half or more.
        error: Sum of squared errors where drawing left the image as it was.
        count: Number of values in that sum.
        masked: Share of the pixels of each hair-free image that is masked.
        masked_lesion: Share of the lesion of each hair-free image that is masked.
        changed_lesion: Share of the lesion that is changed, on other images without hair.
    """

    dice: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    dice_wide: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    recall: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    precision: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    psnr: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    error: float = 0.0
    count: int = 0
    masked: list[float] = field(default_factory=list)
    masked_lesion: list[float] = field(default_factory=list)
    changed_lesion: list[float] = field(default_factory=list)

    @property
    def mean_dice(self) -> npt.NDArray[np.float64]:
        """Mean Dice of the kinds for each image (N,)."""
        mean: npt.NDArray[np.float64] = np.mean([self.dice[kind] for kind in KINDS], axis=0)
        return mean

    @property
    def psnr_outside(self) -> float:
        """PSNR in dB where drawing left the images as they were; inf where nothing changed."""
        return to_psnr(self.error, self.count)


@dataclass
class FillScores:
    """What one fill did with one source of masks: image by image for each kind.

    Attributes:
        psnr: PSNR in dB of the pixels that hair covers by half or more.
        ssim: Structural similarity at these pixels.
    """

    psnr: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    ssim: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


@dataclass(frozen=True)
class Drawing:
    """How hair is drawn.

    Attributes:
        data: Folder of the data.
        seed: Seed.
        jpeg: Quality of a JPEG round trip after drawing, or None for none.
    """

    data: Path
    seed: int = 0
    jpeg: int | None = None

    def draw(self, name: str, clean: Image, kind: Kind) -> tuple[HairyImage, Image]:
        """Draw hair of one kind on one image: what was drawn, and the image to clean.

        The seed rests on the id alone, so that an image gets the same hair in any selection.
        """
        seed = (self.seed, zlib.crc32(name.encode()), KINDS.index(kind))
        drawn = simulate_hair(clean, kind, seed=seed)
        if self.jpeg is None:
            return drawn, drawn.image
        return drawn, jpeg_round_trip(drawn.image, quality=self.jpeg)


def run_removers(
    drawing: Drawing, ids: Sequence[str], removers: dict[str, Remover]
) -> dict[str, Scores]:
    """Score removers on drawn hair and on the same images without hair.

    Args:
        drawing: How hair is drawn.
        ids: Images without hair.
        removers: Name to remover.

    Returns:
        Name to scores.
    """
    scores = {name: Scores() for name in removers}
    for image_id in _progress(ids, "hair removers"):
        clean, lesion = load(drawing.data, image_id)
        for name, remove in removers.items():
            mask = remove(clean)[1]
            scores[name].masked.append(float(mask.mean()))
            scores[name].masked_lesion.append(_share(mask, lesion))
        for kind in KINDS:
            drawn, image = drawing.draw(image_id, clean, kind)
            for name, remove in removers.items():
                _score(scores[name], kind, drawn, *remove(image))
    return scores


def _score(scores: Scores, kind: str, drawn: HairyImage, result: Image, found: Mask) -> None:
    true = drawn.mask()
    agreed = agreement(found, true)
    scores.dice[kind].append(agreed.dice)
    scores.dice_wide[kind].append(agreement(found, drawn.mask(least=WIDE)).dice)
    scores.recall[kind].append(agreed.recall)
    scores.precision[kind].append(agreed.precision)
    scores.psnr[kind].append(psnr(result, drawn.clean, true))
    left = (drawn.image == drawn.clean).all(axis=-1)
    error, count = squared_error(result, drawn.clean, left)
    scores.error += error
    scores.count += count


def run_lesions(
    data: Path, ids: Sequence[str], removers: dict[str, Remover], scores: dict[str, Scores]
) -> None:
    """Add to the scores which share of the lesion changes on images that have no hair.

    Args:
        data: Folder of the data.
        ids: Images without hair, with other artefacts.
        removers: Name to remover.
        scores: Name to scores, which are added to.
    """
    for image_id in _progress(ids, "lesions"):
        image, lesion = load(data, image_id)
        for name, remove in removers.items():
            changed: Mask = (remove(image)[0] != image).any(axis=-1)
            scores[name].changed_lesion.append(_share(changed, lesion))


def run_fills(
    drawing: Drawing, ids: Sequence[str], remove: Remover
) -> dict[str, dict[str, FillScores]]:
    """Score every fill of dermolib with the true mask and with the mask of a remover.

    Args:
        drawing: How hair is drawn.
        ids: Images without hair.
        remove: Remover whose mask is taken.

    Returns:
        Fill to source of the mask, of `SOURCES`, to scores.
    """
    fills = _fills()
    scores = {name: {source: FillScores() for source in SOURCES} for name in fills}
    for image_id in _progress(ids if fills else (), "fills"):
        clean, _ = load(drawing.data, image_id)
        for kind in KINDS:
            drawn, image = drawing.draw(image_id, clean, kind)
            true = drawn.mask()
            masks = {"true": true, "widened": _widened(true), "found": remove(image)[1]}
            for name, fill in fills.items():
                for source, mask in masks.items():
                    result = fill(image, mask)
                    scores[name][source].psnr[kind].append(psnr(result, clean, true))
                    similar = float(ssim_map(result, clean)[true].mean())
                    scores[name][source].ssim[kind].append(similar)
    return scores


def _fills() -> dict[str, Callable[[Image, Mask], Image]]:
    name = "dermolib.preprocessing.hair.inpainting"
    if importlib.util.find_spec(name) is None:
        return {}
    module: Any = importlib.import_module(name)

    def bind(fill: str) -> Callable[[Image, Mask], Image]:
        return lambda image, mask: module.fill_mask(image, mask, fill=fill)

    return {fill: bind(fill) for fill in module.list_fills()}


def _widened(mask: Mask) -> Mask:
    """Add 2 px all around: blurred rims of hair lie outside the true mask, and spoil a fill."""
    wide: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), dtype=np.uint8)) > 0
    return wide


def _share(mask: Mask, within: Mask) -> float:
    return float(mask[within].mean()) if within.any() else 0.0


def _progress(ids: Sequence[str], what: str) -> Iterable[str]:
    return tqdm(ids, desc=what, unit="image", disable=not ids)
