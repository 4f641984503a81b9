"""Data leakage: what two splits share, images that occur twice, and conflicting labels."""

from collections.abc import Iterable, Iterator
from itertools import combinations, repeat
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices
from dermolib.auditing.duplicates import find_duplicates
from dermolib.auditing.rows import UNKNOWN, Splits

__all__ = [
    "SHARED", "ImagePairs", "conflicts", "image_pairs", "leak_counts", "pair_columns", "pair_table",
    "shared", "shared_images",
]  # fmt: skip

SHARED: tuple[str, ...] = ("lesion", "patient", "id", "origin")
"""Columns whose values no two splits may share."""

_MANY = 32  # near-duplicates of one image from which on not all of its pairs are listed

Floats: TypeAlias = npt.NDArray[np.float64]

Flags: TypeAlias = dict[tuple[int, int], npt.NDArray[np.bool_]]
"""For each pair of splits, which rows (N,) share something with the other one."""


def shared(splits: Splits, column: str) -> tuple[pd.DataFrame, Flags]:
    """List the values of a column that two splits share, and flag their rows.

    A value of ``origin`` counts where an augmented image has it: others are equal ids.
    """
    values, made = pd.Series(splits[column], dtype=object), splits["parent_id"] != ""
    code, names = pd.factorize(values.mask(values == ""), sort=True)
    header = ["first", "second", column, "first_count", "second_count", "first_ids", "second_ids"]
    tables, flags = [pd.DataFrame(columns=pd.Index(header))], {}
    for pair in splits.pairs:
        both = _in_both(code, splits, pair)
        if column == "origin":
            both &= np.isin(code, code[both & made])
        flags[pair] = both
        ids = pd.Series(splits["id"][both], dtype=object)
        lists = ids.groupby([code[both], splits["split"][both]]).agg(tuple).unstack()
        if both.any():
            first, second = (lists[split] for split in pair)
            row = [splits.names[pair[0]], splits.names[pair[1]], np.asarray(names)[lists.index]]
            row += [first.map(len), second.map(len), first, second]
            tables.append(pd.DataFrame(dict(zip(header, row, strict=True))))
    return pd.concat(tables[1:] or tables, ignore_index=True), flags


