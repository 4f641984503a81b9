"""What the options of a Trainer do, against loops and averages written by hand."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import Colours, network, trainer
from torch import Tensor, nn

from dermolib import Trainer
from dermolib.datasets.loaders import make_loader
from dermolib.models.devices import pick_precision


def by_hand(
    model: nn.Module, *, batch_size: int = 8, epochs: int = 2, count: int = 24, accumulate: int = 1
) -> list[dict[str, Tensor]]:
    """Train with plain SGD; the weights after each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = make_loader(Colours(count), batch_size=batch_size, shuffle=True)
    steps = []
    for _ in range(epochs):
        for number, batch in enumerate(loader):
            loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"]) / accumulate
            torch.autograd.backward(loss)
            if (number + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
                steps.append({k: v.clone() for k, v in model.state_dict().items()})
    return steps


def close(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    return model.state_dict().keys() == weights.keys() and all(
        torch.allclose(value, weights[name], rtol=1e-5, atol=1e-6)
        for name, value in model.state_dict().items()
    )


def test_training_is_the_plain_loop() -> None:
    fitted = trainer(epochs=2)

    fitted.fit(Colours(24))

    assert close(fitted.model, by_hand(network())[-1])


def test_accumulated_batches_are_one_larger_batch() -> None:
    fitted = trainer(epochs=2, batch_size=4, accumulate=2)

    fitted.fit(Colours(24))

    assert close(fitted.model, by_hand(network())[-1])


def test_the_average_of_weights_is_that_of_its_formula() -> None:
    fitted = trainer(epochs=2, ema=0.8)

    fitted.fit(Colours(24))

    first, *others = by_hand(network())
    average = first
    for weights in others:
        average = {name: 0.8 * average[name] + 0.2 * weights[name] for name in average}
    assert close(fitted.model, average)


def test_the_average_is_what_is_scored_and_kept(tmp_path: Path) -> None:
    fitted, scored = trainer(epochs=3, ema=0.9, output=tmp_path), Colours(30, seed=1)

    rows = fitted.fit(Colours(24), scored).rows

    best = max(rows, key=lambda row: row["validation_weighted_accuracy"])
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    stored = Trainer.load(tmp_path / "best.pt", model=network(seed=9), **options)
    for one in (fitted, stored):
        assert one.evaluate(scored)["loss"] == pytest.approx(best["validation_loss"], rel=1e-4)
    plain = trainer(epochs=3).fit(Colours(24), scored).rows
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in plain]
    assert rows[0]["validation_loss"] != pytest.approx(plain[0]["validation_loss"], rel=1e-3)


def test_an_average_covers_the_statistics_of_normalisation() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 3))

    rows = trainer(model, epochs=2, ema=0.5).fit(Colours(24), Colours(9)).rows

    assert len(rows) == 2
    assert isinstance(model[0], nn.BatchNorm2d)
    assert model[0].running_mean is not None
    assert model[0].running_mean.abs().min() > 0


@pytest.mark.parametrize("patience", [1, 3])
def test_a_run_stops_when_the_score_has_not_risen_for_so_many_epochs(patience: int) -> None:
    fitted = trainer(epochs=9, early_stopping=patience, learning_rate=1e-12)

    assert len(fitted.fit(Colours(12), Colours(6))) == 1 + patience


def test_early_stopping_needs_a_score() -> None:
    sentence = "Expected `early_stopping` to be None without a validation set, but got 2."

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        trainer(early_stopping=2).fit(Colours(12))


@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_is_plain_afterwards() -> None:
    def run(**options: Any) -> Trainer:
        fitted = trainer(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), epochs=1, **options)
        for parameter in fitted.model.parameters():
            nn.init.constant_(parameter, 0.01)
        fitted.fit(Colours(16))
        return fitted

    compiled, plain = run(compile=True), run()

    assert close(compiled.model, plain.model.state_dict())
    assert compiled.model._compiled_call_impl is None
    copy.deepcopy(compiled.model)


def test_what_torch_compile_made_is_refused_for_the_model_itself() -> None:
    model: Any = torch.compile(network())

    with pytest.raises(TypeError, match=r"but got what `torch\.compile` made\. Pass the model its"):
        trainer(model)


def test_a_model_that_its_owner_has_compiled_stays_so() -> None:
    model = network()
    model.compile(backend="eager")
    theirs = model._compiled_call_impl

    trainer(model, compile=True, epochs=1).fit(Colours(8))

    assert model._compiled_call_impl is theirs


