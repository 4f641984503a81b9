"""Fit, evaluate, predict, overfit: what comes out, and what stays as it was."""

import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colors import Acting, Colors, labeled, network, same, trainer, weights
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from dermolib import ISICDataset, Trainer, make_loader, weighted_accuracy
from dermolib.datasets import read_challenge_table
from dermolib.training import History


def first_batch(count: int = 12) -> Any:
    return next(iter(DataLoader(Colors(count), batch_size=count)))


def test_training_learns_to_tell_colors_apart() -> None:
    fitted = trainer()
    before = fitted.evaluate(Colors(30, seed=1))

    history = fitted.fit(Colors(60), Colors(30, seed=1))

    after = fitted.evaluate(Colors(30, seed=1))
    assert len(history) == 6
    assert after["weighted_accuracy"] > 0.9 > before["weighted_accuracy"]
    assert history.column("train_loss")[-1] < history.column("train_loss")[0]
    assert after["n"] == 30


def test_a_row_of_history_is_plain_numbers() -> None:
    history = trainer(epochs=2).fit(Colors(16), Colors(8))

    scores = [f"validation_{name}" for name in ("loss", "accuracy", "weighted_accuracy")]
    assert list(history.rows[0]) == ["epoch", "learning_rate", "train_loss", *scores]
    assert [row["epoch"] for row in history] == [1, 2]
    assert {type(value) for row in history for value in row.values()} <= {int, float}
    assert history.to_frame().shape == (2, 6)
    assert History([{"epoch": 1, "loss": 2.0}, {"epoch": 2}]).column("loss") == [2.0]


