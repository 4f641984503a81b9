"""PH2: 200 dermoscopic images of melanocytic lesions, with lesion masks."""

from pathlib import Path

import pandas as pd

from dermolib._validation import DatasetNotFoundError, PathLike, listed, require
from dermolib.datasets.readers import About, register_reader
from dermolib.datasets.readers._files import add_files, find_places
from dermolib.datasets.tables import read_table
from dermolib.io import read_bytes

__all__ = ["read_ph2"]

_DIAGNOSES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}
_LAYOUT = "PH2_dataset.txt beside `PH2 Dataset images` with IMD003/IMD003_Dermoscopic_Image"


@register_reader(
    "ph2",
    title="PH2",
    labels="melanoma and nevus; the code says which nevi are atypical",
    about=About(
        images="200 dermoscopic",
        groups="one image of each lesion; patients unknown",
        masks="all images",
        license="research and education, on request",
        url="https://www.fc.up.pt/addi/ph2%20database.html",
    ),
)
def read_ph2(root: PathLike, *, images: bool = True) -> pd.DataFrame:
    """Read PH2.

    Args:
        root: Folder with ``PH2_dataset.txt`` and ``PH2 Dataset images``, in which each image has a
            folder: ``IMD003/IMD003_Dermoscopic_Image/IMD003.bmp`` with the mask
            ``IMD003/IMD003_lesion/IMD003_lesion.bmp``.
        images: Whether the images must exist.

    Returns:
        Table as of `read_challenge_table`; the diagnosis is ``common nevus``, ``atypical nevus`` or
        ``melanoma``, as diagnosed in the clinic.

    References:
        Mendonça et al., PH2 - a dermoscopic image database for research and benchmarking, EMBC
        2013, https://doi.org/10.1109/EMBC.2013.6610779.
    """
    root = Path(root)
    found = find_places(root, ["PH2_dataset.txt"])
    if not found:
        raise DatasetNotFoundError(root / "PH2_dataset.txt", f"{_LAYOUT} (not its .xlsx alone)")
    table = _read_rows(found[0])
    folders = find_places(root, ["PH2 Dataset images"])[:1]
    if images and not folders:
        raise DatasetNotFoundError(root / "PH2 Dataset images", _LAYOUT)
    return add_files(table, "PH2", None, folders)


def _read_rows(path: Path) -> pd.DataFrame:
    """Read the rows, whose fields lie between double bars; a legend follows them."""
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    fields = {
        number: [field.strip() for field in line.split("||")]
        for number, line in enumerate(lines, start=1)
        if line.startswith("||") and "Clinical Diagnosis" not in line
    }
    odd = {number: some[3:4] for number, some in fields.items() if not {*some[3:4]} & {*_DIAGNOSES}}
    rows = listed(f"row {number}: {' '.join(some)!r}" for number, some in odd.items())
    what = "a table whose clinical diagnoses are 0 to 2"
    require(not odd, str(path), what, f"{len(odd)} other ({rows})")
    what = "a table with rows such as `|| IMD003 || || 0 || ... ||`"
    require(fields, str(path), what, "none")
    frame = pd.DataFrame([(some[1], _DIAGNOSES[some[3]]) for some in fields.values()])
    frame.columns = pd.Index(["id", "diagnosis"])
    return read_table(frame, vocabulary="ph2", name=str(path))
