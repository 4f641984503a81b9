"""The command dermolib download, from a server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from command import mistake_of, run
from dermolib.datasets.download import Archive, Collection, collections, list_files
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
    code = run(f"download own {tmp_path / 'all'} --workers 2")
    assert "Own images: 2 files in" in capsys.readouterr().out
    code += run(f"download own {tmp_path / 'part'} --part truth --keep --no-unpack --quiet")

    assert code == 0
    assert capsys.readouterr() == ("", "")
    assert {path.name for path in (tmp_path / "all").glob("*.csv")} == set(FILES)
    assert [path.name for path in (tmp_path / "part").glob("*.csv")] == ["Truth.csv"]


@pytest.mark.parametrize(("words", "name"), [("--list", None), ("isic2019 --list", "isic2019")])
def test_collections_and_their_files_are_listed(
    words: str, name: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"download {words}") == 0

    assert capsys.readouterr().out == f"{list_files(name)}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "expected NAME and DIR, but got neither; --list shows the collections."),
        ("isic2019", "expected NAME and DIR, but got 'isic2019' alone; --list shows"),
        *(
            (f"--list {words}", f"expected --list alone or with NAME, but got {got} as well.")
            for words, got in (
                ("isic2019 data", "DIR"),
                ("isic2019 --part training", "--part"),
                ("--keep", "--keep"),
                ("--no-unpack --quiet", "--no-unpack, --quiet"),
                ("--workers 2", "--workers"),
            )
        ),
        ("own data --part x", "Expected `parts` to be one of 'images', 'truth', but got 'x'."),
    ],
)
def test_a_mistake_gets_one_sentence(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in mistake_of(f"download {words}", capsys)
