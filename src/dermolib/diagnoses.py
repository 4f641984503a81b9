"""The vocabulary: eight diagnoses of ISIC 2019 with the challenge's numbers, indices and codes.

References:
    Combalia et al., BCN20000: dermoscopic lesions in the wild, 2019,
    https://doi.org/10.48550/arXiv.1908.02288; Tschandl et al., The HAM10000 dataset, Scientific
    Data 5, 2018, https://doi.org/10.1038/sdata.2018.161.
"""

from dataclasses import dataclass

__all__ = ["DIAGNOSES", "Diagnosis"]


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
