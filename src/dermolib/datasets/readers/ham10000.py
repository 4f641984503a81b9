"""HAM10000: 10,015 dermoscopic images of seven classes."""

from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from dermolib._validation import PathLike, check_flag
from dermolib.datasets.columns import Texts, read_columns
from dermolib.datasets.groups import join_pairs
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import (
    add_files,
    find_places,
    first_file,
    first_folder,
    with_isic_sites,
)
from dermolib.datasets.tables import read_table

__all__ = ["ham10000_recaptures", "read_ham10000"]

_CERTAIN = ("sure", "likely")


def ham10000_recaptures() -> pd.DataFrame:
    """List the pairs of images of HAM10000 that show one lesion under two published ids.

    They were proposed by `dermolib.auditing.find_recaptures` or published, and looked at one by
    one, side by side at 200 x 150 px, by people who are not physicians. The list is not complete.

    Returns:
        Table with the ids ``first`` and ``second``, their lesions as published, ``first_lesion``
        and ``second_lesion``, the ``score`` of the search, nan where it does not list the pair, and
        ``judgment``: ``"sure"``, ``"likely"`` or ``"unsure"``.

    Examples:
        >>> pairs = ham10000_recaptures()
        >>> pairs[pairs["first"] == "ISIC_0025226"]["second"].tolist()
        ['ISIC_0030074']
    """
    names = ["first", "second", "first_lesion", "second_lesion", "score", "judgment"]
    with as_file(files(__package__).joinpath("ham10000_recaptures.csv")) as path:
        table = pd.DataFrame(dict(zip(names, read_columns(path, names), strict=True)))
    return table.assign(score=pd.to_numeric(table["score"]).astype("float64"))


@register_reader(
    "ham10000",
    title="HAM10000",
    labels="seven classes; `akiec`, which may be AK or SCC, has no label in the eight",
    about=About(
        images="10,015 dermoscopic",
        groups="lesions",
        masks="all images",
        license="CC BY-NC 4.0",
        url="https://doi.org/10.7910/DVN/DBW86T",
    ),
)
def read_ham10000(
    root: PathLike, *, images: bool = True, corrections: bool = False
) -> pd.DataFrame:
    """Read HAM10000 as the Harvard Dataverse or its mirrors unpack it.

    Its code ``akiec`` is actinic keratosis or squamous cell carcinoma in situ, which cannot be told
    apart there: such rows have no label. `dermolib.datasets.merge_tables` with ISIC 2019, which has
    the same images, gives them theirs.

    Args:
        root: Folder with ``HAM10000_metadata`` (or ``.csv``, ``.tab``), the folders
            ``HAM10000_images_part_1`` and ``HAM10000_images_part_2`` or one folder of all images,
            and perhaps ``HAM10000_segmentations_lesion_tschandl`` with the masks.
        images: Whether the images must exist.
        corrections: Whether lesions that `ham10000_recaptures` shows to be one, surely or likely,
            get one name, see `dermolib.auditing.join_groups`. Otherwise they are as published.

    Returns:
        Table as of `read_challenge_table`, with the sites of ISIC where they are the same.

    References:
        Tschandl et al., The HAM10000 dataset, Scientific Data 5, 2018,
        https://doi.org/10.1038/sdata.2018.161.
    """
    check_flag(corrections, "corrections")
    root = Path(root)
    layout = "HAM10000_metadata beside the folders of the images"
    path = first_file(root, [f"HAM10000_metadata{end}" for end in (".csv", ".tab", "")], layout)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        delimiter = "\t" if "\t" in file.readline() else ","
    table = read_table(path, vocabulary="ham10000", delimiter=delimiter)
    table = with_isic_sites(table)
    if corrections:
        table["lesion"] = _corrected_lesions(table)
    parts = [[f"{ham}_images_part_{part}" for ham in ("HAM10000", "ham10000")] for part in (1, 2)]
    folders = [folder for names in parts for folder in find_places(root, names)[:1]]
    if not folders:
        names = ["HAM10000_images", "images", "."]
        folders = first_folder(root, names, layout, needed=images)
    masks = find_places(root, ["HAM10000_segmentations_lesion_tschandl", "masks"])
    return add_files(table, "HAM10000", 2018, folders, masks)


def _corrected_lesions(table: pd.DataFrame) -> Texts:
    """Name the lesions (N,), where those of pairs judged sure or likely are one."""
    pairs = ham10000_recaptures()
    certain = pairs[pairs["judgment"].isin(_CERTAIN)]
    known = certain[["first", "second"]].isin({*table["id"]}).any(axis=1)  # of a part of the set
    if not known.any():
        return table["lesion"].to_numpy(object)
    return join_pairs(table, certain, "corrections")
