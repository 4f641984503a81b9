"""A sheet of real images with the field of view and both crops drawn in."""

from pathlib import Path

import cv2
import numpy as np

from border_parts.found import Found, find
from border_parts.images import Sample, challenge_samples, flagged_samples, load
from dermolib._validation import Image
from dermolib.io import write_image
from dermolib.preprocessing import border_mask

__all__ = ["draw_gallery"]

_EACH = 12
_COLUMNS = 6
_TILE = 240
_FIELD, _BOUNDING, _INSCRIBED = (0, 255, 0), (0, 90, 255), (255, 40, 40)


def draw_gallery(data: Path, path: Path) -> None:
    """Draw three groups of twelve, two rows each.

    The training images of the challenge of which most is border, others of them with a border, and
    images that are flagged dark_corner, but in which none is found. Green is the edge of the field,
    blue the bounding box, red the inscribed one.

    Args:
        data: Folder of the data.
        path: Target, ending in ``.png`` or ``.jpg``.
    """
    rng = np.random.default_rng(0)
    samples = challenge_samples(data)
    shares = np.array([find(sample).share for sample in samples])
    order = np.argsort(-shares, kind="stable")[: (shares > 0).sum()]
    others = order[_EACH:]
    most = [samples[i] for i in order[:_EACH]]
    random = [samples[i] for i in rng.choice(others, min(_EACH, len(others)), replace=False)]
    flagged = [sample for sample in flagged_samples(data, "reporting") if sample.flagged]
    missed = [sample for sample in flagged if find(sample).share == 0]
    spread = missed[:: max(1, len(missed) // _EACH)][:_EACH]
    groups = [most, random, spread]
    write_image(path, np.vstack([_rows(group) for group in groups if group]), quality=90)


def _rows(samples: list[Sample]) -> Image:
    """Put the tiles of a group into rows, the last of which may end in white."""
    tiles = [_tile(sample, find(sample)) for sample in samples]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)


def _tile(sample: Sample, found: Found) -> Image:
    image, _ = load(sample)
    edge = cv2.Canny(border_mask(image) * np.uint8(255), 50, 150) > 0
    marked = np.ascontiguousarray(image)
    marked[edge] = _FIELD
    for kind, colour in (("bounding", _BOUNDING), ("inscribed", _INSCRIBED)):
        box = found.boxes[kind]
        if found.changed(kind):
            cv2.rectangle(marked, (box.left, box.top), (box.right - 1, box.bottom - 1), colour)
    tile = cv2.resize(marked, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    name = f"{sample.image.stem[5:]} {100 * found.share:.1f}%"
    cv2.putText(tile, name, (4, _TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
    return np.asarray(tile, np.uint8)
