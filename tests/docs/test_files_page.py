"""The page of files that are read back names every file that the library writes by a fixed name."""

import re
from pathlib import Path

import dermolib

_ROOT = Path(dermolib.__file__).parent
_PAGE = Path(__file__).parents[2] / "docs" / "files.md"


def test_every_fixed_name_of_a_file_is_on_the_page() -> None:
    named = re.compile(r"^(?:_?[A-Z][A-Z_, ]*|\s+journal: str) = .*", re.MULTILINE)
    lines = [
        line for path in _ROOT.rglob("*.py") for line in named.findall(path.read_text("utf-8"))
    ]
    names = {
        name
        for line in lines
        for name in re.findall(r'"([a-z]+\.(?:csv|jsonl?|npy|pt|ckpt))"', line)
    }
    page = _PAGE.read_text("utf-8")

    assert {"best.pt", "hair.jsonl", "images.npy", "manifest.csv", "run.json", "run.jsonl"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []
