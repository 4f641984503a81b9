"""The examples of the page on lesions: run on a challenge that is drawn for them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermolib import make_synthetic_challenge
from dermolib.features import ABCD_FEATURES

_PAGE = Path(__file__).parents[2] / "docs" / "lesions.md"


def test_the_examples_of_the_page_on_lesions_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_synthetic_challenge("isic", images_per_class=2, image_size=96, seed=0)
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    first = min(Path("isic/Train").glob("*.jpg")).name
    names: dict[str, Any] = {}

    for block in blocks:
        here = block.replace("workers=8", "progress=False").replace("ISIC_0024306.jpg", first)
        exec(here, names)  # noqa: S102 - a page of ours

    assert len(blocks) == 4
    assert re.fullmatch(r"0\.\d\d, \d\.\d mm\n", capsys.readouterr().out)
    assert names["table"].shape == names["found"].shape == (16, len(ABCD_FEATURES))
    assert np.isfinite(names["table"].to_numpy()).all()
    assert len(names["model"].predict(names["table"])) == 16


def test_the_page_names_every_descriptor() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    short = text.replace("`color_deviation_l`, `_a`, `_b`", "").replace("color_fraction_...", "")

    missing = [name for name in ABCD_FEATURES if f"`{name}`" not in short]

    assert [name for name in missing if not name.startswith(("color_dev", "color_fraction"))] == []
