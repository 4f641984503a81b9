"""Age, sex and site as a vector: what each entry means, and how a missing value is told.

The readers in `dermolib.datasets` write such vectors, `dermolib.models.MetadataFusion` takes them.
"""

__all__ = ["METADATA_GROUPS", "METADATA_MISSING", "METADATA_NAMES", "SITES"]

SITES: tuple[str, ...] = (
    "anterior torso",
    "head/neck",
    "lateral torso",
    "lower extremity",
    "oral/genital",
    "palms/soles",
    "posterior torso",
    "upper extremity",
)
"""Sites of the body in the challenge's metadata."""

METADATA_GROUPS: dict[str, tuple[str, ...]] = {
    "age": ("age", "age_missing"),
    "sex": ("female", "sex_missing"),
    "site": (*SITES, "site_missing"),
}
"""Entries that one value fills; the last of each says that the value is missing."""

METADATA_NAMES: tuple[str, ...] = tuple(
    name for names in METADATA_GROUPS.values() for name in names
)
"""What each entry of a metadata vector means; the age is in centuries, the others are flags."""

METADATA_MISSING: tuple[float, ...] = tuple(
    float(name == names[-1]) for names in METADATA_GROUPS.values() for name in names
)
"""Vector of which nothing is known."""
