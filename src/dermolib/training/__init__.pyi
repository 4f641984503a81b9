from .history import History as History
from .history import LearningRates as LearningRates
from .losses import ClassificationLoss as ClassificationLoss
from .sampling import sample_weights as sample_weights

__all__: list[str]
