"""Seeds for random transforms inside data sets, so that no two workers draw the same.

A worker process starts as a copy of its parent, generators included: without new seeds every worker
and every epoch draws the same augmentations. Global seeds do not reach the generators of
albumentations or of a `dermolib.augmentation.Preset`; `seed_worker` does.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from dermolib._validation import Indices, expected

__all__ = ["draw_seeds", "seed_transforms", "seed_worker", "seeded_sample"]

_PLACES = ("datasets", "transform", "transforms", "target_transform")
_CONTAINERS = (list, tuple, Mapping)


def seed_worker(worker_id: int) -> None:
    """Seed all random transforms of one worker: the ``worker_init_fn`` for any loader.

    Each is seeded from the worker's own seed, its own ``seed`` attribute and its place, so that
    workers differ, epochs differ, and a loader whose ``generator`` has the same seed repeats
    exactly. Persistent workers are seeded once and continue their streams. With ``num_workers=0``
    PyTorch never calls it, and transforms continue the stream that they were built with.

    Transforms are all objects with a method ``set_random_seed``, and the pipelines and transforms
    of albumentations, that can be reached from the worker's dataset through the attributes
    ``dataset``, ``datasets``, ``transform``, ``transforms`` and ``target_transform``, and through
    lists, tuples and dictionaries there. The samples of a dataset that is a plain list are not
    looked through, and what a function keeps inside itself is out of reach.

    Args:
        worker_id: Number of the worker, as PyTorch passes it.

    Raises:
        RuntimeError: It was called outside a worker.

    References:
        Randomness in multi-process data loading,
        https://docs.pytorch.org/docs/stable/data.html#data-loading-randomness.

    Examples:
        >>> from torch.utils.data import DataLoader
        >>> loader = DataLoader([0, 1, 2], num_workers=2, worker_init_fn=seed_worker)
        >>> loader.num_workers
        2
    """
    # A program without a loader does not need torch here
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    if info is None:
        hint = "Pass it as `DataLoader(..., num_workers=1 or more, worker_init_fn=seed_worker)`."
        raise RuntimeError(expected("seed_worker", "called in a worker", "the main process", hint))
    seed_transforms(info.dataset, info.seed, worker_id)


def seed_transforms(dataset: object, *entropy: int) -> None:
    """Seed all random transforms that a dataset reaches, each by its own seed and place as well."""
    _seed_all(_search(dataset)[0], *entropy)


def _seed_all(transforms: list[Any], *entropy: int) -> None:
    for place, transform in enumerate(transforms):
        if getattr(transform, "random", True) is False:
            continue
        own = getattr(transform, "seed", None)
        numbers = (*entropy, place, own if isinstance(own, (int, np.integer)) else 0)
        _seed(transform, np.random.SeedSequence([abs(int(number)) for number in numbers]))


def draw_seeds(seed: int, epoch: int, rows: Indices) -> npt.NDArray[np.int64]:
    """Derive the seed (N,) of each row's draw, 0..2**63 - 1, from seed, epoch and row alone.

    References:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
        https://doi.org/10.1145/2660193.2660195, for the mixing of the bits.
    """
    start = np.array([seed % 2**64], np.uint64)
    mixed = _mixed(_mixed(start) + np.uint64(epoch))
    return (_mixed(mixed + rows.astype(np.uint64)) >> np.uint64(1)).astype(np.int64)


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix bits as SplitMix64 does; unsigned integers of arrays wrap around silently."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@contextmanager
def seeded_sample(dataset: object, seed: int) -> Iterator[None]:
    """Seed everything random of a dataset for one sample.

    Transforms that can be seeded are. Where there are others, or none that can be found, the global
    generators are seeded too; in the main process they are restored after the block.
    """
    seedable, all_known = _search(dataset)
    _seed_all(seedable, seed)
    if all_known:
        yield
        return
    restore = _seed_globals(seed)
    try:
        yield
    finally:
        restore()


def _seed_globals(seed: int) -> Callable[[], None]:
    """Seed the global generators; give back what returns them to where they were."""
    import torch
    from torch.utils.data import get_worker_info

    states = None
    if get_worker_info() is None:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - of others
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for transforms of others, which draw from it
    torch.default_generator.manual_seed(seed)

    def restore() -> None:
        if states is not None:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002 - of others
            torch.set_rng_state(states[2])

    return restore


def _seed(transform: Any, sequence: np.random.SeedSequence) -> None:
    state = int(sequence.generate_state(1, np.uint64)[0])
    if hasattr(transform, "set_random_state"):
        # albumentations: its own set_random_seed starts every transform of a pipeline at the same
        # number, and flips that should be independent then always fall together.
        generator = random.Random(state)  # noqa: S311 - draws, not secrets
        transform.set_random_state(np.random.default_rng(sequence), generator)
    else:
        transform.set_random_seed(state)


def _search(root: object) -> tuple[list[Any], bool]:
    """Find what can be seeded, each object once and in the same order, and whether that is all.

    It is not all where something is reached that says neither how to seed it nor what is inside it.
    """
    found: list[Any] = []
    all_known = True
    seen: dict[int, object] = {}  # the objects too: an id may come again once its object is gone
    waiting = [] if isinstance(root, _CONTAINERS) else [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if callable(getattr(item, "set_random_seed", None)):
            found.append(item)
            continue
        inside = _inside(item)
        waiting.extend(reversed(inside))
        all_known = all_known and (bool(inside) or _holds_nothing(item))
    return found, all_known


def _holds_nothing(item: object) -> bool:
    """Tell an object without transforms from one that may have some."""
    return isinstance(item, _CONTAINERS) or any(
        hasattr(item, place) for place in ("dataset", *_PLACES)
    )


def _inside(item: object) -> list[Any]:
    if isinstance(item, Mapping):
        return list(item.values())
    if isinstance(item, (list, tuple)):
        return list(item)
    wrapped = getattr(item, "dataset", None)
    found = [None if isinstance(wrapped, _CONTAINERS) else wrapped]
    found += [getattr(item, place, None) for place in _PLACES]
    return [value for value in found if value is not None]
