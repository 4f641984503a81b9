"""The simulation of coverage: lesions are as in HAM10000, and it goes on where it stopped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import interval_coverage
from interval_coverage import CASES, CODES, Case, Scored, simulate, true_scores

_FEW = ["--resamples", "20", "--cases", "300 images"]


def test_lesions_are_those_of_ham10000() -> None:
    counts = Case(10_015).lesions

    first, second = simulate(counts, np.random.default_rng(0), hard=False)

    assert abs(first.num_groups - 7470) < 10
    assert len(first) == pytest.approx(10_015, rel=0.02)
    sizes = np.bincount(first.groups)
    assert (sizes.min(), sizes.max()) == (1, 6)
    assert (sizes == 1).mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_array_equal(first.target, second.target)
    right = first.probabilities.argmax(axis=1) == first.target
    assert np.mean([right[first.target == k].mean() for k in range(7)]) == pytest.approx(
        0.77, abs=0.05
    )


def test_images_of_one_lesion_are_right_together() -> None:
    first, _ = simulate(np.full(len(CODES), 3000), np.random.default_rng(0), hard=False)

    right = (first.probabilities.argmax(axis=1) == first.target).astype(float)
    pairs = np.flatnonzero(first.groups[1:] == first.groups[:-1])

    assert 0.25 < np.corrcoef(right[pairs], right[pairs + 1])[0, 1] < 0.75


def test_the_true_scores_are_those_of_many_lesions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_coverage, "_POPULATION", 2000)
    case = Case(400)

    found = true_scores(case)

    pair = simulate(100 * case.lesions, np.random.default_rng(7), hard=False)
    drawn = Scored(pair)(np.ones((1, pair[0].num_groups), np.float32))[0]
    assert drawn == pytest.approx(found, abs=0.035)
    assert found[interval_coverage.NAMES.index("difference of balanced_accuracy")] > 0.01


def test_parts_that_are_done_stay_and_the_table_counts_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interval_coverage, "_POPULATION", 200)
    monkeypatch.setattr(interval_coverage, "_PART", 2)
    true_scores.cache_clear()
    work = tmp_path / "parts.jsonl"
    where = ["--work", str(work), "--output", str(tmp_path)]

    interval_coverage.main(["--repetitions", "2", *_FEW, *where])
    once = work.read_text()
    interval_coverage.main(["--repetitions", "4", *_FEW, *where])

    assert work.read_text().startswith(once)
    assert [json.loads(line)["start"] for line in work.read_text().splitlines()] == [0, 2]
    table = pd.read_csv(tmp_path / "coverage.csv")
    assert set(table["repetitions"]) == {4}
    assert set(table["coverage"]) <= {0, 0.25, 0.5, 0.75, 1}
    text = (tmp_path / "coverage.md").read_text()
    assert "300 images, 4 repetitions" in text
    assert text.count("| balanced_accuracy |") == 1
    assert set(table["case"]) <= set(CASES)
    true_scores.cache_clear()
