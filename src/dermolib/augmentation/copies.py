"""One source image to its augmented copies, as files: the work of one task of a run."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from dermolib._jobs import init_worker
from dermolib._validation import Image, Mask, check_image, check_number, expected
from dermolib.augmentation.presets import SMALLEST, Preset
from dermolib.datasets.store import load_image, load_mask
from dermolib.io import write_image, write_mask

__all__ = ["CopyTask", "Drawing", "draw_seed", "is_blank", "make_copies"]

_ATTEMPTS = 20
_SAMPLED = 128  # px of the longer side that a blank image is judged by
_LIT = 25  # value of the brightest channel above which a pixel is lit
_VARIED = 8  # distance from the median colour above which a pixel varies
_KEPT_ENDINGS = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Drawing:
    """How the copies of a run are drawn, and where they are written.

    Attributes:
        folder: Folder of the new files.
        preset: Name of the preset.
        image_size: Height and width of the new files in px, or None to keep each source's.
        seed: Seed of the run.
    """

    folder: Path
    preset: str
    image_size: int | None
    seed: int


@dataclass(frozen=True)
class CopyTask:
    """One source image and the copies to make of it.

    Attributes:
        source: Id of the source.
        image_path: File of the source.
        mask_path: File of its lesion mask, empty where there is none.
        copies: Numbers of the copies, counted from 1.
        values: Manifest columns that all copies share.
    """

    source: str
    image_path: str
    mask_path: str
    copies: tuple[int, ...]
    values: dict[str, str] = field(default_factory=dict)

    def name(self, copy: int) -> str:
        """Return the id of a copy."""
        return f"{self.source}_aug{copy}"

    def files(self, copy: int) -> tuple[str, str]:
        """Return the file names of a copy and of its mask, empty where the source has none."""
        ending = Path(self.image_path).suffix.lower()
        image = f"{self.name(copy)}{ending if ending in _KEPT_ENDINGS else '.png'}"
        return image, f"{self.name(copy)}_seg.png" if self.mask_path else ""


def is_blank(image: Image, *, min_lit: float = 0.2, min_varied: float = 0.02) -> bool:
    """Tell whether an image shows nothing: almost all black, or almost all of one colour.

    A pixel is lit where its brightest channel is 25 or more, and it varies where a channel is more
    than 8 from that channel's median. Of 11,960 real dermoscopic images the darkest has 64 % of its
    pixels lit and the most even one 5 % that vary; the bounds lie well below both. An image of more
    than 128 px is judged by every n-th pixel.

    Args:
        image: Image (H, W, 3), uint8 RGB.
        min_lit: Share of lit pixels below which it is blank, 0..1.
        min_varied: Share of varying pixels below which it is blank, 0..1.

    Returns:
        True where the image is blank.

    Raises:
        TypeError: `image` is not uint8, or a share is not a number.
        ValueError: `image` is not RGB, or a share is outside 0..1.

    Examples:
        >>> import numpy as np
        >>> black = np.zeros((64, 64, 3), np.uint8)
        >>> gradient = np.repeat(np.arange(64, 192, dtype=np.uint8)[None, :, None], 3, axis=2)
        >>> is_blank(black), is_blank(gradient)
        (True, False)
    """
    check_image(image)
    check_number(min_lit, "min_lit", low=0, high=1)
    check_number(min_varied, "min_varied", low=0, high=1)
    step = -(-max(image.shape[:2]) // _SAMPLED)
    pixels = image[::step, ::step].astype(np.int16)
    lit = float((pixels.max(axis=2) >= _LIT).mean())
    distance = np.abs(pixels - np.median(pixels, axis=(0, 1))).max(axis=2)
    return lit < min_lit or float((distance > _VARIED).mean()) < min_varied


def draw_seed(seed: int, source: str, copy: int, attempt: int) -> int:
    """Derive the seed of one draw, 0..2**63 - 1, from what names it and from nothing else."""
    name = json.dumps([seed, source, copy, attempt])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def make_copies(task: CopyTask, drawing: Drawing) -> list[dict[str, str]]:
    """Draw and write the copies of one source, each file whole or not at all.

    A draw that `is_blank`, or out of which the lesion mask comes empty, is drawn again.

    Args:
        task: Source and copies.
        drawing: How and where.

    Returns:
        One manifest row for each copy.

    Raises:
        FileNotFoundError: The image or its mask is not there.
        ValueError: A file cannot be read, the mask has another size, the source is blank or too
            small for a draw at its own size, or none of 20 draws showed anything.
    """
    init_worker()
    image = load_image(task.image_path)
    height, width = image.shape[:2]
    mask = load_mask(task.mask_path, shape=(height, width)) if task.mask_path else None
    if drawing.image_size is None and min(height, width) < SMALLEST:
        what = f"an image of {SMALLEST} px or more a side where its size is kept"
        remedy = "Give an `image_size`, or leave its row out of the table."
        raise ValueError(expected(task.image_path, what, f"{height} x {width} px", remedy))
    if is_blank(image):
        raise ValueError(_only_blank(task, "an image with something in it", "a blank one"))
    return [_make_copy(task, drawing, copy, image, mask) for copy in task.copies]


def _make_copy(
    task: CopyTask, drawing: Drawing, copy: int, image: Image, mask: Mask | None
) -> dict[str, str]:
    transform = _transform(drawing.preset, drawing.image_size, threading.get_ident())
    for attempt in range(1, _ATTEMPTS + 1):
        seed = draw_seed(drawing.seed, task.source, copy, attempt)
        drawn = transform(image=image, mask=mask, draw_seed=seed)
        if _shows_lesion(drawn["image"], drawn.get("mask"), mask):
            break
    else:
        what = f"an image of which one of {_ATTEMPTS} draws shows its lesion"
        raise ValueError(_only_blank(task, what, "none"))
    image_file, mask_file = task.files(copy)
    if mask_file:
        write_mask(drawing.folder / mask_file, drawn["mask"])
    write_image(drawing.folder / image_file, drawn["image"])
    return {
        "ID": task.name(copy),
        **task.values,
        "SOURCE_ID": task.source,
        "COPY": str(copy),
        "SEED": str(seed),
        "ATTEMPTS": str(attempt),
        "PRESET": drawing.preset,
        "TRANSFORMS": " ".join(transform.applied),
        "FILE": image_file,
        "MASK_FILE": mask_file,
    }


@lru_cache(maxsize=32)
def _transform(name: str, image_size: int | None, _thread: int) -> Preset:
    """Build a preset once for each thread: a preset is not for sharing between threads."""
    return Preset(name, image_size=image_size, normalize=False)


def _shows_lesion(image: Image, drawn: Mask | None, source: Mask | None) -> bool:
    if is_blank(image):
        return False
    return drawn is None or source is None or bool(drawn.any()) or not source.any()


def _only_blank(task: CopyTask, what: str, got: str) -> str:
    remedy = "Look at the file, and leave its row out of the table where it shows no lesion."
    return expected(task.image_path, what, got, remedy)