class Shifted(Colors):
    """Images with a random transform, seeded as those of albumentations are."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.transform = self
        self.generator = np.random.default_rng()

    def set_random_seed(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return {**sample, "image": sample["image"] + float(self.generator.normal())}


def test_the_seed_alone_decides_a_run_with_any_number_of_workers() -> None:
    def run(seed: int, workers: int) -> list[dict[str, float]]:
        options: dict[str, Any] = {"seed": seed, "epochs": 2, "workers": workers}
        return trainer(network(dropout=0.5), **options).fit(Shifted(24)).rows

    before = torch.random.get_rng_state()
    first = run(1, 0)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert first == run(1, 0) == run(1, 2)
    assert first != run(2, 0)


def test_after_fit_the_model_has_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    for seed in (1, 2):  # the second run takes the place of the first
        fitted = trainer(network(seed=seed), learning_rate=2.0, epochs=5, output=tmp_path)
        history = fitted.fit(Colors(60), Colors(30, seed=1))

    best = max(history.column("validation_weighted_accuracy"))
    score = fitted.evaluate(Colors(30, seed=1))["weighted_accuracy"]
    assert score == pytest.approx(best)
    stored = Trainer.load(tmp_path / "best.pt", model=network(seed=9), device="cpu")
    assert same(stored.model.state_dict(), fitted.model.state_dict())


class Scripted(nn.Module):
    """Predicts what a script says for each epoch, and remembers the epoch in its weight."""

    def __init__(self, script: list[list[int]]) -> None:
        super().__init__()
        self.script = script
        self.epoch = nn.Parameter(torch.zeros(1))
        self.passed: Tensor
        self.register_buffer("passed", torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.passed = self.passed + 1
            return self.epoch * torch.zeros(len(image), 3)
        answers = torch.tensor(self.script[int(self.passed) - 1])
        return nn.functional.one_hot(answers, 3).float()


def test_the_best_epoch_is_the_first_of_highest_weighted_not_plain_accuracy() -> None:
    plain, balanced, again = [0, 0, 0, 0, 0], [1, 1, 0, 1, 2], [2, 1, 0, 1, 2]
    model = Scripted([plain, balanced, again])

    history = trainer(model, epochs=3, batch_size=5).fit(Colors(5), labeled(0, 0, 0, 1, 2))

    assert history.column("validation_accuracy") == pytest.approx([0.6, 0.6, 0.6])
    assert history.column("validation_weighted_accuracy") == pytest.approx([1 / 3, 7 / 9, 7 / 9])
    assert model.passed.item() == 2


def test_validation_loss_has_no_class_weights() -> None:
    data = labeled(*[0] * 7, *[1] * 4, 2)
    options: dict[str, Any] = {"class_weights": [1.0, 5.0, 0.1], "learning_rate": 1e-12}

    row = trainer(epochs=1, **options).fit(data, data).rows[0]

    plain = trainer().evaluate(data)["loss"]
    assert row["validation_loss"] == pytest.approx(plain, rel=1e-4)
    assert row["train_loss"] != pytest.approx(plain, rel=1e-2)


def test_logs_are_written_to_the_output_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)

    with caplog.at_level(logging.INFO):
        trainer(epochs=2).fit(Colors(16), Colors(8))

    assert not list(tmp_path.iterdir())
    assert not [record for record in caplog.records if "lightning" in record.name]
    trainer(epochs=2, output=tmp_path / "run").fit(Colors(16), Colors(8))
    table = pd.read_csv(tmp_path / "run" / "history.csv")
    assert table["epoch"].tolist() == [1, 2]
    assert table["validation_weighted_accuracy"].notna().all()
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


def test_predictions_are_probabilities_in_the_order_of_the_data_without_labels() -> None:
    model, data = network(), Colors(21)
    images: Any = [{"image": image} for image in data.images]

    predicted = trainer(model).predict(images)

    expected = model.eval()(data.images).softmax(dim=1)
    torch.testing.assert_close(predicted, expected, atol=1e-5, rtol=0)


def test_scores_are_those_of_the_predictions_for_batches_of_any_size() -> None:
    fitted, data = trainer(), Colors(30)
    predicted, labels = fitted.predict(data), torch.from_numpy(data.labels)
    score = weighted_accuracy(predicted, labels, num_classes=3)
    accuracy = (predicted.argmax(1) == labels).double().mean()
    loss = nn.functional.nll_loss(predicted.log(), labels)
    wanted: dict[str, Any] = {
        "weighted_accuracy": score,
        "accuracy": accuracy,
        "loss": loss,
        "n": 30,
    }

    for size in (1, 7, 30, 40):
        scores = trainer(batch_size=size).evaluate(data)
        assert scores == pytest.approx({k: float(v) for k, v in wanted.items()}, rel=1e-4)


def test_loaders_and_pairs_are_used_as_they_are() -> None:
    data = Colors(16)
    pairs: Any = [(data.images[:8], torch.from_numpy(data.labels[:8]))]
    loader: DataLoader[Any] = DataLoader(data, batch_size=4)

    assert len(trainer(epochs=1).fit(loader, DataLoader(pairs, batch_size=None))) == 1


def test_a_network_overfits_one_batch_and_stays_as_it_was() -> None:
    model = network()
    before = weights(model)

    history = trainer(model).overfit_batch(first_batch(), epochs=300, learning_rate=0.3)

    assert history.rows[-1]["accuracy"] == 1.0
    assert history.rows[-1]["loss"] < 0.01 < history.rows[-2]["loss"]
    assert list(history.rows[0]) == ["epoch", "loss", "accuracy"]
    assert same(model.state_dict(), before)


def test_a_line_is_written_every_ten_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().overfit_batch(first_batch(), epochs=25)

    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split(":")[0].removeprefix("epoch")) for line in lines] == [1, 11, 21, 25]
    assert re.fullmatch(r"epoch    1: loss \d\.\d{4}, accuracy \d\.\d{3}", lines[0])


def test_labels_of_32_bits_and_images_of_64_are_converted() -> None:
    batch = (torch.zeros(3, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2]).int())

    assert len(trainer().overfit_batch(batch, epochs=1)) == 1


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"`train_loss` to be finite, but got NaN or .* Lower"):
        trainer(learning_rate=1e25, epochs=3).fit(Colors(16))


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("act", [lambda: (_ for _ in ()).throw(KeyboardInterrupt), interrupt])
def test_ctrl_c_in_fit_raises_keyboard_interrupt(act: Callable[[], object]) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(Acting(8, 1, act))


class Signaled(nn.Module):
    """Somebody presses Ctrl-C while the model computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, image: Tensor) -> Tensor:
        interrupt()
        return image.new_zeros(len(image), 1)


@pytest.mark.parametrize("use", ["evaluate", "predict", "overfit_batch", "find_learning_rate"])
def test_ctrl_c_is_handled_again_after_any_call(use: str) -> None:
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        getattr(trainer(Signaled()), use)(first_batch() if use == "overfit_batch" else Colors(8))

    assert signal.getsignal(signal.SIGINT) == before


