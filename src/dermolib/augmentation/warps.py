"""Warps of albumentations, with the same names, in less time.

OpenCV 5 warps four channels in half the time of three, and 4.x in about the same. So an image gets
a fourth one for the time of a warp; the bits of the three others stay the same.
"""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np

from dermolib._validation import Image

__all__ = [
    "Affine",
    "ElasticTransform",
    "GridDistortion",
    "OpticalDistortion",
    "Rotate",
    "Transpose",
]

_NODES = 2  # of an elastic field for each sigma: a Gaussian hides what lies between


class Transpose(A.Transpose):  # type: ignore[misc] # albumentations has no types
    """Swap rows and columns, without the slow copy of albumentations."""

    def apply(self, img: Image, **_params: Any) -> Image:
        """Swap the rows and columns of an image or mask."""
        return cv2.transpose(img).astype(img.dtype, copy=False)


class _FourChannels:
    """Lends an image a fourth channel for the time of a warp."""

    def apply(self, img: Image, **params: Any) -> Image:
        """Warp an image."""
        warp: Any = super()  # that of albumentations
        wide = warp.apply(cv2.cvtColor(img, cv2.COLOR_RGB2RGBA), **params)
        result: Image = cv2.cvtColor(wide, cv2.COLOR_RGBA2RGB)
        return result


class Affine(_FourChannels, A.Affine):  # type: ignore[misc] # albumentations has no types
    """Rotate, scale, shift and shear."""


class Rotate(_FourChannels, A.Rotate):  # type: ignore[misc] # albumentations has no types
    """Rotate about the center."""


class OpticalDistortion(_FourChannels, A.OpticalDistortion):  # type: ignore[misc] # as above
    """Distort as a lens does."""


class GridDistortion(_FourChannels, A.GridDistortion):  # type: ignore[misc] # as above
    """Stretch rows and columns of a grid."""


class ElasticTransform(_FourChannels, A.ElasticTransform):  # type: ignore[misc] # as above
    """Displace pixels smoothly, as albumentations does, in a quarter of its time or less.

    A field that is smooth over `sigma` px is drawn at a few nodes for each `sigma` and interpolated
    between them. The displacement is set by its standard deviation itself, so that it depends
    neither on the size of the image nor on the largest number drawn.

    Args:
        displacement: Standard deviation of the displacement along each axis, px.
        sigma: Standard deviation of the Gaussian that smooths the field, px.
    """

    def __init__(self, *, displacement: float, sigma: float) -> None:
        """Set both lengths."""
        super().__init__(sigma=sigma, border_mode=cv2.BORDER_REFLECT_101)
        self.displacement = displacement

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw where each pixel comes from."""
        del data
        height, width = params["shape"][:2]
        cell = max(self.sigma / _NODES, 1.0)
        sigma = self.sigma / cell
        rows, columns = round(height / cell) + 1, round(width / cell) + 1
        margin = round(3 * sigma)  # beyond it, the border would count for more than the inside
        shape = (rows + 2 * margin, columns + 2 * margin, 2)
        noise = self.random_generator.standard_normal(shape, dtype=np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[margin:-margin, margin:-margin]
        # A Gaussian leaves 1 / (2 sigma sqrt(pi)) of the standard deviation of white noise
        smooth *= self.displacement * 2 * sigma * np.sqrt(np.pi)
        field = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC)
        map_x, map_y = cv2.split(field)
        map_x += np.arange(width, dtype=np.float32)
        map_y += np.arange(height, dtype=np.float32)[:, None]
        return {"map_x": map_x, "map_y": map_y}
