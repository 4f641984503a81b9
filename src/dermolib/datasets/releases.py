"""What each collection published, read to one table: its files, codes and sites are its own."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dermolib._checks import DatasetNotFoundError, check_choice, expected, listed, outside
from dermolib._types import PathLike
from dermolib.datasets.files import find_files
from dermolib.datasets.onehot import read_onehot
from dermolib.datasets.reading import Texts, recode
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
_SHRUNK = "_downsampled"
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
    return _finished(table, "challenge", 2019, [root / side])


def read_ham10000(root: PathLike) -> pd.DataFrame:
    """Read HAM10000 as the Harvard Dataverse or its mirrors unpack it.

    Its code ``akiec`` is actinic keratosis or squamous cell carcinoma in situ, which cannot be told
    apart there: such rows have no label. `dermolib.datasets.merge_tables` with ISIC 2019, which has
    the same images, gives them theirs.

    Args:
        root: Folder with ``HAM10000_metadata`` (or ``.csv``, ``.tab``), the folders
            ``HAM10000_images_part_1`` and ``HAM10000_images_part_2`` or one folder of all images,
            and perhaps ``HAM10000_segmentations_lesion_tschandl`` with the masks.

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
    names = [f"HAM10000_metadata{ending}" for ending in (".csv", ".tab", "")]
    path = _first(root, names, "HAM10000_metadata beside the folders of the images")
    delimiter = "\t" if path.suffix == ".tab" else ","
    table = read_table(path, vocabulary="ham10000", delimiter=delimiter)
    table["site"] = recode(_texts(table, "site"), lambda site: _SITES.get(site, site))
    parts = [[f"{ham}_images_part_{part}" for ham in ("HAM10000", "ham10000")] for part in (1, 2)]
    folders = [folder for names in parts for folder in _found(root, names)[:1]]
    folders = folders or _found(root, ("HAM10000_images", "images"))[:1] or [root]
    masks = _found(root, ("HAM10000_segmentations_lesion_tschandl", "masks"))
    return _finished(table, "HAM10000", 2018, folders, masks)


def read_isic2018(root: PathLike, split: str = "train", *, task: int = 3) -> pd.DataFrame:
    """Read the challenge of 2018: task 3, diagnoses, or task 1, lesion masks.

    Args:
        root: Folder with ``ISIC2018_Task3_Training_Input``, the folder or file
            ``ISIC2018_Task3_Training_GroundTruth`` and perhaps
            ``ISIC2018_Task3_Training_LesionGroupings.csv``; or for task 1 with
            ``ISIC2018_Task1-2_Training_Input`` and ``ISIC2018_Task1_Training_GroundTruth``.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        task: 3, or 1. Task 1 has no diagnoses.

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
        return _read_masks_2018(root, _PARTS[split])
    prefix = f"ISIC2018_Task3_{_PARTS[split]}"
    layout = f"{prefix}_Input beside {prefix}_GroundTruth/{prefix}_GroundTruth.csv"
    folder = _first(root, [f"{prefix}_Input"], layout)
    truth = _found(
        root, [f"{prefix}_GroundTruth/{prefix}_GroundTruth.csv", f"{prefix}_GroundTruth.csv"]
    )
    if not truth:
        if split == "train":
            raise DatasetNotFoundError(root / f"{prefix}_GroundTruth", layout)
        return _finished(_listed(folder), "ISIC 2018", 2018, [folder])
    table = read_onehot(truth[0], "isic2018")
    for lesions in _found(root, [f"{prefix}_LesionGroupings.csv"])[:1]:
        table["lesion"] = _joined_lesions(table, lesions, split)
    return _finished(table, "ISIC 2018", 2018, [folder])


def read_isic2019(root: PathLike, split: str = "train") -> pd.DataFrame:
    """Read the challenge of 2019.

    Ids are without the ``_downsampled`` that ends some of them. Rows of the class ``UNK`` have no
    label: their diagnosis is none of the eight. Patients are not published; lesions are, for most
    images of the training set.

    Args:
        root: Folder with ``ISIC_2019_Training_Input``, ``ISIC_2019_Training_GroundTruth.csv`` and
            ``ISIC_2019_Training_Metadata.csv``, or the same of ``Test``.
        split: ``"train"`` or ``"test"``; the truth of the test set may lack.

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
    folder = _first(root, [f"{prefix}_Input"], layout)
    table = _without_shrunk(read_table(_first(root, [f"{prefix}_Metadata.csv"], layout)))
    truth = _found(root, [f"{prefix}_GroundTruth.csv"])
    if split == "train" and not truth:
        raise DatasetNotFoundError(root / f"{prefix}_GroundTruth.csv", layout)
    for path in truth[:1]:
        table = _with_labels(table, _without_shrunk(read_onehot(path, "isic2019")), path)
    return _finished(table, "ISIC 2019", 2019, [folder])


