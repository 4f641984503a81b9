from .device_loader import DeviceLoader as DeviceLoader
from .groups import group_names as group_names
from .merging import Merged as Merged
from .readers import About as About
from .readers import Reader as Reader
from .readers import find_reader as find_reader
from .readers import list_readers as list_readers
from .readers import register_reader as register_reader
from .readers.challenge import read_challenge_table as read_challenge_table
from .readers.ham10000 import read_ham10000 as read_ham10000
from .readers.isic2018 import read_isic2018 as read_isic2018
from .readers.isic2019 import read_isic2019 as read_isic2019
from .readers.isic2020 import read_isic2020 as read_isic2020
from .readers.isic2024 import read_isic2024 as read_isic2024
from .splits import Grouped as Grouped
from .splits import Split as Split
from .splits import load_split as load_split
from .tables import COLUMNS as COLUMNS
from .tables import HasTable as HasTable
from .tables import metadata_vectors as metadata_vectors
from .tables import read_table as read_table

__all__: list[str]
