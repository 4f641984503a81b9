"""Configuration of the documentation."""

import importlib.util
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parent))  # layers.py

import layers

import dermolib
from dermolib import ISICDataset, list_presets, make_synthetic_challenge, preset
from dermolib.datasets import find_reader, list_readers
from dermolib.datasets.synthetic import draw_sample
from dermolib.reporting import plot_class_sheet, plot_exploration, plot_samples, save_figure

project = "dermolib"
author = "The dermolib authors"
copyright = "2026, the dermolib authors"
release = dermolib.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
exclude_patterns = ["_build", "_generated"]
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

nitpick_ignore_regex = [
    # Pages of other projects: no network is used to build these
    (r"py:.*", r"(numpy|np|npt|pandas|pd|torch|nn|lightning|torchmetrics|matplotlib|sklearn)\b.*"),
    (r"py:.*", r"(collections\.abc|concurrent|contextlib|functools|io)\b.*"),
    (r"py:.*", r"(os|pathlib|posix|typing)\b.*"),
    (r"py:.*", r"(albumentations|A|joblib|timm|skimage|PIL)\b.*"),
    # A nested annotation that autodoc cuts in two
    (r"py:class", r"list\[dict\[str"),
    # Types of signatures that no user makes
    (r"py:class", r"_[A-Z]\w+|dermolib\..*\._\w+|dermolib\.training\.config\.TrainerOptions"),
    (r"py:class", r"dermolib\.augmentation\.pipelines\.PipelineStep"),
    # Annotations as autodoc shortens them
    (r"py:class", r"(Tensor|Path|PathLike|Image|Mask|Indices|Figure|Axes|DataFrame|Any|Callable)"),
]

html_theme = "furo"
html_title = f"dermolib {release}"


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: Any, content: nodes.Element
) -> nodes.Element | None:
    """Link a name without its module; the name of an argument stays plain code.

    A docstring says `preset` or `Trainer.fit`, an annotation says
    `dermolib.augmentation.presets.Preset`, and all are documented under the name that users import.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    qualified = target.startswith("dermolib.")
    last = target.rsplit(".", 1)[-1] if qualified else target
    objects = env.domains["py"].objects  # type: ignore[attr-defined]  # of the Python domain alone
    matches = sorted(name for name in objects if f".{name}".endswith(f".{last}"))
    public = sorted(matches, key=lambda name: name.count("."))
    if public and (qualified or len(public) == 1):
        entry = objects[public[0]]
        where = node["refdoc"]
        return make_refnode(app.builder, where, entry.docname, entry.node_id, content, public[0])
    return content if node["reftype"] == "obj" and "." not in target else None


def document_lazy_constant(
    _app: Sphinx, what: str, name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Show what a constant's own module says of it; its package, where it is public, says nothing.

    Without this, the page shows the docstring of `tuple`.
    """
    package, _, constant = name.rpartition(".")
    folder = getattr(sys.modules.get(package), "__path__", None)
    if what != "data" or folder is None:
        return
    stub = Path(folder[0], "__init__.pyi").read_text("utf-8")
    if found := re.search(rf"from (\S+) import {constant} as", stub):
        module = ModuleAnalyzer.for_module(importlib.util.resolve_name(found[1], package))
        lines[:] = module.find_attr_docs().get(("", constant), [])


def escape_types(
    _app: Sphinx, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """Keep reST from reading the ``numpy.str_`` of a type as a reference."""
    lines[:] = [line.replace("numpy.str_]", r"numpy.str\_]") for line in lines]


def draw_presets(app: Sphinx) -> None:
    """Draw sixteen draws of each random preset, of a lesion that is drawn itself."""
    lesion = draw_sample(0, image_size=(300, 400), generator=np.random.default_rng(0))
    for name in list_presets():
        transform = preset(name, image_size=224, seed=0, normalize=False)
        number = 16 if transform.random else 1
        draws = [transform(image=lesion.image)["image"] for _ in range(number)]
        target = Path(app.srcdir) / "_generated" / f"preset_{name}.png"
        save_figure(plot_samples(draws), target, dpi=90)


def draw_exploration(app: Sphinx) -> None:
    """Draw the exploration of a small synthetic challenge, which is drawn itself."""
    target = Path(app.srcdir) / "_generated"
    with tempfile.TemporaryDirectory() as folder:
        root = make_synthetic_challenge(folder, images_per_class=8, image_size=120, seed=0)
        splits = {name: ISICDataset.from_challenge(root, name) for name in ("train", "test")}
        save_figure(plot_exploration(splits), target / "exploration.png", dpi=90)
        save_figure(plot_class_sheet(splits["train"]), target / "class_sheet.png", dpi=90)


def list_collections(app: Sphinx) -> None:
    """Write the table of the collections that can be read."""
    columns = ("collection", "images", "labels", "known groups", "masks", "license", "reader")
    rows = [columns, ["---"] * len(columns)]
    for reader in map(find_reader, list_readers()):
        about = reader.about
        if about is None:
            raise ValueError(f"{reader.name} does not say what is published about it")
        title = f"[{reader.title}]({about.url})" if about.url else reader.title
        link = f"{{py:obj}}`~dermolib.datasets.{reader.read.__name__}`"
        known = (about.groups, about.masks, about.license)
        rows.append((title, about.images, reader.labels, *known, link))
    other = "{py:obj}`~dermolib.datasets.read_table`"
    labels = "`class`, or `diagnosis` with a vocabulary"
    rows.append(("any other", "", labels, "as your table says", "yours", "", other))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    target = Path(app.srcdir) / "_generated" / "collections.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n", "utf-8")


def draw_architecture(app: Sphinx) -> None:
    """Draw the layers of the package from its imports."""
    layers.draw_layers(Path(app.srcdir) / "_generated" / "layers.png")


def setup(app: Sphinx) -> None:
    """Register what the pages need."""
    app.connect("builder-inited", list_collections)
    app.connect("builder-inited", draw_architecture)
    app.connect("builder-inited", draw_presets)
    app.connect("builder-inited", draw_exploration)
    app.connect("missing-reference", find_by_last_name)
    # before napoleon (500), which reads the sections of what this finds
    app.connect("autodoc-process-docstring", document_lazy_constant, priority=400)
    app.connect("autodoc-process-docstring", escape_types, priority=600)  # and after it
