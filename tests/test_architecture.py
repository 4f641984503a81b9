"""The structure of the package; `nox -s lint` checks its layers."""

import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import dermolib

_ROOT = Path(dermolib.__file__).parent
_PACKAGES = sorted(
    ".".join(("dermolib", *path.parent.relative_to(_ROOT).parts))
    for path in _ROOT.rglob("__init__.pyi")
)


def names_of(package: str) -> list[str]:
    """List the public objects of a package, without its subpackages."""
    module = importlib.import_module(package)
    return [name for name in module.__all__ if not (_ROOT / name).is_dir()]


def loaded_after(statement: str) -> set[str]:
    """Name the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(  # noqa: S603 - this interpreter, with code from this file
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


@pytest.mark.parametrize("package", _PACKAGES)
def test_every_public_name_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)

    assert [getattr(module, name) for name in module.__all__]


def test_every_public_name_has_one_door() -> None:
    doors = Counter(name for package in _PACKAGES for name in names_of(package))

    assert [name for name, count in doors.items() if count > 1] == []


def test_the_top_level_has_at_most_six_modules_and_sixty_names() -> None:
    modules = [path for path in _ROOT.glob("*.py") if path.name != "__init__.py"]

    assert len(modules) <= 6
    assert len(dermolib.__all__) <= 60


def test_the_library_imports_from_defining_modules_not_from_its_public_doors() -> None:
    door = re.compile(r"^\s*from dermolib import (?!_)", re.MULTILINE)

    users = [path for path in _ROOT.rglob("*.py") if door.search(path.read_text("utf-8"))]

    assert users == []


def test_importing_dermolib_imports_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "torch", "cv2", "matplotlib", "sklearn", "lightning"}

    assert not heavy & loaded_after("import dermolib")


@pytest.mark.parametrize(
    ("statement", "needed", "heavy"),
    [
        ("from dermolib import occlusion_removal", {"cv2"}, {"torch", "lightning", "pandas"}),
        (
            "from dermolib import audit, ISICDataset, prepare",
            {"pandas"},
            {"torch", "albumentations"},
        ),
        ("from dermolib import Trainer", {"torch"}, {"lightning"}),
    ],
)
def test_what_a_name_loads(statement: str, needed: set[str], heavy: set[str]) -> None:
    loaded = loaded_after(statement)

    assert needed <= loaded
    assert not heavy & loaded


def test_a_missing_extra_is_named_with_the_command() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import dermolib\n"
        "try: dermolib.Trainer\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run(  # noqa: S603 - this interpreter, with code from this file
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "`dermolib.Trainer` needs torch" in result.stdout
    assert "pip install 'dermolib[train]'" in result.stdout
