"""Weights that are not finite: they leave neither `fit` nor `save`, whatever is kept or scored."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from colors import Colors, network, same, trainer, weights
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from dermolib import Trainer

LAST = 6  # steps of two epochs


def poisoned(model: nn.Module, at: int = LAST, name: str = "0.weight") -> nn.Module:
    """Make the gradient of a parameter NaN in one step, whose loss is finite."""
    steps = 0

    def hook(gradient: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return gradient * torch.nan if steps == at else gradient

    dict(model.named_parameters())[name].register_hook(hook)  # type: ignore[no-untyped-call]  # as torch left it
    return model


def short(model: nn.Module, **options: Any) -> Trainer:
    return trainer(model, **{"epochs": 2, **options})


class Auxiliary(nn.Module):
    """A network with a head that only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.other = network(), nn.Linear(192, 3)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.main(image)
        return logits + self.other(image.flatten(1)) if self.training else logits


class Overflowing(nn.Module):
    """A network whose batch statistics overflow float32, after which it answers 0."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(192, 3)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(image * (1e25 if self.training else 1)).flatten(1))
        return logits


class Masked(nn.Module):
    """A network with constants of its own that are infinite or NaN, and a buffer that it counts."""

    mask: Tensor
    unseen: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
        self.register_buffer("unseen", torch.full((3,), torch.nan))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, image: Tensor) -> Tensor:
        self.count += 1
        if not hasattr(self, "made"):
            self.register_buffer("made", self.mask.clone(), persistent=False)
        logits: Tensor = self.net(image)
        return logits @ self.mask.softmax(dim=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip": 1.0},
        {"ema": 0.9},
        {"optimizer": "adamw"},
        {"precision": "bf16-mixed"},
        {"accumulate": 3},
    ],
    ids=str,
)
def test_a_last_step_to_nan_is_named_and_nothing_is_returned(options: dict[str, Any]) -> None:
    step = 2 if "accumulate" in options else LAST
    found = f"finite, but got NaN or infinity after step {step}, in epoch 2, first in `0.weight`. "

    with pytest.raises(RuntimeError, match=re.escape(found)) as caught:
        short(poisoned(network()), **options).fit(Colors(24))

    assert str(caught.value).endswith("The model is left with such weights: build it again.")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (poisoned(Auxiliary(), 3, "other.weight"), "other.weight"),
        (Overflowing(), "norm.running_var"),
    ],
    ids=["unscored weight", "buffer"],
)
def test_what_scoring_does_not_show_is_not_kept_as_the_best(
    tmp_path: Path, model: nn.Module, name: str
) -> None:
    before = weights(model)

    with pytest.raises(RuntimeError, match=f"`weights` to be finite, .*, first in `{name}`"):
        short(model, output=tmp_path).fit(Colors(24), Colors(9))

    assert not (tmp_path / "best.pt").exists()
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("output", [False, True])
def test_a_model_has_the_weights_of_the_state_before_where_there_is_one(
    tmp_path: Path, output: bool
) -> None:
    kept = tmp_path / "run" if output else None
    model, whole = poisoned(network()), network()
    short(whole, epochs=1).fit(Colors(24))
    words = re.escape(f"last finite weights. The state before is kept in {kept}/last.ckpt.")

    with pytest.raises(RuntimeError, match=words if output else "has the weights of the best ep"):
        short(model, output=kept, learning_rate=0.1).fit(Colors(24), Colors(9))

    assert same(model.state_dict(), whole.state_dict())


def test_a_users_own_checkpoint_holds_no_nan(tmp_path: Path) -> None:
    own = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)

    with pytest.raises(RuntimeError, match=r"after step 2, in epoch 1, first in `0\.weight`"):
        short(poisoned(network(), 2), callbacks=[own]).fit(Colors(24))

    assert [path.name for path in tmp_path.iterdir()] == ["step=1.ckpt"]


def test_constants_that_were_infinite_before_stay_so_through_fit_save_and_load(
    tmp_path: Path,
) -> None:
    fitted = short(Masked(), output=tmp_path, ema=0.5)

    fitted.fit(Colors(24), Colors(9))
    fitted.save(tmp_path / "own.pt")

    for name in ("best.pt", "own.pt"):
        loaded = Trainer.load(tmp_path / name, model=Masked(), device="cpu").model
        assert torch.equal(loaded.state_dict()["mask"], Masked().mask)


@pytest.mark.parametrize("name", ["net.5.bias", "count_of_images"])
def test_weights_that_are_broken_from_the_start_are_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    model = Masked()
    model.register_buffer("count_of_images", torch.zeros(2))
    fitted = short(model, output=tmp_path / "run")
    model.state_dict()[name][0] = torch.inf

    with pytest.raises(ValueError, match=f"`model` to be finite weights, .*, first in `{name}`"):
        fitted.fit(Colors(24))
    with pytest.raises(ValueError, match=f"`model` to be finite weights, .*, first in `{name}`"):
        fitted.save(tmp_path / "model.pt")

    assert not list(tmp_path.iterdir())


def test_a_state_with_nan_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="first in"):
        short(poisoned(network()), output=tmp_path).fit(Colors(24))
    path = tmp_path / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["state_dict"]["model.5.bias"][1] = torch.nan
    torch.save(state, path)

    sentence = f"Expected `{path}` to be as the run left it, but got a file that was changed"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        short(network(), output=tmp_path).fit(Colors(24))
