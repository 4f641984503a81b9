"""Age, sex and site of a table as numbers that a network takes."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib.labels import METADATA_NAMES, SITES

__all__ = ["METADATA_NAMES", "SITES", "metadata_vectors"]


def metadata_vectors(table: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Turn age, sex and site into numbers with a flag for each that is missing.

    Args:
        table: Table of `dermolib.datasets.read_table`.

    Returns:
        Vectors (N, 13), float32, with the meanings `METADATA_NAMES`: age in centuries, 0 where
        missing; 0 or 1 elsewhere. A site that is not in `SITES` has no entry set, not even
        ``site_missing``.
    """
    age = table["age"].to_numpy(np.float32) / np.float32(100)
    sex = table["sex"].to_numpy(str)
    site = table["site"].to_numpy(str)
    columns = [np.nan_to_num(age), np.isnan(age), sex == "female", sex == ""]
    columns += [site == name for name in SITES]
    columns += [site == ""]
    return np.stack(columns, axis=1).astype(np.float32)
