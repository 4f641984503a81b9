"""The command dermolib download, from a server on this machine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dermolib.cli import main
from dermolib.datasets.download import Archive, Collection, collections, list_collections
from fetch_server import serving

FILES = {"Images.csv": b"a,b\n1,2\n", "Truth.csv": b"a,c\n1,3\n"}


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the collection "own" to the known ones."""
    with serving() as server:
        archives = (
            Archive(name, name.removesuffix(".csv").lower(), (server.put(name, data),))
            for name, data in FILES.items()
        )
        own = Collection("own", "Own images", "", "CC0", "", tuple(archives))
        known = collections._collections()  # private: a user's own is an object, not a name
        monkeypatch.setitem(known, "own", own)
        yield


def test_a_collection_is_downloaded_and_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["download", "own", str(tmp_path / "all"), "--workers", "2"])
    assert "Own images: 2 files in" in capsys.readouterr().out
    options = ["--part", "truth", "--keep", "--no-unpack", "--quiet"]
    code += main(["download", "own", str(tmp_path / "part"), *options])

    assert code == 0
    assert capsys.readouterr() == ("", "")
    assert {path.name for path in (tmp_path / "all").glob("*.csv")} == set(FILES)
    assert [path.name for path in (tmp_path / "part").glob("*.csv")] == ["Truth.csv"]


def test_collections_and_their_files_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "--list"]) == 0
    collections = capsys.readouterr().out.splitlines()
    assert main(["download", "isic2019", "--list"]) == 0
    files = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in collections] == list_collections()
    assert len(files) == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "`NAME DIR` to be two words, such as `isic2019 data`, but got none. `--list` shows"),
        ("isic2019", "`NAME DIR` to be two words, such as `isic2019 data`, but got 'isic2019'."),
        *(
            (f"--list {words}", f"`--list` to be alone or with NAME, but got it with {got}. Leave")
            for words, got in (
                ("isic2019 data", "DIR"),
                ("isic2019 --part training", "--part"),
                ("--keep", "--keep"),
                ("--no-unpack --quiet", "--no-unpack and --quiet"),
                ("--workers 2", "--workers"),
            )
        ),
        ("own data --part x", "`parts` to be one of 'images', 'truth', but got 'x'."),
    ],
)
def test_a_mistake_gets_one_sentence(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["download", *words.split()])

    assert code == 2
    pattern = f"dermolib download: Expected {re.escape(message)}[^\n]*\n"
    assert re.fullmatch(pattern, capsys.readouterr().err)
