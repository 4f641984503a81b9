"""Image and mask to numbers that a person can name: the ABCD descriptors of a lesion."""

from dermolib.features.abcd import ABCD_FEATURES, abcd_features
from dermolib.features.table import Samples, abcd_table

__all__ = ["ABCD_FEATURES", "Samples", "abcd_features", "abcd_table"]
