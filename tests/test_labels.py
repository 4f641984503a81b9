import re
from typing import Any

import pytest

from dermolib.labels import DIAGNOSES, VOCABULARIES, find_diagnosis


def test_index_and_number_follow_the_order_of_the_challenge() -> None:
    assert [diagnosis.index for diagnosis in DIAGNOSES] == list(range(8))
    assert [diagnosis.number for diagnosis in DIAGNOSES] == list(range(1, 9))


def test_codes_are_those_of_isic_2019() -> None:
    codes = [diagnosis.code for diagnosis in DIAGNOSES]

    assert codes == ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]


@pytest.mark.parametrize(
    ("code", "vocabulary", "expected"),
    [
        ("MEL", "isic2019", "MEL"),
        (" nv ", "ham10000", "NV"),
        ("AKIEC", "isic2018", None),
        ("UNK", "isic2019", None),
        ("unknown", "isic2020", None),
        ("lichenoid keratosis", "isic2020", "BKL"),
        ("Benign", "isic2024", None),
        ("Benign::Cysts", "isic2024", None),
        ("Benign::Benign melanocytic proliferations::Nevus::Nevus, Spitz", "isic2024", "NV"),
        (
            "Indeterminate::Indeterminate melanocytic proliferations"
            "::Atypical melanocytic neoplasm",
            "isic2024",
            None,
        ),
        (
            "Indeterminate::Indeterminate epidermal proliferations::Solar or actinic keratosis"
            "::Actinic keratosis, Bowenoid",
            "isic2024",
            "AK",
        ),
    ],
)
def test_a_code_means_a_diagnosis_or_none(code: str, vocabulary: str, expected: str | None) -> None:
    found = find_diagnosis(code, vocabulary)

    assert (found and found.code) == expected


def test_every_vocabulary_names_some_diagnoses_and_only_those_of_the_eight() -> None:
    for vocabulary in VOCABULARIES.values():
        found = {diagnosis for diagnosis in vocabulary.values() if diagnosis}
        assert {DIAGNOSES[0], DIAGNOSES[1]} <= found <= set(DIAGNOSES)
        assert all(code == code.lower() for code in vocabulary)


def test_an_unknown_code_is_refused_with_the_known() -> None:
    sentence = "Expected `diagnosis` to be a code of the vocabulary, but got 'scc'. Known are mel,"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        find_diagnosis("scc", "ham10000")


def test_an_unknown_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`vocabulary` to be one of .* Did you mean 'isic2019'\?"):
        find_diagnosis("MEL", "isic2109")


@pytest.mark.parametrize("code", [None, 3, float("nan")])
def test_what_is_no_code_is_refused(code: Any) -> None:
    with pytest.raises(TypeError, match="`diagnosis` to be a code, a text, but got"):
        find_diagnosis(code, "isic2019")
