"""Files to samples: the challenge's data, splits by lesion, and a synthetic challenge."""

from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.splits import grouped_split
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
    "ISICDataset",
    "grouped_split",
    "metadata_vectors",
    "read_challenge_table",
    "read_table",
]
