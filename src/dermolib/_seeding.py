"""Random transforms inside data sets: found wherever they sit, and seeded."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dermolib._checks import expected

_PLACES = ("transform", "transforms", "dataset", "datasets")


def seed_worker(worker_id: int) -> None:
    """Seed the random transforms of a loader's worker process: pass it as ``worker_init_fn``.

    Every object with a method ``set_random_seed`` (each preset, each albumentations pipeline) that
    the loader's dataset reaches through ``transform``, ``transforms``, ``dataset`` or ``datasets``
    gets a seed made from that of the worker. So workers differ; epochs differ, since a loader draws
    a new seed for each (persistent workers go on with their stream); and a loader whose
    ``generator`` starts from the same seed repeats exactly with the same number of workers. Without
    it, forked workers and successive epochs repeat one stream.

    Args:
        worker_id: Number of the worker; torch passes it.

    Raises:
        RuntimeError: This process is no worker of a loader.
    """
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    if worker is None:
        what = "called in a worker of a DataLoader"
        remedy = "Pass it as `DataLoader(..., worker_init_fn=seed_worker)`."
        got = f"called here with worker {worker_id}"
        raise RuntimeError(expected("seed_worker", what, got, remedy))
    seed_transforms(worker.dataset, worker.seed)


def seed_transforms(dataset: Any, seed: int) -> None:
    """Seed every random transform that a dataset reaches, each with a stream of its own.

    Args:
        dataset: Dataset, or anything that holds one.
        seed: Seed, 0 or more.
    """
    for number, transform in enumerate(_transforms(dataset, set())):
        state = np.random.SeedSequence([seed, number]).generate_state(1)
        transform.set_random_seed(int(state[0]))


def _transforms(holder: Any, seen: set[int]) -> Iterator[Any]:
    """Find the outermost objects with `set_random_seed`, in a fixed order."""
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if callable(getattr(holder, "set_random_seed", None)):
        yield holder
        return
    inner = holder if isinstance(holder, (list, tuple)) else _held(holder)
    for part in inner:
        yield from _transforms(part, seen)


def _held(holder: Any) -> list[Any]:
    parts = [getattr(holder, place, None) for place in _PLACES]
    return [part for part in parts if part is not None]
