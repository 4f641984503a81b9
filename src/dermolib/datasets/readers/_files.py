"""Files of a collection, however its archives were unpacked, and what its tables share."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import DatasetNotFoundError, Indices, expected, listed, require, warn
from dermolib.datasets.columns import Columns, Texts, is_missing, map_unique, read_csv
from dermolib.datasets.files import find_images, find_masks, open_places
from dermolib.datasets.tables import read_table
from dermolib.io import (
    DOWNSAMPLED,
    ENDINGS,
    MASK_TAILS,
    SUFFIXES,
    check_file,
    drop_ending,
    is_hidden,
)
from dermolib.labels import VOCABULARIES

__all__ = [
    "PARTS",
    "add_files",
    "add_lesions",
    "drop_downsampled",
    "drop_endings",
    "drop_kinds",
    "find_places",
    "first_file",
    "first_folder",
    "image_table",
    "onehot_codes",
    "optional_columns",
    "optional_numbers",
    "read_truth",
    "with_isic_sites",
]

PARTS = {"train": "Training", "validation": "Validation", "test": "Test"}
"""What ISIC calls the splits in the names of its files."""

# Sites are finer here than in ISIC; the trunk, which is front or back, stays what it is
_SITES = {
    **dict.fromkeys(("abdomen", "chest"), "anterior torso"),
    "back": "posterior torso",
    **dict.fromkeys(("ear", "face", "neck", "nose", "scalp", "head_neck_face"), "head/neck"),
    **dict.fromkeys(("foot", "thigh"), "lower extremity"),
    **dict.fromkeys(("arm", "forearm", "hand"), "upper extremity"),
    "genital": "oral/genital",
    "acral": "palms/soles",
}


def find_places(root: Path, names: Sequence[str]) -> list[Path]:
    """Find which of several names exist; an archive may have unpacked to a folder in itself."""
    paths = [path for name in names for path in (root / name / Path(name).name, root / name)]
    return [path for path in paths if os.path.lexists(path)]


def first_file(root: Path, names: Sequence[str], layout: str) -> Path:
    """Find the first file of several names, or say which layout was expected."""
    found = [path for path in find_places(root, names) if not path.is_dir()]
    if not found:
        raise DatasetNotFoundError(root / names[0], layout)
    check_file(found[0])
    return found[0]


def first_folder(root: Path, names: Sequence[str], layout: str, *, needed: bool) -> list[Path]:
    """Find the first of several places that has images; where not needed, there may be none."""
    found = find_places(root, names)
    for place in found:
        fits = place.suffix.lower() in ENDINGS or place.is_dir()
        require(fits, str(place), "a folder of images", "something else")
        if place.suffix.lower() in ENDINGS or any(map(_is_image, place.iterdir())):
            return [place]
    if needed and not found:
        raise DatasetNotFoundError(root / names[0], layout)
    return found[:1] if needed else []


def image_table(folders: Sequence[Path]) -> pd.DataFrame:
    """Make a table of the images, or masks, of the first folder, for what has no table."""
    require(folders, "root", "a folder with images or masks", "neither")
    require(folders[0].is_dir(), str(folders[0]), "a folder of images ID.jpg", "a file")
    files = sorted(filter(_is_image, folders[0].iterdir()))
    require(files, str(folders[0]), "a folder of images ID.jpg", "none")
    tail = re.compile(rf"({'|'.join(MASK_TAILS)})$", re.IGNORECASE)
    names = [tail.sub("", path.stem) for path in files]
    return read_table(pd.DataFrame({"ID": names}), name=str(folders[0]))


def add_files(
    table: pd.DataFrame,
    source: str,
    year: int | None,
    images: Sequence[Path],
    masks: Sequence[Path] = (),
) -> pd.DataFrame:
    """Add what is the same for all rows, and the paths of their files, if any."""
    table["source"] = source
    table["year"] = pd.Series([year] * len(table), dtype="Int16")
    opened, own = open_places(images), open_places(masks[:1])
    table["image_path"] = find_images(table, opened)
    table["mask_path"] = find_masks(table, own or opened, images=table["image_path"], own=bool(own))
    return table


def add_lesions(table: pd.DataFrame, path: Path, split: str) -> None:
    """Add the lesion of each row from a table of its own, unless the row already has one."""
    lesions = read_table(path, needed=("LESION_ID",)).set_index("id")["lesion"]
    unknown = ~table["id"].isin(lesions.index)
    if split == "train":
        hint = "Without their lesions, a split would put one lesion in two splits."
        what = "a table with the ids of the training images"
        require(not unknown.all(), str(path), what, f"others ({listed(lesions.index)})", hint)
        if unknown.any():
            count = f"{int(unknown.sum())} of {len(table)} ({listed(table['id'][unknown])})"
            text = f"{path} lacks training images: {count}. Each counts as a lesion of its own."
            warn(text)
    known = table["id"].map(lesions).fillna("")
    table["lesion"] = table["lesion"].where(table["lesion"] != "", known)


def drop_downsampled(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Remove the suffix ``_downsampled`` of some ids of ISIC 2019."""
    table["id"] = table["id"].str.removesuffix(DOWNSAMPLED)
    twice = table["id"][table["id"].duplicated()]
    what, hint = "a table in which each id appears once", f"The suffix {DOWNSAMPLED} means nothing."
    require(twice.empty, str(path), what, f"{listed(twice)} twice", hint)
    return table


