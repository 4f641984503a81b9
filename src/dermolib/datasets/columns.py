"""Which columns of a file or data frame are which of a table."""

from collections.abc import Callable, Mapping, Sequence

from dermolib._checks import check_choice, expected, listed

__all__ = ["COLUMNS", "chooser"]

COLUMNS: tuple[str, ...] = (
    "id",
    "label",
    "diagnosis",
    "lesion",
    "patient",
    "age",
    "sex",
    "site",
    "year",
    "source",
    "made_from",
)
"""Columns of a table, in their order; ``label`` lacks where no row has a class."""

# The challenge's names, then those of ISIC's own tables
_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("ID", "IMAGE", "IMAGE_ID", "IMAGE_NAME", "ISIC_ID"),
    "class": ("CLASS",),
    "diagnosis": ("DIAGNOSIS", "DX"),
    "lesion": ("LESION_ID",),
    "patient": ("PATIENT_ID", "PATIENT"),
    "age": ("AGE", "AGE_APPROX"),
    "sex": ("SEX",),
    "site": (
        "POSITION",
        "ANATOM_SITE_GENERAL",
        "ANATOM_SITE_GENERAL_CHALLENGE",
        "LOCALIZATION",
    ),
    "year": ("YEAR",),
    "made_from": ("SOURCE_ID",),
}
_TOLD = (
    "id",
    "class",
    "diagnosis",
    "malignant",
    "lesion",
    "patient",
    "age",
    "sex",
    "site",
    "year",
    "source",
)
_OWN = ("id", "lesion", "age", "sex", "site")


def chooser(
    name: str, columns: Mapping[str, str] | None, needed: Sequence[str], *, own: bool
) -> Callable[[Sequence[str]], dict[str, int]]:
    """Make the function that finds the known columns in a header, or says which lacks.

    Args:
        name: File or table, for errors.
        columns: Names in the file, by the names here, of columns that are named otherwise.
        needed: Columns that must be there, by the challenge's names.
        own: Whether a header may be that of a table made here.

    Returns:
        Function from a header to the place of each column.

    Raises:
        ValueError: `columns` has an unknown name.
    """
    given = dict(columns or {})
    for column in given:
        check_choice(column, "columns", _TOLD)

    def choose(header: Sequence[str]) -> dict[str, int]:
        texts = [text.strip() for text in header]
        if own and set(_OWN) <= set(texts):
            chosen = _places(name, texts, {column: (column,) for column in (*COLUMNS, "malignant")})
        else:
            upper = [text.upper() for text in texts]
            names = {column: tried for column, tried in _NAMES.items() if column not in given}
            chosen = _places(name, upper, names)
            chosen |= _places(name, texts, {key: (value,) for key, value in given.items()})
        wanted = [given[column] for column in given if column not in chosen]
        wanted += [column for column in needed if not _has(chosen, column)]
        if wanted or "id" not in chosen:
            lacking = wanted[0] if wanted else "ID"
            remedy = "Fields are separated by commas." if len(texts) == 1 else ""
            got = f"the columns {listed(map(repr, header))}"
            what = f"a table with a column `{lacking}`"
            raise ValueError(expected(name, what, got, remedy))
        return chosen

    return choose


def _has(chosen: Mapping[str, int], column: str) -> bool:
    """Tell whether a column of the challenge's name is among those chosen."""
    return any(column in tried and key in chosen for key, tried in _NAMES.items())


def _places(name: str, header: Sequence[str], names: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Find the place of each column: that of the first of its names that is there."""
    found = {}
    for column, tried in names.items():
        first = next((text for text in tried if text in header), None)
        others = [text for text in tried[1:] if text in header]
        if first is None:
            continue
        if header.count(first) > 1:
            got = f"{column!r} twice"
            raise ValueError(expected(name, "a table with each column once", got))
        if first != tried[0] and len(others) > 1:
            remedy = f"Say which is meant: `columns={{{column!r}: ...}}`."
            got = f"several for {column!r} ({listed(others)})"
            raise ValueError(expected(name, "a table with each column once", got, remedy))
        found[column] = header.index(first)
    return found
