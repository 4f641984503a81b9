"""Devices and precisions by name: what there is, what a device computes with, and words for it."""

from collections.abc import Callable, Iterable

import torch

from dermolib._validation import check_choice, expected

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "check_device",
    "check_float16",
    "on_cuda",
    "pick_device",
    "pick_precision",
    "plain_precision",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices by name; ``"auto"`` takes the best one there is."""

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
"""Precisions by Lightning's names; ``"auto"`` takes the fastest that the device computes with."""

_ALIASES = {"float32": "32-true", "float16": "16-mixed", "bfloat16": "bf16-mixed"}


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there.

    Args:
        device: One of `DEVICES`.

    Raises:
        ValueError: It is no such name, or the machine lacks it.
    """
    check_choice(device, "device", DEVICES)
    if not _there().get(device, True):
        remedy = 'Pass "auto" to take what there is.'
        raise ValueError(expected("device", "one of this machine", repr(device), remedy))


def pick_device(device: str) -> torch.device:
    """Choose the device of a computation.

    Args:
        device: One of `DEVICES`.

    Returns:
        The device; ``"auto"`` is the first one there is of ``"cuda"``, ``"mps"`` and ``"cpu"``.

    Raises:
        ValueError: It is no such name, or the machine lacks it.
    """
    check_device(device)
    if device == "auto":
        return torch.device(next((name for name, found in _there().items() if found), "cpu"))
    return torch.device(device)


def on_cuda(device: str) -> bool:
    """Tell whether a device of this name is a GPU of CUDA."""
    return device == "cuda" or (device == "auto" and torch.cuda.is_available())


def plain_precision(precision: str, choices: Iterable[str]) -> str:
    """Give a precision Lightning's name.

    Args:
        precision: One of `choices`, or ``"float32"``, ``"float16"`` or ``"bfloat16"``.
        choices: Names out of `PRECISIONS`.

    Raises:
        ValueError: It is no such name.
    """
    check_choice(precision, "precision", [*choices, *_ALIASES])
    return _ALIASES.get(precision, precision)


def check_float16(precision: str, *, on_cpu: bool) -> None:
    """Refuse float16 on a CPU.

    Args:
        precision: One of `PRECISIONS`.
        on_cpu: Whether a CPU is to compute.

    Raises:
        ValueError: It is to compute with float16.
    """
    if precision == "16-mixed" and on_cpu:
        what, remedy = "one that the CPU computes with", "Take 'bf16-mixed' or '32-true'."
        raise ValueError(expected("precision", what, "'16-mixed'", remedy))


def pick_precision(device: str, precision: str) -> str:
    """Choose the arithmetic of a run.

    Args:
        device: One of `DEVICES`.
        precision: One of `PRECISIONS`; ``"auto"`` is bfloat16 where the device has instructions for
            it, else float16 on a GPU, else float32, always with float32 weights.

    Returns:
        One of `PRECISIONS` but ``"auto"``.

    Raises:
        ValueError: There is no such precision, or the device does not compute with it.
    """
    precision = plain_precision(precision, PRECISIONS)
    on_gpu = on_cuda(device)
    if precision == "auto":
        return _fastest(device, on_gpu=on_gpu)
    on_cpu = not on_gpu and (device == "cpu" or not torch.backends.mps.is_available())
    check_float16(precision, on_cpu=on_cpu)
    if precision == "bf16-mixed" and on_gpu and not _gpu_has_bfloat16():
        what, remedy = "one that this GPU computes with", "Take '16-mixed' or '32-true'."
        raise ValueError(expected("precision", what, "'bf16-mixed'", remedy))
    return precision


def _fastest(device: str, *, on_gpu: bool) -> str:
    if on_gpu:
        return "bf16-mixed" if _gpu_has_bfloat16() else "16-mixed"
    if device in ("auto", "cpu") and _cpu_has_bfloat16():
        return "bf16-mixed"
    return "32-true"


def _gpu_has_bfloat16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_has_bfloat16() -> bool:
    # torch has no public question for it; where these two are gone, float32 is right everywhere
    questions: list[Callable[[], bool]] = [
        getattr(torch.cpu, name, bool)
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    ]
    return any(question() for question in questions)


def _there() -> dict[str, bool]:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