def drop_endings(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Remove the ending of a file, such as ``.png``, from the ids that have one."""
    table["id"] = table["id"].map(drop_ending)
    twice = table["id"][table["id"].duplicated()]
    what, hint = "a table in which each id appears once", "An ending such as `.png` is no part."
    require(twice.empty, str(path), what, f"{listed(twice)} twice", hint)
    return table


def drop_kinds(table: pd.DataFrame, kind: str | None) -> pd.DataFrame:
    """Keep the rows whose ``image_type`` is a kind or begins with it; all rows of None."""
    if kind is None:
        return table
    types = table["image_type"].str.lower()
    kept = types.str.split(":").str[0].eq(kind.lower()) | types.eq(kind.lower())
    known = sorted({*table["image_type"]} - {""})
    got, hint = repr(kind), f"There are {listed(known, most=len(known))}."
    require(kept.any(), "kind", "a kind of image that is in the table, or None", got, hint)
    return table[kept].reset_index(drop=True)


def with_isic_sites(table: pd.DataFrame) -> pd.DataFrame:
    """Give the sites of the body ISIC's names where they are the same."""
    names = table["site"].to_numpy(object)
    return table.assign(site=map_unique(lambda site: _SITES.get(site, site), names))


def optional_columns(path: Path, names: Sequence[str]) -> Columns:
    """Read which of several columns are in a table, in any letter case."""

    def choose(header: Sequence[str]) -> dict[str, int]:
        upper = [text.strip().upper() for text in header]
        what, got = "a table of several columns", listed(header)
        require(len(header) > 1, str(path), what, got)  # which tells the right delimiter
        return {name: upper.index(name.upper()) for name in names if name.upper() in upper}

    return read_csv(path, choose)


def optional_numbers(path: Path, names: Sequence[str], low: int, high: int) -> dict[str, pd.Series]:
    """Read columns of numbers that may be in a table, nan where unknown."""
    made, columns = {}, optional_columns(path, names)
    for name, texts in columns.items():
        values = pd.Series(texts, dtype=object).str.strip()
        numbers = pd.to_numeric(values, errors="coerce").astype(np.float64)
        known = ~values.map(is_missing).astype(np.bool_)
        odd = np.flatnonzero(known & ~numbers.between(low, high))
        rows = listed(f"row {columns.rows[row]}: {values[row]!r}" for row in odd)
        what = f"a table whose `{name}` is {low}..{high}, or empty"
        require(not len(odd), str(path), what, f"{len(odd)} other ({rows})")
        made[name] = numbers.where(known)
    return made


def read_truth(path: Path, vocabulary: str, key: str = "image", **options: Any) -> pd.DataFrame:
    """Read a ground truth with a column of ids and one per code of `VOCABULARIES`, 0 or 1."""
    known = VOCABULARIES[vocabulary]

    def choose(header: Sequence[str]) -> dict[str, int]:
        upper = [text.strip().upper() for text in header]
        twice = next((text for text in upper if upper.count(text) > 1), None)
        what = "a ground truth with each column once"
        require(twice is None, str(path), what, f"{twice!r} twice")
        chosen = {text: place for place, text in enumerate(upper) if text.lower() in known}
        what = f"a ground truth with the columns {', '.join((key, *map(str.upper, known)))}"
        fits = key.upper() in upper and chosen
        require(fits, str(path), what, f"the columns {listed(header)}")
        return {key: upper.index(key.upper()), **chosen}

    columns = read_csv(path, choose)
    ids = columns.pop(key)
    frame = pd.DataFrame({"ID": ids, "DIAGNOSIS": onehot_codes(path, ids, columns)})
    return read_table(frame, vocabulary=vocabulary, name=str(path), **options)


def onehot_codes(path: Path, ids: Texts, columns: Columns) -> Texts:
    """Find the code whose column is 1 in each row, and 0 in the others."""
    flags = np.stack([_flags(path, values, columns.rows) for values in columns.values()], axis=1)
    wrong = np.flatnonzero(flags.sum(axis=1) != 1)
    rows = listed(f"row {columns.rows[row]}: {ids[row]!r}" for row in wrong)
    what = "a ground truth in which one class of each row is 1"
    require(not len(wrong), str(path), what, f"{len(wrong)} other ({rows})")
    return np.array([*columns], dtype=object)[flags.argmax(axis=1)] if len(ids) else ids


def _flags(path: Path, values: Texts, rows: Indices) -> npt.NDArray[np.bool_]:
    texts = pd.Series(values, dtype=object)
    numbers = np.asarray(pd.to_numeric(texts, errors="coerce"), np.float64)
    odd = np.flatnonzero(~np.isin(numbers, (0, 1)))
    if len(odd):
        got = f"{values[odd[0]]!r} in row {rows[odd[0]]}"
        raise ValueError(expected(str(path), "a ground truth of 0 and 1", got))
    return np.asarray(numbers == 1)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not is_hidden(path.name)
