"""What the files around the package say about it agrees."""

import re
import tomllib
from pathlib import Path

import dermolib

_ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    cited = re.search(r"^version: (\S+)$", (_ROOT / "CITATION.cff").read_text("utf-8"), re.M)

    assert cited is not None
    assert dermolib.__version__ == project["version"] == cited[1]


def test_the_extra_all_holds_every_other_extra() -> None:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]

    assert extras["all"] == [f"dermolib[{','.join(name for name in extras if name != 'all')}]"]


def test_every_requirement_has_a_lower_bound_and_a_reason() -> None:
    text = (_ROOT / "pyproject.toml").read_text("utf-8")
    start, end = text.index("dependencies = ["), text.index("hdf5 = [")
    requirements = [line for line in text[start:end].splitlines() if line.startswith('    "')]

    assert len(requirements) > 15
    assert [line for line in requirements if ">=" not in line or "#" not in line] == []
