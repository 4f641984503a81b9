"""The structure of the package: which stage may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dermolib

_ROOT = Path(dermolib.__file__).parent
_LEAVES = {
    "_checks",
    "_devices",
    "_fetch",
    "_normalization",
    "_part",
    "_runs",
    "_seeding",
    "_store_files",
    "_texts",
    "_types",
    "_web",
    "diagnoses",
    "hdf5",
    "images",
    "listing",
    "loaders",
    "metadata",
    "penultimate",
    "resident",
    "store",
}
_ALLOWED = {
    ("training", "metrics"),
    ("training", "models"),  # Trainer.load rebuilds the model that a checkpoint describes
    ("evaluation", "metrics"),
    ("folders", "preprocessing"),  # a folder is cleaned image by image
    # `dermolib.datasets` names what its neighbours do with data sets, for users; nothing else
    ("datasets", "auditing"),
    ("datasets", "downloading"),
    ("datasets", "synthetic"),
    ("augmentation", "preprocessing"),  # the cast of the light is removed by a random share
}
_STAGES = sorted(  # the command line may know everything
    path.name for path in _ROOT.iterdir() if (path / "__init__.py").exists() and path.name != "cli"
)


def imports_of(path: Path) -> set[str]:
    """Name the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return names | {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


def parts_of(path: Path) -> set[str]:
    """Name the parts of dermolib that a file imports."""
    return {name.split(".")[1] for name in imports_of(path) if name.startswith("dermolib.")}


@pytest.mark.parametrize("stage", _STAGES)
def test_a_stage_knows_the_leaves_and_itself(stage: str) -> None:
    known = {part for path in (_ROOT / stage).glob("*.py") for part in parts_of(path)}

    foreign = known - _LEAVES - {stage}

    assert {(stage, part) for part in foreign} <= _ALLOWED


def test_leaves_know_leaves_alone() -> None:
    known = {part for leaf in _LEAVES for part in parts_of(_ROOT / f"{leaf}.py")}

    assert known <= _LEAVES


def test_only_augmentation_imports_albumentations() -> None:
    users = {
        path.relative_to(_ROOT).parts[0]
        for path in _ROOT.rglob("*.py")
        if any(name.split(".")[0] == "albumentations" for name in imports_of(path))
    }

    assert users == {"augmentation"}


def test_no_module_has_more_than_400_lines() -> None:
    long = [path for path in _ROOT.rglob("*.py") if len(path.read_text().splitlines()) > 400]

    assert long == []


def loaded_after(statement: str) -> set[str]:
    """Name the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run(  # noqa: S603 - this interpreter, with code from this file
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_dermolib_imports_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "torch", "cv2", "matplotlib", "sklearn", "lightning"}

    assert not heavy & loaded_after("import dermolib")


def test_removing_hair_does_not_load_torch() -> None:
    loaded = loaded_after("from dermolib import occlusion_removal, occlusion_mask")

    assert "cv2" in loaded
    assert not {"torch", "lightning", "pandas"} & loaded


def test_training_code_imports_lightning_when_it_runs() -> None:
    assert "lightning" not in loaded_after("from dermolib import Trainer")


def test_every_public_name_can_be_imported() -> None:
    for name in dermolib.__all__:
        assert getattr(dermolib, name) is not None
    assert {"Trainer", "occlusion_removal", "ISICDataset"} <= set(dermolib.__all__)
