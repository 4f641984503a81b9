from .class_sheet import plot_class_sheet as plot_class_sheet
from .classes import exploration_table as exploration_table
from .classes import plot_class_counts as plot_class_counts
from .demographics import plot_ages as plot_ages
from .demographics import plot_sexes as plot_sexes
from .demographics import plot_sites as plot_sites
from .exploration import plot_exploration as plot_exploration
from .per_lesion import plot_images_per_lesion as plot_images_per_lesion
from .plots import plot_confusion as plot_confusion
from .plots import plot_history as plot_history
from .plots import plot_occlusion as plot_occlusion
from .plots import plot_overfit as plot_overfit
from .plots import plot_samples as plot_samples
from .plots import save_figure as save_figure
from .submission import write_submission as write_submission

__all__: list[str]
