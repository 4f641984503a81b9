"""Lightning, set up for one run and kept from talking about itself."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dermolib._checks import check_choice, expected

if TYPE_CHECKING:
    import lightning

__all__ = ["DEVICES", "PRECISIONS", "check_device", "make_engine", "pick_precision", "quiet"]

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Devices by name; ``"auto"`` takes the best one there is."""

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
"""Precisions by Lightning's names; ``"auto"`` takes the fastest that the device computes with."""

_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
_ABOUT_ITSELF = (
    # Advice on speed, which is the caller's choice of `workers`
    r".*does not have many workers which may be a bottleneck",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # Training without validation is a documented choice
    r"You defined a `validation_step` but have no `val_dataloader`",
    # Fitting again into a folder of one's own is what the caller asked for
    r"Checkpoint directory .* exists and is not empty",
    r"Experiment logs directory .* exists",
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
    """
    check_choice(precision, "precision", PRECISIONS)
    if precision != "auto":
        return precision
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    if device in ("auto", "cpu") and _cpu_has_bfloat16():
        return "bf16-mixed"
    return "32-true"


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


def make_engine(
    *,
    device: str,
    precision: str,
    epochs: int,
    progress: bool,
    callbacks: list[Any],
    gradient_clip: float | None,
    output: Path | None,
) -> "lightning.Trainer":
    """Set up a Lightning trainer for one call.

    Args:
        device: One of `DEVICES`.
        precision: One of `PRECISIONS` but ``"auto"``.
        epochs: Epochs to run.
        progress: Whether to show a progress bar; there is none where standard error is no terminal.
        callbacks: Lightning callbacks.
        gradient_clip: Norm to which gradients are shortened, or None.
        output: Folder for the CSV and TensorBoard logs; None logs nothing.

    Returns:
        Lightning trainer.
    """
    import lightning
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    loggers = []
    if output is not None:
        loggers = [
            CSVLogger(output, name="csv", version=""),
            TensorBoardLogger(output, name="tensorboard", version=""),
        ]
    return lightning.Trainer(
        accelerator="gpu" if device == "cuda" else device,
        devices=1,
        # Else a SLURM allocation of several tasks would be taken for a distributed run
        plugins=[LightningEnvironment()],
        precision=precision,  # type: ignore[arg-type]  # a literal of many names there, checked here
        max_epochs=epochs,
        callbacks=callbacks,
        gradient_clip_val=gradient_clip,
        logger=loggers,
        enable_checkpointing=any(hasattr(callback, "best_model_path") for callback in callbacks),
        enable_model_summary=False,
        enable_progress_bar=progress and sys.stderr.isatty(),
        num_sanity_val_steps=0,
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
