import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dermolib.reporting import write_submission


def test_the_file_holds_ids_in_their_order_and_classes_one_above_the_labels(
    tmp_path: Path,
) -> None:
    path = write_submission(tmp_path / "new" / "answer.csv", ["b", "a", "c"], [0, 7, 3])

    assert path == tmp_path / "new" / "answer.csv"
    assert path.read_bytes() == b"ID,CLASS\nb,1\na,8\nc,4\n"


@pytest.mark.filterwarnings("ignore:Expected `labels` to be classes from 0")  # drawn so
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.dictionaries(
        st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).filter(str.strip),
        st.integers(0, 7),
        min_size=1,
    )
)
def test_any_answer_is_the_text_that_the_csv_module_writes(
    tmp_path: Path, answers: dict[str, int]
) -> None:
    path = write_submission(tmp_path / "answer.csv", list(answers), list(answers.values()))

    reference = io.StringIO()
    rows = [(name, label + 1) for name, label in answers.items()]
    csv.writer(reference, lineterminator="\n").writerows([("ID", "CLASS"), *rows])
    assert path.read_bytes() == reference.getvalue().encode()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_are_taken(tmp_path: Path, dtype: type[Any]) -> None:
    path = write_submission(tmp_path / "answer.csv", ["a", "b"], np.array([7, 0], dtype))

    assert path.read_text() == "ID,CLASS\na,8\nb,1\n"


def test_class_numbers_given_as_labels_are_noticed_without_the_last_class_too(
    tmp_path: Path,
) -> None:
    with pytest.warns(UserWarning, match=r"`labels` to be classes from 0, but got 1\.\.7 and no 0"):
        write_submission(tmp_path / "answer.csv", list("abcdefg"), range(1, 8))

    assert (tmp_path / "answer.csv").read_text().endswith("g,8\n")


def test_the_expected_ids_may_come_in_any_order(tmp_path: Path) -> None:
    path = write_submission(tmp_path / "a.csv", ["b", "a"], [0, 1], expected_ids=iter("ab"))

    assert path.read_text() == "ID,CLASS\nb,1\na,2\n"


NAN = float("nan")


@pytest.mark.parametrize(
    ("ids", "labels", "kind", "found"),
    [
        ([], [], ValueError, "at least one id, none empty, but got none"),
        (["a", " "], [0, 1], ValueError, "at least one id, none empty, but got an empty one"),
        (["a", 7], [0, 1], TypeError, "`ids` to be text, but got 7"),
        (["a", "b", "a", "b", "c"], [0] * 5, ValueError, "unique, but got repeated a, b"),
        (["a", "b"], [0], ValueError, "2 labels, one per id, but got shape (1,)"),
        (["a", "b"], np.zeros((2, 8)), ValueError, "`scores.argmax(axis=1)`"),
        (["a", "b"], [1, 8], ValueError, "integers (N,) in 0..7, but got 8"),
        (["a", "b"], [-1, 0], ValueError, "integers (N,) in 0..7, but got -1"),
        (["a", "b"], [1, NAN], TypeError, "in 0..7, but got dtype float64"),
        (["a", "b"], [True, False], TypeError, "in 0..7, but got dtype bool"),
    ],
)
def test_a_wrong_answer_is_refused_and_the_old_file_kept(
    tmp_path: Path, ids: list[Any], labels: Any, kind: type[Exception], found: str
) -> None:
    path = tmp_path / "answer.csv"
    path.write_text("old")

    with pytest.raises(kind, match=re.escape(found)):
        write_submission(path, ids, labels)
    assert path.read_text() == "old"


def test_ids_other_than_the_expected_ones_are_counted_and_named(tmp_path: Path) -> None:
    found = "got 7 missing (b, c, d, e, f and 2 more) and 1 unexpected (z)."
    with pytest.raises(ValueError, match=re.escape(found)):
        write_submission(tmp_path / "a.csv", ["a", "z"], [0, 1], expected_ids="abcdefgh")
    with pytest.raises(ValueError, match=r"but got 1 missing \(b\)\.$"):
        write_submission(tmp_path / "a.csv", ["a"], [0], expected_ids=["a", "b"])

    assert not list(tmp_path.iterdir())
