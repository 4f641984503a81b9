"""The ablation: it goes on where it stopped, and its table follows from what it stored."""

import csv
import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dermolib import ISICDataset, make_synthetic_challenge
from dermolib.evaluation import bootstrap_interval
from dermolib.io import read_image

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


def test_a_level_that_is_unknown_is_refused(part: Callable[[str], Any]) -> None:
    sentence = "Expected `hair` to be one of 'none', 'luv', 'default', but got 'lvu'"

    with pytest.raises(ValueError, match=sentence):
        part("ablation_parts.grid").Cell("lvu", "none", "weights")


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


def test_a_run_in_pieces_gives_what_a_run_in_one_piece_gives(
    run: Callable[..., Path],
) -> None:
    output = run(*_TWO, seeds=2)
    whole = {path.name: path for path in (output / "runs").iterdir()}
    kept = {name: np.load(path)["probabilities"] for name, path in whole.items()}

    for name in list(whole)[1:]:
        whole[name].unlink()
    run(*_TWO, seeds=2)

    for name, probabilities in kept.items():
        np.testing.assert_array_equal(
            np.load(output / "runs" / name)["probabilities"], probabilities
        )


def test_more_levels_and_seeds_are_added_to_what_is_there(run: Callable[..., Path]) -> None:
    before = _written(run(*_TWO))

    after = _written(run(*_TWO, "--constancy", "off", "on", seeds=2))

    assert len(after) == 8
    assert after.items() >= before.items()


