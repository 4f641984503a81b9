"""Losses, optimizers, schedules, callbacks and loggers of the user's own."""

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from colors import Acting, Colors, fail, network, same, trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR, OneCycleLR, ReduceLROnPlateau, StepLR


class Margin(nn.Module):
    """A loss with a state: the weights of classes."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return nn.functional.multi_margin_loss(logits, target, weight=self.weight)


class Counting(lightning.Callback):
    """Counts batches, over all parts of a run."""

    batches = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.batches += 1

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches = state_dict["batches"]


def by_step(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"scheduler": LambdaLR(optimizer, lambda step: 0.5**step), "interval": "step"}


def test_a_loss_of_ones_own_trains_as_its_name_does() -> None:
    named, given = (
        trainer(loss=loss, epochs=2) for loss in ("cross_entropy", nn.CrossEntropyLoss())
    )

    rows, others = named.fit(Colors(24), Colors(9)).rows, given.fit(Colors(24), Colors(9)).rows

    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, rel=1e-5)


def test_a_function_is_a_loss_and_mixed_targets_are_probabilities() -> None:
    seen: list[Tensor] = []

    def brier(logits: Tensor, target: Tensor) -> Tensor:
        seen.append(target)
        return ((logits.softmax(dim=1) - target) ** 2).sum(dim=1).mean()

    trainer(loss=brier, mixup=0.4, epochs=1).fit(Colors(8))

    assert seen[0].shape == (8, 3)
    assert seen[0].sum(dim=1).tolist() == pytest.approx([1.0] * 8)


def test_an_optimizer_of_ones_own_trains_as_its_name_does() -> None:
    named = trainer(epochs=2, schedule="onecycle")
    given = trainer(epochs=2, schedule="onecycle", optimizer=partial(SGD, lr=0.1, momentum=0.9))

    named.fit(Colors(24))
    given.fit(Colors(24))

    # Not to the bit: a named optimizer is one fused kernel
    torch.testing.assert_close(dict(named.model.state_dict()), dict(given.model.state_dict()))


def test_layer_rates_scale_the_rates_of_an_optimizer_of_ones_own() -> None:
    made: list[torch.optim.Optimizer] = []

    def make(parameters: Any) -> torch.optim.Optimizer:
        made.append(Adam(parameters, lr=0.2))
        return made[-1]

    options: dict[str, Any] = {"optimizer": make, "layer_rates": {"0": 0.1}, "freeze": ["5.bias"]}
    trainer(epochs=1, **options).fit(Colors(8))

    rates = [(group["lr"], len(group["params"])) for group in made[0].param_groups]
    assert rates == [(pytest.approx(0.02), 2), (0.2, 1)]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (partial(StepLR, step_size=1, gamma=0.5), [0.05, 0.025, 0.0125]),
        (by_step, [0.1 * 0.5**3, 0.1 * 0.5**6, 0.1 * 0.5**9]),
    ],
)
def test_a_schedule_steps_after_each_epoch_or_as_it_says(
    schedule: Callable[[Any], Any], rates: list[float]
) -> None:
    history = trainer(epochs=3, schedule=schedule).fit(Colors(24))

    assert history.column("learning_rate") == pytest.approx(rates)


def test_the_rate_search_works_with_objects() -> None:
    options: dict[str, Any] = {"optimizer": partial(Adam, lr=0.3), "loss": nn.CrossEntropyLoss()}

    found = trainer(schedule=by_step, **options).find_learning_rate(Colors(24), steps=20)

    assert found.rates[0] == pytest.approx(1e-6)
    assert found.rates[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("option", "made", "sentence"),
    [
        ("loss", lambda *given: given[0].sum(1), "of shape (8,). Return its `.mean()`."),
        ("loss", nn.Identity(), "Identity(), which takes other arguments. Pass a function or"),
        ("loss", lambda *given: given[0].sum().detach(), "scalar tensor with a gradient"),
        ("loss", lambda *_: 0.5, "which returned 0.5."),
        ("loss", nn.CrossEntropyLoss, "CrossEntropyLoss'>. Pass an instance"),
        ("optimizer", lambda _: None, "`optimizer` to be a callable that returns a torch.op"),
        ("optimizer", list, "<class 'list'>, which returned ["),
        ("schedule", lambda _: None, "`schedule` to be a callable that returns a torch sc"),
        ("schedule", lambda _: {"interval": "step"}, "which returned {'int"),
        ("schedule", StepLR, "takes other arguments. Pass one such as `functools.partial(torch.o"),
        ("schedule", ReduceLROnPlateau, "scheduler which needs no metric, but got"),
    ],
)
def test_an_object_that_does_not_fit_is_named(option: str, made: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)) as error:
        trainer(**{option: made}).fit(Colors(8))

    assert repr(made) in str(error.value)


STEPPING: Any = SGD(network().parameters())


@pytest.mark.parametrize(
    ("option", "given", "sentence"),
    [
        ("optimizer", STEPPING, "type SGD. Pass one such as `functools.partial(torch.optim.Adam,"),
        ("schedule", StepLR(STEPPING, 1), "of type StepLR. Pass one such as `functools.partial("),
        ("loss", None, "an object of type NoneType."),
        ("callbacks", [Counting], "Counting'> in it. Pass an instance of it."),
        ("callbacks", [None], "but got None in it."),
    ],
)
def test_an_object_of_another_kind_is_refused_with_what_to_pass(
    option: str, given: Any, sentence: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        trainer(**{option: given})


OBJECTS: dict[str, dict[str, Any]] = {
    "epochs": {
        "optimizer": partial(Adam, lr=0.01),
        "schedule": partial(StepLR, step_size=1, gamma=0.5),
    },
    "steps": {
        "optimizer": partial(SGD, lr=0.01, momentum=0.8),
        "schedule": lambda optimizer: {
            "scheduler": OneCycleLR(optimizer, max_lr=0.3, total_steps=9),
            "interval": "step",
        },
        "ema": 0.5,
    },
}


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("read", [5, 12, 16], ids=["in an epoch", "at an epoch", "later"])
def test_a_run_with_objects_resumes_exactly(tmp_path: Path, name: str, read: int) -> None:
    def run(folder: Path, data: Any) -> Any:
        model, counting = network(dropout=0.3), Counting()
        options = {"loss": Margin(), "callbacks": [counting], **OBJECTS[name]}
        options |= {"epochs": 3, "batch_size": 4, "save_every": 1, "output": folder}
        history = trainer(model, **options).fit(data, Colors(6, seed=1))
        return history.rows, model.state_dict(), counting.batches

    with pytest.raises(RuntimeError, match="Out of luck"):
        run(tmp_path / "cut", Acting(12, read, fail))
    assert (tmp_path / "cut" / "last.ckpt").exists()
    rows, weights, batches = run(tmp_path / "cut", Colors(12))
    whole, wanted, count = run(tmp_path / "whole", Colors(12))

    assert rows == whole
    assert same(weights, wanted)
    assert batches == count == 9


W = torch.tensor([1.0, 2.0, 3.0])


def hinge(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return nn.functional.multi_margin_loss(logits, target, weight=weight)


def weighted(last: float) -> nn.Module:
    loss = Margin()
    loss.weight[0] = last
    return loss


def falling(factor: float) -> Callable[[Any], Any]:
    def schedule(optimizer: torch.optim.Optimizer) -> Any:
        return LambdaLR(optimizer, lambda epoch: factor**epoch)

    return schedule


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ({"loss": Margin()}, {"loss": Margin()}, None),
        ({"loss": Margin()}, {"loss": weighted(3.0)}, "content of loss '"),
        ({"loss": partial(hinge, weight=W)}, {"loss": partial(hinge, weight=-W)}, "of loss '"),
        ({"schedule": falling(0.5)}, {"schedule": falling(0.5)}, None),
        ({"schedule": falling(0.5)}, {"schedule": falling(0.6)}, "content of schedule '"),
        ({"optimizer": lambda ps: SGD(ps, 0.1)}, {"optimizer": lambda ps: SGD(ps, 0.2)}, "optimiz"),
        ({"loss": Margin()}, {}, "test_objects.Margin Margin()' there, 'cross_entropy' here"),
        ({"schedule": by_step}, {}, "test_objects.by_step' there, 'constant' here"),
        (
            {"optimizer": partial(Adam, lr=0.1)},
            {"optimizer": partial(Adam, lr=0.2)},
            """lr=0.1)" there, "functools.partial""",
        ),
    ],
)
def test_a_run_resumes_with_the_same_objects_alone(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], difference: str | None
) -> None:
    options: dict[str, Any] = {"batch_size": 4, "save_every": 1, "output": tmp_path}
    with pytest.raises(RuntimeError, match="Out of luck"):
        trainer(**options, **first).fit(Acting(12, 5, fail))

    if difference is None:
        assert len(trainer(**options, **second).fit(Colors(12))) == 6
        return
    with pytest.raises(ValueError, match=re.escape(difference)):
        trainer(**options, **second).fit(Colors(12))


def test_callbacks_and_loggers_of_lightning_take_part(tmp_path: Path) -> None:
    stopping = EarlyStopping("validation_loss", patience=1, check_on_train_epoch_end=False)
    keeping = ModelCheckpoint(tmp_path / "mine", filename="mine")
    options: dict[str, Any] = {"learning_rate": 1e-12, "output": tmp_path / "run"}
    options |= {"logger": CSVLogger(tmp_path, name="log", version=""), "progress": False}

    fitted = trainer(callbacks=[stopping, keeping, TQDMProgressBar()], **options)
    history = fitted.fit(Colors(24), Colors(9))

    assert len(history) == 2 == stopping.stopped_epoch + 1
    assert (tmp_path / "mine" / "mine.ckpt").exists()
    assert (tmp_path / "log" / "metrics.csv").exists()
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["best.pt", "history.csv", "run.json"]


class Keeping(Counting):
    """A callback whose state holds something."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "kept": [{"value": self.value}]}


