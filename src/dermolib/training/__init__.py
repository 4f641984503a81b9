"""A model and loaders to a fitted model."""

from dermolib.training.history import History
from dermolib.training.trainer import Trainer

__all__ = ["History", "Trainer"]
