"""Lesions and patients under several names: what recaptures reveal of the splits."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices
from dermolib.auditing.leakage import Flags, ImagePairs, pair_columns
from dermolib.auditing.rows import Splits
from dermolib.datasets.groups import connected_groups

__all__ = [
    "NO_RECAPTURES", "Recaptures", "joined_lesions", "recapture_flags", "recapture_table",
    "search_recaptures",
]  # fmt: skip

_KINDS = ("recapture", "shared skin")  # one lesion, and neighboring ones of one patient
_LESION = ("lesion", "origin")
_PATIENT = ("lesion", "origin", "patient")
_FOUND = (
    "score", "agreement", "inliers", "scale", "angle", "shift_x", "shift_y", "kind", "metadata",
)  # fmt: skip


class Recaptures(NamedTuple):
    """P pairs of rows that show one lesion, or neighboring ones, under different names."""

    rows: Indices  # (P, 2), the smaller number first
    found: pd.DataFrame  # columns of `find_recaptures` from the score on, P rows

    def of_kind(self, kind: str) -> Indices:
        """Take the pairs of rows (Q, 2) of a kind."""
        return np.asarray(self.rows[(self.found["kind"] == kind).to_numpy(np.bool_)])


NO_RECAPTURES = Recaptures(np.empty((0, 2), np.intp), pd.DataFrame(columns=pd.Index(_FOUND)))
"""What is known where recaptures were not searched."""


def search_recaptures(
    splits: Splits, rows: Indices, pairs: ImagePairs, **options: Any
) -> Recaptures:
    """Find images among rows (M,) that show one lesion or neighboring ones, unless known to.

    Known are duplicates, which are reported as such, and that images of one patient share skin. Of
    identical files, one is searched for.
    """
    # Here, since it loads what matches images
    from dermolib.auditing.recaptures import find_recaptures

    rows = rows[pairs.duplicate_of[rows] == rows]
    columns = ["image_path", "patient", "age", "sex", "site"]
    table = pd.DataFrame({name: splits[name][rows] for name in columns})
    table.insert(0, "id", rows.astype(str))  # those of a split need not be unique
    groups = lesion_groups(splits)[rows].astype(str)
    found = find_recaptures(table, groups=groups, **options)
    ends = np.sort(rows[found[["first_row", "second_row"]].to_numpy(np.intp)], axis=1)
    number = len(splits)
    listed = np.isin(ends @ [number, 1], pairs.rows @ [number, 1])
    cluster, patient = pairs.cluster[ends].T, splits["patient"][ends].T
    listed |= (cluster[0] == cluster[1]) & (cluster[0] >= 0)
    one_patient = (patient[0] == patient[1]) & (patient[0] != "")
    new = ~listed & ~(one_patient & (found["kind"] == "shared skin").to_numpy())
    return Recaptures(ends[new], found.loc[new, [*_FOUND]].reset_index(drop=True))


def recapture_table(splits: Splits, recaptures: Recaptures) -> pd.DataFrame:
    """Describe each pair by the split, id, lesion and class of both, and how it was found."""
    table = pair_columns(splits, recaptures.rows) | recaptures.found.to_dict("series")
    columns = ["first", "first_id", "second", "second_id", *_FOUND]
    columns += ["first_lesion", "second_lesion", "first_class", "second_class"]
    return pd.DataFrame(table)[columns]


def lesion_groups(splits: Splits) -> Indices:
    """Number the lesions (N,) as published, where an augmented image is of that of its origin."""
    return _groups(splits, _LESION, NO_RECAPTURES.rows)


def joined_lesions(splits: Splits, recaptures: Recaptures) -> npt.NDArray[np.object_]:
    """Number the lesions (N,) that recaptures join; empty where fewer than two have a class."""
    pairs = recaptures.of_kind("recapture")
    if not len(pairs):
        return np.full(len(splits), "", dtype=object)
    published, joined = lesion_groups(splits), _groups(splits, _LESION, pairs)
    known = splits.known("label") | splits.known("diagnosis")
    parts = np.unique(np.stack([joined, published])[:, known], axis=1)[0]
    several = np.bincount(parts, minlength=len(splits))[joined] > 1
    return np.where(several, joined.astype(object), "")


def recapture_flags(
    splits: Splits, recaptures: Recaptures, duplicate_of: Indices
) -> dict[str, Flags]:
    """Flag the rows whose lesion, or patient, the other split has under another name.

    So are files identical to theirs, which `duplicate_of` (N,) represents by one row.
    """
    torn, skin = (recaptures.of_kind(kind) for kind in _KINDS)
    lesions = lesion_groups(splits), _groups(splits, _LESION, torn)
    both = np.concatenate([torn, skin])
    patients = _groups(splits, _PATIENT, torn), _groups(splits, _PATIENT, both)
    flags = {}
    for kind, groups in zip(_KINDS, (lesions, patients), strict=True):
        found = _shared(splits, *groups)
        flags[kind] = {pair: flag | flag[duplicate_of] for pair, flag in found.items()}
    return flags


def _groups(splits: Splits, columns: Sequence[str], pairs: Indices) -> Indices:
    """Number the groups (N,) of rows that share a value of a column or are joined by pairs."""
    edges, nodes = [pairs], len(splits)
    for column in columns:
        codes, names = pd.factorize(splits[column])
        rows = np.flatnonzero(splits[column] != "")
        edges.append(np.stack([rows, nodes + codes[rows]], axis=1))
        nodes += len(names)
    return connected_groups(nodes, np.concatenate(edges))[: len(splits)]


def _shared(splits: Splits, published: Indices, joined: Indices) -> Flags:
    """Flag the rows whose joined group has rows of another published one in the other split."""
    flags, split = {}, splits["split"]
    for pair in splits.pairs:
        flags[pair] = np.zeros(len(splits), np.bool_)
        for here, there in (pair, pair[::-1]):
            first = pd.DataFrame({"joined": joined, "published": published})[split == there]
            first = first.drop_duplicates()
            parts = np.bincount(first["joined"], minlength=len(splits) + 1)[joined]
            others = parts - np.isin(published, first["published"])
            flags[pair] |= (split == here) & (others > 0)
    return flags
