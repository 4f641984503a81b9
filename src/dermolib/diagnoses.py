"""The vocabulary: eight diagnoses of ISIC 2019, and what the codes of each year mean by them.

References:
    Combalia et al., BCN20000: dermoscopic lesions in the wild, 2019,
    https://doi.org/10.48550/arXiv.1908.02288; Tschandl et al., The HAM10000 dataset, Scientific
    Data 5, 2018, https://doi.org/10.1038/sdata.2018.161.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dermolib._checks import check_choice, expected, listed

__all__ = ["DIAGNOSES", "VOCABULARIES", "Diagnosis", "Vocabulary", "find_diagnosis"]


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

VOCABULARIES: Mapping[str, Vocabulary] = {
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
"""What the codes that each collection publishes mean by the eight diagnoses.

ISIC 2018 has the codes of HAM10000, whose ``akiec`` is actinic keratosis or squamous cell
carcinoma in situ, which cannot be told apart there: such an image has no diagnosis unless another
collection tells. ``"isic2019"`` keeps ``UNK`` apart. ``"isic2020"`` and ``"isic2024"`` name many
lesions that are none of the eight, or do not say which.
"""


def find_diagnosis(code: str, vocabulary: str | Vocabulary) -> Diagnosis | None:
    """Look up what a published code means.

    A code of several levels, ``Benign::Benign melanocytic proliferations::Nevus`` as in ISIC 2024,
    means what the deepest level that the vocabulary knows means.

    Args:
        code: Code as published, in any letter case.
        vocabulary: Name in `VOCABULARIES`, or codes in small letters to diagnoses.

    Returns:
        The diagnosis, or None where the code is none of the eight or may be several.

    Raises:
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
        >>> find_diagnosis("Malignant::Malignant epidermal proliferations::Melanoma", "isic2024")
    """
    if isinstance(vocabulary, str):
        check_choice(vocabulary, "vocabulary", VOCABULARIES)
        vocabulary = VOCABULARIES[vocabulary]
    levels = [level.strip().lower() for level in code.split("::")]
    for level in reversed(levels):
        if level in vocabulary:
            return vocabulary[level]
    what = "a code of the vocabulary"
    remedy = f"Known are {listed(vocabulary, most=len(vocabulary))}."
    raise ValueError(expected("diagnosis", what, repr(code), remedy))
