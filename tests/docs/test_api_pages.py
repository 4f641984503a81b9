"""The reference pages show every public name, once."""

import importlib
import re
from collections import Counter
from pathlib import Path

import dermolib

_ROOT = Path(dermolib.__file__).parent
_PAGES = Path(__file__).parents[2] / "docs" / "api"


def public_names() -> set[str]:
    """List every public name with its door."""
    packages = [
        ".".join(("dermolib", *path.parent.relative_to(_ROOT).parts))
        for path in _ROOT.rglob("__init__.pyi")
    ]
    return {
        f"{package}.{name}"
        for package in packages
        for name in importlib.import_module(package).__all__
        if not ((_ROOT / name).is_dir() or (_ROOT / f"{name}.py").exists())
    }


def test_every_public_name_stands_on_one_reference_page() -> None:
    directive = re.compile(r"^\.\. auto(?:function|class|data|exception):: (\S+)$", re.MULTILINE)
    shown = Counter(
        name for page in _PAGES.glob("*.rst") for name in directive.findall(page.read_text("utf-8"))
    )

    assert {name for name, count in shown.items() if count > 1} == set()
    assert public_names() - shown.keys() == set()
    assert shown.keys() - public_names() == set()