def test_another_configuration_is_refused_with_what_differs(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _written(run(*_TWO))

    with pytest.raises(SystemExit):
        run(*_TWO, "--learning-rate", "0.5")

    error = " ".join(capsys.readouterr().err.split())
    assert "Expected `output` to be a new folder or that of an ablation of the same" in error
    assert "0.005" in error
    assert "0.5" in error
    assert "Choose another folder." in error
    assert _written(run(*_TWO, "--table-only")) == before


def test_a_folder_of_others_is_left_alone(
    run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")

    with pytest.raises(SystemExit):
        run(*_TWO)

    assert "out with other files (thesis.txt). Choose another folder." in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_damaged_run_is_named(
    run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(*_TWO)
    path = output / "runs" / "none_none_weights_off_off_seed0.npz"
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(SystemExit):
        run(*_TWO, "--table-only")

    error = capsys.readouterr().err
    assert f"Expected `{path}` to be the file of a run" in error
    assert "Delete it, and the same command does this run again." in error


def test_data_that_are_not_there_are_named(
    part: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        part("ablation").main(["--data", str(tmp_path / "none"), "--output", str(tmp_path / "out")])

    assert "Name the folder with --data or DERMOLIB_DATA." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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


def test_the_differences_are_drawn(run: Callable[..., Path], tmp_path: Path) -> None:
    run(*_TWO, "--figure", str(tmp_path / "effects.png"))

    picture = read_image(tmp_path / "effects.png")
    assert picture.shape[1] > picture.shape[0] > 50
    assert picture.std() > 5


def test_metadata_copies_and_colour_constancy_make_runs_of_their_own(
    run: Callable[..., Path],
) -> None:
    base = ["none", "none", "weights", "off", "off"]
    grid = ["--hair", "none", "--augmentation", "none", "--balancing", "weights", "sampler"]
    extras = ["--extras", "constancy", "metadata", "augmentation", "--base", *base]

    output = run(*grid, *extras)

    runs = [np.load(path) for path in sorted((output / "runs").iterdir())]
    assert len(runs) == 1 + 1 + 1 + 1 + 3
    facts = [json.loads(str(run["facts"])) for run in runs]
    parameters = {(*run["levels"],): run["parameters"] for run in facts}
    assert len({count for levels, count in parameters.items() if levels[-1] == "off"}) == 1
    assert parameters["none", "none", "weights", "off", "on"] > parameters[(*base,)]
    assert {sum(run["drawn_classes"]) for run in facts} == {2 * 8}
    kinds = [(row["kind"], row["comparison"]) for row in _rows(output) if row["kind"] != "cell"]
    assert kinds == [
        ("augmentation", "light - none"),
        ("augmentation", "paper - none"),
        ("augmentation", "paper-offline - none"),
        ("augmentation", "paper - light"),
        ("augmentation", "paper-offline - light"),
        ("augmentation", "paper-offline - paper"),
        ("balancing", "weights - sampler"),
        ("constancy", "on - off"),
        ("metadata", "on - off"),
    ]


@pytest.fixture
def challenge(part: Callable[[str], Any], data: Path, tmp_path: Path) -> Any:
    """Open the small challenge."""
    made = part("ablation_parts.images").Challenge
    return made(data, tmp_path / "made", image_size=16, held_out=0.25, split_seed=0)


def test_no_lesion_is_on_both_sides_and_copies_are_of_the_training_side_alone(
    part: Callable[[str], Any], challenge: Any, tmp_path: Path
) -> None:
    cell = part("ablation_parts.grid").Cell("none", "paper-offline", "weights")
    transform = part("dermolib.augmentation").preset("evaluation", image_size=16)

    drawn = challenge.training_set(cell, transform, places=500, seed=3)

    assert not set(challenge.train.groups) & set(challenge.validation.groups)
    copies = tmp_path / "made" / "copies" / "none_off_seed3"
    table = ISICDataset(copies / "manifest.csv", copies).table
    assert set(table["made_from"]) <= set(challenge.train.ids)
    factors = np.array([1, 1, 1, 3, 1, 7, 6, 3])
    counts = challenge.train.class_counts() * factors
    seen = np.bincount(drawn.labels, minlength=8)
    assert len(drawn) == 500
    assert (np.abs(seen - counts * 500 / counts.sum()) <= counts).all()
    assert len(challenge.validation_set(cell, transform)) == len(challenge.validation)


def test_the_loss_is_weighed_or_classes_are_drawn_alike_and_validation_stays_unseen(
    part: Callable[[str], Any], challenge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, made = part("ablation_parts.running"), []

    class Watched(part("dermolib").Trainer):  # type: ignore[misc]  # a class by its name
        def __init__(self, model: Any, **options: Any) -> None:
            super().__init__(model, **options)
            made.append(options)

        def fit(self, *data: Any, **more: Any) -> Any:
            made[-1]["fit"] = (len(data), more)
            return super().fit(*data, **more)

    monkeypatch.setattr(running, "Trainer", Watched)
    recipe = running.Recipe("custom_cnn", None, 16, 30, 8, 0.01, 0.0, 1.0, "cpu", "32-true")
    cells = [
        part("ablation_parts.grid").Cell("none", "none", balancing)
        for balancing in ("sampler", "weights")
    ]

    runs = [running.train(challenge, recipe, cell, 0) for cell in cells]

    assert [options["class_weights"] for options in made] == [None, "balanced"]
    assert [options["epochs"] for options in made] == [1, 1]
    assert [options["fit"] for options in made] == [(1, {}), (1, {})]
    drawn = [np.array(run.facts["drawn_classes"]) for run in runs]
    assert [counts.sum() for counts in drawn] == [240, 240]
    share = 240 / len(challenge.train)
    assert (np.abs(drawn[1] - share * challenge.train.class_counts()) <= 6).all()
    assert (np.abs(drawn[0] - 30) <= 4 * np.sqrt(30)).all()
    assert [run.probabilities.shape for run in runs] == [(len(challenge.validation), 8)] * 2


def test_an_image_that_comes_twice_is_drawn_anew(
    part: Callable[[str], Any], challenge: Any
) -> None:
    cell = part("ablation_parts.grid").Cell("none", "light", "sampler")
    transform = part("dermolib.augmentation").preset("light", image_size=16, seed=0)
    places = 2 * len(challenge.train)

    drawn = challenge.training_set(cell, transform, places=places, seed=0)
    loader = part("dermolib.datasets.loaders").make_loader(drawn, batch_size=places, seed=0)

    images = next(iter(loader))["image"].flatten(1)
    # The symmetries alone make eight images of one, and more places than images draw some twice
    assert len(torch.unique(images, dim=0)) > len(challenge.train)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    places=st.integers(1, 300),
    seed=st.integers(0, 9),
)
def test_without_balancing_each_image_comes_as_often_as_every_other_or_once_more(
    sizes: Sequence[int], places: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)

    order = _order_of()(labels, places, balanced=False, seed=seed)

    times = np.bincount(order, minlength=len(labels))
    assert len(order) == places
    assert times.max() - times.min() <= 1


def test_balanced_classes_come_equally_often() -> None:
    labels = np.repeat(np.arange(3), [5000, 500, 5])

    order = _order_of()(labels, 30_000, balanced=True, seed=0)

    # Four standard deviations of a binomial count
    np.testing.assert_allclose(np.bincount(labels[order]), 10_000, atol=330)


def _order_of() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(_BENCHMARKS)
        return importlib.import_module("ablation_parts.images").order_of


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


def test_runs_that_differ_widen_the_interval(part: Callable[[str], Any]) -> None:
    crossed_interval = part("ablation_parts.scoring").crossed_interval
    generator = np.random.default_rng(0)
    values = generator.normal(size=(1, 200)) + np.array([[-1.0], [0.0], [1.0]])
    weights, groups = np.ones(200), np.arange(200)

    apart = crossed_interval(values, weights, groups)
    alike = crossed_interval(np.stack([values.mean(axis=0)] * 3), weights, groups)

    assert apart.score == pytest.approx(alike.score)
    assert apart.high - apart.low > 3 * (alike.high - alike.low)


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


def test_one_pair_of_runs_claims_nothing(part: Callable[[str], Any]) -> None:
    grid, scoring = part("ablation_parts.grid"), part("ablation_parts.scoring")
    run = part("ablation_parts.running").Run
    labels = np.repeat([0, 1], 50)
    right = np.eye(8, dtype=np.float32)[labels]
    cells = [grid.Cell(hair, "none", "weights") for hair in ("none", "luv")]
    runs = [run(cells[0], 0, right[::-1], {}), run(cells[1], 0, right, {})]

    (effect,) = scoring.Scores(labels, np.arange(100).astype(object), runs).effects()

    assert (effect.lesions.low, effect.lesions.high) == (1, 1)
    assert effect.claim == "no claim"
