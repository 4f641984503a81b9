"""A model and loaders to a fitted model."""

from dermolib.training.history import History, LearningRates
from dermolib.training.losses import ClassificationLoss
from dermolib.training.sampling import sample_weights
from dermolib.training.trainer import Trainer

__all__ = ["ClassificationLoss", "History", "LearningRates", "Trainer", "sample_weights"]
