import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dermolib._validation import (
    DatasetNotFoundError,
    check_choice,
    check_flag,
    check_image,
    check_mask,
    check_number,
    check_type,
    expected,
    listed,
    to_python,
)


def test_a_sentence_names_what_was_expected_what_came_and_a_hint() -> None:
    assert expected("x", "a number", -3, "Use 3.") == (
        "Expected `x` to be a number, but got -3. Use 3."
    )


def test_many_values_are_listed_by_the_first_few_and_a_count() -> None:
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(8)) == "0, 1, 2, 3, 4 and 3 more"


@pytest.mark.parametrize(
    ("value", "options", "what"),
    [
        (-3, {"low": 0, "high": 255}, "a number in 0..255"),
        (-1, {"low": 0}, "a number of 0 or more"),
        (4, {"high": 3}, "a number of up to 3"),
        (0, {"above": 0}, "a number above 0"),
        (1.5, {"above": 0, "high": 1}, "a number above 0 and up to 1"),
        (float("nan"), {}, "a number"),
        (0, {"low": 1, "integer": True}, "an integer of 1 or more"),
        (1, {"above": 0, "below": 1}, "a number above 0 and below 1"),
        (3, {"below": 3}, "a number below 3"),
        (float("inf"), {"above": 0, "below": float("inf")}, "a finite number above 0"),
        (float("inf"), {"low": 0, "below": float("inf")}, "a finite number of 0 or more"),
        (np.int64(3), {"low": 4, "integer": True}, "an integer of 4 or more"),
        (np.float32(1.5), {"low": 0, "high": 1}, "a number in 0..1"),
    ],
)
def test_a_number_out_of_range_is_refused(value: float, options: Any, what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`n` to be {what}, but got {value!r}.")):
        check_number(value, "n", **options)


def test_an_object_of_another_type_is_refused_with_the_name_of_its_type() -> None:
    check_type("a", "x", (str, Path), "a path")
    with pytest.raises(TypeError, match=r"`x` to be a path, but got an object of type int\. P"):
        check_type(3, "x", (str, Path), "a path", "Pass one.")


@pytest.mark.parametrize("value", [True, "3", None, 1 + 0j, 2.0])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    sentence = f"Expected `n` to be an integer, but got {value!r} of type {type(value).__name__}."
    with pytest.raises(TypeError, match=re.escape(sentence)):
        check_number(value, "n", integer=True)


@pytest.mark.parametrize(
    ("value", "got"), [("lub", "'lub'. Did you mean 'luv'?"), (np.array([1]), "array([1]).")]
)
def test_an_unknown_name_lists_the_known_and_guesses(value: Any, got: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"`m` to be one of 'luv', 'line', but got {got}")
    ):
        check_choice(value, "m", ["luv", "line"])


@pytest.mark.parametrize(
    ("image", "kind", "sentence"),
    [
        ([[1]], TypeError, "but got an object of type list."),
        (torch.zeros(3, 4, 4), TypeError, "type Tensor. Convert it with `numpy.asarray`"),
        (np.zeros((4, 4, 3)), TypeError, "dtype float64. Scale values in [0, 1] with"),
        (np.zeros((4, 4, 3), np.uint16), TypeError, "dtype uint16. Scale 16-bit values"),
        (np.zeros((4, 4, 3), np.int8), TypeError, "but got dtype int8."),
        (np.zeros((4, 4), np.uint8), ValueError, "shape (4, 4). Repeat a gray image"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "shape (4, 4, 4). Drop the alpha channel"),
        (np.zeros((3, 4, 5), np.uint8), ValueError, "shape (3, 4, 5). Move the channels last"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "shape (0, 4, 3). It has no pixel"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, "but got shape (4, 4, 2)."),
    ],
)
def test_what_is_not_an_rgb_image_is_refused_with_a_hint(
    image: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        check_image(image)


@pytest.mark.parametrize(
    ("mask", "kind", "sentence"),
    [
        ([True], TypeError, "an object of type list"),
        (np.zeros((2, 2), np.uint8), TypeError, "dtype uint8. Use `mask > 0`."),
        (np.zeros((2, 3), bool), ValueError, "a mask (2, 2) of dtype bool, but got shape (2, 3)."),
    ],
)
def test_what_is_no_mask_is_refused(mask: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        check_mask(mask, (2, 2))


def test_the_error_of_a_missing_data_set_crosses_process_borders() -> None:
    error = DatasetNotFoundError(Path("a"), "b")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the line above

    assert str(copy) == "Expected `a` to exist, but it does not. Expected layout: b."
    assert (copy.path, copy.layout) == (Path("a"), "b")


@pytest.mark.parametrize("value", ["no", 1, None, np.int64(0)])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    sentence = f"Expected `on` to be True or False, but got {value!r} of type"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}"):
        check_flag(value, "on")


def test_values_of_numpy_become_those_of_python() -> None:
    given = {
        np.str_("a"): np.float32(0.5),
        "b": (np.int64(2), np.bool_(True)),
        "c": np.longdouble(1),
    }

    found = to_python(given)

    assert found == {"a": 0.5, "b": [2, True], "c": 1.0}
    assert type(next(iter(found))) is str
    assert [type(one) for one in (found["a"], *found["b"], found["c"])] == [float, int, bool, float]
