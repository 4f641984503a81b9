"""Batches: what a step takes is looked at, and converted or refused, never ignored."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dermolib.training.batches import check_soft_label, labelled, unpack

K = 3
IMAGE = torch.zeros(2, 3, 4, 4)
LABEL = torch.tensor([0, 2])
SOFT = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])


def batch(**parts: Any) -> dict[str, Any]:
    return {"image": IMAGE, "label": LABEL, **parts}


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 9), classes=st.integers(2, 30))
def test_probabilities_of_any_precision_are_soft_labels(seed: int, rows: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    soft = (torch.randn(rows, classes, generator=generator) * 4).softmax(dim=1)

    for kind in (torch.float64, torch.float32, torch.float16):
        given = {"image": torch.zeros(rows, 3, 1, 1), "label": torch.zeros(rows).long()}
        taken = labelled({**given, "soft_label": soft.to(kind)}, classes).soft_label
        assert taken is not None
        assert torch.equal(taken, soft.to(kind).float())


@pytest.mark.parametrize(
    ("soft", "kind", "got"),
    [
        (SOFT.long(), TypeError, "torch.int64"),
        (SOFT[:, :2], ValueError, "shape (2, 2)"),
        (SOFT[0], ValueError, "shape (3,)"),
        (SOFT[:1], ValueError, "shape (1, 3)"),
        (SOFT * 100, ValueError, "[50.0, 50.0, 0.0] in row 0. Logits become probabilities by"),
        (SOFT * 0, ValueError, "[0.0, 0.0, 0.0] in row 0."),
        (SOFT * torch.nan, ValueError, "[nan, nan, nan] in row 0."),
        (SOFT.new_tensor([[1, 0, 0], [2, -1, 0]]), ValueError, "[2.0, -1.0, 0.0] in row 1."),
        (SOFT.new_tensor([[torch.inf, 0, 0]] * 2), ValueError, "[inf, 0.0, 0.0] in row 0."),
    ],
)
def test_soft_labels_that_are_no_probabilities_are_refused(
    soft: Any, kind: type[Exception], got: str
) -> None:
    sentence = (
        "Expected `soft_label` to be probabilities (2, 3), floating point, each row of sum 1, "
        f"but got {got}"
    )
    with pytest.raises(kind, match=f"^{re.escape(sentence)}"):
        labelled(batch(soft_label=soft), K)


def test_values_are_looked_at_where_the_device_need_not_be_waited_for() -> None:
    check_soft_label(SOFT * 100, (2, 3), values=False)
    with pytest.raises(ValueError, match="`soft_label` to be probabilities"):
        labelled(batch(soft_label=SOFT * 100), K, values=False)


def test_arrays_are_taken_as_tensors_are() -> None:
    metadata = np.arange(4.0).reshape(2, 2)

    ready = labelled(
        batch(label=LABEL.numpy(), soft_label=SOFT.double().numpy(), metadata=metadata), K
    )

    assert ready.label is not None
    assert ready.soft_label is not None
    assert ready.metadata is not None
    assert torch.equal(ready.label, LABEL)
    assert torch.equal(ready.soft_label, SOFT)
    assert ready.metadata.tolist() == metadata.tolist()
    assert ready.metadata.dtype == ready.soft_label.dtype == torch.float32


@pytest.mark.parametrize("name", ["soft_label", "metadata"])
@pytest.mark.parametrize("values", [[LABEL, LABEL], np.array(["a", "b"]), {"age": LABEL}])
def test_what_is_neither_tensor_nor_array_is_not_ignored(name: str, values: Any) -> None:
    got = f"but got an object of type {type(values).__name__}. Give each sample an array or"
    with pytest.raises(TypeError, match=rf"^Expected `{name}` to be a tensor .*{got}"):
        unpack(batch(**{name: values}))


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (LABEL[:, None], "torch.int64 of shape (2, 1)."),
        (SOFT, "torch.float32 of shape (2, 3)."),
        ([0, 2], "list of shape ()."),
    ],
)
def test_labels_of_another_form_are_told_by_type_and_shape(label: Any, got: str) -> None:
    sentence = f"Expected `label` to be classes (N,) in 0..2, but got {got}"
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        labelled(batch(label=label), K)


def test_as_many_labels_as_images_are_needed() -> None:
    sentence = "Expected `label` to be one class for each image, but got 1 for 2 images."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        labelled(batch(label=LABEL[:1]), K)


def test_soft_labels_alone_are_no_labels() -> None:
    with pytest.raises(ValueError, match="a batch with `label` beside `soft_label`, by which"):
        labelled({"image": IMAGE, "soft_label": SOFT}, K)
    with pytest.raises(ValueError, match=r"a batch with `label`, but got none\. Use `predict`"):
        labelled({"image": IMAGE}, K)


def test_images_that_are_not_finite_are_refused_with_the_labels() -> None:
    with pytest.raises(ValueError, match="Expected `image` to be finite, but got NaN or inf"):
        labelled(batch(image=IMAGE / 0), K)


def test_bytes_are_refused_with_both_ways_to_make_numbers_of_them() -> None:
    with pytest.raises(TypeError, match="or a `DeviceLoader` an `augment` such as `BatchAug"):
        unpack(batch(image=IMAGE.byte()))
