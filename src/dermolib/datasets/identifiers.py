"""Values of tables as text, made alike however a table holds them."""

import re
from typing import Any

import numpy as np

__all__ = ["MISSING", "as_text", "clean_name"]

MISSING = frozenset({"", "nan", "na", "n/a", "none", "unknown", "<na>", "nat"})
"""Texts, in small letters, that say that a value is not known."""

_WHOLE = re.compile(r"-?\d+\.0+")


def as_text(value: Any) -> str:
    """Write a value as text; a missing one beside a number 7 makes it 7.0, and it is 7 again.

    Args:
        value: Text, bytes, as HDF5 gives texts, or any other value.

    Returns:
        The text; bytes that are no UTF-8 stay told apart.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def clean_name(value: Any) -> str:
    """Write the name of a lesion, patient or image as one text, however a table holds it.

    A number that a gap in its column made 7.0 is 7, as a number and as text; blanks around it go,
    and a text that says that it is not known is empty.

    Args:
        value: Text, bytes or number.

    Returns:
        The name, empty where it is not known.

    Examples:
        >>> clean_name(7.0), clean_name("7.0"), clean_name(" L7 "), clean_name("Unknown")
        ('7', '7', 'L7', '')
    """
    text = as_text(value).strip()
    if text.lower() in MISSING:
        return ""
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text
