from .history import History as History
from .history import LearningRates as LearningRates
from .losses import ClassificationLoss as ClassificationLoss
from .sampling import sample_weights as sample_weights
from .tta import TTA as TTA

__all__: list[str]
