"""Whether a model can be trained on what it is given, in words instead of what torch says."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, distributed, nn

from dermolib._validation import expected
from dermolib.datasets.loaders import EpochSampler
from dermolib.training.loaders import EpochLoader

__all__ = ["check_logits", "check_trainable", "lone_image_refused"]


def check_trainable(model: Any) -> None:
    """Refuse what is no model, and the wrapper of `torch.compile`, whose weights have other names.

    Args:
        model: What a Trainer is given.

    Raises:
        TypeError: It is no module of torch, or such a wrapper.
    """
    if not isinstance(model, nn.Module):
        got = f"an object of type {type(model).__name__}"
        raise TypeError(expected("model", "a torch module", got, "See `build_model`."))
    if hasattr(model, "_orig_mod"):
        remedy = (
            "Pass the model itself with `compile=True`, or compile it in place: `model.compile()`."
        )
        raise TypeError(expected("model", "the model itself", "what `torch.compile` made", remedy))


def check_logits(logits: Any, count: int, num_classes: int) -> Tensor:
    """Refuse what is no logits.

    Args:
        logits: What a model gave for a batch.
        count: Number of images N.
        num_classes: Number of classes K.

    Returns:
        Logits (N, K), float32.

    Raises:
        TypeError: They are no floating-point tensor.
        ValueError: They are of another shape.
    """
    what = f"a model with logits (N, {num_classes})"
    if not isinstance(logits, Tensor):
        got = f"an output of type {type(logits).__name__}"
        remedy = "Wrap it in a module that returns the logits alone."
        raise TypeError(expected("model", what, got, remedy))
    if not logits.is_floating_point():
        raise TypeError(expected("model", what, f"an output of {logits.dtype}"))
    if logits.ndim != 2 or logits.shape[1] != num_classes:
        remedy = "Build it with the same `num_classes` that the Trainer has."
        raise ValueError(expected("model", what, f"{tuple(logits.shape)}", remedy))
    if len(logits) != count:
        got = f"{len(logits)} rows for {count} images"
        raise ValueError(expected("model", what, got))
    return logits.float()


@contextmanager
def lone_image_refused(
    model: nn.Module, still: Collection[nn.Module], loader: Any, *, processes: int
) -> Iterator[None]:
    """Say before the first step that batch normalisation cannot learn from the last batch.

    Where that holds one image, a norm over it has one value for each channel; whether there are
    more is seen in the first batch.

    Args:
        model: Model.
        still: Modules that learn nothing.
        loader: Loader of the training set.
        processes: Number of processes that share it.

    Raises:
        ValueError: In the block, at the first batch: a norm takes its statistics over the images
            alone, and the last batch has one.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module not in still
    ]
    size = _last_batch(loader, processes)
    if size != 1 or not norms:
        yield
        return
    counts: list[int] = []

    def count(module: nn.Module, given: tuple[Any, ...]) -> None:
        del module
        counts[:] = [len(given[0])]

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        values = given[0]
        if module.training and counts == [values.numel() // values.shape[1]]:
            what = "one that leaves more than one image in the last batch"
            remedy = (
                "Batch normalisation learns from two or more: take another `batch_size`, or a "
                "loader with `drop_last=True`."
            )
            raise ValueError(expected("batch_size", what, "one image there", remedy))

    hooks = [model.register_forward_pre_hook(count)]
    hooks += [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_batch(loader: Any, processes: int) -> int | None:
    """Count the images of the last batch of a process; None where that is not known."""
    if isinstance(loader, EpochLoader):
        loader = loader.loader
    size: int | None = getattr(loader, "batch_size", None)
    sampler: Any = getattr(loader, "sampler", None)
    if size is None or not hasattr(sampler, "__len__"):
        return None
    if getattr(loader, "drop_last", False):
        return int(size)
    rows = len(sampler)
    shared = isinstance(sampler, EpochSampler) and distributed.is_initialized()
    if not shared:
        rows = -(-rows // processes)
    return int(rows % size or size)
