from .duplicates import Duplicates as Duplicates
from .duplicates import find_duplicates as find_duplicates
from .hashing import HASH_BYTES as HASH_BYTES
from .hashing import perceptual_hash as perceptual_hash
from .inspection import NOTES as NOTES
from .inspection import STATES as STATES
from .inspection import Inspection as Inspection
from .inspection import inspect_images as inspect_images
from .report import AuditReport as AuditReport
from .words import FINDINGS as FINDINGS
from .words import USUAL_FINDINGS as USUAL_FINDINGS

__all__: list[str]
