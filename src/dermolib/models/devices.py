"""Devices and precisions by name: which there are, and what a device computes with."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from dermolib._validation import check_choice, require

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
    """Refuse a device that is not one of `DEVICES`, or is missing on this machine."""
    check_choice(device, "device", DEVICES)
    hint = 'Pass "auto" to take what there is.'
    require(_available().get(device, True), "device", "one of this machine", repr(device), hint)


def pick_device(device: str) -> torch.device:
    """Choose one of `DEVICES`; ``"auto"`` is the first available of CUDA, MPS and CPU."""
    check_device(device)
    if device == "auto":
        device = next((name for name, found in _available().items() if found), "cpu")
    return torch.device(device)


def on_cuda(device: str) -> bool:
    """Whether a device of this name is a CUDA GPU."""
    return device == "cuda" or (device == "auto" and torch.cuda.is_available())


def plain_precision(precision: str, choices: Iterable[str]) -> str:
    """Return Lightning's name of a precision: one of `choices`, or an alias such as float32."""
    check_choice(precision, "precision", [*choices, *_ALIASES])
    return _ALIASES.get(precision, precision)


def check_float16(precision: str, *, on_cpu: bool) -> None:
    """Refuse float16 on a CPU."""
    hint = "Use 'bf16-mixed' or '32-true'."
    possible = precision != "16-mixed" or not on_cpu
    require(possible, "precision", "one that the CPU computes with", "'16-mixed'", hint)


def pick_precision(device: str, precision: str) -> str:
    """Choose the arithmetic of a run: one of `PRECISIONS` but ``"auto"``, or a refusal.

    ``"auto"`` is bfloat16 where the device has instructions for it, else float16 on a GPU, else
    float32. On a CPU it is float32 too where torch has no `torch.cpu.get_capabilities`.
    """
    precision = plain_precision(precision, PRECISIONS)
    on_gpu = on_cuda(device)
    if precision == "auto":
        if on_gpu:
            return "bf16-mixed" if _gpu_has_bfloat16() else "16-mixed"
        return "bf16-mixed" if device in ("auto", "cpu") and _cpu_has_bfloat16() else "32-true"
    on_cpu = not on_gpu and (device == "cpu" or not torch.backends.mps.is_available())
    check_float16(precision, on_cpu=on_cpu)
    possible = precision != "bf16-mixed" or not on_gpu or _gpu_has_bfloat16()
    what, hint = "one that this GPU computes with", "Use '16-mixed' or '32-true'."
    require(possible, "precision", what, "'bf16-mixed'", hint)
    return precision


def _gpu_has_bfloat16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_has_bfloat16() -> bool:
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def _available() -> dict[str, bool]:
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