def read_isic2020(root: PathLike, split: str = "train") -> pd.DataFrame:
    """Read the challenge of 2020, which asks for melanoma alone.

    Args:
        root: Folder with ``ISIC_2020_Training_GroundTruth_v2.csv`` (or the first version, or
            ``train.csv``) and ``train``, or with ``ISIC_2020_Test_Metadata.csv`` (or ``test.csv``)
            and its images.
        split: ``"train"`` or ``"test"``; test rows have no label.

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
    path = _first(root, names, layout)
    if split == "train":
        table = read_table(path, columns={"malignant": "target"}, vocabulary="isic2020")
    else:
        table = read_table(path)
    return _finished(table, "ISIC 2020", 2020, [_with_images(root, places, layout)])


def read_isic2024(root: PathLike, split: str = "train") -> pd.DataFrame:
    """Read the challenge of 2024, whose images are crops of total-body photographs.

    Args:
        root: Folder with ``train-metadata.csv`` and ``train-image.hdf5`` or ``train-image/image``,
            or the same of ``test``.
        split: ``"train"`` or ``"test"``; test rows have no label.

    Returns:
        Table as of `read_challenge_table`, with patients, and for training rows with the column
        ``malignant``, bool: the target of the challenge. Most rows are ``Benign`` without more and
        have no label.

    Raises:
        DatasetNotFoundError: There are no such files.
        ImportError: The images are in an HDF5 file and h5py is not installed.
        ValueError: The table is unfit.

    References:
        Kurtansky et al., The SLICE-3D dataset, Scientific Data 11, 2024,
        https://doi.org/10.1038/s41597-024-03743-w.
    """
    check_choice(split, "split", ("train", "test"))
    root = Path(root)
    layout = f"{split}-metadata.csv beside {split}-image.hdf5 or {split}-image/image"
    path = _first(root, [f"{split}-metadata.csv"], layout)
    if split == "train":
        names = {"diagnosis": "iddx_full", "malignant": "target"}
        table = read_table(path, columns=names, vocabulary="isic2024")
    else:
        table = read_table(path)
    images = [f"{split}-image.hdf5", f"{split}-image/image", f"{split}-image"]
    return _finished(table, "ISIC 2024", 2024, [_first(root, images, layout)])


def _read_masks_2018(root: Path, part: str) -> pd.DataFrame:
    images, masks = f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth"
    layout = f"{images} beside {masks}"
    folder = _first(root, [images], layout)
    return _finished(_listed(folder), "ISIC 2018", 2018, [folder], _found(root, [masks]))


def _finished(
    table: pd.DataFrame, source: str, year: int, images: Sequence[Path], masks: Sequence[Path] = ()
) -> pd.DataFrame:
    """Add what is the same for all rows, and find their files."""
    table["source"] = source
    table["year"] = pd.Series(np.full(len(table), year), dtype="Int16")
    found = find_files(
        table, images[0] if len(images) == 1 else images, masks[0] if masks else None, masks=False
    )
    table["image_path"], table["mask_path"] = found.images, found.masks
    return table


def _listed(folder: Path) -> pd.DataFrame:
    """Make a table of the images of a folder, for what was published without one."""
    names = sorted(path.stem for path in folder.iterdir() if path.suffix.lower() == ".jpg")
    if not names:
        raise ValueError(expected(str(folder), "a folder of images ID.jpg", "none"))
    return read_table(pd.DataFrame({"ID": names}))


def _first(root: Path, names: Sequence[str], layout: str) -> Path:
    found = _found(root, names)
    if not found:
        raise DatasetNotFoundError(root / names[0], layout)
    return found[0]


def _found(root: Path, names: Sequence[str]) -> list[Path]:
    """Find which of several names are there; an archive may have unpacked to a folder in itself."""
    paths = [path for name in names for path in (root / name / name, root / name)]
    return [path for path in paths if path.exists()]


def _with_images(root: Path, names: Sequence[str], layout: str) -> Path:
    """Find the first folder that has images of its own."""
    for folder in _found(root, names):
        if folder.is_dir() and any(path.suffix.lower() == ".jpg" for path in folder.iterdir()):
            return folder
    return _first(root, names, layout)


def _without_shrunk(table: pd.DataFrame) -> pd.DataFrame:
    table["id"] = table["id"].str.removesuffix(_SHRUNK)
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


def _texts(table: pd.DataFrame, column: str) -> Texts:
    return table[column].to_numpy(object)
