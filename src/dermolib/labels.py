"""Label spaces: codes and names of diagnoses; and what the entries of a metadata vector mean."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dermolib._validation import check_choice, expected, listed, require, warn

__all__ = [
    "DIAGNOSES",
    "FROM_ZERO",
    "LABEL_SPACES",
    "METADATA_GROUPS",
    "METADATA_MISSING",
    "METADATA_NAMES",
    "SITES",
    "VOCABULARIES",
    "Diagnosis",
    "LabelSpace",
    "Vocabulary",
    "as_label_space",
    "as_vocabulary",
    "from_one",
    "known_label_space",
    "label_space_of",
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

Vocabulary = Mapping[str, Diagnosis | str | None]
"""Published codes to diagnoses, codes or None; None for what has no class, or may be several."""

_HAM10000 = {code.lower(): code for code in ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")}
_ISIC2019 = {diagnosis.code.lower(): diagnosis.code for diagnosis in DIAGNOSES}
_VOCABULARIES: Mapping[str, Mapping[str, str | None]] = {
    "ham10000": _HAM10000,  # whose akiec is actinic keratosis, or squamous cell carcinoma in situ
    "isic2018": _HAM10000,
    "isic2019": {**_ISIC2019, "unk": "UNK"},
    "isic2020": {
        "melanoma": "MEL",
        "nevus": "NV",
        # ISIC 2019 counts these three as benign keratosis
        "seborrheic keratosis": "SEK",
        "solar lentigo": "BKL",
        "lichenoid keratosis": "BKL",
        "lentigo nos": None,  # solar, or of another kind
        "cafe-au-lait macule": None,
        "atypical melanocytic proliferation": None,
        "unknown": None,
    },
    "isic2024": {
        "benign": "BENIGN",
        "malignant": "MALIGNANT",
        "indeterminate": None,
        "malignant melanocytic proliferations (melanoma)": "MEL",
        "melanoma in situ": "MEL",
        "melanoma invasive": "MEL",
        "melanoma metastasis": "MEL",
        "melanoma, nos": "MEL",
        "nevus": "NV",
        "basal cell carcinoma": "BCC",
        "solar or actinic keratosis": "AK",
        "seborrheic keratosis": "SEK",
        "pigmented benign keratosis": "BKL",
        "solar lentigo": "BKL",
        "lichen planus like keratosis": "BKL",
        "dermatofibroma": "DF",
        "hemangioma": "VASC",
        "angiokeratoma": "VASC",
        "squamous cell carcinoma in situ": "SCCIS",
        "squamous cell carcinoma, invasive": "SCC",
        "squamous cell carcinoma, nos": "SCC",
    },
    "isic2017": {"melanoma": "MEL", "seborrheic_keratosis": "SEK", "nevus": "NV"},
    "ph2": {"common nevus": "NV", "atypical nevus": "NV", "melanoma": "MEL"},
    "derm7pt": {
        "basal cell carcinoma": "BCC",
        "dermatofibroma": "DF",
        "seborrheic keratosis": "SEK",
        "vascular lesion": "VASC",
        **dict.fromkeys(
            (
                *("blue nevus", "clark nevus", "combined nevus", "congenital nevus"),
                *("dermal nevus", "recurrent nevus", "reed or spitz nevus"),
            ),
            "NV",
        ),
        **dict.fromkeys(
            (
                *("melanoma", "melanoma (in situ)", "melanoma (less than 0.76 mm)"),
                *("melanoma (0.76 to 1.5 mm)", "melanoma (more than 1.5 mm)"),
                "melanoma metastasis",
            ),
            "MEL",
        ),
        **dict.fromkeys(("lentigo", "melanosis", "miscellaneous"), None),
    },
    "milk10k": {
        code.lower(): code
        for code in (
            *("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA"),
            "VASC",
        )
    },
    "padufes": {
        **{"ack": "AK", "bcc": "BCC", "mel": "MEL", "nev": "NV", "scc": "SCC", "sek": "SEK"},
        "bod": "SCCIS",  # Bowen's disease
    },
}
VOCABULARIES: Mapping[str, Mapping[str, str | None]] = MappingProxyType(
    {name: MappingProxyType(dict(codes)) for name, codes in _VOCABULARIES.items()}
)
"""What the codes that each collection publishes, in small letters, mean.

