"""Color constancy as an augmentation: a random fraction of the color cast is removed."""

from collections.abc import Sequence
from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes

from dermolib._validation import Image, check_number, require
from dermolib.preprocessing.color import correct, illuminant

__all__ = ["RandomShadesOfGray"]


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
