"""Configuration of the documentation."""

import dermolib

project = "dermolib"
author = "The dermolib authors"
copyright = "2026, the dermolib authors"
release = dermolib.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
exclude_patterns = ["_build"]
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
    (r"py:.*", r"(collections\.abc|pathlib|typing|os|contextlib)\b.*"),
    (r"py:.*", r"(albumentations|A|joblib|timm|skimage|PIL)\b.*"),
    # Annotations as autodoc shortens them
    (r"py:class", r"(Tensor|Path|PathLike|Image|Mask|Indices|Figure|Axes|DataFrame|Any|Callable)"),
]

html_theme = "furo"
html_title = f"dermolib {release}"