A meaning is a code of `LABEL_SPACES`, or of a finer class: ``SEK`` seborrheic keratosis, ``SCCIS``
squamous cell carcinoma in situ. No text has two meanings. None is what is known and has no class.
"""

_BROADER: Mapping[str, tuple[str, ...]] = {
    "SEK": ("BKL",),
    "AK": ("AKIEC",),
    "SCCIS": ("SCC", "AKIEC"),
    "SCC": ("SCCKA",),
    **dict.fromkeys(("NV", "BKL", "DF", "VASC", "INF", "BEN_OTH"), ("BENIGN",)),
    **dict.fromkeys(("MEL", "BCC", "SCCKA", "MAL_OTH"), ("MALIGNANT",)),
}
"""Classes that hold all of a class, the nearest first. Actinic keratosis is neither benign nor
malignant."""

_TERMS: Mapping[str, str | None] = {
    **{code.lower(): code for code in _BROADER},
    **{text: code for codes in _VOCABULARIES.values() for text, code in codes.items()},
    "keratoacanthoma": "SCCKA",
    "melanocytic nevus": "NV",
    "actinic keratosis": "AK",
    "squamous cell carcinoma": "SCC",
    "vascular lesion": "VASC",
}


def _check_texts(given: Any, name: str) -> tuple[str, ...]:
    """Refuse what is not a list of printable text."""
    what, kind = "a list of text", f"a {type(given).__name__}"
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    require(several, name, what, kind, error=TypeError)
    texts = tuple(given)
    odd = listed(repr(text) for text in texts if not isinstance(text, str))
    require(not odd, name, what, odd, error=TypeError)
    odd = listed(
        repr(text) for text in texts if text != text.strip() or not text or not text.isprintable()
    )
    require(not odd, name, "text without blanks around it or control characters", odd)
    return texts


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a task, in the order of the outputs of a model.

    Args:
        codes: Code of each class, two or more, such as ``["MEL", "NV"]``; no two are the same in
            small letters.
        names: Name of each class in words; the codes where not given.

    Attributes:
        codes: Code of each class; a label is a place in it.
        names: Name of each class.

    Raises:
        TypeError: The codes or names are not lists of text.
        ValueError: A code is empty, repeated or has control characters, there are fewer than two,
            or there are not as many names.

    Examples:
        >>> space = LabelSpace(["nevus", "melanoma"])
        >>> len(space), space.index("melanoma"), space.place("MEL"), space.place("bcc")
        (2, 1, 1, None)
    """

    codes: tuple[str, ...]
    names: tuple[str, ...]
    _places: Mapping[str, int] = field(repr=False, compare=False)
    _meant: Mapping[str, int] = field(repr=False, compare=False)

    def __init__(self, codes: Iterable[str], names: Iterable[str] | None = None) -> None:
        """Check the codes and names."""
        checked = _check_texts(codes, "codes")
        what, hint = "two or more different codes", "Give each class a code of its own."
        small = [code.lower() for code in checked]
        twice = listed(code for code in checked if small.count(code.lower()) > 1)
        require(not twice, "codes", what, f"{twice} more than once", hint)
        require(len(checked) > 1, "codes", what, f"{len(checked)} of them", hint)
        named = checked if names is None else _check_texts(names, "names")
        what = f"{len(checked)} names, one for each code"
        require(len(named) == len(checked), "names", what, f"{len(named)}")
        places = {name.lower(): place for place, name in enumerate(named)}
        places |= {code: place for place, code in enumerate(small)}
        # A meaning that two of one's own classes have belongs to neither
        meanings = [_TERMS.get(code) for code in small]
        meant = {
            meaning: place
            for place, meaning in enumerate(meanings)
            if meaning and meanings.count(meaning) == 1
        }
        given = {"codes": checked, "names": named, "_places": places, "_meant": meant}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.codes)

    @property
    def name(self) -> str:
        """Name in `LABEL_SPACES`; empty for one of one's own."""
        return next((name for name, space in LABEL_SPACES.items() if space == self), "")

    @property
    def is_binary(self) -> bool:
        """Whether the classes are benign and malignant, in this order."""
        return dict(self._meant) == {"BENIGN": 0, "MALIGNANT": 1} and len(self) == 2

    def to_dict(self) -> dict[str, list[str]]:
        """Write the codes and names as JSON values: ``LabelSpace(**values)`` reads them."""
        return {"codes": list(self.codes), "names": list(self.names)}

    def index(self, code: str) -> int:
        """Return the label of a code of this space, in any letter case.

        Raises:
            ValueError: The space does not have this code.
        """
        place = self._places.get(str(code).strip().lower())
        hint = f"Known are {listed(self.codes, most=len(self))}."
        require(place is not None, "code", f"one of {self}", repr(code), hint)
        return int(place or 0)

    def place(self, code: str, *, vocabulary: str | Vocabulary | None = None) -> int | None:
        """Find the label that a published code has in this space.

        A code of this space is itself. Another one, of a published collection, goes to the class of
        the same meaning, or to the nearest that holds all of it: ``ak`` to ``AKIEC``, ``scc`` to
        ``SCCKA``, but ``akiec``, which may be several, to none of the eight of the challenge. Of a
        code of several levels, ``Benign::Benign melanocytic proliferations::Nevus``, the deepest
        level that is known counts.

        Args:
            code: Code as published, in any letter case.
            vocabulary: What codes mean: a name in `VOCABULARIES`, or codes in any letter case to
                diagnoses, codes or None. Those of this space and of all collections, if None.

        Returns:
            The label, or None where the code is known and has no place in this space.

        Raises:
            TypeError: The code is not text, or a vocabulary is of another kind.
            ValueError: The code is not known.

        References:
            Tschandl et al., Scientific Data 5, 2018, https://doi.org/10.1038/sdata.2018.161
            (akiec); Rotemberg et al., Scientific Data 8, 2021,
            https://doi.org/10.1038/s41597-021-00815-z (ISIC 2020); Kurtansky et al., Scientific
            Data 11, 2024, https://doi.org/10.1038/s41597-024-03743-w (ISIC 2024).

        Examples:
            >>> LABEL_SPACES["isic2018"].place("ak"), LABEL_SPACES["challenge"].place("akiec")
            (3, None)
        """
        require(isinstance(code, str), "diagnosis", "a code, a text", repr(code), error=TypeError)
        known = None if vocabulary is None else as_vocabulary(vocabulary)
        for level in reversed([level.strip().lower() for level in code.split("::")]):
            if known is None and level in self._places:
                return self._places[level]
            if level in (_TERMS if known is None else known):
                return self._place_of((_TERMS if known is None else known)[level])
        hint = f"Known are {listed(known or self.codes, most=max(len(known or ()), len(self)))}."
        raise ValueError(expected("diagnosis", "a known code", repr(code), hint))

    def _place_of(self, meaning: Diagnosis | str | None) -> int | None:
        """Find the class of a meaning, or the nearest broader one."""
        if meaning is None:
            return None
        code = meaning.code if isinstance(meaning, Diagnosis) else meaning
        if code.lower() in self._places:
            return self._places[code.lower()]
        found = [_TERMS.get(code.lower()) or code]
        for meant in found:  # grows: nearer ones come first
            if meant in self._meant:
                return self._meant[meant]
            found += _BROADER.get(meant, ())
        return None

    def __str__(self) -> str:
        """Name the space, or its codes."""
        return f"the label space {self.name or listed(self.codes, most=12)}"


