import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import Colours, network, trainer
from torch import nn

from dermolib.training import LearningRates


def found(model: nn.Module | None = None, count: int = 60, **options: Any) -> LearningRates:
    tried: dict[str, Any] = {
        name: options.pop(name) for name in ("lowest", "highest", "steps") if name in options
    }
    return trainer(model, **options).find_learning_rate(Colours(count), **tried)


def test_the_rate_that_is_suggested_trains_and_much_higher_ones_do_not() -> None:
    seen = found(network(), highest=100.0)

    assert seen.suggestion is not None
    assert 1e-3 < seen.suggestion < 5
    after = trainer(learning_rate=seen.suggestion, epochs=12, schedule="onecycle").fit(Colours(60))
    assert after.rows[-1]["train_loss"] < 0.5 < seen.losses[0]
    assert max(seen.losses[-5:]) > min(seen.losses)


def test_rates_rise_evenly_from_the_lowest_to_the_highest() -> None:
    seen = found(lowest=1e-5, highest=1e-1, steps=41)

    assert len(seen.rates) == len(seen.losses) == 41
    assert seen.rates[0] == pytest.approx(1e-5)
    assert seen.rates[-1] == pytest.approx(1e-1)
    factors = [after / before for before, after in zip(seen.rates, seen.rates[1:], strict=False)]
    assert factors[1:] == pytest.approx([factors[1]] * 39, rel=1e-3)


def test_the_first_loss_is_that_of_the_model() -> None:
    model, data = network(), Colours(60)

    seen = found(model, batch_size=60)

    plain = nn.functional.cross_entropy(model(data.images), torch.from_numpy(data.labels))
    assert seen.losses[0] == pytest.approx(plain.item(), rel=1e-5)
    assert seen.losses[1] == pytest.approx(plain.item(), rel=1e-3)


def test_the_model_the_generator_and_the_folder_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = network(dropout=0.3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.random.get_rng_state()

    found(model, output=tmp_path / "run")

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_finds_the_same() -> None:
    assert found(network(dropout=0.3)) == found(network(dropout=0.3))


def test_an_explosion_ends_the_search_and_not_the_program() -> None:
    seen = found(highest=1e30, steps=200)

    assert len(seen.rates) < 200
    assert all(loss < float("inf") for loss in seen.losses)
    assert seen.suggestion is not None


@pytest.mark.parametrize(
    "options",
    [{"accumulate": 2}, {"mixup": 0.4}, {"freeze": ["0"]}, {"sampler": "balanced"}, {"ema": 0.9}],
    ids=str,
)
def test_recipes_are_searched_too(options: dict[str, Any]) -> None:
    assert len(found(**options, steps=20).rates) == 20


def test_a_loss_that_falls_nowhere_is_told_where_it_was_asked_for() -> None:
    sentence = (
        "Expected `loss` to be one that falls between the rates 1e-12 and 1e-11, but got none. "
        "Take a higher `highest` or more `steps`."
    )
    fitted, data = trainer(network(), batch_size=60), Colours(60)

    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$") as caught:
        seen = fitted.find_learning_rate(data, lowest=1e-12, highest=1e-11, steps=20)

    assert seen.suggestion is None
    assert Path(caught[0].filename).name == Path(__file__).name


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        ({"lowest": 0}, ValueError, "`lowest` to be a number above 0, but got 0."),
        ({"lowest": 2.0}, ValueError, "`highest` to be a number above 2, but got 1.0."),
        ({"steps": 19}, ValueError, "`steps` to be an integer of 20 or more, but got 19."),
        ({"steps": 1e2}, TypeError, "`steps` to be an integer of 20 or more, but got 100.0 of"),
    ],
)
def test_what_is_no_range_is_refused(options: Any, kind: type[Exception], sentence: str) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        found(**options)


def test_images_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="a batch with `label`, but got none"):
        trainer().find_learning_rate([{"image": torch.zeros(3, 8, 8)}] * 8)


def test_what_others_write_comes_through(capsys: pytest.CaptureFixture[str]) -> None:
    class Talking(Colours):
        def __getitem__(self, index: int) -> dict[str, Any]:
            if index == 3:
                sys.stderr.write("image 3 is odd\n")
            return super().__getitem__(index)

    trainer().find_learning_rate(Talking(60), steps=20)

    assert set(capsys.readouterr().err.splitlines()) == {"image 3 is odd"}
