from .columns import COLUMNS as COLUMNS
from .device_loader import DeviceLoader as DeviceLoader
from .groups import group_names as group_names
from .merging import Merged as Merged
from .metadata import metadata_vectors as metadata_vectors
from .options import Options as Options
from .readers.releases import read_challenge_table as read_challenge_table
from .readers.releases import read_ham10000 as read_ham10000
from .readers.releases import read_isic2018 as read_isic2018
from .readers.releases import read_isic2019 as read_isic2019
from .readers.releases import read_isic2020 as read_isic2020
from .readers.releases import read_isic2024 as read_isic2024
from .splits import Grouped as Grouped
from .splits import Split as Split
from .splits import load_split as load_split
from .tables import HasTable as HasTable
from .tables import read_table as read_table

__all__: list[str]
