"""Images that tests draw."""

import numpy as np

from dermolib._validation import Image


def noise_image(height: int, width: int, seed: int) -> Image:
    """Draw an image of random colours."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
