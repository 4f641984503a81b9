import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.dictionaries(
        st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).filter(str.strip),
        st.integers(0, 7),
        min_size=1,
    )
)
def test_any_answer_is_read_back_as_pandas_would_have_written_it(
    tmp_path: Path, answers: dict[str, int]
) -> None:
    path = write_submission(tmp_path / "answer.csv", list(answers), list(answers.values()))

    reference = pd.DataFrame({"ID": list(answers), "CLASS": [x + 1 for x in answers.values()]})
    assert path.read_text("utf-8") == reference.to_csv(index=False, lineterminator="\n")


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_are_taken(tmp_path: Path, dtype: type[Any]) -> None:
    path = write_submission(tmp_path / "answer.csv", ["a", "b"], np.array([7, 0], dtype))

    assert path.read_text() == "ID,CLASS\na,8\nb,1\n"


def test_the_expected_ids_may_come_in_any_order(tmp_path: Path) -> None:
    path = write_submission(tmp_path / "a.csv", ["b", "a"], [0, 1], expected_ids=iter("ab"))

    assert path.read_text() == "ID,CLASS\nb,1\na,2\n"


@pytest.mark.parametrize(
    ("ids", "labels", "kind", "sentence"),
    [
        (
            [],
            [],
            ValueError,
            "Expected `ids` to be at least one id, none of them empty, but got none.",
        ),
        (
            ["a", " "],
            [0, 1],
            ValueError,
            "Expected `ids` to be at least one id, none of them empty, but got an empty one.",
        ),
        (
            ["a", 7],
            [0, 1],
            TypeError,
            "Expected `ids` to be text, but got 7 of type int.",
        ),
        (
            ["a", "b", "a", "b", "c"],
            [0] * 5,
            ValueError,
            "Expected `ids` to be different ids, but got repeated a, b. "
            "Give one prediction for each image.",
        ),
        (
            ["a", "b"],
            [0],
            ValueError,
            "Expected `labels` to be 2 labels, one for each id, but got 1.",
        ),
        (
            ["a", "b"],
            np.zeros((2, 8)),
            ValueError,
            "Expected `labels` to be whole numbers (N,) in 0..7, but got shape (2, 8). "
            "Turn scores (N, 8) into labels with `scores.argmax(axis=1)`.",
        ),
        (
            ["a", "b"],
            [1, 8],
            ValueError,
            "Expected `labels` to be whole numbers (N,) in 0..7, but got 8. "
            "Labels are indices; the challenge's numbers 1..8 are one higher.",
        ),
        (
            ["a", "b"],
            [-1, 0],
            ValueError,
            "Expected `labels` to be whole numbers (N,) in 0..7, but got -1. "
            "Labels are indices; the challenge's numbers 1..8 are one higher.",
        ),
        (
            ["a", "b"],
            [1, float("nan")],
            TypeError,
            "Expected `labels` to be whole numbers (N,) in 0..7, but got dtype float64.",
        ),
        (
            ["a", "b"],
            [True, False],
            TypeError,
            "Expected `labels` to be whole numbers (N,) in 0..7, but got dtype bool.",
        ),
    ],
)
def test_a_bad_answer_is_refused_and_the_old_file_kept(
    tmp_path: Path, ids: list[Any], labels: Any, kind: type[Exception], sentence: str
) -> None:
    path = tmp_path / "answer.csv"
    path.write_text("old")

    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        write_submission(path, ids, labels)
    assert path.read_text() == "old"


def test_ids_other_than_the_expected_ones_are_counted_and_named(tmp_path: Path) -> None:
    sentence = (
        "Expected `ids` to be the 8 expected ids, but got 7 lacking (b, c, d, e, f and 2 more) "
        "and 1 too many (z)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        write_submission(tmp_path / "a.csv", ["a", "z"], [0, 1], expected_ids="abcdefgh")
    with pytest.raises(ValueError, match=r"but got 1 lacking \(b\)\.$"):
        write_submission(tmp_path / "a.csv", ["a"], [0], expected_ids=["a", "b"])

    assert not list(tmp_path.iterdir())
