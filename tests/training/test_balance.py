import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_trainer import Colours, network, trainer
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from dermolib import Trainer
from dermolib.datasets.device_loader import DeviceLoader
from dermolib.datasets.loaders import EpochSampler, make_loader
from dermolib.training.balance import Balance
from dermolib.training.loaders import as_loader, check_order, labels_of, shuffles
from dermolib.training.recipe import RunOptions

NAMES = ("a", "b", "c")
SAMPLER = "`sampler` to be 'balanced', a power in 0..1, or None, but got "


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
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(class_weights="auto", sampler="balanced")

    assert caught == []


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
        ({"sampler": "auto"}, ValueError, f"{SAMPLER}'auto'."),
        ({"sampler": 2}, ValueError, f"{SAMPLER}2."),
        ({"sampler": float("nan")}, ValueError, f"{SAMPLER}nan."),
        ({"sampler": True}, TypeError, f"{SAMPLER}True."),
        ({"sampler": [0.5]}, TypeError, f"{SAMPLER}[0.5]."),
        (
            {"class_weights": {"a": 1}},
            TypeError,
            "`class_weights` to be numbers, one for each class",
        ),
        ({"class_weights": ["a", "b", "c"]}, TypeError, "`class_weights` to be numbers, one for e"),
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


UNEVEN = uneven(0, 0, 0, 0, 1, 1, 2)
ODDS = [1.0] * 4 + [2.0, 2.0, 4.0]


def resident(**options: Any) -> DeviceLoader:
    image = np.zeros((4, 4, 3), np.uint8)
    data = [{"image": image, "label": int(label)} for label in UNEVEN.labels]
    return DeviceLoader(data, device="cpu", **options)


class Odd(Sampler[int]):
    """Draws in a way of its own."""

    def __len__(self) -> int:
        return 7

    def __iter__(self) -> Any:
        return iter([6] * 7)


def weighting() -> list[Any]:
    """Make loaders that draw small classes more often."""
    drawn = WeightedRandomSampler(ODDS, 7)
    return [
        make_loader(UNEVEN, shuffle=True, sample_weights=ODDS),
        resident(shuffle=True, sample_weights=ODDS),
        DataLoader(UNEVEN, sampler=drawn),
        DataLoader(UNEVEN, batch_sampler=BatchSampler(drawn, 2, drop_last=False)),
    ]


@pytest.mark.parametrize("kind", range(4))
def test_a_loader_that_draws_by_weights_is_balanced_already(kind: int) -> None:
    loader = weighting()[kind]

    assert balance("auto").loss_weights(loader) is None
    for weights in ("balanced", [1.0, 2.0, 4.0]):
        with pytest.warns(UserWarning, match="and a loader that draws by weights both") as caught:
            assert balance(weights).loss_weights(loader) is not None
        assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


@pytest.mark.parametrize(
    "loader",
    [
        make_loader(UNEVEN, shuffle=True),
        resident(shuffle=True),
        DataLoader(UNEVEN, shuffle=True),
        DataLoader(UNEVEN, sampler=SubsetRandomSampler(range(7))),
    ],
)
def test_a_loader_that_draws_evenly_is_weighted(loader: Any) -> None:
    weights = balance("auto").loss_weights(loader)

    assert weights is not None
    assert weights.tolist() == pytest.approx([7 / 12, 7 / 6, 7 / 3])


def test_a_sampler_that_is_not_known_gets_no_automatic_weights() -> None:
    assert balance("auto").loss_weights(DataLoader(UNEVEN, sampler=Odd())) is None


def test_rows_that_are_never_drawn_do_not_count() -> None:
    loader = DataLoader(UNEVEN, sampler=SubsetRandomSampler([3, 4, 5]))

    weights = balance("balanced").loss_weights(loader)

    assert weights is not None
    assert weights[0] == 2 * weights[1]
    with pytest.warns(UserWarning, match="The training set has no image of c, which"):
        balance().check(loader, None)


def test_a_class_without_an_image_for_validation_is_warned_of() -> None:
    sentence = "The validation set has no image of b, c, of which its scores tell nothing. Split"
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}"):
        balance().check(uneven(0, 1, 2), uneven(0, 0))


