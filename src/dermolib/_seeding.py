"""Seeds for random transforms inside data sets, so that no two workers draw the same.

A worker process starts as a copy of its parent, generators included: without new seeds every worker
and, as the copy is made anew, every epoch draws the same augmentations. Global seeds do not reach
the generators of albumentations or of a `dermolib.augmentation.Preset`; `seed_worker` does.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dermolib._checks import expected

__all__ = ["seed_transforms", "seed_worker"]

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
        remedy = "Pass it as `DataLoader(..., num_workers=1 or more, worker_init_fn=seed_worker)`."
        raise RuntimeError(
            expected("seed_worker", "called in a worker", "the main process", remedy)
        )
    seed_transforms(info.dataset, info.seed, worker_id)


def seed_transforms(dataset: object, *entropy: int) -> None:
    """Seed all random transforms that a dataset reaches, each from its own seed and place as well.

    Args:
        dataset: Dataset, searched as `seed_worker` describes.
        entropy: Whole numbers to seed from.
    """
    for place, transform in enumerate(_random_transforms(dataset)):
        own = getattr(transform, "seed", None)
        numbers = (*entropy, place, own if isinstance(own, (int, np.integer)) else 0)
        _seed(transform, np.random.SeedSequence([abs(int(number)) for number in numbers]))


def _seed(transform: Any, sequence: np.random.SeedSequence) -> None:
    state = int(sequence.generate_state(1, np.uint64)[0])
    if hasattr(transform, "set_random_state"):
        # albumentations: its own set_random_seed starts every transform of a pipeline at the same
        # number, and flips that should be independent then always fall together.
        generator = random.Random(state)  # noqa: S311 - draws, not secrets
        transform.set_random_state(np.random.default_rng(sequence), generator)
    else:
        transform.set_random_seed(state)


def _random_transforms(root: object) -> Iterator[Any]:
    """Find what can be seeded, each object once and always in the same order."""
    seen: dict[int, object] = {}  # the objects too: an id may come again once its object is gone
    waiting = [] if isinstance(root, _CONTAINERS) else [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = item
        if callable(getattr(item, "set_random_seed", None)):
            yield item
        else:
            waiting.extend(reversed(_inside(item)))


def _inside(item: object) -> list[Any]:
    if isinstance(item, Mapping):
        return list(item.values())
    if isinstance(item, (list, tuple)):
        return list(item)
    wrapped = getattr(item, "dataset", None)
    found = [None if isinstance(wrapped, _CONTAINERS) else wrapped]
    found += [getattr(item, place, None) for place in _PLACES]
    return [value for value in found if value is not None]
