import json
from pathlib import Path

import pandas as pd

from judgment_parts.page import render

_ROOT = Path(__file__).parents[2]


def test_every_number_of_the_worked_judgment_is_that_of_the_result_files() -> None:
    results = json.loads((_ROOT / "benchmarks/results/judgment.json").read_text("utf-8"))
    ablation = pd.read_csv(_ROOT / "benchmarks/results/ablation.csv")

    page = render(results, ablation)

    assert page == (_ROOT / "docs/judgment_example.md").read_text("utf-8")
    score = results["scores"]["Lite0"]["balanced_accuracy"]
    assert f"{score['value']:.3f} ({score['low']:.3f}..{score['high']:.3f})" in page
