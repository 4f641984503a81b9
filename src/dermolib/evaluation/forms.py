"""Official files of the challenges: their columns, and the score that ranks them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dermolib._validation import check_choice, listed
from dermolib.labels import LABEL_SPACES

__all__ = ["FORMS", "Form", "differences", "find_form"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a challenge wants its predictions.

    Attributes:
        name: Name of the form.
        id_column: Column of the ids.
        columns: Columns after that: one for each class, ``target``, or ``CLASS``.
        codes: Classes, in the order of the columns.
        metric: Score that ranks, a name of `dermolib.evaluation.official_scores`.
    """

    name: str
    id_column: str
    columns: tuple[str, ...]
    codes: tuple[str, ...]
    metric: str

    @property
    def binary(self) -> bool:
        """Whether one column holds the probability of the second class."""
        return self.columns == ("target",)

    @property
    def numbered(self) -> bool:
        """Whether one column holds the number of the class, from 1."""
        return self.columns == ("CLASS",)


def _form(name: str, id_column: str, columns: tuple[str, ...], space: str, metric: str) -> Form:
    codes = LABEL_SPACES[space].codes
    return Form(name, id_column, columns or codes, codes, metric)


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            _form("challenge", "ID", ("CLASS",), "challenge", "balanced_accuracy"),
            _form("isic2018", "image", (), "isic2018", "balanced_accuracy"),
            _form("isic2019", "image", (), "isic2019", "balanced_accuracy"),
            _form("isic2020", "image_name", ("target",), "binary", "auc"),
            _form("isic2024", "isic_id", ("target",), "binary", "pauc"),
            _form("milk10k", "lesion_id", (), "milk10k", "dice"),
        )
    }
)
"""The forms by their names.

Examples:
    >>> FORMS["isic2018"].columns
    ('MEL', 'NV', 'BCC', 'AKIEC', 'BKL', 'DF', 'VASC')
"""


def find_form(name: str) -> Form:
    """Look up a form by its name.

    Raises:
        ValueError: There is no such form; the sentence lists those there are.
    """
    check_choice(name, "form", FORMS)
    return FORMS[name]


def differences(wanted: Iterable[str], found: Iterable[str]) -> str:
    """Count and name what is missing and what is unexpected; empty where the two agree."""
    wanted, found = set(wanted), set(found)
    parts = {"missing": sorted(wanted - found), "unexpected": sorted(found - wanted)}
    return " and ".join(f"{len(x):,} {how} ({listed(x)})" for how, x in parts.items() if x)
