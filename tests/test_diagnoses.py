from dermolib.diagnoses import DIAGNOSES


def test_index_and_number_follow_the_order_of_the_challenge() -> None:
    assert [diagnosis.index for diagnosis in DIAGNOSES] == list(range(8))
    assert [diagnosis.number for diagnosis in DIAGNOSES] == list(range(1, 9))


def test_codes_are_those_of_isic_2019() -> None:
    codes = [diagnosis.code for diagnosis in DIAGNOSES]

    assert codes == ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
