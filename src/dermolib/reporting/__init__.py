"""Numbers to pictures and files: figures of data and of results, and the submission."""

from dermolib.reporting.exploration import (
    exploration_table,
    plot_ages,
    plot_class_counts,
    plot_exploration,
    plot_sexes,
    plot_sites,
)
from dermolib.reporting.plots import (
    plot_confusion,
    plot_history,
    plot_occlusion,
    plot_overfit,
    plot_samples,
    save_figure,
)
from dermolib.reporting.submission import write_submission

__all__ = [
    "exploration_table",
    "plot_ages",
    "plot_class_counts",
    "plot_confusion",
    "plot_exploration",
    "plot_history",
    "plot_occlusion",
    "plot_overfit",
    "plot_samples",
    "plot_sexes",
    "plot_sites",
    "save_figure",
    "write_submission",
]
