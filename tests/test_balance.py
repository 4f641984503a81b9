import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from dermolib.loaders import EpochSampler
from dermolib.training import Trainer
from dermolib.training.balance import Balance
from test_trainer import Colours, network, trainer

NAMES = ("a", "b", "c")


def balance(weights: Any = "auto", sampler: Any = None) -> Balance:
    return Balance(weights, sampler, NAMES)


def uneven(*labels: int) -> Colours:
    data = Colours(len(labels))
    data.labels = np.array(labels)
    return data


class Silent(Dataset[Any]):
    """Images that do not tell their labels before they are read."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(3, 8, 8), index % 3


def test_automatic_weights_are_balanced_where_labels_are_told() -> None:
    data = uneven(0, 0, 0, 0, 1, 1, 2)

    weights = balance("auto").loss_weights(data)

    assert weights is not None
    assert weights.tolist() == pytest.approx([7 / 12, 7 / 6, 7 / 3])
    balanced = balance("balanced").loss_weights(DataLoader(data))
    assert balanced is not None
    assert torch.equal(weights, balanced)


def test_automatic_weights_are_none_where_labels_are_not_told_or_a_sampler_is_on() -> None:
    assert balance("auto").loss_weights(Silent()) is None
    assert balance("auto", "balanced").loss_weights(uneven(0, 1, 2)) is None
    assert balance(None).loss_weights(uneven(0, 1, 2)) is None


def test_a_training_set_that_does_not_tell_its_labels_is_trained_on_by_default() -> None:
    assert len(Trainer(network(), num_classes=3, epochs=1, device="cpu").fit(Silent())) == 1


@pytest.mark.parametrize(("sampler", "power"), [("balanced", 1.0), (0.5, 0.5), (0, 0.0)])
def test_a_sampler_draws_by_its_power(sampler: Any, power: float) -> None:
    odds = balance(sampler=sampler).odds(uneven(0, 0, 0, 0, 1))

    assert odds is not None
    assert odds[4] / odds[0] == pytest.approx(4**power)


def test_a_sampler_makes_rare_classes_come_as_often() -> None:
    data = uneven(*[0] * 90, *[1] * 8, *[2] * 2)
    odds = balance(sampler="balanced").odds(data)

    rows = EpochSampler(100, sample_weights=odds).rows(0)

    counts = np.bincount(data.labels[rows], minlength=3)
    assert counts.min() > 15


def test_the_training_set_is_drawn_anew_in_each_epoch() -> None:
    seen: list[int] = []

    class Noted(Colours):
        def __getitem__(self, index: int) -> Any:
            seen.append(index)
            return super().__getitem__(index)

    data = Noted(12)
    data.labels = np.array([0] * 10 + [1, 2])

    trainer(sampler="balanced", epochs=2).fit(data)

    assert len(seen) == 24
    assert sum(index >= 10 for index in seen) > 8
    assert seen[:12] != seen[12:]


def test_weights_and_sampler_together_are_warned_of_where_they_are_given() -> None:
    with pytest.warns(UserWarning, match=r"together they have made models collapse\.") as caught:
        trainer(class_weights="balanced", sampler="balanced")

    assert len(caught) == 1
    assert caught[0].filename == str(Path(__file__).with_name("test_trainer.py"))


def test_automatic_weights_beside_a_sampler_are_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(class_weights="auto", sampler="balanced")


def test_a_class_without_an_image_is_warned_of_where_the_run_is_started() -> None:
    with pytest.warns(
        UserWarning, match=r"^The training set has no image of blue, which"
    ) as caught:
        trainer(class_names=["red", "green", "blue"], epochs=1).fit(uneven(0, 1, 0, 1))

    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, -1, 2], [1, 2, 3]])
def test_labels_that_are_no_classes_are_told_before_an_image_is_read(labels: list[int]) -> None:
    class Unread(Colours):
        def __getitem__(self, index: int) -> Any:
            raise AssertionError(index)

    data = Unread(len(labels))
    data.labels = np.array(labels)
    listed = ", ".join(map(str, sorted(set(labels))))
    sentence = f"Expected `label` to be classes (N,) in 0..2, but got {listed}. Labels begin at 0"

    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer().fit(data)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer().fit(Unread(3), data)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"sampler": "even"}, ValueError, "`sampler` to be one of 'balanced', but got 'even'."),
        ({"sampler": 2}, ValueError, "`sampler` to be a number in 0..1, but got 2."),
        ({"sampler": True}, TypeError, "`sampler` to be a number in 0..1, but got True of type"),
        ({"class_weights": "auto "}, ValueError, "`class_weights` to be one of 'auto', 'balanced'"),
        ({"class_weights": [1, 2]}, ValueError, "`class_weights` to be 3 weights"),
    ],
)
def test_unfit_options_are_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        trainer(**options)


def test_a_sampler_needs_labels_and_a_dataset() -> None:
    remedy = "Pass a loader of `make_loader` with `sample_weights`."
    with pytest.raises(ValueError, match=f"for a balanced sampler, but got .*{re.escape(remedy)}"):
        trainer(sampler="balanced").fit(Silent())
    with pytest.raises(
        TypeError, match=r"`train` to be a dataset where `sampler` is given, but got"
    ):
        trainer(sampler="balanced").fit(DataLoader(Colours(9), batch_size=3))