class Noting(Margin):
    """A loss with a state of more than tensors."""

    def __init__(self, note: Any) -> None:
        super().__init__()
        self.note = note

    def get_extra_state(self) -> Any:
        return self.note

    def set_extra_state(self, state: Any) -> None:
        self.note = state


TINY: Any = np.float32(1e-7)
THIRD: Any = np.float32(0.3)


@pytest.mark.parametrize(
    "objects",
    [
        {"optimizer": partial(Adam, lr=np.logspace(-3, -1, 3)[1], eps=TINY)},
        {"schedule": partial(StepLR, step_size=1, gamma=THIRD)},
        {"schedule": partial(MultiStepLR, milestones=np.array([1, 2]), gamma=np.float64(0.3))},
        {"callbacks": [Keeping((np.int64(3), np.bool_(True), np.str_("x")))]},
        {"loss": Noting(np.float64(0.1))},
    ],
)
def test_a_run_with_numbers_of_numpy_resumes_exactly(
    tmp_path: Path, objects: dict[str, Any]
) -> None:
    def run(name: str, data: Any) -> Any:
        model, output = network(dropout=0.3), tmp_path / name
        options = {"epochs": 3, "batch_size": 4, "save_every": 1, "output": output, **objects}
        return trainer(model, **options).fit(data).rows, model.state_dict()

    with pytest.raises(RuntimeError, match="Out of luck"):
        run("cut", Acting(12, 16, fail))
    torch.load(tmp_path / "cut" / "last.ckpt", weights_only=True)
    rows, weights = run("cut", Colors(12))
    whole, wanted = run("whole", Colors(12))

    assert rows == whole
    assert same(weights, wanted)


