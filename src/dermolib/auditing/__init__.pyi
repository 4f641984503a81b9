from .confounding import ASSOCIATION_COLUMNS as ASSOCIATION_COLUMNS
from .confounding import ASSOCIATIONS as ASSOCIATIONS
from .confounding import artifact_associations as artifact_associations
from .confounding import artifact_only_score as artifact_only_score
from .duplicates import Duplicates as Duplicates
from .duplicates import find_duplicates as find_duplicates
from .hashing import HASH_BYTES as HASH_BYTES
from .hashing import perceptual_hash as perceptual_hash
from .images import NOTES as NOTES
from .images import STATES as STATES
from .images import Inspection as Inspection
from .images import inspect_images as inspect_images
from .joining import join_groups as join_groups
from .quality import QUALITY_FLAGS as QUALITY_FLAGS
from .quality import image_quality as image_quality
from .recaptures import RECAPTURE_COLUMNS as RECAPTURE_COLUMNS
from .recaptures import find_recaptures as find_recaptures
from .report import DEFAULT_FINDINGS as DEFAULT_FINDINGS
from .report import FINDINGS as FINDINGS
from .report import AuditReport as AuditReport

__all__: list[str]
