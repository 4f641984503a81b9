"""The ablation: it goes on where it stopped, and its table follows from what it stored."""

import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermolib import ISICDataset, make_synthetic_challenge
from dermolib.evaluation import bootstrap_interval

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
_SMALL = ["--model", "custom_cnn", "--image-size", "16", "--steps", "2", "--batch-size", "8"]
_TWO = ["--hair", "none", "luv", "--augmentation", "none", "--balancing", "weights", "--extras"]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no package that is installed."""
    monkeypatch.syspath_prepend(_BENCHMARKS)
    return importlib.import_module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a small challenge."""
    place = tmp_path_factory.mktemp("challenge") / "data"
    return make_synthetic_challenge(place, images_per_class=6, image_size=32, seed=0)


@pytest.fixture
def run(part: Callable[[str], Any], data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Run the command with one seed into a folder."""

    def call(*options: str, seeds: int = 1) -> Path:
        output = tmp_path / "out"
        always = ["--data", str(data), "--output", str(output), "--seeds", str(seeds)]
        part("ablation").main([*always, *_SMALL, *options])
        return output

    return call


def _rows(output: Path) -> list[dict[str, str]]:
    with (output / "ablation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _written(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / "runs").iterdir()}


def test_the_default_is_a_grid_of_72_runs_and_two_factors_against_one_cell(
    part: Callable[[str], Any],
) -> None:
    grid, parser = part("ablation_parts.grid"), part("ablation")._parser()
    given = parser.parse_args([])
    levels = {factor: getattr(given, factor) for factor in grid.FACTORS}

    cells = grid.cells_of(levels, grid.Cell(*given.base), given.extras)

    assert len(cells) * given.seeds == 72 + 2 * 3
    assert {cell.constancy for cell in cells[:24]} == {cell.metadata for cell in cells} - {"on"}
    assert [cell.name for cell in cells[24:]] == [
        "default_light_sampler_on_off",
        "default_light_sampler_off_on",
    ]


def test_a_finished_run_stays_and_a_killed_one_is_done_again(
    run: Callable[..., Path], part: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = part("ablation")
    train, calls = benchmark.train, []

    def dies_in_the_second(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[2].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(benchmark, "train", dies_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(*_TWO)
    output = run(*_TWO, "--table-only")
    before = _written(output)
    run(*_TWO)

    assert list(before) == ["luv_none_weights_off_off_seed0.npz"]
    assert calls == ["luv_none_weights_off_off", "none_none_weights_off_off"]
    after = _written(output)
    assert len(after) == 2
    assert after.items() >= before.items()


def test_the_table_can_be_computed_again_from_the_stored_predictions(
    run: Callable[..., Path],
) -> None:
    output = run(*_TWO, seeds=2)
    with (output / "split.csv").open(newline="") as file:
        side = [row for row in csv.DictReader(file) if row["SIDE"] == "validation"]
    truth = np.array([int(row["CLASS"]) - 1 for row in side])

    recalls = {}
    for path in (output / "runs").iterdir():
        stored = np.load(path)
        assert stored["ids"].tolist() == [row["ID"] for row in side]
        right = stored["probabilities"].argmax(axis=1) == truth
        recalls[path.stem] = np.mean([right[truth == label].mean() for label in np.unique(truth)])
    rows = {(row["kind"], row["hair"], row["comparison"]): row for row in _rows(output)}

    none, luv = (
        [recalls[f"{hair}_none_weights_off_off_seed{seed}"] for seed in (0, 1)]
        for hair in ("none", "luv")
    )
    for hair, scores in (("none", none), ("luv", luv)):
        row = rows["cell", hair, ""]
        assert float(row["value"]) == pytest.approx(np.mean(scores), abs=1e-6)
        assert [float(text) for text in row["by_seed"].split()] == pytest.approx(scores, abs=1e-6)
    effect = rows["hair", "", "luv - none"]
    assert float(effect["value"]) == pytest.approx(np.mean(luv) - np.mean(none), abs=1e-6)
    assert (effect["runs"], effect["seeds"]) == ("4", "0 1")
    assert effect["claim"] == "no claim"
    text = (output / "ablation.md").read_text()
    assert f"| hair | luv - none | 2 | {np.mean(luv) - np.mean(none):+.3f} |" in text
    assert "the weights of the last step; nothing was chosen by the validation side" in text
    assert str(output) not in text


@pytest.fixture
def challenge(part: Callable[[str], Any], data: Path, tmp_path: Path) -> Any:
    """Open the small challenge."""
    made = part("ablation_parts.images").Challenge
    return made(data, tmp_path / "made", image_size=16, held_out=0.25, split_seed=0)


def test_no_lesion_is_on_both_sides_and_copies_are_of_the_training_side_alone(
    part: Callable[[str], Any], challenge: Any, tmp_path: Path
) -> None:
    cell = part("ablation_parts.grid").Cell("none", "paper-offline", "weights")
    transform = part("dermolib").preset("evaluation", image_size=16)

    drawn = challenge.training_set(cell, transform, places=500, seed=3)

    assert not set(challenge.train.groups) & set(challenge.validation.groups)
    copies = tmp_path / "made" / "copies" / "none_off_seed3"
    table = ISICDataset(copies / "manifest.csv", copies).table
    assert set(table["parent_id"]) <= set(challenge.train.ids)
    factors = np.array([1, 1, 1, 3, 1, 7, 6, 3])
    counts = challenge.train.class_counts() * factors
    seen = np.bincount(drawn.labels, minlength=8)
    assert len(drawn) == 500
    assert (np.abs(seen - counts * 500 / counts.sum()) <= counts).all()
    assert len(challenge.validation_set(cell, transform)) == len(challenge.validation)


def test_where_all_runs_agree_resampling_them_too_changes_nothing_but_the_draws(
    part: Callable[[str], Any],
) -> None:
    generator = np.random.default_rng(0)
    values, weights = generator.normal(size=300), generator.uniform(0.5, 2, 300)
    groups = generator.integers(0, 100, 300)
    groups = np.unique(groups, return_inverse=True)[1]

    crossed = part("ablation_parts.scoring").crossed_interval(
        np.stack([values] * 3), weights, groups
    )
    plain = bootstrap_interval(
        lambda rows: float(np.average(values[rows], weights=weights[rows])), groups, resamples=2000
    )

    assert crossed.score == pytest.approx(plain.score)
    assert (crossed.n, crossed.groups) == (plain.n, plain.groups)
    assert crossed.low == pytest.approx(plain.low, abs=0.02)
    assert crossed.high == pytest.approx(plain.high, abs=0.02)


@pytest.mark.parametrize(
    ("gained", "claim"), [(40, "higher"), (0, "no claim"), (-40, "lower"), (1, "no claim")]
)
def test_a_difference_is_claimed_where_both_intervals_are_on_one_side_of_zero(
    part: Callable[[str], Any], gained: int, claim: str
) -> None:
    grid, scoring = part("ablation_parts.grid"), part("ablation_parts.scoring")
    run = part("ablation_parts.running").Run
    labels = np.repeat([0, 1], 50)
    right = np.eye(8, dtype=np.float32)[labels]
    wrong = np.eye(8, dtype=np.float32)[7 - labels]
    before, after = wrong.copy(), wrong.copy()
    half = np.arange(0, 100, 2)
    before[half], after[half] = right[half], right[half]
    better = np.arange(abs(gained)) if gained % 2 == 0 else np.array([1])
    (after if gained > 0 else before)[better] = right[better]
    runs = [
        run(grid.Cell(hair, "none", "weights"), seed, probabilities, {})
        for hair, probabilities in (("none", before), ("luv", after))
        for seed in (0, 1)
    ]

    (effect,) = scoring.Scores(labels, np.arange(100).astype(object), runs).effects()

    assert (effect.factor, effect.level, effect.against) == ("hair", "luv", "none")
    assert (effect.pairs, effect.claim) == (2, claim)
