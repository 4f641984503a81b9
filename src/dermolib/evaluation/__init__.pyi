from .calibration import calibration_error as calibration_error
from .calibration import reliability_table as reliability_table
from .conformal import ConformalSets as ConformalSets
from .cross_validation import CrossValidation as CrossValidation
from .cross_validation import Model as Model
from .cross_validation import cross_validate as cross_validate
from .ensembles import Ensemble as Ensemble
from .ensembles import average_predictions as average_predictions
from .ensembles import select_ensemble as select_ensemble
from .forms import FORMS as FORMS
from .forms import Form as Form
from .intervals import Interval as Interval
from .intervals import bootstrap_interval as bootstrap_interval
from .official import METRICS as METRICS
from .official import official_scores as official_scores
from .scaling import TemperatureScaling as TemperatureScaling
from .scaling import VectorScaling as VectorScaling
from .scaling import cross_calibrate as cross_calibrate
from .scores import Scores as Scores
from .scores import score as score
from .subgroups import score_subgroups as score_subgroups
from .svm import Features as Features
from .svm import FittedSVM as FittedSVM
from .svm import extract_features as extract_features
from .svm import fit_svm as fit_svm
from .svm import svm_classifier as svm_classifier

__all__: list[str]
