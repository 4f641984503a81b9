"""What the images of an audit show: the same picture twice, labels at odds, files that lack."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices
from dermolib.auditing.duplicates import find_duplicates
from dermolib.auditing.inspection import STATES, Inspection, note_words
from dermolib.auditing.leakage import Flags, on_both, pairs_of_sides
from dermolib.auditing.rows import place, row_problems
from dermolib.auditing.splits import UNKNOWN, Sides, class_name

__all__ = [
    "Pairs",
    "conflicts",
    "file_table",
    "no_pairs",
    "notes",
    "problems",
    "same_pictures",
    "size_counts",
]

_PAIR_COLUMNS = (
    "first", "first_id", "second", "second_id", "kind", "distance", "relation",
    "first_lesion", "second_lesion", "first_class", "second_class",
)  # fmt: skip
_CONFLICT_COLUMNS = ("kind", "lesion", "ids", "sides", "classes", "distance")
_PROBLEM_COLUMNS = ("side", "id", "image_path", "kind", "reason", "detail")
_NOTE_COLUMNS = ("side", "id", "image_path", "note")
_CROWD = 32  # near-duplicates of one image from which on not all of its pairs are listed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that show the same picture.

    Of many identical files each is paired with the first of its side, class and diagnosis, and
    these with each other: with three files twice as many pairs would say no more. Where an image
    has more than 32 near-duplicates, as augmented copies are, not all of its pairs are listed.

    Attributes:
        rows: Rows of the two images (P, 2), the smaller number first.
        distance: Distance of their fingerprints (P,), see `find_duplicates`; 0 for identical files.
        identical: Whether the files are identical to the byte (P,).
        alike: For each row the row that stands for it and its identical files (N,); the row itself
            where there are none.
        crowd: Number of the group of each row of which not all pairs are listed (N,), -1 elsewhere.
    """

    rows: Indices
    distance: Floats
    identical: npt.NDArray[np.bool_]
    alike: Indices
    crowd: Indices

    def table(self, sides: Sides) -> pd.DataFrame:
        """Write the pairs as a table, ids beside rows."""
        first, second = self.rows.T
        names = np.array(sides.names, dtype=object)
        codes = np.array([*_class_names(sides)], dtype=object)
        columns: dict[str, Any] = {
            "kind": np.where(self.identical, "identical", "near"),
            "distance": self.distance,
            "relation": relations(sides, first, second),
        }
        for word, rows in (("first", first), ("second", second)):
            columns[word] = names[sides.side[rows]]
            columns[f"{word}_id"] = sides.column("id")[rows]
            columns[f"{word}_lesion"] = sides.column("lesion")[rows]
            columns[f"{word}_class"] = codes[rows]
        return pd.DataFrame(columns)[list(_PAIR_COLUMNS)]

    def between(self, sides: Sides, *, identical: bool) -> dict[tuple[int, int], Flags]:
        """Flag the rows that have such a picture on the other side of each pair of sides (N,)."""
        side = sides.side[self.rows]
        flags = {}
        for pair in pairs_of_sides(sides):
            chosen = (side == pair).all(axis=1) & (self.identical == identical)
            flagged = np.zeros(len(sides), np.bool_)
            flagged[self.rows[chosen]] = True
            if not identical:
                flagged |= on_both(self.crowd, sides, pair)
            flags[pair] = flagged[self.alike]
        return flags


def _class_names(sides: Sides) -> list[str]:
    labels = sides.column("label")
    names = {label: class_name(label) for label in np.unique(labels).tolist()}
    return ["" if label == UNKNOWN else names[label] for label in labels.tolist()]


def relations(sides: Sides, first: Indices, second: Indices) -> npt.NDArray[np.object_]:
    """Say of pairs of rows whether they are known to show one lesion."""
    lesion, origin = sides.column("lesion"), sides.column("origin")
    known = (lesion[first] != "") & (lesion[second] != "")
    one = (origin[first] != "") & (origin[first] == origin[second])
    same = one | (known & (lesion[first] == lesion[second]))
    words = np.where(same, "same lesion", np.where(known, "different lesions", "lesion unknown"))
    return words.astype(object)


