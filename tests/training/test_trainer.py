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
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from dermolib import ISICDataset, Trainer, build_model, weighted_accuracy
from dermolib.datasets import read_challenge_table
from dermolib.datasets.loaders import make_loader
from dermolib.training import History


class Colours(Dataset[dict[str, Any]]):
    """Noisy images of three colours, which a tiny network can tell apart."""

    def __init__(self, count: int, *, seed: int = 0, classes: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = np.arange(count) % classes
        self.images = torch.randn(count, 3, 8, 8, generator=generator) * 0.5
        self.images[torch.arange(count), torch.from_numpy(self.labels) % 3] += 1.0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index], "label": int(self.labels[index]), "id": str(index)}


class Unlabelled(Colours):
    """The same images without their labels."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.images[index]}


def network(*, classes: int = 3, dropout: float = 0.0, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Dropout(dropout), nn.Linear(4, classes),
        )  # fmt: skip


def trainer(model: nn.Module | None = None, **options: Any) -> Trainer:
    settings: dict[str, Any] = {
        "num_classes": 3,
        "epochs": 6,
        "batch_size": 8,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "schedule": "constant",
        "class_weights": None,
        "weight_decay": 0.0,
        "gradient_clip": None,
        "device": "cpu",
        "precision": "32-true",
    }
    return Trainer(network() if model is None else model, **{**settings, **options})


def test_training_learns_to_tell_colours_apart() -> None:
    fitted = trainer()
    before = fitted.evaluate(Colours(30, seed=1))

    history = fitted.fit(Colours(60), Colours(30, seed=1))

    after = fitted.evaluate(Colours(30, seed=1))
    assert len(history) == 6
    assert after["weighted_accuracy"] > 0.9 > before["weighted_accuracy"]
    assert history.column("train_loss")[-1] < history.column("train_loss")[0]
    assert after["n"] == 30


def test_a_row_of_history_is_plain_numbers() -> None:
    history = trainer(epochs=2).fit(Colours(16), Colours(8))

    assert list(history.rows[0]) == [
        "epoch",
        "learning_rate",
        "train_loss",
        "validation_loss",
        "validation_accuracy",
        "validation_weighted_accuracy",
    ]
    assert [row["epoch"] for row in history] == [1, 2]
    assert {type(value) for row in history for value in row.values()} <= {int, float}
    assert history.to_frame().shape == (2, 6)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_same_seed_gives_the_same_history_and_another_seed_another(workers: int) -> None:
    def run(seed: int) -> list[dict[str, float]]:
        model = network(dropout=0.5)
        return trainer(model, seed=seed, epochs=2, workers=workers).fit(Colours(24)).rows

    first, again, other = run(1), run(1), run(2)

    assert first == again
    assert first != other


def test_training_leaves_the_global_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()

    trainer(network(dropout=0.5), epochs=1).fit(Colours(16))

    assert torch.equal(torch.random.get_rng_state(), before)


def test_after_fit_the_model_has_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    fitted = trainer(learning_rate=2.0, epochs=5, output=tmp_path)

    history = fitted.fit(Colours(60), Colours(30, seed=1))

    best = max(history.column("validation_weighted_accuracy"))
    score = fitted.evaluate(Colours(30, seed=1))["weighted_accuracy"]
    assert score == pytest.approx(best)
    stored = Trainer.load(tmp_path / "best.pt", model=network(seed=9), device="cpu")
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(stored.model.state_dict()[name], value)


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
    data = Colours(5)
    data.labels = np.array([0, 0, 0, 1, 2])
    plain, balanced, again = [0, 0, 0, 0, 0], [1, 1, 0, 1, 2], [2, 1, 0, 1, 2]
    model = Scripted([plain, balanced, again])

    history = trainer(model, epochs=3, batch_size=5).fit(Colours(5), data)

    assert history.column("validation_accuracy") == pytest.approx([0.6, 0.6, 0.6])
    assert history.column("validation_weighted_accuracy") == pytest.approx([1 / 3, 7 / 9, 7 / 9])
    assert model.passed.item() == 2


def test_a_second_run_in_the_same_folder_takes_its_place(tmp_path: Path) -> None:
    for seed in (1, 2):
        fitted = trainer(network(seed=seed), epochs=1, output=tmp_path)
        fitted.fit(Colours(16), Colours(8))

    stored = Trainer.load(tmp_path / "best.pt", model=network(), device="cpu")
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(stored.model.state_dict()[name], value)


def test_the_order_of_images_does_not_depend_on_the_number_of_workers() -> None:
    first, second = (trainer(epochs=3, workers=workers).fit(Colours(24)) for workers in (0, 2))

    assert first.rows == second.rows


def test_one_cycle_leaves_the_momentum_as_it_was_asked_for() -> None:
    still, moving = (
        trainer(schedule="onecycle", momentum=momentum).fit(Colours(24)).rows
        for momentum in (0.0, 0.9)
    )

    assert still != moving


def test_validation_loss_knows_no_class_weights() -> None:
    weights = [1.0, 5.0, 0.1]
    data = Colours(12)
    data.labels = np.array([0] * 7 + [1] * 4 + [2])

    row = trainer(class_weights=weights, epochs=1, learning_rate=1e-12).fit(data, data).rows[0]

    plain = trainer().evaluate(data)["loss"]
    assert row["validation_loss"] == pytest.approx(plain, rel=1e-4)
    assert row["train_loss"] != pytest.approx(plain, rel=1e-2)


def test_logs_are_written_as_csv_and_for_tensorboard(tmp_path: Path) -> None:
    trainer(epochs=2, output=tmp_path).fit(Colours(16), Colours(8))

    table = pd.read_csv(tmp_path / "history.csv")
    assert table["epoch"].tolist() == [1, 2]
    assert table["validation_weighted_accuracy"].notna().all()
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_without_an_output_nothing_stays_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    trainer(epochs=1).fit(Colours(16), Colours(8))

    assert not list(tmp_path.iterdir())


def test_predictions_are_probabilities_in_the_order_of_the_data() -> None:
    model = network()
    data = Colours(21)

    predicted = trainer(model).predict(data)

    expected = model.eval()(data.images).softmax(dim=1)
    assert predicted.shape == (21, 3)
    torch.testing.assert_close(predicted, expected, atol=1e-5, rtol=0)


def test_predictions_need_no_labels() -> None:
    assert trainer().predict(Unlabelled(5)).shape == (5, 3)


@settings(deadline=None, max_examples=5)
@given(size=st.integers(1, 40))
def test_scores_do_not_depend_on_the_size_of_a_batch(size: int) -> None:
    data = Colours(20)
    whole = trainer(batch_size=20).evaluate(data)

    scores = trainer(batch_size=size).evaluate(data)

    assert scores == pytest.approx(whole, rel=1e-5)


def test_evaluation_agrees_with_the_metric_on_the_predictions() -> None:
    fitted, data = trainer(), Colours(30)

    scores = fitted.evaluate(data)

    predicted, labels = fitted.predict(data), torch.from_numpy(data.labels)
    score = weighted_accuracy(predicted, labels, num_classes=3)
    assert scores["weighted_accuracy"] == pytest.approx(score.item())
    assert scores["accuracy"] == pytest.approx((predicted.argmax(1) == labels).double().mean())
    loss = nn.functional.nll_loss(predicted.log(), labels)
    assert scores["loss"] == pytest.approx(loss.item(), rel=1e-4)


def test_loaders_and_pairs_are_taken_as_they_are() -> None:
    data = Colours(16)
    pairs = [(data.images[:8], torch.from_numpy(data.labels[:8]))]
    loader: DataLoader[Any] = DataLoader(data, batch_size=4)

    history = trainer(epochs=1).fit(loader, DataLoader(pairs, batch_size=None))  # type: ignore[arg-type]  # a list is a map-style dataset

    assert len(history) == 1


def test_a_network_learns_one_batch_by_heart_and_stays_as_it_was() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = next(iter(DataLoader(Colours(12), batch_size=12)))

    history = trainer(model).overfit_batch(batch, epochs=300, learning_rate=0.3)

    assert history.rows[-1]["accuracy"] == 1.0
    assert history.rows[-1]["loss"] < 0.01 < history.rows[-2]["loss"]
    assert list(history.rows[0]) == ["epoch", "loss", "accuracy"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_line_is_written_every_ten_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    batch = next(iter(DataLoader(Colours(12), batch_size=12)))

    trainer().overfit_batch(batch, epochs=25)

    lines = capsys.readouterr().err.splitlines()
    assert [int(line.split(":")[0].removeprefix("epoch")) for line in lines] == [1, 11, 21, 25]
    assert re.fullmatch(r"epoch    1: loss \d\.\d{4}, accuracy \d\.\d{3}", lines[0])


def test_a_saved_trainer_predicts_the_same(tmp_path: Path) -> None:
    model = build_model("custom_cnn", num_classes=8, image_size=16)
    saved = trainer(model, num_classes=8)
    saved.save(tmp_path / "model.pt")

    loaded = Trainer.load(tmp_path / "model.pt", device="cpu", precision="32-true")

    images = [{"image": torch.randn(3, 16, 16)}]
    assert torch.equal(loaded.predict(images), saved.predict(images))
    assert loaded.class_names == ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")


def test_a_module_of_ones_own_is_loaded_into_one_like_it(tmp_path: Path) -> None:
    saved = trainer(network(seed=1), class_names=["red", "green", "blue"])
    saved.save(tmp_path / "model.pt")

    loaded = Trainer.load(tmp_path / "model.pt", model=network(seed=2), device="cpu")

    for name, value in saved.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert loaded.class_names == ("red", "green", "blue")


def test_a_module_that_does_not_fit_is_left_as_it_was(tmp_path: Path) -> None:
    trainer(network(seed=1)).save(tmp_path / "model.pt")
    model = network(classes=4, seed=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    got = "other weights: 5.bias (3,) there, (4,) here, 5.weight (3, 4) there, (4, 4) here."

    with pytest.raises(ValueError, match=re.escape(f"a checkpoint of this model, but got {got}")):
        Trainer.load(tmp_path / "model.pt", model=model)

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_classes_are_no_option_of_loading(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model.pt")

    with pytest.raises(TypeError, match=r"but got `class_names`\. Leave it out: the classes are"):
        Trainer.load(tmp_path / "model.pt", model=network(), class_names=["a", "b", "c"])


def test_a_folder_is_no_file_to_save_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`path` to be a file, but got the folder .* Name a file"):
        trainer().save(tmp_path)


def test_a_module_of_ones_own_must_be_passed(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model.pt")

    with pytest.raises(ValueError, match=r"Build the module yourself and pass it as `model`\."):
        Trainer.load(tmp_path / "model.pt")


def test_a_checkpoint_of_other_classes_is_refused(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model.pt")

    with pytest.raises(ValueError, match=r"(?s)a checkpoint of this model, but got other weights"):
        Trainer.load(tmp_path / "model.pt", model=network(classes=4))


class Payload:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def test_a_file_that_would_run_code_is_refused_unread(tmp_path: Path) -> None:
    torch.save({"format": Payload(tmp_path / "ran")}, tmp_path / "evil.pt")

    with pytest.raises(ValueError, match=r"evil\.pt` to be a checkpoint of `Trainer\.save`"):
        Trainer.load(tmp_path / "evil.pt")

    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_cannot_send_the_reader_to_another_file(tmp_path: Path) -> None:
    saved = trainer(build_model("custom_cnn", num_classes=3, image_size=16))
    saved.save(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["architecture"]["weights"] = str(tmp_path / "absent.pth")
    torch.save(content, tmp_path / "model.pt")

    loaded = Trainer.load(tmp_path / "model.pt", device="cpu")

    assert loaded.num_classes == 3


def test_text_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("hello")

    with pytest.raises(ValueError, match="a file that does not load"):
        Trainer.load(tmp_path / "model.pt")


def test_a_name_without_ending_is_a_file_name(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model")

    assert Trainer.load(tmp_path / "model", model=network(), device="cpu").num_classes == 3


def test_plain_weights_are_told_from_a_checkpoint(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "weights.pt")

    with pytest.raises(ValueError, match=r"Load plain weights with `build_model"):
        Trainer.load(tmp_path / "weights.pt")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])

    with pytest.raises(ValueError, match="a file that does not load"):
        Trainer.load(tmp_path / "model.pt")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        Trainer.load(tmp_path / "absent.pt")


def test_balanced_weights_make_all_classes_weigh_the_same() -> None:
    data = Colours(9)
    data.labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])

    balanced = trainer(class_weights="balanced", epochs=1, seed=3).fit(data).rows
    given_weights = trainer(class_weights=[0.5, 1.5, 3.0], epochs=1, seed=3).fit(data).rows
    none = trainer(epochs=1, seed=3).fit(data).rows

    assert balanced == given_weights
    assert balanced != none


def test_balanced_weights_of_a_part_come_from_that_part() -> None:
    data = Colours(12)
    part = Subset(data, [0, 3, 6, 1, 2])

    balanced = trainer(class_weights="balanced", epochs=1).fit(DataLoader(part, 5)).rows
    given_weights = trainer(class_weights=[5 / 9, 5 / 3, 5 / 3], epochs=1).fit(DataLoader(part, 5))

    assert balanced == given_weights.rows


def test_a_loader_that_shuffles_cannot_be_predicted() -> None:
    with pytest.raises(ValueError, match=r"a loader in order, but got one that shuffles\. Pass"):
        trainer().predict(DataLoader(Colours(8), shuffle=True))


@pytest.mark.parametrize(
    ("labels", "kind", "sentence"),
    [
        ([1, 2, 3], ValueError, "classes (N,) in 0..2, but got [1, 2, 3]. Labels begin at 0"),
        ([0.5, 1.0, 2.0], TypeError, "`label` to be classes (N,) in 0..2, but got torch.float64"),
    ],
)
def test_labels_out_of_range_are_told(
    labels: list[float], kind: type[Exception], sentence: str
) -> None:
    batch = (torch.zeros(3, 3, 8, 8), torch.tensor(labels, dtype=None))
    if kind is TypeError:
        batch = (batch[0], batch[1].double())

    with pytest.raises(kind, match=re.escape(sentence)):
        trainer().overfit_batch(batch, epochs=1)


def test_labels_of_32_bits_are_understood() -> None:
    batch = (torch.zeros(3, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2]).int())

    assert len(trainer().overfit_batch(batch, epochs=1)) == 1


@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_schedule_ends_far_below_its_peak(schedule: str, optimizer: str) -> None:
    fitted = trainer(schedule=schedule, optimizer=optimizer, learning_rate=0.01)

    rates = fitted.fit(Colours(48)).column("learning_rate")

    assert rates[-1] < 0.1 * max(rates)


def test_a_clipped_gradient_makes_small_steps() -> None:
    model = network()
    before = torch.cat([value.detach().clone().flatten() for value in model.parameters()])

    trainer(model, gradient_clip=1e-6, momentum=0, epochs=1).fit(Colours(16))

    after = torch.cat([value.detach().flatten() for value in model.parameters()])
    assert 0 < (after - before).norm().item() < 1e-6


def test_bfloat16_trains_too() -> None:
    history = trainer(precision="bf16-mixed", epochs=2).fit(Colours(16), Colours(8))

    assert np.isfinite(history.column("validation_loss")).all()


def test_lightning_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        trainer(epochs=1).fit(Colours(16), Colours(8))

    assert not [record for record in caplog.records if "lightning" in record.name]


class Shifted:
    """A random transform like those of albumentations."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng()

    def set_random_seed(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def __call__(self, image: Tensor) -> Tensor:
        return image + float(self.generator.normal())


class Transformed(Colours):
    """Images with a random transform, as a dataset with a preset has it."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.transform = Shifted()

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return {**sample, "image": self.transform(sample["image"])}


@pytest.mark.parametrize("workers", [0, 2])
def test_random_transforms_follow_the_seed_of_the_run(workers: int) -> None:
    def run(seed: int) -> list[dict[str, float]]:
        return trainer(seed=seed, epochs=2, workers=workers).fit(Transformed(24)).rows

    assert run(1) == run(1)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    fitted = trainer(learning_rate=1e25, epochs=3)

    with pytest.raises(RuntimeError, match=r"`train_loss` to be finite, but got NaN or .* Lower"):
        fitted.fit(Colours(16))


def test_images_with_nan_are_named_before_the_first_step() -> None:
    data = Colours(16)
    data.images[3] = torch.nan

    with pytest.raises(ValueError, match=r"`image` to be finite, but got NaN or .* in image 3\. M"):
        trainer().fit(data)
    with pytest.raises(ValueError, match=r"`image` to be finite, but got NaN or .* in image 3\. M"):
        trainer().predict(data)


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"num_classes": 1}, ValueError, "`num_classes` to be an integer of 2 or more"),
        ({"num_classes": 3.0}, TypeError, "`num_classes` to be an integer of 2 or more"),
        ({"num_classes": "3"}, TypeError, "`num_classes` to be an integer of 2 or more"),
        ({"optimizer": "adam"}, ValueError, "'sgd', 'adamw', but got 'adam'. Did you mean 'adamw'"),
        (
            {"learning_rate": 0},
            ValueError,
            "`learning_rate` to be a finite number above 0, but got",
        ),
        ({"momentum": 2}, ValueError, "`momentum` to be a number in 0..1, but got 2."),
        ({"weight_decay": -1}, ValueError, "`weight_decay` to be a finite number of 0 or more"),
        ({"schedule": "step"}, ValueError, "`schedule` to be one of 'constant', 'cosine'"),
        ({"gradient_clip": 0}, ValueError, "`gradient_clip` to be a number above 0, but got 0."),
        ({"epochs": 0}, ValueError, "`epochs` to be an integer of 1 or more, but got 0."),
        ({"batch_size": 0}, ValueError, "`batch_size` to be an integer of 1 or more, but got 0."),
        ({"workers": -1}, ValueError, "`workers` to be an integer of 0 or more, but got -1."),
        ({"seed": 0.5}, TypeError, "`seed` to be an integer"),
        ({"device": "gpu"}, ValueError, "`device` to be one of 'auto', 'cpu', 'cuda', 'mps'"),
        ({"precision": "16"}, ValueError, "`precision` to be one of 'auto', '32-true'"),
        ({"class_names": ["a"]}, ValueError, "`class_names` to be 3 names, one for each class"),
        ({"class_names": "abc"}, TypeError, "but got an object of type str. Pass a list, in the"),
        ({"class_names": {"a", "b", "c"}}, TypeError, "but got an object of type set. Pass a lis"),
        ({"class_names": ["a", "b", "a"]}, ValueError, "but got a more than once."),
        ({"devices": 0}, ValueError, "`devices` to be a number of devices, 1 or more, a list of"),
        ({"devices": 2.5}, TypeError, "-1 for all, or 'auto', but got 2.5 of type float."),
        ({"devices": []}, ValueError, "-1 for all, or 'auto', but got []."),
        ({"devices": -1}, ValueError, "`devices` to be a number of processes, but got -1. A CPU"),
        ({"num_nodes": 0}, ValueError, "`num_nodes` to be an integer of 1 or more, but got 0."),
        ({"output": ""}, ValueError, "`output` to be a folder for the run, but got an empty path"),
        ({"output": 5}, TypeError, "`output` to be a folder for the run, but got 5 of type int."),
        ({"output": __file__}, ValueError, "test_trainer.py, a file. Take another name."),
        ({"output": f"{__file__}/run"}, ValueError, "/run, below the file "),
    ],
)
def test_unfit_options_are_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        trainer(**options)


class Interrupted(Colours):
    """Somebody presses Ctrl-C while an image is read."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        raise KeyboardInterrupt(index)


def test_ctrl_c_stays_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(Interrupted(8))


class Signalled(nn.Module):
    """Somebody presses Ctrl-C while the model computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, image: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return image.new_zeros(len(image), 1)


@pytest.mark.parametrize("use", ["evaluate", "predict", "overfit_batch", "find_learning_rate"])
def test_ctrl_c_stays_ctrl_c_whatever_is_done_and_is_heard_again(use: str) -> None:
    data = next(iter(DataLoader(Colours(8), 8))) if use == "overfit_batch" else Colours(8)
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        getattr(trainer(Signalled()), use)(data)

    assert signal.getsignal(signal.SIGINT) == before


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"`model` to be a torch module.* See `build_model`\."):
        Trainer("alexnet")  # type: ignore[arg-type]  # the wrong type under test


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(ValueError, match=r"`device` to be one of this machine, but got 'cuda'\."):
        trainer(device="cuda")


@pytest.mark.parametrize(
    ("data", "kind", "sentence"),
    [
        ([], ValueError, "`train` to be a set with at least one image, but got an empty one."),
        (iter([]), TypeError, "`train` to be a dataset or loader with a length"),
        ([{"image": torch.zeros(3, 8, 8)}], ValueError, "`batch` to be a batch with `label`"),
        ([{"label": 1}], TypeError, "a dictionary with `image` and `label`, or a pair of them"),
        (
            [{"image": torch.zeros(8, 8, 3, dtype=torch.uint8), "label": 1}],
            TypeError,
            "`image` to be a float tensor (N, 3, H, W), but got torch.uint8 of shape (1, 8, 8, 3).",
        ),
    ],
)
def test_unfit_data_are_refused(data: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        trainer().fit(data)


def test_a_model_of_other_classes_is_refused_before_the_first_step() -> None:
    with pytest.raises(ValueError, match=re.escape("logits (N, 3), but got (8, 4). Build it with")):
        trainer(network(classes=4)).fit(Colours(16))


class Giving(nn.Module):
    """Gives what is made of its logits, in training and in validation as it is told."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make = make
        self.layer = nn.Linear(3, 3)

    def forward(self, image: Tensor) -> Any:
        return self.make(self.layer(image.mean(dim=(2, 3))))


@pytest.mark.parametrize(
    ("make", "kind", "got"),
    [
        (lambda logits: (logits, logits), TypeError, "an output of type tuple. Wrap it in a mod"),
        (lambda logits: {"logits": logits}, TypeError, "an output of type dict. Wrap it in a mo"),
        (lambda _: None, TypeError, "an output of type NoneType. Wrap it in a module that retur"),
        (lambda logits: logits.argmax(dim=1), TypeError, "an output of torch.int64."),
        (lambda logits: logits[0], ValueError, "(3,). Build it with the same `num_classes`"),
        (lambda logits: logits[:5], ValueError, "5 rows for 8 images."),
        (lambda logits: logits.detach(), ValueError, "logits without one. Leave `detach` and"),
    ],
)
def test_a_model_that_gives_no_logits_is_told(
    make: Callable[[Tensor], Any], kind: type[Exception], got: str
) -> None:
    with pytest.raises(kind, match=f"^Expected `model` to be a model .*{re.escape(got)}"):
        trainer(Giving(make)).fit(Colours(16))


class Unread(Colours):
    """Images that must not be read."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        raise AssertionError(index)


def spoilt(**parts: Any) -> list[dict[str, Any]]:
    return [{"image": torch.zeros(3, 8, 8), "label": 0, **parts}]


@pytest.mark.parametrize(
    ("validation", "sentence"),
    [
        (spoilt(image=torch.full((3, 8, 8), torch.nan)), "`image` to be finite, but got NaN"),
        (spoilt(label=3), "`label` to be classes (N,) in 0..2, but got [3]. Labels begin at 0"),
        ([{"image": torch.zeros(3, 8, 8)}], "`batch` to be a batch with `label`, but got none."),
    ],
)
def test_faults_of_the_validation_set_are_told_before_the_first_step(
    validation: Any, sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer().fit(Unread(9), validation)


def normed(*, flat: bool) -> nn.Module:
    norm = nn.BatchNorm1d(4) if flat else nn.BatchNorm2d(4)
    pool: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    layers = [*pool, norm] if flat else [norm, *pool]
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Linear(4, 3))


def test_a_last_batch_of_one_image_is_told_before_the_first_step() -> None:
    model = normed(flat=True)
    before = [value.clone() for value in model.parameters()]
    sentence = "`batch_size` to be one that leaves more than one image in the last batch, but got "

    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer(model).fit(Colours(17), Colours(9))

    assert all(map(torch.equal, model.parameters(), before))


@pytest.mark.parametrize(("flat", "count"), [(False, 17), (True, 18)])
def test_batches_that_normalisation_can_learn_from_are_taken(flat: bool, count: int) -> None:
    assert len(trainer(normed(flat=flat), epochs=1).fit(Colours(count), Colours(9))) == 1


def test_a_loader_may_leave_out_a_last_batch_of_one_image() -> None:
    loader = make_loader(Colours(17), batch_size=8, shuffle=True, drop_last=True)

    assert len(trainer(normed(flat=True), epochs=1).fit(loader)) == 1


class Empty(nn.Sequential):
    """A model whose length is 0, which makes it false."""

    def __len__(self) -> int:
        return 0


def test_a_model_of_length_0_is_a_model_as_well() -> None:
    fitted = trainer(Empty(network()))
    before = {name: value.clone() for name, value in fitted.model.state_dict().items()}

    fitted.overfit_batch(next(iter(DataLoader(Colours(8), 8))), epochs=2)

    after = fitted.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def opened(challenge: Path, split: str = "train") -> ISICDataset:
    """Open the small challenge, without the label of its third training image."""
    table = read_challenge_table(challenge, split)
    if split == "train":
        table["label"] = table["label"].astype("Int64")
        table.loc[2, "label"] = pd.NA
    return ISICDataset(table, transform=scaled, split=split)


def scaled(image: Any) -> dict[str, Any]:
    return {"image": torch.from_numpy(image).permute(2, 0, 1) / 255}


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
    data, labelled = wrapped(opened(challenge)), Colours(8)
    for path in challenge.glob("*/*.jpg"):
        path.unlink()
    sentence = (
        "Expected `labels` to be known for all rows, but got 1 of 6 rows without one. Take the "
        "others: `dataset.subset(dataset.labelled)`."
    )

    for use in (
        trainer(num_classes=8).fit,
        trainer(num_classes=8).evaluate,
        lambda data: trainer(num_classes=8).fit(labelled, data),
    ):
        with pytest.raises(RuntimeError, match=f"^{re.escape(sentence)}$"):
            use(data)


def test_a_side_without_labels_is_refused_and_can_be_predicted(challenge: Path) -> None:
    data = opened(challenge, "test")

    with pytest.raises(RuntimeError, match=r"^Expected `labels` to be read from a table with clas"):
        trainer().evaluate(data)
    assert trainer().predict(data).shape == (2, 3)


def test_labelled_rows_can_be_trained_on_and_all_rows_predicted(challenge: Path) -> None:
    data = opened(challenge)
    fitted = trainer(network(classes=8), num_classes=8, epochs=1)

    with pytest.warns(UserWarning, match=r"has no image of BCC, AK, .* which the model cannot"):
        history = fitted.fit(data.subset(data.labelled))

    assert len(history) == 1
    assert fitted.predict(data).shape == (6, 8)


def test_balanced_weights_need_labels() -> None:
    with pytest.raises(ValueError, match=r"a dataset with `labels`.* Pass the weights as numbers"):
        trainer(class_weights="balanced").fit([{"image": torch.zeros(3, 8, 8), "label": 1}])


@pytest.mark.parametrize(
    ("weights", "what"),
    [([1.0], "3 weights"), ("even", "'balanced'"), ([1.0, -1.0, 1.0], "finite weights of 0 or")],
)
def test_unfit_weights_are_refused(weights: Any, what: str) -> None:
    with pytest.raises(ValueError, match=f"`class_weights` to be .*{what}"):
        trainer(class_weights=weights)


def test_a_history_gives_its_columns() -> None:
    history = History([{"epoch": 1, "loss": 2.0}, {"epoch": 2}])

    assert history.column("loss") == [2.0]
    assert [row["epoch"] for row in history] == [1, 2]
