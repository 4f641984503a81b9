"""Types that all stages share."""

import os
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
"""RGB image (H, W, 3), uint8 in 0..255."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""Mask (H, W), bool."""

Indices: TypeAlias = npt.NDArray[np.intp]
"""Row numbers (N,)."""

PathLike: TypeAlias = str | os.PathLike[str]
"""A path as text or path object."""
