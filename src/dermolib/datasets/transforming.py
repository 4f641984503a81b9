"""Transforms of the samples of a dataset: which there can be, and how they are called."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from PIL import Image as PillowImage

from dermolib._validation import check_call, expected, listed, require, takes

__all__ = ["Transform", "check_transform", "transformed"]

Transform: TypeAlias = Callable[..., Any]
"""Called with the keywords ``image`` and, where the dataset has masks, ``mask``; returns both.

One of torchvision is called by place, as torchvision's own datasets do.
"""


def check_transform(transform: Any, *, masks: bool) -> None:
    """Refuse what cannot be called as a transform, before an image is read."""
    if transform is None:
        return
    hint, got = 'Make one, such as `preset("paper", image_size=224)`.', repr(transform)
    require(callable(transform), "transform", "a function", got, hint, error=TypeError)
    kind: Any = type(transform)
    parts = ("image", "mask") if masks else ("image",)
    if generation := _of_torchvision(kind):
        what, hint = "one that moves the mask as well", "Use `torchvision.transforms.v2`."
        got, moves = f"{kind.__module__}.{kind.__name__}", generation == "v2" or not masks
        require(moves, "transform", what, got, hint, error=TypeError)
    else:
        hint = f"It returns a dictionary with {' and '.join(parts)}. {_wrapper(parts)}"
        check_call(getattr(transform, "forward", transform), parts, hint=hint)


def transformed(transform: Transform, parts: dict[str, Any]) -> dict[str, Any]:
    """Transform an image and, where there is one, its mask."""
    kind: Any = type(transform)
    if _of_torchvision(kind):
        return _by_place(transform, **parts)
    made: Any = transform(**parts)
    if not isinstance(made, dict) or not parts.keys() <= made.keys():
        what = f"a function that returns a dictionary with {' and '.join(parts)}"
        got = f"the keys {listed(made)}" if isinstance(made, dict) else type(made).__name__
        raise TypeError(expected("transform", what, got, _wrapper(parts)))
    return made


@functools.lru_cache
def _of_torchvision(kind: type) -> str:
    """Name the generation of a class of torchvision, or of one derived from it; else "".

    One that takes an image by name is called like any other.
    """
    modules = " ".join(one.__module__ for one in kind.__mro__)
    call: Any = getattr(kind, "forward", kind.__call__)
    if "torchvision.transforms" not in modules or takes(call, ["image"], [None]):
        return ""
    return "v2" if "torchvision.transforms.v2" in modules else "v1"


def _by_place(transform: Transform, image: Any, mask: Any = None) -> dict[str, Any]:
    """Hand over what the datasets of torchvision do: an image of PIL and a mask of its own kind."""
    image = PillowImage.fromarray(image)
    if mask is None:
        return {"image": transform(image)}
    # Both are there, since the transform is
    import torch
    from torchvision.tv_tensors import Mask  # type: ignore[import-untyped] # no annotations

    made: Any = transform(image, Mask(torch.from_numpy(mask)))
    pair = isinstance(made, tuple) and len(made) == 2
    what = "one that returns image and mask, of which it is given both"
    require(pair, "transform", what, type(made).__name__, error=TypeError)
    return {"image": made[0], "mask": made[1].as_subclass(torch.Tensor).bool()}


def _wrapper(parts: Iterable[str]) -> str:
    """Say how a function of an image alone becomes a transform."""
    names = list(parts)
    made = ["'image': transform(image)", *(f"{name!r}: {name}" for name in names[1:])]
    wrapper = f"Wrap it: `lambda {', '.join(names)}: {{{', '.join(made)}}}`"
    return f"{wrapper}, if it moves no pixels." if names[1:] else f"{wrapper}."
