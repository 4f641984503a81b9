"""How well a mask agrees with the hair that was drawn, and a filled image with the truth."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image, Mask

__all__ = ["Agreement", "agreement", "psnr", "squared_error", "ssim_map", "to_psnr"]


@dataclass(frozen=True)
class Agreement:
    """Agreement of two masks, each number in 0..1.

    Attributes:
        dice: Twice the common pixels over the pixels of both; 1 where both masks are empty.
        recall: Share of the true pixels that were found; 1 where there are none.
        precision: Share of the found pixels that are true; 0 where nothing was found.
    """

    dice: float
    recall: float
    precision: float


def agreement(found: Mask, true: Mask) -> Agreement:
    """Compare a mask (H, W) with the truth (H, W)."""
    both, one, other = int((found & true).sum()), int(found.sum()), int(true.sum())
    return Agreement(
        dice=2 * both / (one + other) if one + other else 1.0,
        recall=both / other if other else 1.0,
        precision=both / one if one else float(other == 0),
    )


def squared_error(result: Image, truth: Image, where: Mask) -> tuple[float, int]:
    """Sum the squared differences of the pixels `where`.

    Args:
        result: Image (H, W, 3), uint8.
        truth: Image of the same shape.
        where: Pixels that count (H, W).

    Returns:
        The sum over pixels and channels, and the number of values that were summed.
    """
    difference = result[where].astype(np.int64) - truth[where]
    return float((difference**2).sum()), difference.size


def to_psnr(error: float, count: int) -> float:
    """Turn a sum of squared errors of `count` values into a PSNR in dB; inf where they are equal.

    Args:
        error: Sum of squared differences of values in 0..255.
        count: Number of values.

    Returns:
        PSNR in dB, inf for no error, NaN for no values.
    """
    if not count:
        return float("nan")
    return float(10 * np.log10(255**2 * count / error)) if error else float("inf")


def psnr(result: Image, truth: Image, where: Mask) -> float:
    """Compute the PSNR in dB of the pixels `where` (H, W): inf where equal, NaN for no pixels."""
    return to_psnr(*squared_error(result, truth, where))


def ssim_map(result: Image, truth: Image) -> npt.NDArray[np.float64]:
    """Compute the structural similarity at each pixel, mean of the three channels.

    Local moments are weighted by a Gaussian of deviation 1.5 px, as in the publication.

    Args:
        result: Image (H, W, 3), uint8.
        truth: Image of the same shape.

    Returns:
        Similarity (H, W), up to 1 for equal neighbourhoods.

    References:
        Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE
        Transactions on Image Processing 13(4), 2004, https://doi.org/10.1109/TIP.2003.819861.
    """
    one, other = result.astype(np.float64), truth.astype(np.float64)
    mean_one, mean_other = _local(one), _local(other)
    spread_one = _local(one * one) - mean_one**2
    spread_other = _local(other * other) - mean_other**2
    common = _local(one * other) - mean_one * mean_other
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similar = (2 * mean_one * mean_other + light) * (2 * common + contrast)
    similar /= (mean_one**2 + mean_other**2 + light) * (spread_one + spread_other + contrast)
    result_map: npt.NDArray[np.float64] = similar.mean(axis=-1)
    return result_map


def _local(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    smooth = cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
    return np.asarray(smooth, dtype=np.float64)
