from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import null


def test_lesions_have_the_classes_and_sizes_of_ham10000() -> None:
    _, target, lesions = null.draw(20_000, 0)

    counts = pd.Series(target).value_counts(normalize=True)
    assert counts[1] == pytest.approx(6705 / 10_015, abs=0.02)
    assert counts[0] == pytest.approx(1113 / 10_015, abs=0.02)
    assert len(np.unique(lesions)) / 20_000 == pytest.approx(7470 / 10_015, abs=0.02)


def test_the_two_models_are_equally_good() -> None:
    models, target, _ = null.draw(50_000, 1)

    first, second = ((one.argmax(axis=1) == target).mean() for one in models)
    assert first == pytest.approx(second, abs=0.01)


def test_a_run_goes_on_where_its_file_ends_and_ends_in_tables(tmp_path: Path) -> None:
    whole = tmp_path / "60.csv"
    null.simulate(60, 2, whole)
    null.simulate(60, 3, whole)
    null.simulate(60, 3, tmp_path / "again.csv")

    null.write_tables(tmp_path, tmp_path / "table")

    assert whole.read_text() == (tmp_path / "again.csv").read_text()
    found = pd.read_csv(tmp_path / "table.csv")
    row = found.query("test == 'McNemar' and groups == 'lesion'").iloc[0]
    values = pd.read_csv(whole)["McNemar, by lesion"]
    assert row["fraction"] == (values <= 0.05).mean()
    assert row["repetitions"] == 3
    assert "| McNemar |" in (tmp_path / "table.md").read_text()
