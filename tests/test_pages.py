"""The examples of pages that need data: run on a challenge that is drawn for them."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dermolib import Trainer
from dermolib.datasets import ISICDataset, make_synthetic_challenge

_PAGE = Path(__file__).parents[1] / "docs" / "input.md"


@pytest.fixture
def isic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_synthetic_challenge("isic", images_per_class=2, image_size=64, seed=0)


# From Python 3.12 on, a process with threads is warned when it forks, as loaders do by default.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.slow  # images are prepared, augmented and trained on
def test_the_examples_of_the_page_on_input_run(isic: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    here = [block for block in blocks if "scheduler" not in block]
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    names: dict[str, Any] = {
        "trainer": Trainer(model, epochs=1, device="cpu", precision="32-true", progress=False),
        "validation": None,
    }

    for block in here:
        fewer = block.replace("workers=8", "workers=2").replace("range(30)", "range(2)")
        exec(fewer.replace("batch_size=512", "batch_size=8"), names)  # noqa: S102 - a page of ours

    assert len(blocks) - len(here) == 1
    assert len(names["store"]) == 16
    assert names["batch"]["image"].shape[1:] == (3, 224, 224)
    assert names["batch"]["mask"].dtype == torch.bool
    assert len(names["both"]) == 16 + 2 * (2 + 6 + 5 + 2)
    assert len(ISICDataset.from_challenge(isic)) == 16
