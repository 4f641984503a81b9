"""The ablation: it goes on where it stopped, and its table follows from what it stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ablation
from ablation_parts.runs import FACTORS, Cell, Challenge, cells_of, train
from ablation_parts.table import crossed_interval, scores
from dermolib import ISICDataset, make_synthetic_challenge, preset
from dermolib.evaluation import bootstrap_interval

# Eight drawn lesions are few, and two equal runs do not differ at all
pytestmark = pytest.mark.filterwarnings(
    "ignore:The interval rests on fewer than 20 groups", "ignore:All resamples score the same"
)

_SMALL = ["--model", "custom_cnn", "--image-size", "16", "--steps", "2", "--batch-size", "8"]
_TWO = ["--hair", "none", "luv", "--augmentation", "none", "--balancing", "weights", "--extras"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("challenge") / "data"
    return make_synthetic_challenge(place, images_per_class=6, image_size=32, seed=0)


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Run the command into a folder."""

    def call(*options: str, seeds: int = 1) -> Path:
        output = tmp_path / "out"
        always = ["--data", str(data), "--output", str(output), "--seeds", str(seeds)]
        ablation.main([*always, *_SMALL, *options])
        return output

    return call


def test_the_default_is_a_grid_of_72_runs_and_two_factors_against_one_cell() -> None:
    given = ablation._parser().parse_args([])
    levels = {factor: getattr(given, factor) for factor in FACTORS}

    cells = cells_of(levels, Cell(*given.base), given.extras)

    assert len(cells) * given.seeds == 72 + 2 * 3
    assert {cell.constancy for cell in cells[:24]} == {cell.metadata for cell in cells} - {"on"}
    extras = [("default", "light", "sampler", *last) for last in (("on", "off"), ("off", "on"))]
    assert cells[24:] == extras


def test_a_finished_run_stays_a_killed_one_is_done_again_and_other_settings_are_refused(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = list[Cell]()

    def dies_in_the_second(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[2])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "train", dies_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(*_TWO)
    output = run(*_TWO, "--table-only")
    before = {path.name: path.stat().st_mtime_ns for path in (output / "runs").iterdir()}
    run(*_TWO)

    assert list(before) == ["luv_none_weights_off_off_seed0.npz"]
    assert [cell.hair for cell in calls] == ["luv", "none"]
    after = {path.name: path.stat().st_mtime_ns for path in (output / "runs").iterdir()}
    assert len(after) == 2
    assert after.items() >= before.items()
    with pytest.raises(SystemExit):
        run(*_TWO, "--held-out", "0.3")
    assert "of another run (held_out 0.2 there, 0.3 here" in capsys.readouterr().err


def test_the_table_can_be_computed_again_from_the_stored_predictions(
    run: Callable[..., Path],
) -> None:
    output = run(*_TWO, seeds=2)

    recalls = {}
    for path in (output / "runs").iterdir():
        stored = np.load(path)
        truth = stored["labels"]
        right = stored["probabilities"].argmax(axis=1) == truth
        recalls[path.stem] = np.mean([right[truth == label].mean() for label in np.unique(truth)])
    table = pd.read_csv(output / "ablation.csv", dtype=str, keep_default_na=False)
    rows: dict[Any, Any] = {(row["kind"], row["hair"]): row for row in table.to_dict("records")}
    none, luv = (
        [recalls[f"{hair}_none_weights_off_off_seed{seed}"] for seed in (0, 1)]
        for hair in ("none", "luv")
    )
    for hair, found in (("none", none), ("luv", luv)):
        row = rows["cell", hair]
        assert float(row["value"]) == pytest.approx(np.mean(found), abs=1e-6)
        assert [float(text) for text in row["by_seed"].split()] == pytest.approx(found, abs=1e-6)
    effect = rows["hair", ""]
    assert float(effect["value"]) == pytest.approx(np.mean(luv) - np.mean(none), abs=1e-6)
    shown = [effect[name] for name in ("comparison", "runs", "seeds", "claim")]
    assert shown == ["luv - none", "4", "0 1", "no claim"]
    text = (output / "ablation.md").read_text()
    assert f"| hair | luv - none | 2 | {np.mean(luv) - np.mean(none):+.3f} |" in text
    assert "the weights of the last step; nothing was chosen on the validation split" in text
    assert str(output) not in text


def test_no_lesion_is_in_both_splits_and_copies_are_of_the_training_split_alone(
    data: Path, tmp_path: Path
) -> None:
    challenge = Challenge(data, tmp_path, image_size=16, held_out=0.25, split_seed=0)
    cell = Cell("none", "paper-offline", "weights")
    transform = preset("evaluation", image_size=16)

    drawn = challenge.training_set(cell, transform, count=500, seed=3)

    assert not set(challenge.train.groups) & set(challenge.validation.groups)
    copies = tmp_path / "copies" / "none_off_seed3"
    table = ISICDataset(copies / "manifest.csv", copies).table
    assert set(table["parent_id"]) <= set(challenge.train.ids)
    counts = challenge.train.class_counts() * np.array([1, 1, 1, 3, 1, 7, 6, 3])
    seen = np.bincount(drawn.labels, minlength=8)
    assert len(drawn) == 500
    assert (np.abs(seen - counts * 500 / counts.sum()) <= counts).all()
    assert len(challenge.validation_set(cell, transform)) == len(challenge.validation)


def test_where_all_runs_agree_resampling_them_too_changes_nothing_but_the_draws() -> None:
    generator = np.random.default_rng(0)
    values, weights = generator.normal(size=300), generator.uniform(0.5, 2, 300)
    groups = np.unique(generator.integers(0, 100, 300), return_inverse=True)[1]

    crossed = crossed_interval(np.stack([values] * 3), weights, groups)

    plain = bootstrap_interval(
        lambda rows: float(np.average(values[rows], weights=weights[rows])), groups, resamples=2000
    )
    assert (crossed.n, crossed.groups) == (plain.n, plain.groups)
    assert crossed.score == pytest.approx(plain.score)
    assert crossed.low == pytest.approx(plain.low, abs=0.02)
    assert crossed.high == pytest.approx(plain.high, abs=0.02)


@pytest.mark.parametrize(
    ("gained", "claim"), [(40, "higher"), (0, "no claim"), (-40, "lower"), (1, "no claim")]
)
def test_a_difference_is_claimed_where_both_intervals_are_on_one_side_of_zero(
    gained: int, claim: str
) -> None:
    before, after = (np.arange(100) % 2 == 0 for _ in range(2))
    labels = np.repeat([0, 1], 50)
    better = np.arange(abs(gained)) if gained % 2 == 0 else np.array([1])
    (after if gained > 0 else before)[better] = True
    cells = [Cell(hair, "none", "weights") for hair in ("none", "luv") for _ in range(2)]
    runs = pd.DataFrame(cells, columns=list(FACTORS)).assign(seed=[0, 1, 0, 1])
    right = np.stack([before, before, after, after])

    *_, effect = scores(runs, np.where(right, labels, 1 - labels), labels, np.arange(100))

    assert (effect["kind"], effect["comparison"]) == ("hair", "luv - none")
    assert (effect["runs"], effect["claim"]) == (4, claim)