LABEL_SPACES: Mapping[str, LabelSpace] = MappingProxyType(
    {
        "challenge": LabelSpace((d.code for d in DIAGNOSES), (d.name for d in DIAGNOSES)),
        "isic2018": LabelSpace(
            ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"),
            (
                *("Melanoma", "Melanocytic nevus", "Basal cell carcinoma"),
                "Actinic keratosis or intraepithelial carcinoma",
                *("Benign keratosis", "Dermatofibroma", "Vascular lesion"),
            ),
        ),
        "isic2019": LabelSpace(
            (*(d.code for d in DIAGNOSES), "UNK"), (*(d.name for d in DIAGNOSES), "None of these")
        ),
        "binary": LabelSpace(("benign", "malignant"), ("Benign", "Malignant")),
        "milk10k": LabelSpace(
            (
                *("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA"),
                "VASC",
            ),
            (
                "Actinic keratosis or intraepithelial carcinoma",
                *("Basal cell carcinoma", "Other benign proliferation", "Benign keratosis"),
                *("Dermatofibroma", "Inflammatory or infectious", "Other malignant proliferation"),
                *("Melanoma", "Melanocytic nevus", "Squamous cell carcinoma or keratoacanthoma"),
                "Vascular lesion or hemorrhage",
            ),
        ),
        "padufes": LabelSpace(
            ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK"),
            (
                *("Actinic keratosis", "Basal cell carcinoma", "Melanoma", "Nevus"),
                *("Squamous cell carcinoma", "Seborrheic keratosis"),
            ),
        ),
    }
)
"""Published label spaces.

They have the eight classes of the challenge (`DIAGNOSES`), the seven of ISIC 2018, those of ISIC
2019 with ``UNK``, benign and malignant, the eleven of MILK10k and the six of PAD-UFES-20.

Examples:
    >>> {name: len(space) for name, space in LABEL_SPACES.items()}
    {'challenge': 8, 'isic2018': 7, 'isic2019': 9, 'binary': 2, 'milk10k': 11, 'padufes': 6}
"""