def test_the_order_of_memory_is_no_matter_of_the_result() -> None:
    last, first = (trainer(epochs=2, channels_last=option) for option in (True, False))

    rows = [one.fit(Colours(24), Colours(9)).rows for one in (last, first)]

    for row, other in zip(*rows, strict=True):
        assert row == pytest.approx(other, rel=1e-4)
    assert close(last.model, first.model.state_dict())


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_come_in_the_order_of_memory_that_was_asked_for(channels_last: bool) -> None:
    seen: list[bool] = []

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, image: Tensor) -> Tensor:
            seen.append(image.is_contiguous(memory_format=torch.channels_last))
            return self.scale * image.mean(dim=(2, 3))

    trainer(Looking(), epochs=1, channels_last=channels_last).fit(Colours(8))

    assert set(seen) == {channels_last}


@pytest.mark.parametrize(
    ("name", "lightning"),
    [("float32", "32-true"), ("bfloat16", "bf16-mixed"), ("bf16-mixed", "bf16-mixed")],
)
def test_precisions_have_plain_names(name: str, lightning: str) -> None:
    assert pick_precision("cpu", name) == lightning


@pytest.mark.parametrize("name", ["float16", "16-mixed"])
def test_a_precision_that_the_device_lacks_is_refused(name: str) -> None:
    sentence = (
        "Expected `precision` to be one that the CPU computes with, but got '16-mixed'. Take "
        "'bf16-mixed' or '32-true'."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        trainer(precision=name)


def test_a_gpu_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)

    with pytest.raises(
        ValueError, match=r"that this GPU computes with, but got 'bf16-mixed'\. Take"
    ):
        pick_precision("cuda", "bfloat16")


class Taught(Colours):
    """Images with what a teacher has said of them, which is the next class."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        soft = torch.full((3,), 0.05)
        soft[(sample["label"] + 1) % 3] = 0.9
        return {**sample, "soft_label": soft}


def test_probabilities_are_learned_instead_of_labels() -> None:
    fitted = trainer(epochs=12)

    history = fitted.fit(Taught(60))

    predicted = fitted.predict(Colours(30, seed=1)).argmax(dim=1)
    said = (torch.from_numpy(Colours(30).labels) + 1) % 3
    assert (predicted == said).double().mean() > 0.9
    assert min(history.column("train_loss")) > 0.39  # the entropy of what the teacher says


@pytest.mark.parametrize(
    "options",
    [{"mixup": 0.4}, {"cutmix": 1.0}, {"loss": "focal"}, {"label_smoothing": 0.2}, {"ema": 0.9}],
    ids=str,
)
def test_recipes_learn_to_tell_colours_apart(options: dict[str, Any]) -> None:
    fitted = trainer(epochs=12, **options)
    plain = trainer(epochs=12).fit(Colours(60)).rows

    rows = fitted.fit(Colours(60)).rows

    assert fitted.evaluate(Colours(30, seed=1))["weighted_accuracy"] > 0.9
    assert rows != plain or "ema" in options


class Told(nn.Module):
    """Answers by metadata alone."""

    takes_metadata = True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        nn.init.zeros_(self.layer.weight)

    def forward(self, image: Tensor, metadata: Tensor | None = None) -> Tensor:
        if metadata is None:
            metadata = image.new_zeros(len(image), 3)
        logits: Tensor = self.layer(metadata)
        return logits


class WithMetadata(Colours):
    """Images whose metadata tell the class."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        metadata = nn.functional.one_hot(torch.tensor(sample["label"]), 3).float()
        return {**sample, "metadata": metadata}


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_metadata_reach_a_model_that_takes_them(mixup: float) -> None:
    fitted = trainer(Told(), epochs=8, mixup=mixup)

    fitted.fit(WithMetadata(30), WithMetadata(9, seed=1))

    assert fitted.evaluate(WithMetadata(9))["weighted_accuracy"] == 1
    assert fitted.predict(WithMetadata(9)).argmax(dim=1).tolist() == [0, 1, 2] * 3


def test_metadata_that_lack_are_told_whatever_is_done() -> None:
    sentence = "Expected `batch` to be a batch with `metadata`, but got none. Make the dataset with"
    fitted = trainer(Told())

    for use in (
        fitted.fit,
        lambda data: fitted.fit(WithMetadata(9), data),
        fitted.evaluate,
        fitted.predict,
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            use(Colours(9))


def test_metadata_with_nan_are_named() -> None:
    class Broken(WithMetadata):
        def __getitem__(self, index: int) -> dict[str, Any]:
            sample = super().__getitem__(index)
            return {**sample, "metadata": sample["metadata"] * (torch.nan if index == 2 else 1)}

    with pytest.raises(
        ValueError, match=r"^Expected `metadata` to be finite, but got NaN .*image 2"
    ):
        trainer(Told()).fit(Broken(9))


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_trained_and_left_in_training_mode(mode: bool) -> None:
    fitted = trainer(network(dropout=0.5).train(mode), epochs=1)

    fitted.fit(Colours(8), Colours(8))

    assert all(module.training for module in fitted.model.modules())
