"""Datasets and loaders that the Trainer is given: labels, order, and what is refused."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from colors import Colors, Silent, labeled, trainer
from test_sampling import UNEVEN, Odd, drawn, on_device
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
)

from dermolib import make_loader

# Asked by `fit` and `predict` before their first batch
from dermolib.training.data import labels_of, shuffles


@pytest.mark.parametrize(
    ("labels", "error", "got"),
    [
        (np.array([0.0, np.nan, 2.0]), TypeError, "float64 of shape (3,). Number the classes"),
        (["a", "b", "c"], TypeError, "<U1 of shape (3,). Number the classes from 0."),
        ([0, None, 2], TypeError, "object of shape (3,). Number the classes from 0."),
        (np.eye(3, dtype=int), ValueError, "int64 of shape (3, 3). One-hot rows become classes by"),
        ([0, 1], ValueError, "2 for 3 rows."),
        ([0, 1, 2, 0], ValueError, "4 for 3 rows."),
    ],
)
def test_labels_of_another_form_are_refused(labels: Any, error: type[Exception], got: str) -> None:
    data = Silent(3)
    data.labels = labels
    sentence = f"Expected `labels` to be integer classes (N,), one for each row, but got {got}"

    for wrapped in (data, DataLoader(data), Subset(data, [0])):
        for sampler in (None, "balanced"):
            with pytest.raises(error, match=f"^{re.escape(sentence)}"):
                trainer(sampler=sampler, epochs=1).fit(wrapped)


@pytest.mark.parametrize("labels", [None, [None] * 6, lambda: [0] * 6])
def test_labels_that_say_nothing_are_unknown(labels: Any) -> None:
    data = Silent()
    data.labels = labels

    assert labels_of(data) is None


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool])
def test_labels_may_be_integers_of_any_kind(kind: torch.dtype) -> None:
    data = Silent()
    data.labels = torch.tensor([0, 1, 1, 0, 1, 0]).to(kind)

    labels = labels_of(data)

    assert labels is not None
    assert labels.dtype == np.dtype(np.int64)
    assert labels.tolist() == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("loader", "mixed"),
    [
        (make_loader(UNEVEN), False),
        (make_loader(UNEVEN, shuffle=True), True),
        (on_device(), False),
        (on_device(shuffle=True), True),
        (DataLoader(UNEVEN, batch_size=None), False),
        (DataLoader(UNEVEN, sampler=SequentialSampler(UNEVEN)), False),
        ([{"image": torch.zeros(1, 3, 8, 8)}], False),
        (DataLoader(UNEVEN, shuffle=True), True),
        (DataLoader(UNEVEN, sampler=SubsetRandomSampler([0, 1])), True),
        (DataLoader(UNEVEN, sampler=drawn()), True),
        (DataLoader(UNEVEN, sampler=Odd()), True),
        (DataLoader(UNEVEN, batch_sampler=BatchSampler(RandomSampler(UNEVEN), 2, False)), True),
        (DataLoader(UNEVEN, batch_sampler=[[1, 0]]), True),
    ],
)
def test_only_a_known_order_is_one(loader: Any, mixed: bool) -> None:
    assert shuffles(loader) is mixed


def test_a_loader_in_another_order_cannot_be_predicted() -> None:
    with pytest.raises(
        ValueError, match=r"a loader in order, but got one that shuffles \(by a Ran"
    ):
        trainer().predict(DataLoader(UNEVEN, shuffle=True))
    with pytest.raises(ValueError, match=r"one that shuffles \(by a Subset"):
        trainer().predict(DataLoader(UNEVEN, sampler=SubsetRandomSampler([0, 1])))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(Colors(2))


class SizedStream(Stream):
    def __len__(self) -> int:
        return 2


BATCH = {"image": torch.zeros(2, 3, 8, 8), "label": torch.tensor([0, 1])}


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (SizedStream(), TypeError, "a map-style dataset, or a loader, but got an object of type"),
        ({0: BATCH}, TypeError, "a map-style dataset, or a loader, but got an object of type dict"),
        ("images", TypeError, "a map-style dataset, or a loader, but got an object of type str."),
        ([BATCH], TypeError, "but got a list of batches. A list is taken for a dataset: pass a"),
        ([(BATCH["image"], BATCH["label"])], TypeError, "or a loader, but got a list of batches."),
        ((BATCH,), TypeError, "or a loader, but got a tuple of batches. A list is taken for a d"),
        (DataLoader(Stream()), TypeError, "a dataset or loader with a length, but got an object"),
        (iter([]), TypeError, "a dataset or loader with a length, but got an object of type"),
        (Subset(UNEVEN, []), ValueError, "a set with at least one image, but got an empty one."),
        ([], ValueError, "a set with at least one image, but got an empty one."),
    ],
)
def test_what_is_not_a_dataset_is_refused(data: Any, error: type[Exception], sentence: str) -> None:
    for use, name in ((trainer().fit, "train"), (trainer().predict, "data")):
        with pytest.raises(error, match=f"^Expected `{name}` to be .*{re.escape(sentence)}"):
            use(data)


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        ([{"image": torch.zeros(3, 8, 8)}], ValueError, "`batch` to be a batch with `label`"),
        ([{"label": 1}], TypeError, "a dictionary with `image` and `label`, or a pair of them"),
        (
            [{"image": torch.zeros(8, 8, 3, dtype=torch.uint8), "label": 1}],
            TypeError,
            "`image` to be a float tensor (N, 3, H, W), but got torch.uint8 of shape (8, 8, 8, 3).",
        ),
    ],
)
def test_batches_of_another_form_are_refused(
    data: Any, error: type[Exception], sentence: str
) -> None:
    for use in (trainer().fit, trainer().find_learning_rate):
        with pytest.raises(error, match=re.escape(sentence)):
            use(data * 8)


def test_an_empty_subset_with_a_sampler_is_refused_as_empty() -> None:
    with pytest.raises(ValueError, match="`train` to be a set with at least one image"):
        trainer(sampler="balanced").fit(Subset(labeled(0, 1, 2), []))