def as_label_space(given: Any) -> LabelSpace:
    """Look up a label space by its name, make one of a list of codes, or take one as it is.

    Names count in any letter case.

    Raises:
        TypeError: It is none of these.
        ValueError: There is no such name, or the codes are refused.

    Examples:
        >>> as_label_space(["MEL", "NV"]) == LabelSpace(["MEL", "NV"])
        True
    """
    if isinstance(given, LabelSpace):
        return given
    if isinstance(given, str):
        name = given.lower() if given.lower() in LABEL_SPACES else given
        check_choice(name, "label_space", LABEL_SPACES)
        return LABEL_SPACES[name]
    what = "the name of a label space, a LabelSpace or a list of codes"
    got, hint = f"a {type(given).__name__}", "Such as `'binary'` or `['MEL', 'NV']`."
    given = given.tolist() if hasattr(given, "tolist") else given  # an array or a column
    several = isinstance(given, Sequence) and not isinstance(given, bytes)
    require(several, "label_space", what, got, hint, error=TypeError)
    codes = [item.code if isinstance(item, Diagnosis) else item for item in given]
    known = next((space for space in LABEL_SPACES.values() if list(space.codes) == codes), None)
    return known or LabelSpace(codes)


def label_space_of(data: Any) -> LabelSpace:
    """Return the label space of a data set or table; the challenge's where it names none."""
    own = getattr(data, "label_space", None)
    if own is None:
        own = getattr(data, "attrs", {}).get("label_space", "challenge")
    return LabelSpace(**own) if isinstance(own, Mapping) else as_label_space(own)


def known_label_space(data: Any) -> LabelSpace | None:
    """Find the label space of a data set or loader, also inside what holds it; None without one.

    Looked at are ``label_space``, then ``dataset`` (loaders, subsets and wrappers) and ``datasets``
    (sets put together).

    Raises:
        ValueError: Sets that are put together are of several label spaces.
    """
    seen: set[int] = set()
    while getattr(data, "label_space", None) is None:
        seen.add(id(data))
        if isinstance(data, Mapping) or not hasattr(data, "datasets"):
            data = getattr(data, "dataset", None)
            if data is None or id(data) in seen:
                return None
            continue
        spaces = list(dict.fromkeys(map(known_label_space, data.datasets)))
        what, hint = "sets of one label space", "Open them with the same `label_space`."
        got = " and ".join(str(space or "none") for space in spaces)
        require(len(spaces) < 2, "datasets", what, got, hint)
        return spaces[0] if spaces else None
    return label_space_of(data)


def as_vocabulary(vocabulary: Any) -> Vocabulary:
    """Look up a vocabulary by its name, or take one of one's own, its codes in small letters.

    Args:
        vocabulary: Name in `VOCABULARIES`, or codes in any letter case to diagnoses, codes or None.

    Returns:
        Codes in small letters to diagnoses, codes or None.

    Raises:
        TypeError: It is neither.
        ValueError: There is no such name.
    """
    if isinstance(vocabulary, str):
        check_choice(vocabulary, "vocabulary", VOCABULARIES)
        return VOCABULARIES[vocabulary]
    what = "the name of a vocabulary, or codes to diagnoses, codes or None"
    got = f"a {type(vocabulary).__name__}"
    require(isinstance(vocabulary, Mapping), "vocabulary", what, got, error=TypeError)
    for code, meaning in vocabulary.items():
        fits = isinstance(code, str) and isinstance(meaning, (Diagnosis, str, type(None)))
        require(fits, "vocabulary", what, f"{code!r}: {meaning!r}", error=TypeError)
    return {code.strip().lower(): meaning for code, meaning in vocabulary.items()}


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
