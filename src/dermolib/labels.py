"""Diagnosis codes and names, and what the entries of a metadata vector mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dermolib._validation import check_choice, expected, listed, require, warn

__all__ = [
    "DIAGNOSES",
    "FROM_ZERO",
    "METADATA_GROUPS",
    "METADATA_MISSING",
    "METADATA_NAMES",
    "SITES",
    "VOCABULARIES",
    "Diagnosis",
    "Vocabulary",
    "as_vocabulary",
    "find_diagnosis",
    "from_one",
    "warn_if_from_one",
]

FROM_ZERO = "Labels begin at 0: the challenge's files hold 1..8 for 0..7."
"""Advice for labels out of range."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One diagnosis of the challenge.

    Attributes:
        index: Label of a model, 0..7.
        code: Code of ISIC 2019, such as ``"MEL"``.
        name: Name in words.
    """

    index: int
    code: str
    name: str

    @property
    def number(self) -> int:
        """Class in the challenge's files, 1..8."""
        return self.index + 1


DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis(0, "MEL", "Melanoma"),
    Diagnosis(1, "NV", "Melanocytic nevus"),
    Diagnosis(2, "BCC", "Basal cell carcinoma"),
    Diagnosis(3, "AK", "Actinic keratosis"),
    Diagnosis(4, "BKL", "Benign keratosis"),
    Diagnosis(5, "DF", "Dermatofibroma"),
    Diagnosis(6, "VASC", "Vascular lesion"),
    Diagnosis(7, "SCC", "Squamous cell carcinoma"),
)
"""The eight diagnoses, in the order of the challenge.

Examples:
    >>> [diagnosis.code for diagnosis in DIAGNOSES]
    ['MEL', 'NV', 'BCC', 'AK', 'BKL', 'DF', 'VASC', 'SCC']
    >>> DIAGNOSES[0].number
    1
"""

Vocabulary = Mapping[str, Diagnosis | None]
"""Codes in small letters to diagnoses; None for what is none of the eight, or may be several."""

_MEL, _NV, _BCC, _AK, _BKL, _DF, _VASC, _SCC = DIAGNOSES

_HAM10000: Vocabulary = {
    "mel": _MEL,
    "nv": _NV,
    "bcc": _BCC,
    "akiec": None,  # actinic keratosis, or squamous cell carcinoma in situ
    "bkl": _BKL,
    "df": _DF,
    "vasc": _VASC,
}

_VOCABULARIES: Mapping[str, Vocabulary] = {
    "ham10000": _HAM10000,
    "isic2018": _HAM10000,
    "isic2019": {**{diagnosis.code.lower(): diagnosis for diagnosis in DIAGNOSES}, "unk": None},
    "isic2020": {
        "melanoma": _MEL,
        "nevus": _NV,
        # ISIC 2019 counts these three as benign keratosis
        "seborrheic keratosis": _BKL,
        "solar lentigo": _BKL,
        "lichenoid keratosis": _BKL,
        "lentigo nos": None,  # solar, or of another kind
        "cafe-au-lait macule": None,
        "atypical melanocytic proliferation": None,
        "unknown": None,
    },
    "isic2024": {
        "benign": None,
        "malignant": None,
        "indeterminate": None,
        "malignant melanocytic proliferations (melanoma)": _MEL,
        "melanoma in situ": _MEL,
        "melanoma invasive": _MEL,
        "melanoma metastasis": _MEL,
        "melanoma, nos": _MEL,
        "nevus": _NV,
        "basal cell carcinoma": _BCC,
        "solar or actinic keratosis": _AK,
        "seborrheic keratosis": _BKL,
        "pigmented benign keratosis": _BKL,
        "solar lentigo": _BKL,
        "lichen planus like keratosis": _BKL,
        "dermatofibroma": _DF,
        "hemangioma": _VASC,
        "angiokeratoma": _VASC,
        "squamous cell carcinoma in situ": _SCC,
        "squamous cell carcinoma, invasive": _SCC,
        "squamous cell carcinoma, nos": _SCC,
    },
}
VOCABULARIES: Mapping[str, Vocabulary] = MappingProxyType(
    {name: MappingProxyType(dict(codes)) for name, codes in _VOCABULARIES.items()}
)
"""What the codes that each collection publishes mean by the eight diagnoses.

ISIC 2018 has the codes of HAM10000, whose ``akiec`` is actinic keratosis or squamous cell
carcinoma in situ, which cannot be told apart there: such an image has no diagnosis unless another
collection tells. ``"isic2019"`` keeps ``UNK`` apart. ``"isic2020"`` and ``"isic2024"`` name many
lesions that are none of the eight, or do not say which.
"""


