from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermolib.auditing import artifact_associations
from dermolib.reporting import plot_confounding, save_figure
from dermolib.reporting._style import new_figure


def associations() -> pd.DataFrame:
    label = np.arange(300) % 3
    table = pd.DataFrame({"id": range(300), "label": label, "source": ["a", "b"] * 150})
    ids = pd.Index(range(300), name="id")
    shown = {"patches": label == 1, "dark_corner": np.arange(300) % 5 == 0, "ink": 0}
    return artifact_associations(pd.DataFrame(shown, index=ids), table)


def test_cells_have_fraction_ratio_and_interval_and_bold_is_what_counts() -> None:
    table = associations()

    axes = plot_confounding(table)

    assert len(axes.texts) == 9
    by_class = table[table["by"] == "class"]
    rows = [*by_class["artifact"].unique()]
    assert rows == ["patches", "dark_corner", "ink"]
    for text, row in zip(axes.texts, by_class.to_dict("records"), strict=True):
        x, y = text.get_position()
        assert (["MEL", "NV", "BCC"][int(x)], rows[int(y)]) == (row["value"], row["artifact"])
        assert text.get_text().startswith(f"{row['fraction']:.1%}\n")
        assert (text.get_fontweight() == "bold") == (row["severity"] in ("moderate", "large"))
    patches = axes.texts[3].get_text()
    assert patches.startswith("100.0%\n\N{MULTIPLICATION SIGN}inf (")
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["patches", "dark corner"]
    assert axes.get_xticklabels()[1].get_text() == "NV\n100 images"
    colors = np.asarray(axes.images[0].get_array(), float)
    assert colors[0].tolist() == [-3, 3, -3]
    assert np.abs(colors[1]).max() < 0.5


def test_splits_and_sources_are_drawn_on_given_axes(tmp_path: Path) -> None:
    axes = new_figure(4, 3).add_subplot()

    assert plot_confounding(associations(), by="source", axes=axes, title="$ x") is axes

    assert [label.get_text() for label in axes.get_xticklabels()] == ["b\n150 images"]
    save_figure(axes, tmp_path / "figure.png")


def test_without_associations_the_figure_says_so() -> None:
    axes = plot_confounding(associations(), by="split")

    assert axes.texts[0].get_text() == "no data: no two values of split"


def test_what_is_no_table_of_associations_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`associations`.*without the columns by"):
        plot_confounding(pd.DataFrame())
    with pytest.raises(TypeError, match="`associations`"):
        plot_confounding([1])  # type: ignore[arg-type] # the mistake itself
    with pytest.raises(ValueError, match=r"`by`.*'class', 'split', 'source'"):
        plot_confounding(associations(), by="site")
