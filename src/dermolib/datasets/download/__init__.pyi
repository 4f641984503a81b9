from .collections import Archive as Archive
from .collections import Collection as Collection
from .collections import find_collection as find_collection
from .collections import list_collections as list_collections
from .collections import list_files as list_files
from .http import RetryPolicy as RetryPolicy
from .run import Download as Download
from .run import DownloadedFile as DownloadedFile

__all__: list[str]