def find_diagnosis(code: str, vocabulary: str | Vocabulary) -> Diagnosis | None:
    """Look up what a published code means.

    A code of several levels, ``Benign::Benign melanocytic proliferations::Nevus`` as in ISIC 2024,
    means what the deepest level that the vocabulary knows means: of ISIC 2024, whatever is benign,
    malignant or indeterminate and none of the eight has no diagnosis.

    Args:
        code: Code as published, in any letter case.
        vocabulary: Name in `VOCABULARIES`, or codes in any letter case to diagnoses.

    Returns:
        The diagnosis, or None where the code is none of the eight or may be several.

    Raises:
        TypeError: The code is no text, or a vocabulary of one's own has other values than
            diagnoses and None.
        ValueError: The vocabulary is unknown, or does not know the code.

    References:
        Tschandl et al., Scientific Data 5, 2018, https://doi.org/10.1038/sdata.2018.161 (akiec);
        Rotemberg et al., Scientific Data 8, 2021, https://doi.org/10.1038/s41597-021-00815-z (ISIC
        2020); Kurtansky et al., Scientific Data 11, 2024,
        https://doi.org/10.1038/s41597-024-03743-w (ISIC 2024).

    Examples:
        >>> find_diagnosis("bkl", "ham10000").name
        'Benign keratosis'
        >>> find_diagnosis("akiec", "ham10000") is None
        True
        >>> find_diagnosis("Benign::Cysts", "isic2024") is None
        True
    """
    require(isinstance(code, str), "diagnosis", "a code, a text", repr(code), error=TypeError)
    known = as_vocabulary(vocabulary)
    levels = [level.strip().lower() for level in code.split("::")]
    level = next((level for level in reversed(levels) if level in known), None)
    hint = f"Known are {listed(known, most=len(known))}."
    require(level is not None, "diagnosis", "a code of the vocabulary", repr(code), hint)
    return known[level or ""]


def as_vocabulary(vocabulary: Any) -> Vocabulary:
    """Look up a vocabulary by its name, or take one of one's own, its codes in small letters.

    Args:
        vocabulary: Name in `VOCABULARIES`, or codes in any letter case to diagnoses or None.

    Returns:
        Codes in small letters to diagnoses.

    Raises:
        TypeError: It is neither.
        ValueError: There is no such name.
    """
    if isinstance(vocabulary, str):
        check_choice(vocabulary, "vocabulary", VOCABULARIES)
        return VOCABULARIES[vocabulary]
    what = "the name of a vocabulary, or codes to diagnoses or None"
    got = f"a {type(vocabulary).__name__}"
    require(isinstance(vocabulary, Mapping), "vocabulary", what, got, error=TypeError)
    for code, diagnosis in vocabulary.items():
        fits = isinstance(code, str) and isinstance(diagnosis, (Diagnosis, type(None)))
        require(fits, "vocabulary", what, f"{code!r}: {diagnosis!r}", error=TypeError)
    return {code.strip().lower(): diagnosis for code, diagnosis in vocabulary.items()}


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


def from_one(labels: Any) -> str:
    """Advise on labels that seem to be numbered from 1: those of several classes, and none of 0.

    Args:
        labels: Classes (N,) in any order, integers, an array or a tensor.

    Returns:
        The advice; empty where the labels are as they should be.

    Examples:
        >>> import numpy as np
        >>> bool(from_one(np.array([1, 3, 2]))), from_one(np.array([0, 2])), from_one(np.array([1]))
        (True, '', '')
    """
    if not len(labels) or not int(labels.min()) == 1 < int(labels.max()):
        return ""
    return f"{FROM_ZERO} Subtract 1, unless the images of class 0 are left out on purpose."


def warn_if_from_one(labels: Any, name: str) -> None:
    """Warn of labels that seem to be numbered from 1, see `from_one`."""
    hint = from_one(labels)
    if hint:
        warn(expected(name, "classes from 0", f"1..{int(labels.max())} and no 0", hint))
