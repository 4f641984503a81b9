"""Files to samples: the challenge's data, splits by lesion, and a synthetic challenge."""

from dermolib._checks import DatasetNotFoundError
from dermolib.datasets.hair import draw_hair, keep_visible
from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.lesions import draw_lesion
from dermolib.datasets.splits import Grouped, grouped_split
from dermolib.datasets.synthetic import (
    SyntheticSample,
    draw_sample,
    make_synthetic_challenge,
)
from dermolib.datasets.tables import (
    METADATA_NAMES,
    SITES,
    metadata_vectors,
    read_challenge_table,
    read_table,
)

__all__ = [
    "METADATA_NAMES",
    "SITES",
    "DatasetNotFoundError",
    "Grouped",
    "ISICDataset",
    "SyntheticSample",
    "draw_hair",
    "draw_lesion",
    "draw_sample",
    "grouped_split",
    "keep_visible",
    "make_synthetic_challenge",
    "metadata_vectors",
    "read_challenge_table",
    "read_table",
]