def same_pictures(sides: Sides, rows: Indices, found: Inspection, *, tolerance: float) -> Pairs:
    """Find identical files by their digest, and near-duplicates by their perceptual hash.

    Args:
        sides: Rows of all sides.
        rows: Rows whose images were inspected (M,), ascending.
        found: What was found of them (M,).
        tolerance: Largest distance of near-duplicates, see `find_duplicates`.

    Returns:
        Pairs, sorted by their rows.
    """
    good = found.ok
    rows, digests = rows[good], found.digest[good]
    content = np.unique(digests, axis=0, return_inverse=True)[1].reshape(-1)
    side, label = sides.side[rows], sides.column("label")[rows]
    code, source = sides.column("diagnosis")[rows], sides.column("source")[rows]
    said = pd.factorize(pd.MultiIndex.from_arrays([code, np.where(code == "", "", source)]))[0]
    stand_in = _first_of_each(np.stack([content, side, label, said], axis=1))
    alike = np.arange(len(sides))
    alike[rows] = rows[stand_in]
    chosen = np.unique(stand_in)
    linked = [(number, first) for first, number in enumerate(stand_in.tolist()) if number != first]
    identical = rows[np.array([*linked, *_within(content, chosen)], np.intp).reshape(-1, 2)]
    hashed = chosen[found.hashed[good][chosen]]
    near, distance, crowded = _near(found.hash[good], content, hashed, tolerance)
    crowd = np.full(len(sides), -1)
    crowd[rows[hashed]] = crowded
    pairs = np.concatenate([identical, rows[near]])
    pairs.sort(axis=1)
    distances = np.concatenate([np.zeros(len(identical)), distance])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    byte_for_byte = np.arange(len(pairs)) < len(identical)
    return Pairs(pairs[order], distances[order], byte_for_byte[order], alike, crowd)


def _first_of_each(keys: npt.NDArray[Any]) -> Indices:
    """Name for each row the first one with the same key."""
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], np.intp)


def _within(content: Indices, chosen: Indices) -> list[tuple[int, int]]:
    """Pair what has the same content among the few that stand for all."""
    chosen = chosen[np.argsort(content[chosen], kind="stable")]
    starts = np.flatnonzero(np.diff(content[chosen])) + 1
    groups = [group.tolist() for group in np.split(chosen, starts) if len(group) > 1]
    return [
        (first, second)
        for group in groups
        for place, first in enumerate(group)
        for second in group[place + 1 :]
    ]


def _near(
    hashes: npt.NDArray[np.uint8], content: Indices, hashed: Indices, tolerance: float
) -> tuple[Indices, Floats, Indices]:
    """Find near-duplicates that are not identical, and groups of which not all pairs are listed."""
    found = find_duplicates(hashes[hashed], tolerance=tolerance, most=_CROWD)
    groups = found.groups(len(hashed))
    many = np.bincount(found.pairs.ravel(), minlength=len(hashed)) >= _CROWD
    crowd = np.where(np.isin(groups, groups[many]), groups, -1)
    pairs = hashed[found.pairs]
    other = content[pairs[:, 0]] != content[pairs[:, 1]]
    return pairs[other], found.distances[other], crowd


def no_pairs(sides: Sides) -> Pairs:
    """Make the pairs of images that were not compared: none."""
    nothing = np.empty(0, np.intp)
    alike = np.arange(len(sides))
    return Pairs(
        nothing.reshape(0, 2), np.empty(0), np.empty(0, np.bool_), alike, np.full(len(sides), -1)
    )


def conflicts(sides: Sides, pairs: Pairs) -> pd.DataFrame:
    """Find labels at odds: of one lesion, of one image, and of images that show the same picture.

    Two rows are compared by their labels where both have one, else by their diagnoses as published
    where both have one and are of the same source: collections word one diagnosis differently.

    Args:
        sides: Rows of all sides.
        pairs: Images that show the same picture.

    Returns:
        A row for each lesion, image, set of identical files, or pair of near-duplicates.
    """
    lesion, origin = sides.column("lesion"), sides.column("origin")
    of_image = np.where(lesion == "", origin, "")
    found = [*_at_odds(sides, lesion, "lesion"), *_at_odds(sides, of_image, "image")]
    found += _pairs_at_odds(sides, pairs)
    return pd.DataFrame(found, columns=pd.Index(_CONFLICT_COLUMNS))


