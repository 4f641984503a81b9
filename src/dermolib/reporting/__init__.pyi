from .confounding import plot_confounding as plot_confounding
from .exploration import exploration_table as exploration_table
from .exploration import plot_ages as plot_ages
from .exploration import plot_class_counts as plot_class_counts
from .exploration import plot_class_sheet as plot_class_sheet
from .exploration import plot_exploration as plot_exploration
from .exploration import plot_images_per_lesion as plot_images_per_lesion
from .exploration import plot_sexes as plot_sexes
from .exploration import plot_sites as plot_sites
from .figures import plot_confusion as plot_confusion
from .figures import plot_history as plot_history
from .figures import plot_occlusion as plot_occlusion
from .figures import plot_overfit as plot_overfit
from .figures import plot_samples as plot_samples
from .figures import save_figure as save_figure
from .reliability import plot_reliability as plot_reliability
from .risk_coverage import plot_risk_coverage as plot_risk_coverage
from .sensitivity_figure import plot_sensitivity as plot_sensitivity
from .submission import write_submission as write_submission

__all__: list[str]
