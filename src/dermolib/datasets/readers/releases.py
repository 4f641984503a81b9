"""What each collection published, read to one table: its files, codes and sites are its own."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._validation import (
    DatasetNotFoundError,
    PathLike,
    check_choice,
    expected,
    listed,
    outside,
)
from dermolib.datasets.groups import joined_groups
from dermolib.datasets.layout import (
    finished,
    first_folder,
    first_of,
    found_in,
    listed_images,
    without_shrunk,
)
from dermolib.datasets.onehot import read_onehot
from dermolib.datasets.reading import read_csv, recode
from dermolib.datasets.tables import read_table

__all__ = [
    "read_challenge_table",
    "read_ham10000",
    "read_isic2018",
    "read_isic2019",
    "read_isic2020",
    "read_isic2024",
]

_CHALLENGE = (
    "metadataTrain.csv and metadataTest.csv beside the folders Train and Test with ID.jpg, "
    "optionally Train/ID_seg.png and lesion_ids.csv"
)
_PARTS = {"train": "Training", "validation": "Validation", "test": "Test"}
_PAIR = ("image_name_1", "image_name_2")
# HAM10000 names sites more finely than ISIC; its trunk is front or back, and stays what it is
_SITES = {
    "abdomen": "anterior torso",
    "acral": "palms/soles",
    "back": "posterior torso",
    "chest": "anterior torso",
    "ear": "head/neck",
    "face": "head/neck",
    "foot": "lower extremity",
    "genital": "oral/genital",
    "hand": "upper extremity",
    "neck": "head/neck",
    "scalp": "head/neck",
}


def read_challenge_table(root: PathLike, split: str = "train") -> pd.DataFrame:
    """Read one side of the challenge's tables, whether its images are there or not.

    Args:
        root: Folder with ``metadataTrain.csv``, ``metadataTest.csv``, ``Train`` and ``Test``, and
            perhaps ``lesion_ids.csv`` (ID, LESION_ID).
        split: ``"train"`` or ``"test"``.

    Returns:
        Table of `dermolib.datasets.read_table`, with the lesions where they are known, and with
        ``image_path`` and ``mask_path``, empty where there is no file.

    Raises:
        DatasetNotFoundError: `root` does not have the layout of the challenge.
        ValueError: A table is unfit.
    """
    check_choice(split, "split", ("train", "test"))
    root = Path(root)
    side = split.capitalize()
    for path in (root, root / f"metadata{side}.csv", root / side):
        if not path.exists():
            raise DatasetNotFoundError(path, _CHALLENGE)
    table = read_table(root / f"metadata{side}.csv")
    if split == "train" and "label" not in table:
        what = "a table with a column `CLASS` (1..8)"
        got = "none; other columns than ID, CLASS, SEX, AGE, POSITION and LESION_ID are not read"
        raise ValueError(expected(str(root / f"metadata{side}.csv"), what, got))
    if (root / "lesion_ids.csv").exists():
        table["lesion"] = _joined_lesions(table, root / "lesion_ids.csv", split)
    return finished(table, "challenge", 2019, [root / side])


def read_ham10000(root: PathLike, *, images: bool = True) -> pd.DataFrame:
    """Read HAM10000 as the Harvard Dataverse or its mirrors unpack it.

    Its code ``akiec`` is actinic keratosis or squamous cell carcinoma in situ, which cannot be told
    apart there: such rows have no label. `dermolib.datasets.merge_tables` with ISIC 2019, which has
    the same images, gives them theirs.

    Args:
        root: Folder with ``HAM10000_metadata`` (or ``.csv``, ``.tab``), the folders
            ``HAM10000_images_part_1`` and ``HAM10000_images_part_2`` or one folder of all images,
            and perhaps ``HAM10000_segmentations_lesion_tschandl`` with the masks.
        images: Whether the folders of the images must be there.

    Returns:
        Table as of `read_challenge_table`, with the sites of ISIC where they are the same.

    Raises:
        DatasetNotFoundError: There are no such files.
        ValueError: The table is unfit.

    References:
        Tschandl et al., The HAM10000 dataset, Scientific Data 5, 2018,
        https://doi.org/10.1038/sdata.2018.161.
    """
    root = Path(root)
    layout = "HAM10000_metadata beside the folders of the images"
    names = [f"HAM10000_metadata{ending}" for ending in (".csv", ".tab", "")]
    path = first_of(root, names, layout)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        delimiter = "\t" if "\t" in file.readline() else ","
    table = read_table(path, vocabulary="ham10000", delimiter=delimiter)
    table["site"] = recode(table["site"].to_numpy(object), lambda site: _SITES.get(site, site))
    parts = [[f"{ham}_images_part_{part}" for ham in ("HAM10000", "ham10000")] for part in (1, 2)]
    folders = [folder for names in parts for folder in found_in(root, names)[:1]]
    if not folders:
        names = ["HAM10000_images", "images", "."]
        folders = first_folder(root, names, layout, needed=images)
    masks = found_in(root, ["HAM10000_segmentations_lesion_tschandl", "masks"])
    return finished(table, "HAM10000", 2018, folders, masks)


def read_isic2018(
    root: PathLike, split: str = "train", *, task: int = 3, images: bool = True
) -> pd.DataFrame:
    """Read the challenge of 2018: task 3, diagnoses, or task 1, lesion masks.

    Args:
        root: Folder with ``ISIC2018_Task3_Training_Input``, the folder or file
            ``ISIC2018_Task3_Training_GroundTruth`` and perhaps
            ``ISIC2018_Task3_Training_LesionGroupings.csv``; or for task 1 with
            ``ISIC2018_Task1-2_Training_Input`` and ``ISIC2018_Task1_Training_GroundTruth``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        task: 3, or 1. Task 1 has no diagnoses.
        images: Whether the folder of the images must be there.

    Returns:
        Table as of `read_challenge_table`. ``AKIEC`` has no label, see `read_ham10000`.

    Raises:
        DatasetNotFoundError: There are no such files.
        ValueError: A table is unfit, or the task is neither.

    References:
        Codella et al., Skin lesion analysis toward melanoma detection 2018, 2019,
        https://doi.org/10.48550/arXiv.1902.03368.
    """
    check_choice(split, "split", _PARTS)
    if task not in (1, 3):
        raise ValueError(expected("task", "1 or 3", repr(task), "Task 2 has no readers."))
    root = Path(root)
    if task == 1:
        return _read_masks_2018(root, _PARTS[split], images=images)
    prefix = f"ISIC2018_Task3_{_PARTS[split]}"
    layout = f"{prefix}_Input beside {prefix}_GroundTruth/{prefix}_GroundTruth.csv"
    names = [f"{prefix}_Input", f"{prefix}_Images"]
    folders = first_folder(root, names, layout, needed=images)
    names = [f"{prefix}_GroundTruth/{prefix}_GroundTruth.csv", f"{prefix}_GroundTruth.csv"]
    truth = found_in(root, names)
    if not truth and (split == "train" or not folders):
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth", layout)
    table = _read_truth_2018(truth[0]) if truth else listed_images(folders)
    for lesions in found_in(root, [f"{prefix}_LesionGroupings.csv"])[:1]:
        table["lesion"] = _joined_lesions(table, lesions, split)
    return finished(table, "ISIC 2018", 2018, folders)


def read_isic2019(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2019.

    Ids are without the ``_downsampled`` that ends some of them. Rows of the class ``UNK`` have no
    label: their diagnosis is none of the eight. Patients are not published; lesions are, for most
    images of the training set.

    Args:
        root: Folder with ``ISIC_2019_Training_Input``, ``ISIC_2019_Training_GroundTruth.csv`` and
            ``ISIC_2019_Training_Metadata.csv``, or the same of ``Test``.
        split: ``"train"`` or ``"test"``; the truth of the test set may lack.
        images: Whether the folder of the images must be there.

    Returns:
        Table as of `read_challenge_table`.

    Raises:
        DatasetNotFoundError: There are no such files.
        ValueError: A table is unfit, or truth and metadata have different ids.

    References:
        Combalia et al., BCN20000: dermoscopic lesions in the wild, 2019,
        https://doi.org/10.48550/arXiv.1908.02288.
    """
    check_choice(split, "split", ("train", "test"))
    root, prefix = Path(root), f"ISIC_2019_{_PARTS[split]}"
    layout = f"{prefix}_Metadata.csv and {prefix}_GroundTruth.csv beside {prefix}_Input"
    folders = first_folder(root, [f"{prefix}_Input"], layout, needed=images)
    path = first_of(root, [f"{prefix}_Metadata.csv"], layout)
    table = without_shrunk(read_table(path), path)
    truth = found_in(root, [f"{prefix}_GroundTruth.csv"])
    if split == "train" and not truth:
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth.csv", layout)
    for path in truth[:1]:
        labels = without_shrunk(read_onehot(path, "isic2019"), path)
        table = _with_labels(table, labels, path)
    return finished(table, "ISIC 2019", 2019, folders)


