"""Numbers to pictures and files: figures of data and of results, and the submission."""

from dermolib.reporting._sets import Tabled
from dermolib.reporting.class_sheet import plot_class_sheet
from dermolib.reporting.classes import exploration_table, plot_class_counts
from dermolib.reporting.demographics import plot_ages, plot_sexes, plot_sites
from dermolib.reporting.exploration import plot_exploration
from dermolib.reporting.per_lesion import plot_images_per_lesion
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
    "Tabled",
    "exploration_table",
    "plot_ages",
    "plot_class_counts",
    "plot_class_sheet",
    "plot_confusion",
    "plot_exploration",
    "plot_history",
    "plot_images_per_lesion",
    "plot_occlusion",
    "plot_overfit",
    "plot_samples",
    "plot_sexes",
    "plot_sites",
    "save_figure",
    "write_submission",
]
