from typing import Any

import pytest

from dermolib.labels import DIAGNOSES, VOCABULARIES, find_diagnosis


def test_codes_are_those_of_isic_2019_in_the_order_of_the_challenge() -> None:
    codes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]

    found = [(diagnosis.index, diagnosis.number, diagnosis.code) for diagnosis in DIAGNOSES]

    assert found == [(place, place + 1, code) for place, code in enumerate(codes)]


UNSURE = "Indeterminate::Indeterminate"


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
        (f"{UNSURE} melanocytic proliferations::Atypical melanocytic neoplasm", "isic2024", None),
        (
            f"{UNSURE} epidermal proliferations::Solar or actinic keratosis::Actinic keratosis",
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


KNOWN = "Expected `diagnosis` to be a code of the vocabulary, but got 'scc'. Known are mel,"


@pytest.mark.parametrize(
    ("code", "vocabulary", "error", "words"),
    [
        ("scc", "ham10000", ValueError, KNOWN),
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
        find_diagnosis(code, vocabulary)
