"""Public names that load when first used, and what to install where one needs an extra."""

from collections.abc import Callable
from typing import Any

import lazy_loader

__all__ = ["attach"]

_EXTRAS = dict.fromkeys(
    ("albumentations", "lightning", "safetensors", "tensorboard", "timm", "torch", "torchmetrics"),
    "train",
) | {"torchvision": "train", "h5py": "hdf5"}


def attach(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Read the lazy names of a package from its stub; returns its __getattr__, __dir__, __all__."""
    load, directory, names = lazy_loader.attach_stub(package, file)

    def load_or_explain(name: str) -> Any:
        try:
            return load(name)
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            raise ImportError(
                f"`{package}.{name}` needs {error.name}, which is not installed: "
                f"run `pip install 'dermolib[{extra}]'`.",
                name=error.name,
            ) from error

    return load_or_explain, directory, names
