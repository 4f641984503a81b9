"""What the score of `find_recaptures` means, from pairs that were looked at."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from dermolib.auditing.geometry import Alignment, align
from dermolib.auditing.local_features import describe_image
from dermolib.datasets import ham10000_recaptures
from dermolib.io import read_image

__all__ = ["SHARED_SKIN", "aligned", "by_score", "fit", "judged", "within_lesions"]

SHARED_SKIN = (
    ("ISIC_0032096", "ISIC_0032378"),
    ("ISIC_0032628", "ISIC_0032701"),
    ("ISIC_0027610", "ISIC_0030490"),
    ("ISIC_0032628", "ISIC_0033110"),
    ("ISIC_0032701", "ISIC_0032942"),
    ("ISIC_0027077", "ISIC_0032378"),
    ("ISIC_0032942", "ISIC_0033110"),
)
"""Pairs of HAM10000 that show neighboring lesions of one patient, looked at as the others."""

_ENOUGH = 10  # inliers
_WEIGHT = 0.03  # of a pair within a lesion, of which there are many more than across lesions

Numbers = npt.NDArray[np.float64]


def within_lesions(images: pd.DataFrame) -> list[tuple[int, int]]:
    """List the pairs of rows of one published lesion."""
    known = images["lesion"].fillna("") != ""
    groups = images[known].groupby("lesion").indices
    rows = np.flatnonzero(known)
    return [
        (int(rows[one]), int(rows[other]))
        for group in groups.values()
        for number, one in enumerate(group)
        for other in group[number + 1 :]
    ]


def aligned(images: pd.DataFrame, pairs: Iterable[tuple[int, int]]) -> list[Alignment]:
    """Align pairs of rows; those without an alignment are left out."""
    pairs = list(pairs)
    records = {
        row: describe_image(read_image(images["image_path"].iloc[row]))
        for row in sorted({row for pair in pairs for row in pair})
    }
    found = [align(records[first], records[second]) for first, second in pairs]
    return [one for one in found if one is not None]


def judged(table: pd.DataFrame) -> Numbers:
    """Label pairs of the table of `find_recaptures`: 1 the same skin, 0 not, nan unsure."""
    pairs = ham10000_recaptures()
    known = {frozenset(pair): 1.0 for pair in SHARED_SKIN}
    for first, second, judgment in zip(
        pairs["first"], pairs["second"], pairs["judgment"], strict=True
    ):
        known[frozenset((first, second))] = np.nan if judgment == "unsure" else 1.0
    ends = zip(table["first"], table["second"], strict=True)
    return np.array([known.get(frozenset(pair), 0.0) for pair in ends])


def fit(across: list[Alignment], labels: Numbers, within: list[Alignment]) -> tuple[Numbers, float]:
    """Fit weights of log(inliers up to 10), fine and coarse, and the intercept."""
    every = [*across, *within]
    rows = [(np.log(min(one.inliers, _ENOUGH)), one.fine, one.coarse) for one in every]
    target = np.concatenate([labels, np.ones(len(within))])
    weight = np.concatenate([np.ones(len(across)), np.full(len(within), _WEIGHT)])
    known = ~np.isnan(target)
    model = LogisticRegression(C=100, max_iter=2000)
    model.fit(np.array(rows)[known], target[known], sample_weight=weight[known])
    return np.asarray(model.coef_[0], np.float64), float(model.intercept_[0])


def by_score(table: pd.DataFrame, labels: Numbers) -> pd.DataFrame:
    """Count pairs, those that are true, and those whose age, sex and site agree, by the score."""
    bands = pd.cut(table["score"], [-0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 1])
    known = table["metadata"] != "unknown"
    agree = (table["metadata"] == "agree").where(known)
    columns = {
        "pairs": np.ones(len(table), np.bool_),
        "judged": ~np.isnan(labels),
        "true": labels == 1,
        "metadata known": known,
        "metadata agree": agree.fillna(False).astype(bool),
    }
    return pd.DataFrame(columns, index=table.index).groupby(bands, observed=True).sum()
