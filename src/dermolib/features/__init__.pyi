from .abcd import ABCD_FEATURES as ABCD_FEATURES
from .table import Samples as Samples

__all__: list[str]
