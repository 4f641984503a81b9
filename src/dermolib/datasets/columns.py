"""Which columns of a file or data frame are which of a table."""

from collections.abc import Callable, Collection, Mapping, Sequence

from dermolib._validation import check_choice, expected, listed

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
    "parent_id",
)
"""Columns of a table, in their order; ``label`` lacks where no row has a class."""

# The challenge's names, then those of ISIC's own tables, then those here
_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("ID", "IMAGE", "IMAGE_ID", "IMAGE_NAME", "ISIC_ID"),
    "class": ("CLASS",),
    "diagnosis": ("DIAGNOSIS", "DX"),
    "lesion": ("LESION_ID", "LESION"),
    "patient": ("PATIENT_ID", "PATIENT"),
    "age": ("AGE", "AGE_APPROX"),
    "sex": ("SEX",),
    "site": (
        "POSITION",
        "ANATOM_SITE_GENERAL",
        "ANATOM_SITE_GENERAL_CHALLENGE",
        "LOCALIZATION",
        "SITE",
    ),
    "year": ("YEAR",),
    "source": ("SOURCE",),
    "parent_id": ("PARENT_ID",),
}
# Others mean other things by these, so that they count as written in a table that was made here
_OWN = {"label": ("label",), "malignant": ("malignant",)}
_TOLD = (*_OWN, *_NAMES)


def chooser(
    name: str, columns: Mapping[str, str] | None, needed: Sequence[str]
) -> Callable[[Sequence[str]], dict[str, int]]:
    """Make the function that finds the known columns in a header, or says which lacks.

    Args:
        name: File or table, for errors.
        columns: Names in the file, by the names here, of columns that are named otherwise.
        needed: Columns that must be there, by the challenge's names.

    Returns:
        Function from a header to the place of each column.

    Raises:
        TypeError: `columns` is no mapping.
        ValueError: `columns` has an unknown name.
    """
    if columns is not None and not isinstance(columns, Mapping):
        got = f"an object of type {type(columns).__name__}"
        raise TypeError(expected("columns", "a mapping of names here to names there", got))
    given = dict(columns or {})
    for column in given:
        check_choice(column, "columns", _TOLD)

    def choose(header: Sequence[str]) -> dict[str, int]:
        texts = [text.strip() for text in header]
        upper = [text.upper() for text in texts]
        taken = {texts.index(text) for text in given.values() if text in texts}
        chosen = _places(name, upper, _without(_NAMES, given), taken)
        own = _without(_OWN, given) if "id" in texts else {}
        chosen |= _places(name, texts, own, taken)
        chosen |= _places(name, texts, {key: (value,) for key, value in given.items()}, set())
        _check_label(name, upper, chosen)
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


def _without(
    names: Mapping[str, tuple[str, ...]], given: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    return {column: tried for column, tried in names.items() if column not in given}


def _check_label(name: str, upper: Sequence[str], chosen: dict[str, int]) -> None:
    """Refuse labels of which nobody can tell whether they begin at 0 or at 1."""
    if "label" in chosen and "class" in chosen:
        del chosen["label"]
    if "LABEL" in upper and not {"label", "class", "diagnosis"} & set(chosen):
        remedy = (
            "Pass `columns={'label': NAME}` if they are 0..7, or `columns={'class': NAME}` if they "
            "are 1..8."
        )
        raise ValueError(
            expected(name, "a table with a column `CLASS` or `label`", "LABEL", remedy)
        )


def _has(chosen: Mapping[str, int], column: str) -> bool:
    """Tell whether a column of the challenge's name is among those chosen."""
    return any(column in tried and key in chosen for key, tried in _NAMES.items())


def _places(
    name: str, header: Sequence[str], names: Mapping[str, Sequence[str]], taken: Collection[int]
) -> dict[str, int]:
    """Find the place of each column: that of the first of its names that is there."""
    found = {}
    for column, tried in names.items():
        places = {
            text: [
                place for place, other in enumerate(header) if other == text and place not in taken
            ]
            for text in tried
        }
        there = [text for text in tried if places[text]]
        if not there:
            continue
        if len(places[there[0]]) > 1:
            got = f"{column!r} twice"
            raise ValueError(expected(name, "a table with each column once", got))
        if there[0] != tried[0] and len(there) > 1:
            remedy = f"Say which is meant: `columns={{{column!r}: ...}}`."
            got = f"several for {column!r} ({listed(there)})"
            raise ValueError(expected(name, "a table with each column once", got, remedy))
        found[column] = places[there[0]][0]
    return found
