"""Transforms for any pipeline of albumentations: faster warps, color constancy, drawn artifacts.

OpenCV 5 warps four channels in half the time of three, and 4.x in about the same. So an image gets
a fourth one for the time of a warp; the bits of the three others stay the same.
"""

from collections.abc import Sequence
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np

from dermolib._validation import Image, check_choice, check_number, require
from dermolib.datasets.synthetic.artifacts import ARTIFACT_KINDS, with_artifact
from dermolib.preprocessing.color import correct, illuminant

__all__ = [
    "Affine",
    "DrawArtifact",
    "ElasticTransform",
    "GridDistortion",
    "OpticalDistortion",
    "PadIfNeeded",
    "RandomShadesOfGray",
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
        p: Probability of the transform, 0..1.
    """

    def __init__(self, *, displacement: float, sigma: float, p: float = 0.5) -> None:
        """Set both lengths."""
        super().__init__(sigma=sigma, border_mode=cv2.BORDER_REFLECT_101, p=p)
        self.displacement = displacement

    def get_transform_init_args(self) -> dict[str, float]:
        """Give what it is made of again, which is not what that of albumentations is made of."""
        return {"displacement": self.displacement, "sigma": self.sigma}

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


class PadIfNeeded(A.PadIfNeeded):  # type: ignore[misc] # albumentations has no types
    """Pad to a size; albumentations saves an argument of its own that it warns of when it loads."""

    def get_transform_init_args(self) -> dict[str, Any]:
        """Give what it is made of again."""
        given: dict[str, Any] = super().get_transform_init_args()
        return {name: value for name, value in given.items() if name != "padding"}


class RandomShadesOfGray(A.ImageOnlyTransform):  # type: ignore[misc] # albumentations has no types
    """Correct the color of the illuminant by shades of gray, fully or in part.

    A transform for any pipeline of albumentations. The illuminant is estimated from the image that
    comes in, and a fraction of it is divided out: 0 leaves the image as it is, 1 equals
    `dermolib.preprocessing.shades_of_gray`. So a network sees each image under its own light, under
    neutral light and in between. A mask is left alone.

    Args:
        strength: Range of the fraction of the cast that is removed, 0..1, on a logarithmic scale.
        norm: Minkowski norm of the estimate, 1 or more; 6 is what the reference recommends.
        p: Probability of the transform, 0..1.

    Raises:
        TypeError: `strength` is not a pair, or a number has another type.
        ValueError: A number is out of its range, or `strength` ends below its start.

    References:
        Finlayson and Trezzi, Shades of Gray and Colour Constancy, 2004,
        https://doi.org/10.2352/CIC.2004.12.1.art00008. The winners of ISIC 2019 corrected every
        image like this: Gessert et al., 2020, https://doi.org/10.1016/j.mex.2020.100864.

    Examples:
        >>> import numpy as np
        >>> reddish = np.full((2, 2, 3), [200, 100, 100], np.uint8)
        >>> transform = RandomShadesOfGray(strength=(1, 1), p=1)
        >>> transform(image=reddish)["image"][0, 0].tolist()
        [141, 141, 141]
    """

    def __init__(
        self, *, strength: Sequence[float] = (0.0, 1.0), norm: float = 6, p: float = 0.5
    ) -> None:
        """Check the ranges."""
        pair = isinstance(strength, (tuple, list)) and len(strength) == 2
        hint = "Give the same number twice for a fixed strength."
        require(pair, "strength", "a pair of numbers", repr(strength), hint, error=TypeError)
        low, high = strength
        check_number(low, "strength[0]", low=0, high=1)
        check_number(high, "strength[1]", low=low, high=1)
        check_number(norm, "norm", low=1)
        check_number(p, "p", low=0, high=1)
        super().__init__(p=p)
        self.strength = (float(low), float(high))
        self.norm = norm

    def get_params(self) -> dict[str, float]:
        """Draw the fraction of the cast that is removed."""
        return {"strength": self.py_random.uniform(*self.strength)}

    def apply(self, img: Image, strength: float, **_params: Any) -> Image:
        """Remove the fraction of the cast from an image (H, W, 3), uint8 RGB."""
        return correct(img, illuminant(img, p=self.norm), strength=strength)


class DrawArtifact(A.ImageOnlyTransform):  # type: ignore[misc] # albumentations has no types
    """Draw a ruler, ink, a patch, hair, dark corners or bubbles over an image.

    A transform for any pipeline of albumentations: a network that sees artifacts beside lesions of
    all classes learns that they mean nothing. Put it before a preset, so that artifacts are warped
    and recolored as those of a photograph are. A mask is left alone: it says where the lesion lies.

    Args:
        kinds: Kinds to choose from, all equally likely; see `dermolib.with_artifact`.
        p: Probability of the transform, 0..1.

    Raises:
        TypeError: `kinds` is not a list, or `p` not a number.
        ValueError: A kind is unknown, there is none, or `p` is out of its range.

    Examples:
        >>> import numpy as np
        >>> skin = np.full((96, 128, 3), (205, 165, 150), np.uint8)
        >>> marked = DrawArtifact(["patch"], p=1)(image=skin)["image"]
        >>> bool((marked != skin).any())
        True
    """

    def __init__(self, kinds: Sequence[str] = ARTIFACT_KINDS, *, p: float = 0.5) -> None:
        """Check the kinds."""
        several = isinstance(kinds, (tuple, list))
        require(several, "kinds", "a list of kinds", repr(kinds), error=TypeError)
        require(kinds, "kinds", "at least one kind", "none")
        for number, kind in enumerate(kinds):
            check_choice(kind, f"kinds[{number}]", ARTIFACT_KINDS)
        check_number(p, "p", low=0, high=1)
        super().__init__(p=p)
        self.kinds = tuple(kinds)

    def get_params(self) -> dict[str, Any]:
        """Draw a kind, and which artifact of that kind."""
        return {"kind": self.py_random.choice(self.kinds), "seed": self.py_random.getrandbits(32)}

    def apply(self, img: Image, kind: str, seed: int, **_params: Any) -> Image:
        """Draw on an image (H, W, 3), uint8 RGB."""
        return with_artifact(img, kind, seed=seed)
