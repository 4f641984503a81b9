"""Derm7pt: a clinical and a dermoscopic image of each case, with the seven-point checklist."""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from dermolib._validation import (
    DatasetNotFoundError,
    Indices,
    PathLike,
    check_choice,
    listed,
    require,
)
from dermolib.datasets.columns import read_columns
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import add_files, drop_kinds, find_places, first_file
from dermolib.datasets.splits import as_split
from dermolib.datasets.tables import read_table

__all__ = ["read_derm7pt"]

_PARTS = {"train": "train", "validation": "valid", "test": "test"}
_KINDS = {"dermoscopic": "derm", "clinical": "clinic"}
_LAYOUT = "meta/meta.csv and meta/train_indexes.csv beside images"


@register_reader(
    "derm7pt",
    title="Derm7pt",
    labels="diagnoses in words; lentigo, melanosis and miscellaneous have no label",
    splits=("train", "validation", "test"),
    about=About(
        images="1,011 dermoscopic and 1,011 clinical",
        groups="cases, as lesions; patients unknown",
        masks="none",
        license="for research, on request",
        url="https://derm.cs.sfu.ca",
    ),
)
def read_derm7pt(
    root: PathLike, split: str = "train", *, kind: str | None = None, images: bool = True
) -> pd.DataFrame:
    """Read Derm7pt, two images of each case.

    A row is an image; a case counts as a lesion. Samples of both images come from
    `dermolib.datasets.PairDataset`, of a table of each kind.

    Args:
        root: Folder ``release_v0`` with ``meta/meta.csv``, ``meta/train_indexes.csv``,
            ``meta/valid_indexes.csv``, ``meta/test_indexes.csv`` and ``images``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        kind: Images to read: ``"dermoscopic"``, ``"clinical"`` or None for both.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`, ids being the names of the files, with the columns
        ``image_type``, ``dermoscopic`` or ``clinical``, and ``seven_point_score``, Int8.

    References:
        Kawahara et al., Seven-point checklist and skin lesion classification, IEEE JBHI 23(2),
        2019, https://doi.org/10.1109/JBHI.2018.2824327; columns at
        https://github.com/jeremykawahara/derm7pt.
    """
    split = as_split(split, _PARTS)
    check_choice(kind or "clinical", "kind", [*_KINDS])
    root = Path(root)
    path = first_file(root, ["meta/meta.csv"], _LAYOUT)
    listing = first_file(root, [f"meta/{_PARTS[split]}_indexes.csv"], _LAYOUT)
    names = ("case_num", "diagnosis", "location", "sex", "seven_point_score", *_KINDS.values())
    case, diagnosis, site, sex, score, *files = read_columns(path, names)
    chosen = _numbers(listing, len(case))
    frames = [
        pd.DataFrame(
            {
                "id": [PurePosixPath(file.strip().replace("\\", "/")).stem for file in paths],
                "diagnosis": diagnosis,
                "lesion": [f"case {number.strip()}" for number in case],
                "sex": sex,
                "site": site,
                "image_type": kind_of,
                "score": score,
            }
        ).iloc[chosen]
        for kind_of, paths in zip(_KINDS, files, strict=True)
    ]
    frame = pd.concat(frames, ignore_index=True)
    table = read_table(frame, vocabulary="derm7pt", name=str(path))
    scores = pd.to_numeric(frame["score"], errors="coerce").astype("Int8")
    table = table.assign(image_type=frame["image_type"], seven_point_score=scores)
    folders = find_places(root, ["images"])[:1]
    if images and not folders:
        raise DatasetNotFoundError(root / "images", _LAYOUT)
    return drop_kinds(add_files(table, "Derm7pt", None, folders), kind)


def _numbers(path: Path, count: int) -> Indices:
    """Read the numbers of the rows of a split, from 0."""
    (texts,) = read_columns(path, ("indexes",))
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    fits = (numbers >= 0) & (numbers < count) & (numbers == np.round(numbers))
    what = f"a table whose `indexes` are rows of meta.csv, 0..{count - 1}"
    odd = listed(repr(text) for text in texts[~fits])
    require(not odd, str(path), what, odd)
    twice = listed(f"{number:g}" for number in numbers[pd.Series(numbers).duplicated()])
    require(not twice, str(path), "a table that names each row once", f"{twice} twice")
    return numbers.astype(np.intp)
