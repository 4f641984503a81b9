from .intervals import Interval as Interval
from .intervals import bootstrap_interval as bootstrap_interval
from .svm import Features as Features
from .svm import FittedSVM as FittedSVM
from .svm import extract_features as extract_features
from .svm import fit_svm as fit_svm
from .svm import svm_classifier as svm_classifier

__all__: list[str]
