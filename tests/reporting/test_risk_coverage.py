import numpy as np
import pytest
from matplotlib.axes import Axes

from dermolib.evaluation import RiskCoverage, risk_coverage
from dermolib.reporting import plot_risk_coverage
from dermolib.reporting._style import new_figure


def curve(seed: int = 0, count: int = 80) -> RiskCoverage:
    generator = np.random.default_rng(seed)
    first = generator.uniform(0, 1, count)
    target = (generator.uniform(0, 1, count) > first).astype(int)
    return risk_coverage(np.c_[first, 1 - first], target, resamples=50)


def test_lines_are_risk_against_coverage_and_the_legend_has_areas() -> None:
    curves = {"first": curve(0), "second": curve(1)}

    axes = plot_risk_coverage(curves)

    for line, one in zip(axes.lines, curves.values(), strict=True):
        assert line.get_xdata().tolist() == one.table["coverage"].tolist()  # type: ignore[union-attr] # arrays
        assert line.get_ydata().tolist() == one.table["risk"].tolist()  # type: ignore[union-attr] # arrays
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0].startswith(f"first: area {curves['first'].aurc.score:.3f} (")
    assert len(axes.collections) == 2  # a band for each
    assert axes.get_ylim()[1] >= max(one.table["risk"].max() for one in curves.values())


def test_one_curve_needs_no_name_and_axes_may_be_given() -> None:
    axes: Axes = new_figure(4, 3).add_subplot()

    assert plot_risk_coverage(curve(), axes=axes, title="$ x") is axes
    assert axes.get_title() == "$ x"


def test_what_is_no_curve_is_refused() -> None:
    with pytest.raises(TypeError, match="`curves` to be a curve of `risk_coverage`"):
        plot_risk_coverage([curve()])  # type: ignore[arg-type] # the mistake itself
    with pytest.raises(TypeError, match=r"`curves\['a'\]`"):
        plot_risk_coverage({"a": curve().table})  # type: ignore[dict-item] # the mistake itself
    with pytest.raises(ValueError, match="at least one curve"):
        plot_risk_coverage({})