class Returning(nn.Module):
    """Returns what is made of its logits."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make
        self.layer = nn.Linear(3, 3)

    def forward(self, image: Tensor) -> Any:
        return self.make(self.layer(image.mean(dim=(2, 3))))


@pytest.mark.parametrize(
    ("make", "error", "got"),
    [
        (lambda logits: (logits, logits), TypeError, "an object of type tuple. Return the logits"),
        (lambda _: None, TypeError, "an object of type NoneType. Return the logits alone, of the"),
        (lambda logits: logits.argmax(dim=1), TypeError, "torch.int64 of shape (8,). Return the"),
        (lambda logits: logits[0], ValueError, "torch.float32 of shape (3,), N being 8. Return"),
        (lambda logits: logits[:, :2], ValueError, "of shape (8, 2), N being 8. Return the logi"),
        (lambda logits: logits[:5], ValueError, "of shape (5, 3), N being 8. Return the logits"),
        (lambda logits: logits.detach(), ValueError, "logits without one. Leave `detach` and"),
    ],
)
def test_a_model_that_does_not_return_logits_is_refused(
    make: Callable[[Tensor], Any], error: type[Exception], got: str
) -> None:
    with pytest.raises(error, match=f"^Expected `model` to be a model .*{re.escape(got)}"):
        trainer(Returning(make)).fit(Colors(16))


def spoiled(**parts: Any) -> list[dict[str, Any]]:
    return [{"image": torch.zeros(3, 8, 8), "label": 0, **parts}]


@pytest.mark.parametrize(
    ("validation", "sentence"),
    [
        (spoiled(image=torch.full((3, 8, 8), torch.nan)), "`image` to be finite, but got NaN"),
        (spoiled(label=3), "`label` to be classes (N,) in 0..2, but got 3. Labels begin at 0"),
        ([{"image": torch.zeros(3, 8, 8)}], "`batch` to be a batch with `label`, but got none."),
    ],
)
def test_faults_of_the_validation_set_are_reported_before_the_first_step(
    validation: Any, sentence: str
) -> None:
    unread = Acting(9, 0, lambda: pytest.fail("an image was read"))

    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer().fit(unread, validation)


def normed(*, flat: bool) -> nn.Module:
    norm = nn.BatchNorm1d(4) if flat else nn.BatchNorm2d(4)
    pool: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers = [*pool, norm] if flat else [norm, *pool]
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Linear(4, 3))


def test_a_last_batch_of_one_image_is_refused_before_the_first_step() -> None:
    model = normed(flat=True)
    before = [value.clone() for value in model.parameters()]

    with pytest.raises(ValueError, match="`batch_size` to be one that leaves more than one image"):
        trainer(model).fit(Colors(17), Colors(9))

    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize(
    ("flat", "data"),
    [
        (False, Colors(17)),
        (True, Colors(18)),
        (True, make_loader(Colors(17), batch_size=8, shuffle=True, drop_last=True)),
    ],
)
def test_batches_that_normalization_can_learn_from_are_used(flat: bool, data: Any) -> None:
    assert len(trainer(normed(flat=flat), epochs=1).fit(data, Colors(9))) == 1


def test_a_model_of_length_0_is_a_model_as_well() -> None:
    class Empty(nn.Sequential):
        def __len__(self) -> int:
            return 0

    fitted = trainer(Empty(network()))
    before = weights(fitted.model)

    fitted.overfit_batch(first_batch(8), epochs=2)

    assert same(fitted.model.state_dict(), before)


def opened(challenge: Path, split: str = "train") -> ISICDataset:
    """Open the small challenge, without the label of its third training image."""
    table = read_challenge_table(challenge, split)
    if split == "train":
        table["label"] = table["label"].astype("Int64")
        table.loc[2, "label"] = pd.NA
    scaled = lambda image: {"image": torch.from_numpy(image).permute(2, 0, 1) / 255}  # noqa: E731
    return ISICDataset(table, transform=scaled, split=split)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda data: data,
        lambda data: Subset(data, [0, 1]),
        lambda data: make_loader(Subset(data, [0, 2]), batch_size=2),
        lambda data: DataLoader(Subset(Subset(data, [0, 1, 2]), [2]), batch_size=2),
    ],
    ids=["dataset", "subset", "loader of a subset", "loader of a subset of a subset"],
)
def test_rows_without_a_label_are_refused_before_an_image_is_read(
    wrapped: Callable[[Any], Any], challenge: Path
) -> None:
    data, whole = wrapped(opened(challenge)), Colors(8)
    for path in challenge.glob("*/*.jpg"):
        path.unlink()
    eight = trainer(num_classes=8)

    for use in (eight.fit, eight.evaluate, lambda data: eight.fit(whole, data)):
        with pytest.raises(RuntimeError, match=r"^Expected `labels` .* 1 of 6 rows without one"):
            use(data)


def test_splits_without_labels_are_predicted_and_labeled_rows_trained_on(challenge: Path) -> None:
    test, train = opened(challenge, "test"), opened(challenge)
    fitted = trainer(network(classes=8), num_classes=8, epochs=1)

    with pytest.raises(RuntimeError, match=r"^Expected `labels` to be"):
        fitted.evaluate(test)
    with pytest.warns(UserWarning, match=r"has no image of BCC, AK, .* which the model cannot"):
        assert len(fitted.fit(train.subset(train.labelled))) == 1
    assert fitted.predict(test).shape == (2, 8)
    assert fitted.predict(train).shape == (6, 8)