def read_isic2020(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2020, which asks for melanoma alone.

    Where ``ISIC_2020_Training_Duplicates.csv`` lies beside the table, the images of a pair are of
    one lesion, so that a split keeps them together.

    Args:
        root: Folder with ``ISIC_2020_Training_GroundTruth_v2.csv`` (or the first version, or
            ``train.csv``) and ``train``, or with ``ISIC_2020_Test_Metadata.csv`` (or ``test.csv``)
            and its images.
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the folder of the images must be there.

    Returns:
        Table as of `read_challenge_table`, with patients, and for training rows with the column
        ``malignant``, bool: the target of the challenge. Most rows are of the diagnosis
        ``unknown`` and have no label.

    Raises:
        DatasetNotFoundError: There are no such files.
        ValueError: The table is unfit.

    References:
        Rotemberg et al., A patient-centric dataset of images and metadata, Scientific Data 8, 2021,
        https://doi.org/10.1038/s41597-021-00815-z.
    """
    check_choice(split, "split", ("train", "test"))
    root, part = Path(root), _PARTS[split]
    truth = [f"ISIC_2020_Training_GroundTruth{end}.csv" for end in ("_v2", "")]
    names = (
        [*truth, "train.csv"] if split == "train" else ["ISIC_2020_Test_Metadata.csv", "test.csv"]
    )
    places = [f"ISIC_2020_{part}_JPEG/{split}", f"ISIC_2020_{part}_JPEG", f"ISIC_2020_{part}_Input"]
    places += [f"ISIC_2020_{part}_JPEG/ISIC_2020_{part}_Input", f"jpeg/{split}", split]
    layout = f"{names[0]} beside {split} or {places[0]}"
    path = first_of(root, names, layout)
    if split == "train":
        table = read_table(path, columns={"malignant": "target"}, vocabulary="isic2020")
        for pairs in found_in(root, ["ISIC_2020_Training_Duplicates.csv"])[:1]:
            table["lesion"] = _paired(table, pairs)
    else:
        table = read_table(path)
    folders = first_folder(root, places, layout, needed=images)
    return finished(table, "ISIC 2020", 2020, folders)


def read_isic2024(root: PathLike, split: str = "train", *, images: bool = True) -> pd.DataFrame:
    """Read the challenge of 2024, whose images are crops of total-body photographs.

    Args:
        root: Folder with ``train-metadata.csv`` and ``train-image.hdf5`` or ``train-image/image``
            (or the same of ``test``), as the competition gave them; or with
            ``ISIC_2024_Training_GroundTruth.csv`` and ``ISIC_2024_Training_Input``, as the archive
            does, where ``ISIC_2024_Training_Supplement.csv`` tells diagnoses and lesions, and
            ``metadata.csv`` patients, age, sex and site.
        split: ``"train"`` or ``"test"``; test rows have no label.
        images: Whether the images must be there.

    Returns:
        Table as of `read_challenge_table`, with patients where known, and for training rows with
        the column ``malignant``, bool: the target of the challenge. Most rows are ``Benign``
        without more and have no label.

    Raises:
        DatasetNotFoundError: There are no such files.
        ImportError: The images are in an HDF5 file and h5py is not installed.
        ValueError: A table is unfit.

    References:
        Kurtansky et al., The SLICE-3D dataset, Scientific Data 11, 2024,
        https://doi.org/10.1038/s41597-024-03743-w.
    """
    check_choice(split, "split", ("train", "test"))
    root = Path(root)
    layout = f"{split}-metadata.csv beside {split}-image.hdf5 or {split}-image/image"
    truth = found_in(root, ["ISIC_2024_Training_GroundTruth.csv"]) if split == "train" else []
    if truth and not (root / "train-metadata.csv").exists():
        table = _read_archive_2024(root, truth[0])
    else:
        path = first_of(root, [f"{split}-metadata.csv"], layout)
        names = {"diagnosis": "iddx_full", "malignant": "target"} if split == "train" else None
        table = read_table(path, columns=names, vocabulary="isic2024" if names else None)
    places = [f"{split}-image.hdf5", f"{split}-image/image", f"{split}-image"]
    places += ["ISIC_2024_Training_Input"] if split == "train" else []
    folders = first_folder(root, places, layout, needed=images)
    return finished(table, "ISIC 2024", 2024, folders)


def _read_archive_2024(root: Path, truth: Path) -> pd.DataFrame:
    table = read_table(truth, columns={"malignant": "malignant"})
    for path in found_in(root, ["ISIC_2024_Training_Supplement.csv"])[:1]:
        more = read_table(path, columns={"diagnosis": "iddx_full"}, vocabulary="isic2024")
        table = _joined(table, more, ("label", "diagnosis", "lesion"))
    for path in found_in(root, ["metadata.csv"])[:1]:
        more = read_table(path)
        table = _joined(table, more, ("patient", "age", "sex", "site"))
    return table


def _paired(table: pd.DataFrame, path: Path) -> pd.Series:
    """Give both images of each published pair of duplicates one lesion."""

    def choose(header: Sequence[str]) -> dict[str, int]:
        if not set(_PAIR) <= set(header):
            what = f"a table with the columns {' and '.join(_PAIR)}"
            raise ValueError(expected(str(path), what, f"the columns {listed(header)}"))
        return {name: header.index(name) for name in _PAIR}

    pairs = read_csv(path, choose)
    first, second = (pd.Index(table["id"]).get_indexer(pd.Index(ids)) for ids in pairs.values())
    both = (first >= 0) & (second >= 0)
    edges = np.stack([first[both], second[both]], axis=1)
    names = table["lesion"].to_numpy(object).copy()
    groups = joined_groups(table[["id", "lesion"]], edges)
    own = np.where(names == "", table["id"].to_numpy(object), names)
    _, begin = np.unique(groups, return_index=True)
    paired = np.isin(groups, groups[edges.reshape(-1)])
    names[paired] = own[begin[groups[paired]]]
    return pd.Series(names, dtype=object)


def _read_masks_2018(root: Path, part: str, *, images: bool) -> pd.DataFrame:
    name, masks = f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth"
    folders = first_folder(root, [name], f"{name} beside {masks}", needed=images)
    truth = found_in(root, [masks])
    return finished(listed_images([*folders, *truth]), "ISIC 2018", 2018, folders, truth)


def _read_truth_2018(path: Path) -> pd.DataFrame:
    """Read a column for each class, or the code of each image, as the truth of the test set has."""
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline().lower()
    if ",dx" in header:
        return read_table(path, vocabulary="isic2018")
    return read_onehot(path, "isic2018")


def _joined(table: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Take columns of another table with the same ids, where it knows more."""
    rows = pd.Index(others["id"]).get_indexer(pd.Index(table["id"]))
    for column in columns:
        if column in others:
            known = others[column].iloc[rows].reset_index(drop=True)
            table[column] = known.where(rows >= 0, table.get(column, pd.NA))
    return table


def _with_labels(table: pd.DataFrame, truth: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Take labels and codes of a truth with the ids of the table, in any order."""
    rows = pd.Index(truth["id"]).get_indexer(pd.Index(table["id"]))
    others = pd.Index(truth["id"]).difference(pd.Index(table["id"]))
    if (rows < 0).any() or len(others):
        lacking = table["id"][rows < 0]
        got = f"{len(lacking)} of them missing ({listed(lacking)})" if len(lacking) else ""
        got = got or f"{len(others)} others ({listed(others)})"
        raise ValueError(expected(str(path), "a truth of the ids of the metadata", got))
    for column in ("label", "diagnosis"):
        if column in truth:
            table[column] = truth[column].iloc[rows].reset_index(drop=True)
    return table[
        [name for name in ("id", "label") if name in table]
        + [name for name in table.columns if name not in ("id", "label")]
    ]


def _joined_lesions(table: pd.DataFrame, path: Path, split: str) -> pd.Series:
    """Look up the lesion of each row; a lesion that the table itself tells comes first."""
    lesions = read_table(path, needed=("LESION_ID",)).set_index("id")["lesion"]
    unknown = ~table["id"].isin(lesions.index)
    if unknown.all() and split == "train":
        what = "a table with the ids of the training images"
        got = f"others ({listed(lesions.index)})"
        remedy = "Without their lesions, a split would put one lesion on two sides."
        raise ValueError(expected(str(path), what, got, remedy))
    if unknown.any() and split == "train":
        count = f"{int(unknown.sum())} of {len(table)} ({listed(table['id'][unknown])})"
        text = f"{path} lacks training images: {count}. Each counts as a lesion of its own."
        warnings.warn(text, stacklevel=outside())
    known = table["id"].map(lesions).fillna("")
    return table["lesion"].where(table["lesion"] != "", known)
