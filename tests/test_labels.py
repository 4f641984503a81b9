import copy
from typing import Any

import numpy as np
import pytest

from dermolib.labels import (
    DIAGNOSES,
    LABEL_SPACES,
    VOCABULARIES,
    LabelSpace,
    Vocabulary,
    as_label_space,
    label_space_of,
)


def test_codes_are_those_of_isic_2019_in_the_order_of_the_challenge() -> None:
    codes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]

    found = [(diagnosis.index, diagnosis.number, diagnosis.code) for diagnosis in DIAGNOSES]

    assert found == [(place, place + 1, code) for place, code in enumerate(codes)]
    assert LABEL_SPACES["challenge"].codes == tuple(codes)


PUBLISHED = {
    "challenge": "MEL NV BCC AK BKL DF VASC SCC",
    "isic2018": "MEL NV BCC AKIEC BKL DF VASC",
    "isic2019": "MEL NV BCC AK BKL DF VASC SCC UNK",
    "binary": "benign malignant",
    "milk10k": "AKIEC BCC BEN_OTH BKL DF INF MAL_OTH MEL NV SCCKA VASC",
    "padufes": "ACK BCC MEL NEV SCC SEK",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_space_has_the_codes_of_its_challenge_in_order(name: str) -> None:
    space = as_label_space(name)

    assert space.codes == tuple(PUBLISHED[name].split())
    assert space.name == name
    assert len(space.names) == len(space) == len(set(space.names))
    assert [space.index(code.lower()) for code in space.codes] == list(range(len(space)))
    assert as_label_space(PUBLISHED[name].split()) is space
    assert (
        as_label_space(np.array(PUBLISHED[name].split())) is as_label_space(name.upper()) is space
    )
    assert LabelSpace(**space.to_dict()) == copy.deepcopy(space) == space


UNSURE = "Indeterminate::Indeterminate"
BOTH = "melanoma invasive", "melanoma in situ"


@pytest.mark.parametrize(
    ("space", "code", "expected"),
    [
        ("challenge", "MEL", "MEL"),
        ("challenge", " nv ", "NV"),
        ("challenge", "Melanocytic nevus", "NV"),
        ("challenge", "AKIEC", None),
        ("challenge", "UNK", None),
        ("challenge", "unknown", None),
        ("challenge", "INF", None),
        ("challenge", "SEK", "BKL"),
        ("challenge", "lichenoid keratosis", "BKL"),
        ("challenge", "squamous cell carcinoma in situ", "SCC"),
        ("challenge", "Benign", None),
        ("challenge", "Benign::Cysts", None),
        ("challenge", "Benign::Benign melanocytic proliferations::Nevus::Nevus, Spitz", "NV"),
        ("challenge", f"{UNSURE} melanocytic proliferations::Atypical neoplasm", None),
        ("challenge", f"{UNSURE} epidermal::Solar or actinic keratosis::Actinic keratosis", "AK"),
        ("isic2018", "ak", "AKIEC"),
        ("isic2018", "squamous cell carcinoma in situ", "AKIEC"),
        ("isic2018", "scc", None),
        ("isic2019", "unk", "UNK"),
        ("isic2019", "unknown", None),
        ("milk10k", "scc", "SCCKA"),
        ("milk10k", "squamous cell carcinoma in situ", "AKIEC"),
        ("milk10k", "ack", "AKIEC"),
        ("milk10k", "Keratoacanthoma", "SCCKA"),
        ("padufes", "nv", "NEV"),
        ("padufes", "bkl", None),
        ("padufes", "seborrheic keratosis", "SEK"),
        ("binary", "MEL", "malignant"),
        ("binary", "sek", "benign"),
        ("binary", "akiec", None),
        ("binary", "Benign::Cysts", "benign"),
        (["nevus", "melanoma"], "mel", "melanoma"),
        (["nevus", "melanoma"], "bcc", None),
        (BOTH, "melanoma in situ", "melanoma in situ"),
        (BOTH, "mel", None),
    ],
)
def test_a_code_goes_to_the_class_of_its_meaning_or_nowhere(
    space: Any, code: str, expected: str | None
) -> None:
    place = as_label_space(space).place(code)

    assert (None if place is None else as_label_space(space).codes[place]) == expected


def test_no_text_has_two_meanings() -> None:
    pairs = {pair for codes in VOCABULARIES.values() for pair in codes.items()}

    assert len(pairs) == len({text for text, _ in pairs})
    assert all(text == text.lower() for text, _ in pairs)


def test_a_vocabulary_of_ones_own_says_what_codes_mean() -> None:
    own: Vocabulary = {"Naevus": DIAGNOSES[1], "melanom": "MEL", "B": "benign", "unklar": None}

    found = [LABEL_SPACES["binary"].place(code, vocabulary=own) for code in own]

    assert found == [0, 1, 0, None]


def test_a_space_is_a_value() -> None:
    space = LabelSpace(["a", "b"], ["An a", "A b"])

    assert {space: 1}[LabelSpace(space.codes, space.names)] == 1
    assert space != LabelSpace(["b", "a"], ["An a", "A b"])
    assert space.name == ""
    assert space.place("A b") == 1


def test_what_names_no_space_has_that_of_the_challenge() -> None:
    assert label_space_of(object()) is LABEL_SPACES["challenge"]


@pytest.mark.parametrize(
    ("codes", "names", "error", "words"),
    [
        ("MEL", None, TypeError, "`codes` to be a list of text, but got a str"),
        ({"MEL": 0}, None, TypeError, "`codes` to be a list of text, but got a dict"),
        (["MEL", 3], None, TypeError, "`codes` to be a list of text, but got 3"),
        (["MEL"], None, ValueError, "`codes` to be two or more different codes, but got 1 of"),
        ([], None, ValueError, "`codes` to be two or more different codes, but got 0 of"),
        (["MEL", "mel"], None, ValueError, "but got MEL, mel more than once"),
        (["MEL", ""], None, ValueError, "`codes` to be text without blanks around it .* got ''"),
        (["MEL", "a\n"], None, ValueError, "`codes` to be text without blanks around it"),
        (["MEL", "a\x1bb"], None, ValueError, "`codes` to be .* or control characters"),
        (["MEL", "NV"], ["one"], ValueError, "`names` to be 2 names, one for each code, but got 1"),
    ],
)
def test_a_space_of_bad_codes_is_refused(
    codes: Any, names: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LabelSpace(codes, names)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("isic2108", ValueError, r"`label_space` to be one of .* Did you mean 'isic2018'\?"),
        (8, TypeError, "`label_space` to be the name of a label space, a LabelSpace or a list"),
        (b"MEL", TypeError, "a list of codes, but got a bytes. Such as `'binary'` or"),
        ({"MEL": 0}, TypeError, "a list of codes, but got a dict. Such as `'binary'` or"),
    ],
)
def test_what_is_no_space_is_refused(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_label_space(given)


@pytest.mark.parametrize(
    ("code", "vocabulary", "error", "words"),
    [
        ("scc", "ham10000", ValueError, "`diagnosis` to be a known code, but got 'scc'. Known are"),
        ("moon", None, ValueError, "`diagnosis` to be a known code, but got 'moon'. Known are MEL"),
        ("MEL", "isic2109", ValueError, r"`vocabulary` to be one of .* Did you mean 'isic2019'\?"),
        *(
            (code, "isic2019", TypeError, "`diagnosis` to be a code, a text, but got")
            for code in (None, 3, float("nan"))
        ),
        ("MEL", 3, TypeError, "`vocabulary` to be the name of a vocabulary, .* but got a int"),
        ("MEL", {"MEL": 0}, TypeError, "`vocabulary` to be the name .* but got 'MEL': 0"),
    ],
)
def test_unknown_codes_and_vocabularies_are_refused(
    code: Any, vocabulary: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LABEL_SPACES["challenge"].place(code, vocabulary=vocabulary)

    with pytest.raises(ValueError, match="`code` to be one of the label space challenge, but got"):
        LABEL_SPACES["challenge"].index("moon")