@pytest.mark.parametrize(
    ("objects", "owner", "kind"),
    [
        ({"callbacks": [Keeping(PurePosixPath("x"))]}, "Keeping", "a pathlib"),
        ({"callbacks": [Keeping(Path)]}, "Keeping", "the class pathlib"),
        ({"callbacks": [Keeping(np.ones(2))]}, "Keeping", "a numpy.ndarray"),
        ({"loss": Noting(np.ones(2))}, "loss", "a numpy.ndarray"),
        ({"loss": Noting(np.ones(2)), "ema": 0.5}, "loss", "a numpy.ndarray"),
    ],
)
def test_a_state_that_cannot_be_resumed_is_refused_at_once(
    tmp_path: Path, objects: dict[str, Any], owner: str, kind: str
) -> None:
    data = Acting(12, 4, lambda: pytest.fail("It has trained"))
    sentence = f"Expected `{owner}` to be an object whose state is of .* but got {kind}"

    with pytest.raises(TypeError, match=sentence):
        trainer(output=tmp_path, batch_size=4, **objects).fit(data)

    assert not (tmp_path / "last.ckpt").exists()


class Apart(Adam):
    """Adam with a group that holds nothing yet."""

    def __init__(self, parameters: Any) -> None:
        super().__init__([*({"params": [p]} for p in parameters), {"params": []}], lr=0.1)