def _in_both(code: Indices, splits: Splits, pair: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Flag the rows (N,) of two splits whose code both have; a negative one is none."""
    first, second = (np.unique(code[(splits["split"] == split) & (code >= 0)]) for split in pair)
    return np.isin(code, np.intersect1d(first, second)) & np.isin(splits["split"], pair)


def leak_counts(splits: Splits, by: dict[str, Flags]) -> pd.DataFrame:
    """Count the images of each pair of splits that share something, by what and in all."""
    rows = []
    for pair in splits.pairs:
        flags = {kind: flagged[pair] for kind, flagged in by.items()}
        flags["any"] = np.logical_or.reduce(list(flags.values()))
        for kind, flagged in flags.items():
            counts = [int(flagged[splits.rows_of(split)].sum()) for split in pair]
            rows.append((*(splits.names[split] for split in pair), kind, *counts))
    columns = ["first", "second", "by", "first_images", "second_images"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


class ImagePairs(NamedTuple):
    """P pairs of images that show the same, not all of them where there are many.

    Of many identical files each is paired with the first of its split, class and diagnosis, and
    these with each other: with three files twice as many pairs would say no more.
    """

    rows: Indices  # (P, 2), the smaller number first
    distance: Floats  # of their hashes (P,), 0 for identical files
    identical: npt.NDArray[np.bool_]  # to the byte (P,)
    duplicate_of: Indices  # row that represents each row and its identical files (N,)
    cluster: Indices  # of rows of which not all pairs are listed (N,), -1 elsewhere


def image_pairs(
    splits: Splits,
    rows: Indices,
    digests: npt.NDArray[np.uint8],
    hashes: npt.NDArray[np.uint8],
    *,
    tolerance: float,
) -> ImagePairs:
    """Find identical files by digest (M, 16) and near-duplicates by hash (M, 64) among M rows."""
    content = np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1)
    diagnosis = splits["diagnosis"][rows]
    source = np.where(diagnosis == "", "", splits["source"][rows])
    said = [pd.factorize(values)[0] for values in (diagnosis, source)]
    place = np.arange(len(rows))
    keys = [content, splits["split"][rows], splits["label"][rows], *said]
    first = pd.Series(place).groupby(keys).transform("min").to_numpy(np.intp)
    kept = np.flatnonzero(first == place)
    twice = kept[pd.Series(content[kept]).duplicated(keep=False)]
    pairs = [pair for pair in zip(first.tolist(), place.tolist(), strict=True) if pair[0] < pair[1]]
    for _, group in pd.Series(twice).groupby(content[twice]):
        pairs += combinations(group.tolist(), 2)
    near, distance, cluster = _near(hashes[kept], content[kept], tolerance)
    same = np.array(pairs, np.intp).reshape(-1, 2)
    both = np.sort(rows[np.concatenate([same, kept[near]])], axis=1)
    order = np.lexsort((both[:, 1], both[:, 0]))
    duplicate_of, clusters = np.arange(len(splits)), np.full(len(splits), -1)
    duplicate_of[rows], clusters[rows[kept]] = rows[first], cluster
    distances = np.concatenate([np.zeros(len(same)), distance])[order]
    return ImagePairs(both[order], distances, order < len(same), duplicate_of, clusters)


def _near(
    hashes: npt.NDArray[np.uint8], content: Indices, tolerance: float
) -> tuple[Indices, Floats, Indices]:
    """Find near-duplicates that are not identical, and clusters of which not all are listed."""
    found = find_duplicates(hashes, tolerance=tolerance, most=_MANY)
    groups = found.groups(len(hashes))
    many = np.bincount(found.pairs.ravel(), minlength=len(hashes)) >= _MANY
    other = content[found.pairs[:, 0]] != content[found.pairs[:, 1]]
    cluster = np.where(np.isin(groups, groups[many]), groups, -1)
    return found.pairs[other], found.distances[other], cluster


def shared_images(splits: Splits, pairs: ImagePairs, *, identical: bool) -> Flags:
    """Flag the rows with an identical file, or a near-duplicate, in the other split."""
    flags = {}
    for pair in splits.pairs:
        chosen = (splits["split"][pairs.rows] == pair).all(axis=1) & (pairs.identical == identical)
        flagged = np.isin(np.arange(len(splits)), pairs.rows[chosen])
        if not identical:
            flagged |= _in_both(pairs.cluster, splits, pair)
        flags[pair] = flagged[pairs.duplicate_of]
    return flags


def pair_table(splits: Splits, pairs: ImagePairs) -> pd.DataFrame:
    """Describe each pair of images by the split, id, lesion and class of both."""
    table = pair_columns(splits, pairs.rows)
    table["kind"] = np.where(pairs.identical, "identical", "near")
    table["distance"] = pairs.distance
    table["relation"] = _relations(splits, pairs)
    columns = ["first", "first_id", "second", "second_id", "kind", "distance", "relation"]
    columns += ["first_lesion", "second_lesion", "first_class", "second_class"]
    return pd.DataFrame(table)[columns]


def pair_columns(splits: Splits, pairs: Indices) -> dict[str, Any]:
    """Look up the split, id, lesion and class of both rows of each pair (P, 2)."""
    labels = splits["label"]
    classes = {label: splits.class_name(label) for label in np.unique(labels).tolist()} | {
        UNKNOWN: ""
    }
    table: dict[str, Any] = {}
    for number, word in enumerate(("first", "second")):
        rows = pairs[:, number]
        table[word] = np.array(splits.names, dtype=object)[splits["split"][rows]]
        table[f"{word}_id"] = splits["id"][rows]
        table[f"{word}_lesion"] = splits["lesion"][rows]
        table[f"{word}_class"] = pd.Series(labels[rows]).map(classes).astype(object)
    return table


def _relations(splits: Splits, pairs: ImagePairs) -> npt.NDArray[np.object_]:
    """Say of each pair whether it is known to show one lesion."""
    lesion, origin = (splits[name][pairs.rows].T for name in ("lesion", "origin"))
    known = (lesion != "").all(axis=0)
    same = (origin[0] != "") & (origin[0] == origin[1]) | known & (lesion[0] == lesion[1])
    words = np.where(same, "same lesion", np.where(known, "different lesions", "lesion unknown"))
    return words.astype(object)


def conflicts(splits: Splits, pairs: ImagePairs, joined: npt.NDArray[np.object_]) -> pd.DataFrame:
    """Find conflicting labels of one lesion, of one image, and of images that show the same.

    Lesions that recaptures join (N,), empty where there are none, are compared as one.

    Two rows are compared by their labels where both have one, else by their diagnoses as published
    where both have one of the same source: collections word one diagnosis differently.
    """
    lesion = splits["lesion"]
    found = _conflicts_of(splits, lesion, "lesion")
    found += _conflicts_of(splits, np.where(lesion == "", splits["origin"], ""), "image")
    found += _conflicts_of_pairs(splits, pairs)
    found += _conflicts_of(splits, joined, "recapture")
    columns = ["kind", "lesion", "ids", "splits", "classes", "distance"]
    return pd.DataFrame(found, columns=pd.Index(columns))


def _conflicts_of(
    splits: Splits, keys: npt.NDArray[np.object_], kind: str
) -> list[tuple[Any, ...]]:
    """List the groups of rows of one key whose labels or diagnoses differ."""
    names = ("label", "diagnosis", "source")
    table = pd.DataFrame({name: splits[name] for name in names} | {"key": keys})
    table["unlabeled"] = table["label"] == UNKNOWN
    table = table[keys != ""]
    labeled, coded = table[~table["unlabeled"]], table[table["diagnosis"] != ""]
    several = labeled.groupby("key")["label"].transform("nunique") > 1
    groups = coded.groupby(["key", "source"])
    # Rows that all have labels are compared by these alone
    differ = (groups["diagnosis"].transform("nunique") > 1) & groups["unlabeled"].transform("any")
    rows = np.union1d(labeled.index[several], coded.index[differ])
    group = pd.factorize(keys[rows], sort=True)[0]
    sizes = np.bincount(group)
    ordered = rows[np.argsort(group, kind="stable")]
    return [*_described(splits, ordered, sizes, repeat(kind), repeat(0.0))]


def _conflicts_of_pairs(splits: Splits, pairs: ImagePairs) -> list[tuple[Any, ...]]:
    label, code, source = (splits[name][pairs.rows].T for name in ("label", "diagnosis", "source"))
    comparable = (code != "").all(axis=0) & (source[0] == source[1])
    by_code = comparable & (code[0] != code[1])
    differ = np.where((label != UNKNOWN).all(axis=0), label[0] != label[1], by_code)
    # One lesion with two labels is listed already
    differ &= _relations(splits, pairs) != "same lesion"
    kinds = np.where(pairs.identical, "identical", "near")[differ].tolist()
    sizes = np.full(len(kinds), 2)
    distances = pairs.distance[differ].tolist()
    return [*_described(splits, pairs.rows[differ].ravel(), sizes, kinds, distances)]


def _described(
    splits: Splits, rows: Indices, sizes: Indices, kinds: Iterable[str], distances: Iterable[float]
) -> Iterator[tuple[Any, ...]]:
    """Describe conflicts of so many rows each, which follow each other."""
    labels = splits["label"][rows].tolist()
    names = {label: splits.class_name(label) for label in set(labels)}
    said = zip(labels, splits["diagnosis"][rows], strict=True)
    classes = [code if label == UNKNOWN else names[label] for label, code in said]
    in_splits = np.array(splits.names, dtype=object)[splits["split"][rows]]
    columns = (splits["lesion"][rows], splits["id"][rows], in_splits)
    lists = [*(column.tolist() for column in columns), classes]
    stops = np.cumsum(sizes).tolist()
    for size, stop, kind, distance in zip(sizes.tolist(), stops, kinds, distances, strict=False):
        lesion, *others = (tuple(one[stop - size : stop]) for one in lists)
        known = set(lesion) - {""}
        yield kind, known.pop() if len(known) == 1 else "", *others, distance
