"""Readers: one file per collection, each to the one table, in one registry."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from dermolib._validation import PathLike
    from dermolib.labels import LabelSpace

__all__ = ["About", "Reader", "find_reader", "list_readers", "register_reader"]

_Read: TypeAlias = "Callable[..., pd.DataFrame]"
_Space: TypeAlias = "str | LabelSpace | Sequence[str]"
_Function = TypeVar("_Function", bound=_Read)


@dataclass(frozen=True, kw_only=True)
class About:
    """What is published about a collection, for the table in the documentation.

    Attributes:
        images: How many images it has and of which kind, such as ``"10,015 dermoscopic"``.
        groups: Which images belong together as far as is published: of which patients, lesions.
        masks: Whether there are lesion masks, and of which images.
        license: License of the images.
        url: Where to get it, a page; empty where it is yours.

    Examples:
        >>> find_reader("ham10000").about.images
        '10,015 dermoscopic'
    """

    images: str
    groups: str
    masks: str
    license: str
    url: str


@dataclass(frozen=True)
class Reader:
    """How one collection is read, see `register_reader`.

    Attributes:
        name: Name in `list_readers`.
        title: Name of the collection, for people.
        labels: What is known of its labels, for people.
        splits: Published splits, the first one always present.
        read: Function that reads it.
        about: What is published about it; None for collections of your own that do not say.
        label_space: Classes of its labels, unless others are asked for; None where each table has
            its own.
    """

    name: str
    title: str
    labels: str
    splits: tuple[str, ...]
    read: _Read
    about: About | None = None
    label_space: "_Space | None" = "challenge"

    def table(
        self, root: "PathLike", split: str, *, label_space: Any = None, **options: Any
    ) -> "pd.DataFrame":
        """Read a split, label it in a space, and refuse what is not the table of `read_table`."""
        import pandas as pd

        from dermolib._validation import check_call, check_type, listed, name_of, require
        from dermolib.datasets.tables import COLUMNS, place_labels
        from dermolib.labels import as_label_space, label_space_of

        wanted = label_space or self.label_space
        placed = _placed(self.splits, split)
        check_call(self.read, options, ["root", *placed])
        made: pd.DataFrame = self.read(root, *placed, **options)
        name = f"{name_of(self.read)}(root)"
        what = "a table of `read_table` with the paths of files"
        check_type(made, name, pd.DataFrame, what)
        paths = ("image_path", "mask_path") if options.get("images", True) else ()
        lost = [one for one in (*COLUMNS, *paths) if one != "label" and one not in made]
        require(not lost, name, what, f"one without {listed(lost)}")
        space = label_space_of(made) if wanted is None else as_label_space(wanted)
        return made if space == label_space_of(made) else place_labels(made, space, name=name)


_READERS: dict[str, Reader] = {}


def register_reader(
    name: str,
    *,
    title: str,
    labels: str,
    splits: Sequence[str] = ("train",),
    about: About | None = None,
    label_space: "_Space | None" = "challenge",
) -> Callable[[_Function], _Function]:
    """Make a decorator that registers the reader of a collection.

    It is then a collection of `ISICDataset.from_collection`, of ``ISICDataset.from_NAME``, of the
    command ``dermolib audit``, and of the table in the documentation.

    Args:
        name: Name of the collection, an identifier. One of your own may be replaced, none of the
            library.
        title: Name of the collection, for people.
        labels: What is known of its labels, for people.
        splits: Published splits, the first one always present.
        about: What is published about it.
        label_space: Classes of its labels, as of `ISICDataset`, unless others are asked for; None
            where each table has its own.

    Returns:
        Decorator of a function ``read(root, split, *, images=True)`` that returns a table of
        `dermolib.datasets.read_table` with ``image_path`` and ``mask_path``; with one split alone,
        of ``read(root, *, images=True)``. Without `images`, those need not be there. Further
        keywords are options of the collection.

    Raises:
        TypeError: `splits` are not names, or the function does not take these arguments.
        ValueError: The name belongs to the library or is not an identifier.
    """
    # Here, since the command line lists names without NumPy
    from dermolib._validation import check_call, require

    several = not isinstance(splits, str) and splits and all(isinstance(one, str) for one in splits)
    what, hint = "a list of names", 'Such as `splits=("train", "test")`.'
    require(several, "splits", what, repr(splits), hint, error=TypeError)

    def register(read: _Function) -> _Function:
        own = read.__module__ == f"{__name__}.{name}"
        free = name.isidentifier() and (own or name not in _own_modules())
        require(free, "name", "an identifier that the library does not use", repr(name))
        check_call(read, ["images"], ["root", *_placed(splits, "split")])
        _READERS[name] = Reader(name, title, labels, tuple(splits), read, about, label_space)
        return read

    return register


def list_readers() -> list[str]:
    """List the names of the collections that can be read.

    Examples:
        >>> list_readers()[:3]
        ['bcn20000', 'challenge', 'class_folders']
    """
    return sorted({*_own_modules(), *_READERS})


def find_reader(name: str) -> Reader:
    """Look up the reader of a collection of `list_readers`; an unknown one is a ValueError."""
    from dermolib._validation import check_choice

    check_choice(name, "collection", list_readers())
    if name not in _READERS:
        importlib.import_module(f"{__name__}.{name}")  # registers itself
    return _READERS[name]


def _placed(splits: Sequence[str], split: str) -> tuple[str, ...]:
    """Give the split where there are several, which a reader then takes by place."""
    return () if len(splits) == 1 else (split,)


def _own_modules() -> list[str]:
    """Name the readers of this package: each is in the module of its name."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in names if not name.startswith("_")]
