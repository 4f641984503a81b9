"""Files to samples: every year of ISIC, splits by lesion, and a synthetic challenge."""

from dermolib._checks import DatasetNotFoundError
from dermolib.auditing import AuditReport, audit
from dermolib.datasets.columns import COLUMNS
from dermolib.datasets.groups import group_names
from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.merging import Merged, merge_tables
from dermolib.datasets.metadata import METADATA_NAMES, SITES, metadata_vectors
from dermolib.datasets.options import Options
from dermolib.datasets.releases import (
    read_challenge_table,
    read_ham10000,
    read_isic2018,
    read_isic2019,
    read_isic2020,
    read_isic2024,
)
from dermolib.datasets.splits import Grouped, Split, grouped_split, load_split
from dermolib.datasets.tables import read_table
from dermolib.downloading import Download, download, list_collections
from dermolib.synthetic import make_synthetic_challenge

__all__ = [
    "COLUMNS",
    "METADATA_NAMES",
    "SITES",
    "AuditReport",
    "DatasetNotFoundError",
    "Download",
    "Grouped",
    "ISICDataset",
    "Merged",
    "Options",
    "Split",
    "audit",
    "download",
    "group_names",
    "grouped_split",
    "list_collections",
    "load_split",
    "make_synthetic_challenge",
    "merge_tables",
    "metadata_vectors",
    "read_challenge_table",
    "read_ham10000",
    "read_isic2018",
    "read_isic2019",
    "read_isic2020",
    "read_isic2024",
    "read_table",
]
