"""The reference pages show every public name, once."""

import re
from collections import Counter
from pathlib import Path

import dermolib

_ROOT = Path(dermolib.__file__).parent
_PAGES = Path(__file__).parents[2] / "docs" / "api"


def test_every_public_name_is_on_the_reference_pages_exactly_once() -> None:
    public = [
        ".".join(("dermolib", *stub.parent.relative_to(_ROOT).parts, name))
        for stub in _ROOT.rglob("__init__.pyi")
        for name in re.findall(r"^from \.\w\S* import \S+ as (\w+)$", stub.read_text("utf-8"), re.M)
    ]
    directive = re.compile(r"^\.\. auto(?!module)\w+:: (\S+)$", re.M)
    shown = [name for page in _PAGES.glob("*.rst") for name in directive.findall(page.read_text())]

    assert len(public) > 100
    assert Counter(public) - Counter(shown) == Counter()
    assert Counter(shown) - Counter(public) == Counter()
