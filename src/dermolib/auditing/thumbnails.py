"""Small pictures for the page of an audit, and how the second image of a pair lies on the first."""

import base64
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Image
from dermolib.datasets.store import load_image
from dermolib.io import shrink_image

__all__ = ["Layout", "Thumbnail", "Thumbnails", "arrange"]

_LONG = 320  # px of the longer edge of a picture, which a card on a desktop shows
_QUALITY = 75  # of JPEG: about 10 kB a picture
_PROBE = 16  # px of the small gray copy from which a rotation or flip is recognized
_OVERHANG = 0.5  # of the first image's width or height: how far beyond it the second is shown

_Matrix = npt.NDArray[np.float64]


class Thumbnail(NamedTuple):
    """A small picture of an image."""

    name: str  # of its element on the page
    uri: str  # JPEG as a data URI
    width: int  # of the image as stored, px
    height: int
    probe: npt.NDArray[np.float32]  # gray (_PROBE, _PROBE)


class Layout(NamedTuple):
    """A pair of images in the pixels of the first: an SVG's view box, and where the second lies."""

    box: str
    matrix: str


class Thumbnails:
    """The pictures of a page: each image is read once, and all together stay within a limit."""

    def __init__(self, files: pd.DataFrame, *, limit: int) -> None:
        """Take the files of an audit, and the most bytes that all pictures may have."""
        ok = files[files["state"] == "ok"]
        # Of two files of one id nobody knows which one a finding means
        ok = ok[~ok.duplicated(["split", "id"], keep=False) & (ok["id"] != "")]
        keys = zip(ok["split"].astype(str), ok["id"], strict=True)
        self._paths: dict[tuple[str, str], str] = dict(zip(keys, ok["image_path"], strict=True))
        self._made: dict[str, Thumbnail | None] = {}
        self._limit = limit
        self.left_out = 0

    def __bool__(self) -> bool:
        """Tell whether there is any image to show."""
        return bool(self._paths)

    @property
    def shown(self) -> list[Thumbnail]:
        """Pictures that were made."""
        return [one for one in self._made.values() if one is not None]

    @property
    def size(self) -> int:
        """Number of bytes of all pictures on the page."""
        return sum(len(one.uri) for one in self.shown)

    def get(self, split: str, name: str) -> Thumbnail | None:
        """Return the picture of an image, None where it cannot be shown."""
        path = self._paths.get((split, name))
        if path is None:
            return None
        if path not in self._made:
            if self.size >= self._limit:
                self.left_out += 1
                return None
            self._made[path] = _read(path, f"picture-{len(self._made)}")
        return self._made[path]


def _read(path: str, name: str) -> Thumbnail | None:
    """Make a small picture; None where the file has gone since it was audited."""
    try:
        image = load_image(path)
    except (OSError, ValueError):
        return None
    height, width = image.shape[:2]
    small = shrink_image(image, _LONG)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
    uri = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    return Thumbnail(name, uri, width, height, _probe(small))


def _probe(image: Image) -> npt.NDArray[np.float32]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(gray, (_PROBE, _PROBE), interpolation=cv2.INTER_AREA), np.float32)


def arrange(row: Mapping[str, Any], first: Thumbnail, second: Thumbnail) -> Layout:
    """Place the second image of a pair on the first.

    By the similarity of a recapture where the row has one (``scale``, ``angle``, ``shift_x``,
    ``shift_y``), else by the flip or 90° rotation under which the two look most similar.
    """
    place = _recapture(row) if "scale" in row else _orientation(first, second)
    corners = np.array(
        [[0, 0, 1], [second.width, 0, 1], [0, second.height, 1], [second.width, second.height, 1]]
    )
    reach = corners @ place.T
    size = np.array([first.width, first.height])
    low = np.clip(reach.min(axis=0), -_OVERHANG * size, 0)
    high = np.clip(reach.max(axis=0), size, (1 + _OVERHANG) * size)
    box = " ".join(f"{value:.1f}" for value in (*low, *(high - low)))
    return Layout(box, f"matrix({' '.join(f'{value:.6g}' for value in place.T.ravel())})")


def _recapture(row: Mapping[str, Any]) -> _Matrix:
    """Invert the similarity from pixels of the first image to those of the second (2, 3).

    A pixel's center has whole coordinates in the similarity, and half ones on the page.
    """
    angle, scale = math.radians(row["angle"]), float(row["scale"])
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    forward = np.array([[cos, -sin, row["shift_x"]], [sin, cos, row["shift_y"]], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.asarray(half @ np.linalg.inv(forward) @ np.linalg.inv(half))[:2]


def _orientation(first: Thumbnail, second: Thumbnail) -> _Matrix:
    """Find the flip or 90° rotation of the second image that looks most like the first (2, 3)."""
    flip = np.array([[-1, 0, 1], [0, 1, 0], [0, 0, 1]])  # in fractions of width and height
    turn = np.array([[0, 1, 0], [-1, 0, 1], [0, 0, 1]])  # 90° counterclockwise, as np.rot90
    best, place = math.inf, np.eye(3)
    for flipped in (False, True):
        probe = second.probe[:, ::-1] if flipped else second.probe
        for turns in range(4):
            gap = float(np.abs(np.rot90(probe, turns) - first.probe).mean())
            if gap < best:
                best = gap
                place = np.linalg.matrix_power(turn, turns) @ (flip if flipped else np.eye(3))
    out = np.diag([first.width, first.height, 1.0])
    return np.asarray(out @ place @ np.diag([1 / second.width, 1 / second.height, 1.0]))[:2]
