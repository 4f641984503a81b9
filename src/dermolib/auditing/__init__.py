"""Tables and files to what leaks between sides, and what else is wrong with them."""

from dermolib.auditing.duplicates import Duplicates, find_duplicates
from dermolib.auditing.hashing import HASH_BYTES, perceptual_hash
from dermolib.auditing.inspection import NOTES, STATES, Inspection, inspect_images
from dermolib.auditing.report import AuditReport
from dermolib.auditing.run import Tabled, audit
from dermolib.auditing.words import FINDINGS, USUAL_FINDINGS

__all__ = [
    "FINDINGS",
    "HASH_BYTES",
    "NOTES",
    "STATES",
    "USUAL_FINDINGS",
    "AuditReport",
    "Duplicates",
    "Inspection",
    "Tabled",
    "audit",
    "find_duplicates",
    "inspect_images",
    "perceptual_hash",
]