@pytest.mark.parametrize(
    ("labels", "kind", "got"),
    [
        (np.array([0.0, 1.0, 2.0]), TypeError, "float64 of shape (3,). Number the classes"),
        (np.array([0.0, np.nan, 2.0]), TypeError, "float64 of shape (3,). Number the classes"),
        (["a", "b", "c"], TypeError, "<U1 of shape (3,). Number the classes from 0."),
        ([0, None, 2], TypeError, "object of shape (3,). Number the classes from 0."),
        (np.eye(3, dtype=int), ValueError, "shape (3, 3). Rows of one 1 become classes by"),
        ([0, 1], ValueError, "2 for 3 rows."),
        ([0, 1, 2, 0], ValueError, "4 for 3 rows."),
    ],
)
def test_labels_of_another_form_are_refused(labels: Any, kind: type[Exception], got: str) -> None:
    class Told(Silent):
        def __len__(self) -> int:
            return 3

    data: Any = Told()
    data.labels = labels
    sentence = (
        f"Expected `labels` to be classes (N,), whole numbers, one for each row, but got {got}"
    )

    for given in (data, DataLoader(data), Subset(data, [0])):
        for sampler in (None, "balanced"):
            with pytest.raises(kind, match=f"^{re.escape(sentence)}"):
                trainer(sampler=sampler, epochs=1).fit(given)


@pytest.mark.parametrize("labels", [None, [None] * 6, lambda: [0] * 6])
def test_labels_that_tell_nothing_are_unknown(labels: Any) -> None:
    data: Any = Silent()
    data.labels = labels

    assert labels_of(data) is None


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool])
def test_labels_may_be_whole_numbers_of_any_kind(kind: torch.dtype) -> None:
    data: Any = Silent()
    data.labels = torch.tensor([0, 1, 1, 0, 1, 0]).to(kind)

    labels = labels_of(data)

    assert labels is not None
    assert labels.dtype == np.dtype(np.int64)
    assert labels.tolist() == [0, 1, 1, 0, 1, 0]


def test_a_sampler_says_which_label_is_no_class() -> None:
    with pytest.raises(
        ValueError, match=r"`label` to be classes \(N,\) in 0\.\.2, but got -1, 0\."
    ):
        balance(sampler="balanced").odds(uneven(-1, 0))


@pytest.mark.parametrize(
    ("loader", "mixed"),
    [
        (make_loader(UNEVEN), False),
        (make_loader(UNEVEN, shuffle=True), True),
        (resident(), False),
        (resident(shuffle=True), True),
        (DataLoader(UNEVEN), False),
        (DataLoader(UNEVEN, batch_size=None), False),
        (DataLoader(UNEVEN, sampler=SequentialSampler(UNEVEN)), False),
        ([{"image": torch.zeros(1, 3, 8, 8)}], False),
        (DataLoader(UNEVEN, shuffle=True), True),
        (DataLoader(UNEVEN, sampler=SubsetRandomSampler([0, 1])), True),
        (DataLoader(UNEVEN, sampler=WeightedRandomSampler(ODDS, 7)), True),
        (DataLoader(UNEVEN, sampler=Odd()), True),
        (DataLoader(UNEVEN, batch_sampler=BatchSampler(RandomSampler(UNEVEN), 2, False)), True),
        (DataLoader(UNEVEN, batch_sampler=[[1, 0]]), True),
    ],
)
def test_only_an_order_that_is_known_is_one(loader: Any, mixed: bool) -> None:
    assert shuffles(loader) is mixed


def test_a_loader_in_another_order_is_told_by_its_sampler() -> None:
    with pytest.raises(ValueError, match="a loader in order, but got one with a SubsetRandomS"):
        check_order(DataLoader(UNEVEN, sampler=SubsetRandomSampler([0, 1])))


class Stream(IterableDataset[Any]):
    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Any:
        return iter(Colours(2))


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(Colours(2))


BATCH = {"image": torch.zeros(2, 3, 8, 8), "label": torch.tensor([0, 1])}


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        (Stream(), TypeError, "a map-style dataset, or a loader, but got an object of type Stream"),
        ({0: BATCH}, TypeError, "a map-style dataset, or a loader, but got an object of type dict"),
        ("images", TypeError, "a map-style dataset, or a loader, but got an object of type str."),
        ([BATCH], TypeError, "but got a list of batches. A list is taken for a dataset: pass a"),
        ([(BATCH["image"], BATCH["label"])], TypeError, "or a loader, but got a list of batches."),
        ((BATCH,), TypeError, "or a loader, but got a tuple of batches. A list is taken for a d"),
        (DataLoader(Endless()), TypeError, "a dataset or loader with a length, but got an objec"),
        (Subset(UNEVEN, []), ValueError, "a set with at least one image, but got an empty one."),
    ],
)
@pytest.mark.parametrize("sampler", [None, "balanced"])
def test_what_is_no_dataset_is_refused(
    data: Any, kind: type[Exception], sentence: str, sampler: Any
) -> None:
    options = RunOptions(epochs=1, batch_size=2, workers=0)
    with pytest.raises(kind, match=f"^Expected `data` to be .*{re.escape(sentence)}"):
        as_loader(data, "data", options, shuffle=False, pin=False)
    if isinstance(data, Subset) or sampler is None:
        with pytest.raises(kind, match=f"^Expected `train` to be .*{re.escape(sentence)}"):
            trainer(sampler=sampler).fit(data)
