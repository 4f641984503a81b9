"""What is left of real lesions after a draw, counted over the images that have a mask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dermolib._validation import DatasetNotFoundError
from dermolib.augmentation import Preset, is_blank
from dermolib.io import read_image, read_mask

__all__ = ["Survival", "find_pairs", "measure"]

_SIZE = 224
_LAYOUT = "isic_challenge/Train/ID.jpg and ID_seg.png, isic2018_task1/images and masks"


@dataclass(frozen=True)
class Survival:
    """Shares of the lesion that the draws of one preset kept, one draw for each image.

    Attributes:
        preset: Name of the preset.
        min_visibility: Share that was asked for; 0 takes each draw as it comes, as without a mask.
        images: Number of draws.
        smallest: Smallest share.
        low: Shares at 0.1 and at 1 % of the draws.
        below_half: Number of draws below 0.5.
        lost: Number of draws that show nothing of the lesion.
        blank: Number of draws that are blank.
        again: Number of draws that were made again.
        careful: Number of draws that ended with what can lose nothing.
    """

    preset: str
    min_visibility: float
    images: int
    smallest: float
    low: tuple[float, float]
    below_half: int
    lost: int
    blank: int
    again: int
    careful: int


def find_pairs(data: Path) -> list[tuple[Path, Path]]:
    """List the images that have a mask, with it.

    Args:
        data: Folder of the data.

    Returns:
        Paths of image and mask, sorted.

    Raises:
        DatasetNotFoundError: A folder is not there.
    """
    train, task = data / "isic_challenge" / "Train", data / "isic2018_task1"
    for folder in (train, task):
        if not folder.exists():
            raise DatasetNotFoundError(folder, _LAYOUT)
    first = [(path, path.with_name(f"{path.stem}_seg.png")) for path in train.glob("*.jpg")]
    second = [
        (path, task / "masks" / f"{path.stem}_segmentation.png")
        for path in (task / "images").iterdir()
    ]
    return sorted(pair for pair in first + second if pair[1].exists())


def measure(
    pairs: Sequence[tuple[Path, Path]], names: Sequence[str], shares: Sequence[float]
) -> Iterator[Survival]:
    """Draw once of every image with each preset and each share, and count what is left.

    Args:
        pairs: Images and their masks.
        names: Names of presets.
        shares: Values of `min_visibility`.

    Yields:
        One result for each name and share.
    """
    transforms = [
        Preset(name, image_size=_SIZE, normalize=False, min_visibility=share)
        for name in names
        for share in shares
    ]
    rows: list[list[tuple[float, bool, int]]] = [[] for _ in transforms]
    for number, (image_path, mask_path) in enumerate(pairs):
        image = read_image(image_path)
        mask = read_mask(mask_path, shape=(image.shape[0], image.shape[1]))
        for transform, results in zip(transforms, rows, strict=True):
            drawn = transform(image=image, mask=mask, draw_seed=number)
            if transform.visibility is not None:
                results.append((transform.visibility, is_blank(drawn["image"]), transform.attempts))
    for transform, results in zip(transforms, rows, strict=True):
        kept, blank, attempts = map(np.array, zip(*results, strict=True))
        yield Survival(
            transform.name,
            transform.min_visibility,
            len(kept),
            float(kept.min()),
            (float(np.percentile(kept, 0.1)), float(np.percentile(kept, 1))),
            int((kept < 0.5).sum()),
            int((kept == 0).sum()),
            int(blank.sum()),
            int((attempts > 1).sum()),
            int((attempts == 6).sum()),
        )