def flat(groups: Any) -> torch.optim.Optimizer:
    return Adam([p for group in groups for p in group["params"]])


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (lambda _: Adam(network().parameters()), {}, "exactly the parameters given to it, but got"),
        (lambda ps: Adam(ps[1:]), {}, "whose optimizer has others. Fix parameters with `freeze`."),
        (flat, {"layer_rates": {"0": 0.1}}, "apart, but got <function flat"),
    ],
)
def test_an_optimizer_of_other_parameters_or_groups_is_refused(
    make: Any, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer(optimizer=make, **options).fit(Colors(8))


def test_an_optimizer_may_have_groups_of_its_own() -> None:
    assert len(trainer(optimizer=Apart, freeze=["0"], epochs=1).fit(Colors(8))) == 1


class Running(Margin):
    """A loss that counts its batches, and cannot be copied unless it may."""

    seen: Tensor

    def __init__(self, *, copied: bool = True) -> None:
        super().__init__()
        self.register_buffer("seen", torch.tensor(0))
        self.lock = None if copied else threading.Lock()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.seen += 1
        return super().forward(logits, target)


def test_an_average_of_the_weights_leaves_the_loss_alone(tmp_path: Path) -> None:
    def run(name: str, data: Any) -> Any:
        model, loss = network(), Running(copied=False)
        options: dict[str, Any] = {"epochs": 2, "batch_size": 4, "save_every": 1, "ema": 0.5}
        fitted = trainer(model, loss=loss, output=tmp_path / name, **options)
        return fitted.fit(data, Colors(6)).rows, model.state_dict(), int(loss.seen)

    with pytest.raises(RuntimeError, match="Out of luck"):
        run("cut", Acting(12, 16, fail))
    rows, weights, seen = run("cut", Colors(12))
    whole, wanted, count = run("whole", Colors(12))

    assert (rows, seen) == (whole, count) == (whole, 6)
    assert same(weights, wanted)


def test_the_rate_search_leaves_the_loss_as_it_was() -> None:
    loss = Running()

    trainer(loss=loss, warmup=0.1).find_learning_rate(Colors(24), steps=20)

    assert int(loss.seen) == 0


def test_a_loss_that_would_learn_is_refused_unless_the_model_learns_for_it() -> None:
    loss, model = Margin(), network()
    loss.model = model
    trainer(model, loss=loss)

    loss.scale = nn.Parameter(torch.ones(()))

    with pytest.raises(ValueError, match=r"without parameters that learn, but got Margin with s"):
        trainer(model, loss=loss)
    loss.scale.requires_grad_(False)
    trainer(model, loss=loss)


@pytest.mark.parametrize(
    ("name", "made", "beside"),
    [
        ("loss", nn.CrossEntropyLoss(), {"class_weights": "balanced", "label_smoothing": 0.1}),
        ("optimizer", SGD, {"learning_rate": 9, "momentum": 0.5, "weight_decay": 0.0}),
        ("schedule", by_step, {"warmup": 0.0}),
    ],
)
def test_options_without_effect_beside_an_object_are_refused(
    name: str, made: Any, beside: dict[str, Any]
) -> None:
    words = " and ".join(f"`{option}`" for option in beside)
    sentence = (
        f"Expected `{name}` to be a name beside options that it takes, but got {words} beside"
    )

    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer(**{name: made}, **beside)
