"""Runs: what options do, against loops and averages written by hand; the search for a rate."""

import copy
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from colors import Colors, network, same, trainer, weights
from torch import Tensor, distributed, nn

from dermolib import Trainer, make_loader
from dermolib.training import LearningRates

# What holds for a whole process has no public door
from dermolib.training import run as runs


def by_hand(*, batch_size: int = 8, accumulate: int = 1) -> list[dict[str, Tensor]]:
    """Train with plain SGD for two epochs; the weights after each step."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = make_loader(Colors(24), batch_size=batch_size, shuffle=True)
    steps = []
    for _ in range(2):
        for number, batch in enumerate(loader):
            loss = nn.functional.cross_entropy(model(batch["image"]), batch["label"]) / accumulate
            torch.autograd.backward(loss)
            if (number + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
                steps.append(weights(model))
    return steps


def close(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    return model.state_dict().keys() == weights.keys() and all(
        torch.allclose(value, weights[name], rtol=1e-5, atol=1e-6)
        for name, value in model.state_dict().items()
    )


@pytest.mark.parametrize("options", [{}, {"batch_size": 4, "accumulate": 2}], ids=str)
def test_training_is_the_plain_loop(options: dict[str, Any]) -> None:
    fitted = trainer(epochs=2, **options)

    fitted.fit(Colors(24))

    assert close(fitted.model, by_hand()[-1])


@pytest.mark.parametrize("decay", [0.25, 0.999])
def test_the_average_of_weights_is_that_of_its_formula(decay: float) -> None:
    fitted = trainer(epochs=2, ema=decay)

    fitted.fit(Colors(24))

    average, *others = by_hand()
    for n, step in enumerate(others, 1):
        kept = min(decay, (1 + n) / (10 + n))
        average = {name: kept * average[name] + (1 - kept) * step[name] for name in average}
    assert close(fitted.model, average)


def test_an_average_of_few_steps_with_a_high_decay_has_left_the_first_weights() -> None:
    fitted = trainer(epochs=8, ema=0.999)

    rows = fitted.fit(Colors(64), Colors(30, seed=1)).rows

    assert rows[-1]["validation_weighted_accuracy"] > 0.9 > rows[0]["validation_weighted_accuracy"]


def test_the_average_is_what_is_scored_and_kept(tmp_path: Path) -> None:
    fitted, scored = trainer(epochs=3, ema=0.9, output=tmp_path), Colors(30, seed=1)

    rows = fitted.fit(Colors(24), scored).rows

    best = max(rows, key=lambda row: row["validation_weighted_accuracy"])
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    stored = Trainer.load(tmp_path / "best.pt", model=network(seed=9), **options)
    for one in (fitted, stored):
        assert one.evaluate(scored)["loss"] == pytest.approx(best["validation_loss"], rel=1e-4)
    plain = trainer(epochs=3).fit(Colors(24), scored).rows
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in plain]
    assert rows[0]["validation_loss"] != pytest.approx(plain[0]["validation_loss"], rel=1e-3)


def test_an_average_covers_the_statistics_of_normalization() -> None:
    norm = nn.BatchNorm2d(3)

    trainer(nn.Sequential(norm, nn.Flatten(), nn.Linear(192, 3)), epochs=2, ema=0.5).fit(Colors(24))

    assert norm.running_mean is not None
    assert norm.running_mean.abs().min() > 0


@pytest.mark.parametrize("patience", [1, 3])
def test_a_run_stops_when_the_score_has_not_risen_for_so_many_epochs(patience: int) -> None:
    fitted = trainer(epochs=9, early_stopping=patience, learning_rate=1e-12)

    assert len(fitted.fit(Colors(12), Colors(6))) == 1 + patience
    with pytest.raises(ValueError, match="`early_stopping` to be None without a validation set"):
        fitted.fit(Colors(12))


@pytest.mark.slow
def test_a_compiled_model_learns_the_same_and_is_plain_afterwards() -> None:
    def run(**options: Any) -> nn.Module:
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.01)
        trainer(model, epochs=1, **options).fit(Colors(16), Colors(8))
        return model

    compiled, plain = run(compile=True, ema=0.5), run(ema=0.5)

    assert close(compiled, plain.state_dict())
    copy.deepcopy(compiled)  # a model that is compiled in place cannot be copied


def test_a_model_that_its_owner_has_compiled_stays_so() -> None:
    passes: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        del inputs

        def call(*given: Any) -> Any:
            passes.append(1)
            return graph(*given)

        return call

    class Own(torch.nn.Module):  # old versions of torch do not compile their own Sequential
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.inner(images)) + 0

    model = Own()
    model.compile(backend=backend)

    trainer(model, epochs=1).fit(Colors(8))
    trained = len(passes)
    model(torch.zeros(8, 3, 8, 8))

    assert 0 < trained < len(passes)


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_use_the_memory_format_that_was_asked_for(channels_last: bool) -> None:
    seen: list[bool] = []
    model = network()
    model.register_forward_pre_hook(
        lambda _, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    fitted = trainer(model, epochs=2, channels_last=channels_last)

    fitted.fit(Colors(24))

    assert set(seen) == {channels_last}
    assert close(model, by_hand()[-1])


class Viewing(nn.Module):
    """A network with a `view` of its feature maps, as tutorials have it."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
            self.head = nn.Linear(144, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        logits: Tensor = self.head(maps.view(maps.shape[0], -1))
        return logits


@pytest.mark.parametrize("scored", [False, True], ids=["alone", "scored"])
def test_a_model_with_a_view_runs_without_channels_last_as_if_it_had_been_told(
    scored: bool,
) -> None:
    asked, told = Viewing(), Viewing()
    validation = Colors(8) if scored else None
    words = (
        r"`view` of its feature maps, which runs without .*\. Pass `channels_last=False`, or use"
    )

    with pytest.warns(UserWarning, match=words):
        history = trainer(asked, epochs=2).fit(Colors(16), validation)
    with pytest.warns(UserWarning, match=words):
        probabilities = trainer(asked).predict(Colors(8))

    plain = trainer(told, epochs=2, channels_last=False)
    assert history == plain.fit(Colors(16), validation)
    assert torch.equal(probabilities, plain.predict(Colors(8)))
    assert same(asked.state_dict(), told.state_dict())


@pytest.mark.slow
def test_a_compiled_model_with_a_view_runs_without_channels_last() -> None:
    with pytest.warns(UserWarning, match="which runs without `channels_last`"):
        history = trainer(Viewing(), epochs=1, compile=True).fit(Colors(16))

    assert len(history) == 1


def test_a_view_that_fails_in_any_memory_raises_what_torch_says() -> None:
    class Transposing(Viewing):
        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(self.features(images).mT.view(len(images), -1))
            return logits

    with pytest.raises(RuntimeError, match="view size is not compatible"):
        trainer(Transposing(), epochs=1).fit(Colors(8))


def test_images_of_different_sizes_in_a_batch_are_named() -> None:
    sizes = [{"image": torch.zeros(3, 8, 8 + row), "label": row} for row in range(3)]

    for call in (trainer().fit, trainer().predict):
        with pytest.raises(ValueError, match=r"samples of one shape each, but got .3, 8, .*Resize"):
            call(sizes)


class Taught(Colors):
    """Images with what a teacher says of them, which is the next class."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        soft = torch.full((3,), 0.05)
        soft[(sample["label"] + 1) % 3] = 0.9
        return {**sample, "soft_label": soft}


def test_probabilities_are_learned_instead_of_labels() -> None:
    fitted = trainer(epochs=8)

    history = fitted.fit(Taught(60))

    predicted = fitted.predict(Colors(30, seed=1)).argmax(dim=1)
    taught = (torch.from_numpy(Colors(30).labels) + 1) % 3
    assert (predicted == taught).double().mean() > 0.9
    assert min(history.column("train_loss")) > 0.39  # the entropy of what the teacher says


@pytest.fixture(scope="module")
def plain_rows() -> list[dict[str, float]]:
    return trainer(epochs=8).fit(Colors(60)).rows


@pytest.mark.parametrize(
    "options",
    [
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"loss": "focal"},
        {"label_smoothing": 0.2},
        {"ema": 0.9},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_options_learn_to_tell_colors_apart(
    options: dict[str, Any], plain_rows: list[dict[str, float]]
) -> None:
    fitted = trainer(epochs=8, **options)

    rows = fitted.fit(Colors(60)).rows

    assert fitted.evaluate(Colors(30, seed=1))["weighted_accuracy"] > 0.9
    assert rows != plain_rows or "ema" in options


class ByMetadata(nn.Module):
    """Answers by metadata alone."""

    takes_metadata = True

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        nn.init.zeros_(self.layer.weight)

    def forward(self, image: Tensor, metadata: Tensor) -> Tensor:
        del image
        logits: Tensor = self.layer(metadata)
        return logits


class WithMetadata(Colors):
    """Images whose metadata tell the class."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        metadata = nn.functional.one_hot(torch.tensor(sample["label"]), 3).float()
        return {**sample, "metadata": metadata}


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_metadata_reach_a_model_that_takes_them(mixup: float) -> None:
    fitted = trainer(ByMetadata(), epochs=8, mixup=mixup)

    fitted.fit(WithMetadata(30), WithMetadata(9, seed=1))

    assert fitted.evaluate(WithMetadata(9))["weighted_accuracy"] == 1
    assert fitted.predict(WithMetadata(9)).argmax(dim=1).tolist() == [0, 1, 2] * 3
    uses = (fitted.fit, lambda data: fitted.fit(WithMetadata(9), data))
    for use in (*uses, fitted.evaluate, fitted.predict):
        with pytest.raises(
            ValueError, match=r"a batch with `metadata`, but got none\. Make the da"
        ):
            use(Colors(9))


@pytest.mark.parametrize("mode", [True, False])
def test_the_model_is_trained_and_left_in_training_mode(mode: bool) -> None:
    fitted = trainer(network(dropout=0.5).train(mode), epochs=1)

    fitted.fit(Colors(8), Colors(8))

    assert all(module.training for module in fitted.model.modules())


def found(model: nn.Module | None = None, count: int = 60, **options: Any) -> LearningRates:
    ranges = {name: options.pop(name) for name in ("lowest", "highest", "steps") if name in options}
    return trainer(model, **options).find_learning_rate(Colors(count), **ranges)


def test_the_rate_that_is_suggested_trains_and_much_higher_ones_do_not() -> None:
    seen = found(highest=100.0)

    assert seen.suggestion is not None
    assert 1e-3 < seen.suggestion < 5
    after = trainer(learning_rate=seen.suggestion, epochs=8, schedule="onecycle").fit(Colors(60))
    assert after.rows[-1]["train_loss"] < 0.5 < seen.losses[0]
    assert max(seen.losses[-5:]) > min(seen.losses)


def test_rates_rise_evenly_and_the_first_loss_is_that_of_the_model() -> None:
    model, data = network(), Colors(60)
    plain = nn.functional.cross_entropy(model(data.images), torch.from_numpy(data.labels)).item()

    seen = found(model, batch_size=60, lowest=1e-5, highest=1e-1, steps=41)

    assert len(seen.rates) == len(seen.losses) == 41
    assert [seen.rates[0], seen.rates[-1]] == pytest.approx([1e-5, 1e-1])
    factors = [after / before for before, after in zip(seen.rates, seen.rates[1:], strict=False)]
    assert factors[1:] == pytest.approx([factors[1]] * 39, rel=1e-3)
    assert seen.losses[:2] == pytest.approx([plain, plain], rel=1e-3)


class Talking(Colors):
    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 3:
            sys.stderr.write("image 3 is odd\n")
        return super().__getitem__(index)


def test_the_search_leaves_all_as_it_was_and_lets_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = network(dropout=0.3)
    before, generator = weights(model), torch.random.get_rng_state()

    first, second = (
        trainer(model, output=tmp_path / "run").find_learning_rate(Talking(24), steps=20)
        for _ in range(2)
    )

    assert first == second
    assert same(model.state_dict(), before)
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert not list(tmp_path.iterdir())
    out, err = capfd.readouterr()
    assert (out, set(err.splitlines())) == ("", {"image 3 is odd"})


def test_a_divergence_ends_the_search_and_not_the_program() -> None:
    seen = found(highest=1e30, steps=200)

    assert len(seen.rates) < 200
    assert all(loss < float("inf") for loss in seen.losses)
    assert seen.suggestion is not None


@pytest.mark.parametrize(
    "options",
    [{"accumulate": 2}, {"mixup": 0.4}, {"freeze": ["0"]}, {"sampler": "balanced"}, {"ema": 0.9}],
    ids=str,
)
def test_the_search_works_with_other_options(options: dict[str, Any]) -> None:
    assert len(found(**options, steps=20).rates) == 20


def test_a_loss_that_falls_nowhere_is_warned_of_where_it_was_asked_for() -> None:
    sentence = "Expected `loss` to be one that falls between the rates 1e-12 and 1e-11, but got"
    data = Colors(60)

    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}") as caught:
        seen = trainer(batch_size=60).find_learning_rate(
            data, lowest=1e-12, highest=1e-11, steps=20
        )

    assert seen.suggestion is None
    assert Path(caught[0].filename).name == Path(__file__).name


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"lowest": 0}, ValueError, "`lowest` to be a number above 0, but got 0."),
        ({"lowest": 2.0}, ValueError, "`highest` to be a number above 2, but got 1.0."),
        ({"steps": 19}, ValueError, "`steps` to be an integer of 20 or more, but got 19."),
        ({"steps": 1e2}, TypeError, "`steps` to be an integer of 20 or more, but got 100.0 of"),
    ],
)
def test_what_is_not_a_range_is_refused(
    options: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        found(**options)


def test_warnings_about_anything_else_come_through() -> None:
    with runs.quiet(), pytest.warns(UserWarning, match="The images are upside down"):
        warnings.warn("The images are upside down", stacklevel=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_trains_in_mixed_precision() -> None:
    assert len(Trainer(network(), num_classes=3, epochs=2).fit(Colors(32), Colors(16))) == 2


def test_a_process_leaves_its_group_before_it_ends(tmp_path: Path) -> None:
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)

    runs._leave_group()
    left = not distributed.is_initialized()
    runs._leave_group()

    assert left
