"""Lightning, set up for one run and kept from talking about itself."""

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dermolib._validation import check_number, expected

if TYPE_CHECKING:
    import lightning

__all__ = ["Place", "check_launch", "make_engine", "quiet"]

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


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run computes; all but the first two reach Lightning as they are.

    Attributes:
        device: One of `dermolib.models.devices.DEVICES`.
        precision: One of `dermolib.models.devices.PRECISIONS` but ``"auto"``.
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
    if not place.single:
        _leave_group_at_exit()
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


@cache
def _leave_group_at_exit() -> None:
    """Have the process leave its group before it ends: threads of gloo may abort it otherwise."""
    atexit.register(_leave_group)


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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
