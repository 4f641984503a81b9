"""Lightning, set up for one run and kept from talking about itself."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dermolib._checks import check_choice, check_number, expected

if TYPE_CHECKING:
    import lightning

__all__ = [
    "DEVICES",
    "PRECISIONS",
    "Place",
    "check_device",
    "check_launch",
    "make_engine",
    "pick_precision",
    "quiet",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices by name; ``"auto"`` takes the best one there is."""

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
"""Precisions by Lightning's names; ``"auto"`` takes the fastest that the device computes with."""

_ALIASES = {"float32": "32-true", "float16": "16-mixed", "bfloat16": "bf16-mixed"}

_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
_ABOUT_ITSELF = (
    # Advice on speed, which is the caller's choice of `workers`
    r".*does not have many workers which may be a bottleneck",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Training without validation is a documented choice
    r"You defined a `validation_step` but have no `val_dataloader`",
    # The order of the rest of an epoch is known here
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # A deprecation between Lightning and torch, which no caller can mend
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",
)


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
    check_choice(precision, "precision", [*PRECISIONS, *_ALIASES])
    precision = _ALIASES.get(precision, precision)
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if precision == "auto":
        return _fastest(device, on_gpu=on_gpu)
    on_cpu = not on_gpu and (device == "cpu" or not torch.backends.mps.is_available())
    if precision == "16-mixed" and on_cpu:
        what, remedy = "one that the CPU computes with", "Take 'bf16-mixed' or '32-true'."
        raise ValueError(expected("precision", what, "'16-mixed'", remedy))
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


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there.

    Args:
        device: One of `DEVICES`.

    Raises:
        ValueError: It is no such name, or the machine lacks it.
    """
    check_choice(device, "device", DEVICES)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, True):
        remedy = 'Pass "auto" to take what there is.'
        raise ValueError(expected("device", "one of this machine", repr(device), remedy))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run computes; all but the first two reach Lightning as they are.

    Attributes:
        device: One of `DEVICES`.
        precision: One of `PRECISIONS` but ``"auto"``.
        devices: Devices of each machine: a number, a list of numbers, or ``"auto"``.
        num_nodes: Number of machines.
        strategy: Lightning's strategy, or its name.

    Raises:
        TypeError: `devices` or `num_nodes` is of another type.
        ValueError: One is out of range.
    """

    device: str = "auto"
    precision: str = "32-true"
    devices: int | str | list[int] = 1
    num_nodes: int = 1
    strategy: Any = "auto"

    def __post_init__(self) -> None:
        """Check how many devices and machines there are to be."""
        check_number(self.num_nodes, "num_nodes", low=1, integer=True)
        object.__setattr__(self, "num_nodes", int(self.num_nodes))
        object.__setattr__(self, "devices", _checked_devices(self.devices, self.device))

    @property
    def single(self) -> bool:
        """Whether it is one process."""
        one = self.devices in (1, "1") or (
            isinstance(self.devices, list) and len(self.devices) == 1
        )
        return one and self.num_nodes == 1 and self.strategy == "auto"


def _checked_devices(devices: Any, device: str) -> Any:
    what = "a number of devices, 1 or more, a list of their numbers, -1 for all, or 'auto'"
    if isinstance(devices, (list, tuple)):
        whole = [_is_whole(one) and one >= 0 for one in devices]
        if not whole or not all(whole):
            raise ValueError(expected("devices", what, repr(devices)))
        return [int(one) for one in devices]
    if isinstance(devices, str):
        return devices  # such as "0,1", which Lightning reads
    if not _is_whole(devices):
        raise TypeError(expected("devices", what, f"{devices!r} of type {type(devices).__name__}"))
    if devices < -1 or devices == 0:
        raise ValueError(expected("devices", what, devices))
    if devices == -1 and device == "cpu":
        remedy = "A CPU has no number of its own: pass 1."
        raise ValueError(expected("devices", "a number of processes", devices, remedy))
    return int(devices)


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def check_launch(place: Place) -> None:
    """Refuse processes that were started to train together and would each train alone.

    Args:
        place: Where it computes.

    Raises:
        ValueError: `torchrun` has started several processes, and this one is to be the only one.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if not (place.single and started > 1 and torch.distributed.is_torchelastic_launched()):
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", started))
    what = f"{here}, as many processes as `torchrun` has started on this machine"
    remedy = f"Pass `devices={here}, num_nodes={started // here}, strategy='ddp'`."
    raise ValueError(expected("devices", what, place.devices, remedy))


def make_engine(
    place: Place,
    *,
    epochs: int,
    progress: bool,
    callbacks: list[Any],
    gradient_clip: float | None = None,
    accumulate: int = 1,
    output: Path | None = None,
    folder: Path | None = None,
    look: bool = False,
) -> "lightning.Trainer":
    """Set up a Lightning trainer for one call.

    Args:
        place: Where it computes.
        epochs: Epochs to run.
        progress: Whether to show a progress bar; there is none where standard error is no terminal.
        callbacks: Lightning callbacks.
        gradient_clip: Norm to which gradients are shortened, or None.
        accumulate: Batches of one step.
        output: Folder for the TensorBoard log; None logs nothing.
        folder: Folder for what Lightning itself writes; None is the working directory.
        look: Whether a run that begins scores one batch first, so that its faults are told early.

    Returns:
        Lightning trainer.
    """
    import lightning
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch.loggers import TensorBoardLogger

    from dermolib.training.state import StateFile

    plugins: list[Any] = [StateFile()]
    if place.single:
        # Else a SLURM allocation of several tasks would be taken for a distributed run
        plugins.append(LightningEnvironment())
    return lightning.Trainer(
        accelerator="gpu" if place.device == "cuda" else place.device,
        devices=place.devices,
        num_nodes=place.num_nodes,
        strategy=place.strategy,
        plugins=plugins,
        precision=place.precision,  # type: ignore[arg-type]  # a literal of many names there, checked here
        max_epochs=epochs,
        callbacks=callbacks,
        gradient_clip_val=gradient_clip,
        accumulate_grad_batches=accumulate,
        logger=[]
        if output is None
        else [TensorBoardLogger(output, name="tensorboard", version="")],
        default_root_dir=folder,
        enable_checkpointing=False,  # the state is written by `dermolib.training.state`
        enable_model_summary=False,
        enable_progress_bar=progress and sys.stderr.isatty(),
        num_sanity_val_steps=int(look),
        log_every_n_steps=10,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's tips and its remarks on its own defaults from the user, inside the block."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _ABOUT_ITSELF:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
