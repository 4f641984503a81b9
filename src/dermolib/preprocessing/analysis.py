"""All that the picture shows, with one look of the network: lesion, artifacts, and hair."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask, check_flag, check_image
from dermolib.preprocessing.artifacts import name_artifacts
from dermolib.preprocessing.hair.registry import occlusion_mask
from dermolib.preprocessing.lesion import (
    confidence,
    lesion_mask,
    look_for_lesion,
    probability_map,
)

__all__ = ["Analysis", "analyze"]


@dataclass(frozen=True)
class Analysis:
    """What an image shows, see `analyze`.

    Attributes:
        lesion: Mask of the lesion (H, W), bool, as `segment_lesion` finds it; False everywhere
            where no lesion was found.
        probability: Probability (H, W), float32, that a pixel is lesion, 0..1, whether or not one
            was found.
        confidence: Jaccard index, 0..1, that the mask is expected to have with one that a person
            draws; 0 where it is empty.
        artifacts: Probability of each of `ARTIFACTS`, 0..1, as `detect_artifacts` finds it.
        where: Coarse map (h, w) of each of them, float32, 0..1: where the network sees it, squeezed
            into a square with the whole image.
        hair: Mask of hair (H, W), bool, as `occlusion_mask` finds it; None where it was not asked
            for.
    """

    lesion: Mask
    probability: npt.NDArray[np.float32]
    confidence: float
    artifacts: dict[str, float]
    where: dict[str, npt.NDArray[np.float32]]
    hair: Mask | None


def analyze(image: Image, *, hair: bool = True) -> Analysis:
    """Find the lesion and the artifacts of an image with one look of the network, and its hair.

    The results are those of `segment_lesion`, `detect_artifacts` and `occlusion_mask` with their
    default methods and options. The image is not modified. Memory: about 12 bytes per pixel beside
    the image.

    Args:
        image: Dermoscopic image (H, W, 3), uint8 RGB.
        hair: Whether to look for hair as well, which takes longer than all else.

    Returns:
        Masks, probabilities, and how confident they are.

    Raises:
        TypeError: `image` is not a uint8 array, or `hair` is neither True nor False.
        ValueError: `image` is not RGB.

    Examples:
        >>> found = analyze(np.zeros((60, 80, 3), np.uint8), hair=False)
        >>> found.lesion.any().item(), found.confidence, found.probability.shape
        (False, 0.0, (60, 80))
    """
    check_image(image)
    check_flag(hair, "hair")
    picture = look_for_lesion(image)
    size = image.shape[:2]
    lesion = lesion_mask(picture, size)
    return Analysis(
        lesion=lesion,
        probability=probability_map(picture, size),
        confidence=confidence(picture, lesion),
        artifacts=name_artifacts(picture.artifacts),
        where=name_artifacts(picture.where),
        hair=occlusion_mask(image) if hair else None,
    )
