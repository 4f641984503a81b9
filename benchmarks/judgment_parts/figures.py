"""The figures of the worked judgment."""

from matplotlib.figure import Figure

from dermolib.evaluation import risk_coverage
from dermolib.reporting import plot_reliability, plot_risk_coverage
from judgment_parts.analysis import Judged

__all__ = ["draw"]


def draw(judged: Judged) -> dict[str, Figure]:
    """Draw reliability before and after calibration, and risk against coverage."""
    reliability = Figure(figsize=(10, 5), layout="constrained")
    before, after = reliability.subplots(1, 2)
    both = {"before": judged.models[judged.best], "after": judged.calibrated(judged.best)}
    for axes, (when, values) in zip((before, after), both.items(), strict=True):
        title = f"{judged.best}, {when} temperature scaling"
        plot_reliability(values, judged.target, title=title, axes=axes, **judged.common)
    curves = {
        name: risk_coverage(values, judged.target, **judged.common)
        for name, values in judged.models.items()
    }
    abstention = Figure(figsize=(7, 4.5), layout="constrained")
    plot_risk_coverage(curves, axes=abstention.subplots())
    return {"reliability": reliability, "abstention": abstention}
