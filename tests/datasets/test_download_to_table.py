"""From a name to a table: what is downloaded is what the readers look for."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import releases
from dermolib import ISICDataset, datasets, download
from dermolib.datasets.download import Collection, find_collection
from fetch_server import Server


def zipped(folder: Path, *, inside: str) -> bytes:
    """Zip the files of a folder below a name inside of the archive, empty for none."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path(inside) / path.relative_to(folder))
    return buffer.getvalue()


def published(server: Server, root: Path, name: str, *, inside: bool) -> Collection:
    """Serve what a small folder has of a collection, under the official names."""
    official = find_collection(name)
    files = []
    for archive in official.files:
        source = root / archive.target
        if name == "isic2020" and archive.name.endswith("_JPEG.zip"):
            side = "train" if "Training" in archive.name else "test"
            content = zipped(root / side, inside=side)
        elif archive.name.endswith(".zip") and source.is_dir():
            content = zipped(source, inside=archive.target if inside else "")
        elif source.is_file():
            content = source.read_bytes()
        else:
            continue  # a part that the small folder lacks
        url = server.put(archive.name, content)
        files.append(replace(archive, urls=(url,), size=None, digest=None))
    return replace(official, files=tuple(files))


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("name", ["ham10000", "isic2018", "isic2019", "isic2020"])
def test_a_downloaded_collection_is_read_as_it_lies(
    name: str, inside: bool, server: Server, tmp_path: Path
) -> None:
    root = releases.write(name, tmp_path / "small")
    if name == "ham10000":
        (root / "HAM10000_metadata.csv").rename(root / find_metadata())
    collection = published(server, root, name, inside=inside)

    download(collection, tmp_path / "data", progress=False)

    table = getattr(datasets, f"read_{name}")(tmp_path / "data")
    assert len(table) >= 3
    assert (table["image_path"] != "").all()
    assert getattr(ISICDataset, f"from_{name}")(tmp_path / "data")[0]["image"].shape == (12, 16, 3)


def find_metadata() -> str:
    """Name the table of HAM10000 as it is fetched."""
    return next(
        file.target for file in find_collection("ham10000").files if file.part == "metadata"
    )