def _at_odds(sides: Sides, keys: npt.NDArray[np.object_], kind: str) -> list[tuple[Any, ...]]:
    """List the groups of rows of one key whose labels or diagnoses differ."""
    labels, codes = sides.column("label"), sides.column("diagnosis")
    frame = pd.DataFrame(
        {
            "key": keys,
            "label": labels,
            "diagnosis": codes,
            "source": sides.column("source"),
            "unlabelled": labels == UNKNOWN,
        }
    )
    labelled = frame[(keys != "") & (labels != UNKNOWN)]
    coded = frame[(keys != "") & (codes != "")]
    several = labelled.groupby("key")["label"].transform("nunique") > 1
    groups = coded.groupby(["key", "source"])
    # Of two rows with labels these alone are compared
    differ = (groups["diagnosis"].transform("nunique") > 1) & groups["unlabelled"].transform("any")
    rows = np.union1d(labelled.index[several], coded.index[differ])
    by_key = pd.Series(rows).groupby(keys[rows], sort=True)
    return [_conflict(sides, group.to_numpy(), kind, 0.0) for _, group in by_key]


def _conflict(sides: Sides, rows: Indices, kind: str, distance: float) -> tuple[Any, ...]:
    lesions = sorted({text for text in sides.column("lesion")[rows] if text})
    lesion = lesions[0] if len(lesions) == 1 else ""
    ids, labels = tuple(sides.column("id")[rows]), sides.column("label")[rows].tolist()
    names = tuple(sides.names[side] for side in sides.side[rows])
    codes = zip(labels, sides.column("diagnosis")[rows], strict=True)
    classes = tuple(code if label == UNKNOWN else class_name(label) for label, code in codes)
    return (kind, lesion, ids, names, classes, distance)


def _pairs_at_odds(sides: Sides, pairs: Pairs) -> list[tuple[Any, ...]]:
    labels, codes, sources = (
        sides.column(name)[pairs.rows].T for name in ("label", "diagnosis", "source")
    )
    labelled = (labels != UNKNOWN).all(axis=0)
    comparable = (codes != "").all(axis=0) & (sources[0] == sources[1])
    differ = np.where(labelled, labels[0] != labels[1], comparable & (codes[0] != codes[1]))
    # One lesion with two labels is found as such already
    differ &= relations(sides, *pairs.rows.T) != "same lesion"
    kinds = np.where(pairs.identical, "identical", "near")
    return [
        _conflict(sides, pairs.rows[pair], str(kinds[pair]), float(pairs.distance[pair]))
        for pair in np.flatnonzero(differ)
    ]


def problems(sides: Sides, rows: Indices, found: Inspection) -> pd.DataFrame:
    """List files that lack or cannot be read, and rows that contradict themselves or others."""
    listed = [*_file_problems(sides, rows, found), *row_problems(sides)]
    return pd.DataFrame(listed, columns=pd.Index(_PROBLEM_COLUMNS))


def _file_problems(sides: Sides, rows: Indices, found: Inspection) -> list[tuple[str, ...]]:
    names = np.array(sides.names, dtype=object)[sides.side[rows]]
    ids, paths = sides.column("id")[rows], sides.column("image_path")[rows]
    return [
        (names[row], ids[row], paths[row], STATES[found.state[row]], reason, detail)
        for row, (reason, detail) in found.reasons.items()
    ]


def notes(sides: Sides, rows: Indices, found: Inspection) -> pd.DataFrame:
    """List what is to be known of files that are read all the same."""
    listed = []
    for number in np.flatnonzero(found.notes):
        where = place(sides, int(rows[number]))
        listed += [(*where, words) for words in note_words(int(found.notes[number]))]
    return pd.DataFrame(listed, columns=pd.Index(_NOTE_COLUMNS))


def file_table(sides: Sides, rows: Indices, found: Inspection) -> pd.DataFrame:
    """Write what was found of each file as a table."""
    columns: dict[str, Any] = {
        "side": pd.Categorical.from_codes(sides.side[rows], categories=pd.Index(sides.names)),
        "id": sides.column("id")[rows],
        "image_path": sides.column("image_path")[rows],
        "state": pd.Categorical.from_codes(
            found.state.astype(np.int64), categories=pd.Index(STATES)
        ),
    }
    columns |= {name: found.column(name) for name in ("height", "width", "size")}
    columns |= {name: pd.Categorical(found.column(name)) for name in ("mode", "format")}
    return pd.DataFrame(columns)


def size_counts(files: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each size, mode and format on each side, the most frequent first."""
    keys = ["side", "height", "width", "mode", "format"]
    counts = files[files["state"] == "ok"].groupby(keys, observed=True).size()
    table = counts.rename("images").reset_index()
    table = table.astype({"side": object, "mode": object, "format": object})
    return table.sort_values(
        ["side", "images", *keys[1:]], ascending=[True, False, *[True] * 4], ignore_index=True
    )
