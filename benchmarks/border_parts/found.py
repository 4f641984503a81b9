"""What is found in an image, and what each crop would cost."""

from dataclasses import dataclass

from border_parts.images import Sample, load
from dermolib._validation import Image, Mask
from dermolib.preprocessing import Box, border_mask, field_of_view

__all__ = ["KINDS", "Found", "find"]

KINDS = ("bounding", "inscribed")
"""Both kinds of crop."""


@dataclass(frozen=True)
class Found:
    """The border and both crops of one image.

    Attributes:
        share: Share of the image that is border.
        boxes: Kind to box.
        kept: Kind to the share of the image that it keeps.
        lost: Kind to the share of the lesion that it cuts away.
    """

    share: float
    boxes: dict[str, Box]
    kept: dict[str, float]
    lost: dict[str, float]

    def changed(self, kind: str) -> bool:
        """Tell whether this crop changes the image."""
        return self.kept[kind] < 1


def find(
    sample: Sample,
    *,
    threshold: float = 0.3,
    image: Image | None = None,
    lesion: Mask | None = None,
) -> Found:
    """Look for the border of a sample, or of an image that was made from it.

    Args:
        sample: The sample, which is read where no image is given.
        threshold: Threshold of `field_of_view`.
        image: Image made from the sample.
        lesion: Mask of its lesion.

    Returns:
        What was found.
    """
    if image is None or lesion is None:
        image, lesion = load(sample)
    boxes = {kind: field_of_view(image, kind=kind, threshold=threshold) for kind in KINDS}
    area = lesion.size
    return Found(
        share=float(border_mask(image, threshold=threshold).mean()),
        boxes=boxes,
        kept={kind: box.shape[0] * box.shape[1] / area for kind, box in boxes.items()},
        lost={
            kind: 1 - float(box.crop(lesion).sum() / lesion.sum()) if lesion.any() else 0.0
            for kind, box in boxes.items()
        },
    )
