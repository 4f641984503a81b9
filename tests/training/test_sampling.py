"""Class imbalance: weights in the loss, and how often images are drawn."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colors import Acting, Colors, Silent, labeled, network, trainer
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Sampler,
    Subset,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from dermolib import Trainer, make_loader
from dermolib.datasets.device_loader import DeviceLoader
from dermolib.datasets.loaders import EpochSampler
from dermolib.training import sample_weights

# What `fit` asks before its first step; a run shows them only through thousands of draws
from dermolib.training.sampling import loss_weights, sampling_weights, warn_of_absent_classes

labels = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore:Expected `labels` to be classes from 0")  # drawn so
@given(labels, st.floats(0, 1))
def test_an_image_is_drawn_by_the_power_of_the_size_of_its_class(
    labels: list[int], power: float
) -> None:
    weights = sample_weights(labels, power=power)

    sizes = np.array([labels.count(k) for k in labels])
    assert weights.sum() == pytest.approx(1)
    assert weights / weights[0] == pytest.approx((sizes / sizes[0]) ** -power)


@pytest.mark.parametrize(
    ("labels", "power", "error", "sentence"),
    [
        ([], 1, ValueError, "`labels` to be classes (N,), at least one, but got (0,)."),
        ([[1]], 1, ValueError, "`labels` to be classes (N,), at least one, but got (1, 1)."),
        ([0.5], 1, TypeError, "`labels` to be integers of 0 or more, but got float64."),
        ([-1], 1, TypeError, "`labels` to be integers of 0 or more, but got int64."),
        ([1], 2, ValueError, "`power` to be a number in 0..1, but got 2."),
        ([1], "1", TypeError, "`power` to be a number in 0..1, but got '1' of type str."),
    ],
)
def test_unfit_labels_and_powers_are_refused(
    labels: Any, power: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        sample_weights(labels, power=power)


def test_balanced_weights_are_inverse_to_the_drawn_part_of_the_classes() -> None:
    part = DataLoader(Subset(Colors(12), [0, 3, 6, 1, 2]), 5)

    balanced = trainer(class_weights="balanced", epochs=1).fit(part).rows

    assert balanced == trainer(class_weights=[5 / 9, 5 / 3, 5 / 3], epochs=1).fit(part).rows
    assert balanced != trainer(epochs=1).fit(part).rows


def test_automatic_weights_are_none_where_labels_are_unknown_or_a_sampler_is_on() -> None:
    auto: dict[str, Any] = {"class_weights": "auto"}

    with pytest.warns(UserWarning, match=r"`train` to be a set with `labels` or .*=None`"):
        assert loss_weights(trainer(**auto), Silent()) is None
    assert loss_weights(trainer(sampler="balanced", **auto), labeled(0, 1, 2)) is None
    assert loss_weights(trainer(class_weights=None), labeled(0, 1, 2)) is None
    silent = Trainer(network(), num_classes=3, epochs=1, device="cpu")
    with pytest.warns(UserWarning, match="so classes weigh the same"):
        assert len(silent.fit(Silent())) == 1


@pytest.mark.parametrize(("sampler", "power"), [("balanced", 1.0), (0.5, 0.5), (0, 0.0)])
def test_a_sampler_draws_by_its_power(sampler: Any, power: float) -> None:
    weights = sampling_weights(trainer(sampler=sampler), labeled(0, 0, 0, 0, 1))

    assert weights is not None
    assert weights[4] / weights[0] == pytest.approx(4**power)


def test_a_sampler_makes_rare_classes_come_as_often() -> None:
    data = labeled(*[0] * 90, *[1] * 8, *[2] * 2)
    weights = sampling_weights(trainer(sampler="balanced"), data)

    rows = EpochSampler(100, sample_weights=weights).rows(0)

    assert np.bincount(data.labels[rows], minlength=3).min() > 15


def test_the_training_set_is_drawn_anew_in_each_epoch() -> None:
    seen: list[int] = []

    class Noted(Colors):
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

    assert [Path(one.filename).name for one in caught] == ["colors.py"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(class_weights="auto", sampler="balanced")


def test_classes_without_an_image_are_warned_of_where_the_run_is_started() -> None:
    names: dict[str, Any] = {"class_names": ["red", "green", "blue"]}

    with pytest.warns(
        UserWarning, match=r"^The training set has no image of blue, which"
    ) as caught:
        trainer(epochs=1, **names).fit(labeled(0, 1, 0, 1))

    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    with pytest.warns(UserWarning, match=r"^The validation set has no image of green, blue, which"):
        warn_of_absent_classes(trainer(**names), labeled(0, 1, 2), labeled(0, 0))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, -1, 2], [1, 2, 3]])
@pytest.mark.parametrize("sampler", [None, "balanced"])
def test_labels_that_are_not_classes_are_named_before_an_image_is_read(
    labels: list[int], sampler: Any
) -> None:
    data, other = (Acting(size, 0, lambda: pytest.fail("read")) for size in (len(labels), 3))
    data.labels = np.array(labels)
    listed = ", ".join(map(str, sorted(set(labels))))
    sentence = f"Expected `label` to be classes (N,) in 0..2, but got {listed}. Labels begin at 0"

    for sets in ((data, None), (other, data)):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            trainer(sampler=sampler).fit(*sets)


class Batches:
    """A loader of batches, which does not show its labels."""

    def __init__(self, *labels: int, size: int = 3) -> None:
        self.batches = list(DataLoader(labeled(*labels), batch_size=size))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


FROM_ONE, NUMBERED = [1, 2, 1, 2, 2], "Labels begin at 0: the challenge's files hold 1..8"


@pytest.mark.parametrize("make", [labeled, Batches])
@pytest.mark.parametrize("weighed", [{}, {"class_weights": "auto"}, {"sampler": "balanced"}])
@pytest.mark.parametrize("scored", [False, True])
def test_labels_from_1_whose_last_class_is_absent_are_warned_of_once(
    make: Any, weighed: dict[str, Any], scored: bool
) -> None:
    one, right = make(*FROM_ONE), labeled(0, 1, 2, 0, 1)
    sets = (right, one) if scored else (one, None)
    if make is Batches and not scored:
        weighed = {}

    with pytest.warns(UserWarning, match=NUMBERED) as caught:
        trainer(epochs=3, **weighed).fit(*sets)

    assert [Path(each.filename).name for each in caught] == [Path(__file__).name]


def test_labels_from_1_are_warned_of_where_a_model_is_scored_or_rows_are_weighed() -> None:
    for data in (labeled(*FROM_ONE), Batches(*FROM_ONE)):
        with pytest.warns(UserWarning, match=NUMBERED):
            trainer().evaluate(data)
    with pytest.warns(UserWarning, match=NUMBERED):
        sample_weights(FROM_ONE)
    with pytest.warns(UserWarning, match=NUMBERED):
        make_loader(labeled(*FROM_ONE), shuffle=True)


def test_a_batch_or_a_set_of_one_class_is_not_taken_for_labels_from_1() -> None:
    late = Batches(1, 2, 0, 0, size=2)  # whose first batch has no class 0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(trainer(epochs=1).fit(late, late)) == 1
        assert sample_weights([1, 1]).tolist() == [0.5, 0.5]
        assert len(make_loader(labeled(*FROM_ONE))) == 1
        assert len(trainer().predict(labeled(*FROM_ONE))) == 5


def test_samplers_and_balanced_weights_need_labels_and_a_dataset() -> None:
    with pytest.raises(ValueError, match=r"a dataset with `labels` .* pass the weights as numbers"):
        trainer(class_weights="balanced").fit(Silent())
    with pytest.raises(ValueError, match=r"for a balanced sampler, .* `make_loader` with `sample_"):
        trainer(sampler="balanced").fit(Silent())
    with pytest.raises(TypeError, match=r"`train` to be a dataset where `sampler` is given, but"):
        trainer(sampler="balanced").fit(DataLoader(Colors(9), batch_size=3))


UNEVEN = labeled(0, 0, 0, 0, 1, 1, 2)
WEIGHTS = [1.0] * 4 + [2.0, 2.0, 4.0]


def on_device(**options: Any) -> DeviceLoader:
    image = np.zeros((4, 4, 3), np.uint8)
    data = [{"image": image, "label": int(label)} for label in UNEVEN.labels]
    return DeviceLoader(data, device="cpu", **options)


class Odd(Sampler[int]):
    """Draws in a way of its own."""

    def __len__(self) -> int:
        return 7

    def __iter__(self) -> Any:
        return iter([6] * 7)


def drawn() -> WeightedRandomSampler:
    return WeightedRandomSampler(WEIGHTS, 7)


@pytest.mark.parametrize(
    "loader",
    [
        make_loader(UNEVEN, shuffle=True, sample_weights=WEIGHTS),
        on_device(shuffle=True, sample_weights=WEIGHTS),
        DataLoader(UNEVEN, sampler=drawn()),
        DataLoader(UNEVEN, batch_sampler=BatchSampler(drawn(), 2, drop_last=False)),
    ],
)
def test_a_loader_that_draws_by_weights_is_balanced_already(loader: Any) -> None:
    assert loss_weights(trainer(class_weights="auto"), loader) is None
    for weights in ("balanced", [1.0, 2.0, 4.0]):
        with pytest.warns(UserWarning, match="and a loader that draws by weights both") as caught:
            assert loss_weights(trainer(class_weights=weights), loader) is not None
        assert [Path(one.filename).name for one in caught] == [Path(__file__).name]


@pytest.mark.parametrize(
    "loader",
    [
        UNEVEN,
        make_loader(UNEVEN, shuffle=True),
        on_device(shuffle=True),
        DataLoader(UNEVEN, shuffle=True),
        DataLoader(UNEVEN, sampler=SubsetRandomSampler(range(7))),
    ],
)
def test_a_loader_that_draws_evenly_is_weighted(loader: Any) -> None:
    weights = loss_weights(trainer(class_weights="auto"), loader)

    assert weights is not None
    assert weights.tolist() == pytest.approx([7 / 12, 7 / 6, 7 / 3])


def test_an_unknown_sampler_gets_no_automatic_weights_and_rows_not_drawn_do_not_count() -> None:
    auto, part = trainer(class_weights="auto"), SubsetRandomSampler([3, 4, 5])

    assert loss_weights(auto, DataLoader(UNEVEN, sampler=Odd())) is None
    weights = loss_weights(trainer(class_weights="balanced"), DataLoader(UNEVEN, sampler=part))
    assert weights is not None
    assert weights[0] == 2 * weights[1]
    with pytest.warns(UserWarning, match="The training set has no image of 2, which"):
        warn_of_absent_classes(auto, DataLoader(UNEVEN, sampler=part), None)
