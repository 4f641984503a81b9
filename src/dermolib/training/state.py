"""The state of a run on disk: from it a run that was cut off goes on as if nothing had happened."""

import logging
import signal
import threading
import zipfile
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from dermolib._jobs import describe_differences
from dermolib._validation import expected
from dermolib.training.checkpoint import write_content
from dermolib.training.folder import BEST_NAME, put_aside
from dermolib.training.loaders import EpochLoader

__all__ = [
    "FACTS",
    "STATE_NAME",
    "Preempted",
    "RunState",
    "StateFile",
    "check_same_run",
    "read_facts",
]

STATE_NAME = "last.ckpt"
"""Name of the file in the folder of a run from which it goes on."""

FACTS = "dermolib"
"""Key of the state under which it says what the run is."""

_log = logging.getLogger(__name__)


class Preempted(SystemExit):
    """The system asked the process to end, and the state of the run is saved."""


class StateFile(TorchCheckpointIO):
    """Write states where they are to lie.

    Lightning's own way goes through memory and a file in the folder for temporary files, which may
    be on a small disk, and where a killed process leaves it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a state."""
        del storage_options
        write_content(checkpoint, Path(path))


class RunState(lightning.Callback):
    """Save the state of a run at the start of each epoch, within epochs, and when asked to end.

    A state is written beside the former one and then takes its name, so there is always a whole
    one. In the list of callbacks it comes after those whose state it saves.

    Args:
        folder: Folder of the run.
        loader: Loader of the training set; within an epoch an `EpochLoader` alone can go on.
        facts: Plain values to store with the state: configuration and names of the classes.
        every: Steps of the optimiser between two states within an epoch; None writes none there.
        keeps: Whether states are written.
    """

    def __init__(
        self,
        folder: Path,
        loader: Any,
        facts: dict[str, Any],
        *,
        every: int | None,
        keeps: bool,
    ) -> None:
        """Start nowhere."""
        super().__init__()
        self.path = folder / STATE_NAME
        self._loader = loader
        self._facts = facts
        self._every = every
        self._keeps = keeps
        self.earlier: list[Path] = []  # results of an earlier run, which a new one puts aside
        self._asked = False
        self._written = False
        self._place: tuple[int, int] | None = None  # epoch, and batches of it that are done

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Add what the run is, and where it stands."""
        del pl_module
        checkpoint[FACTS] = {
            **self._facts,
            "place": list(self._place or (0, 0)),
            "stopped": trainer.should_stop,
        }

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Go to where the run stood."""
        del pl_module
        epoch, batches = checkpoint[FACTS]["place"]
        # A run that stopped early, and was cut off before it was over, has no epoch left
        trainer.should_stop = bool(checkpoint[FACTS]["stopped"])
        self._place = (epoch, batches)
        if isinstance(self._loader, EpochLoader):
            self._loader.begin(epoch, batches)

    def on_sanity_check_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Listen for the signal to end from the first look at the validation set on."""
        del trainer, pl_module
        self._listen()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the state before the first step, and listen for the signal to end."""
        if self._place is None:
            if self._keeps and trainer.is_global_zero:
                put_aside(self.path.parent, self.earlier)
            self._save(trainer, pl_module, (0, 0))
        self._listen()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Leave no state of a run without a step, which would be in the way of a mended call."""
        del pl_module, exception
        begun = self._place != (0, 0) or trainer.global_step > 0
        if self._written and not begun and trainer.is_global_zero:
            self.path.unlink(missing_ok=True)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save the state within an epoch, between two steps of the optimiser."""
        del outputs, batch
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches or done >= trainer.num_training_batches:
            return
        if not isinstance(self._loader, EpochLoader):
            return
        asked = self._asked_anywhere(trainer)
        due = self._every is not None and trainer.global_step % self._every == 0
        if asked or due:
            self._save(trainer, pl_module, (trainer.current_epoch, done))
        if asked:
            self._leave()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Save the state between two epochs."""
        self._save(trainer, pl_module, (trainer.current_epoch + 1, 0))
        if self._asked_anywhere(trainer):
            self._leave()

    def _listen(self) -> None:
        if self._keeps and threading.current_thread() is threading.main_thread():
            # Lightning's own would end inside of validation, and one of several processes would
            # wait there for the others for ever; it puts the former one back
            signal.signal(signal.SIGTERM, self._ask)

    def _save(self, trainer: lightning.Trainer, pl_module: Any, place: tuple[int, int]) -> None:
        self._place = place
        if not self._keeps:
            return
        pl_module.check_state()
        # One name for all processes, of which the first alone writes
        temporary = self.path.with_name(f".{self.path.name}.part")
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(self.path)
            self._written = True
        finally:
            if trainer.is_global_zero:
                temporary.unlink(missing_ok=True)

    def _ask(self, number: int, frame: Any) -> None:
        del number, frame
        self._asked = True

    def _asked_anywhere(self, trainer: lightning.Trainer) -> bool:
        if not self._keeps or trainer.world_size == 1:
            return self._asked
        return bool(trainer.strategy.reduce_boolean_decision(self._asked, all=False))

    def _leave(self) -> None:
        _log.warning(
            "Asked to end; the state of the run is in %s, the same call goes on", self.path
        )
        raise Preempted(128 + signal.SIGTERM)


def read_facts(path: Path) -> dict[str, Any]:
    """Read what a state says of its run; nothing in the file is executed.

    Args:
        path: File of `RunState`.

    Returns:
        Configuration, names of the classes, the place where the run stands, and whether it has
        kept weights as its best.

    Raises:
        ValueError: The file is no such state, or damaged.
    """
    what, remedy = "the state of a run", "Pass `resume=False` to begin anew, which replaces it."
    try:
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # which compares checksums; torch does not
    except Exception as error:  # torch passes on whatever a broken file makes its readers raise
        got = f"a file that does not load ({type(error).__name__})"
        raise ValueError(expected(str(path), what, got, remedy)) from error
    if broken is not None:
        got = f"a file whose part {broken} is damaged"
        raise ValueError(expected(str(path), what, got, remedy))
    facts = content.get(FACTS) if isinstance(content, dict) else None
    if not isinstance(facts, dict) or not facts.keys() >= {"config", "class_names", "place"}:
        raise ValueError(expected(str(path), what, "one of another version or program", remedy))
    scores = [part["score"] for part in content.get("callbacks", {}).values() if "score" in part]
    return {**facts, "scored": any(score >= 0 for score in scores)}


def check_same_run(path: Path, facts: dict[str, Any]) -> None:
    """Refuse the state of a run of another configuration or of other classes.

    Args:
        path: File of `RunState`.
        facts: What this run would store.

    Raises:
        ValueError: The file is no state, or that of another run, or its best weights are gone.
    """
    found = read_facts(path)
    flat = [{"class_names": run["class_names"], **run["config"]} for run in (found, facts)]
    others = describe_differences(*flat)
    if others:
        what = f"a folder without an unfinished run of another configuration ({path.parent})"
        remedy = "Take the same options, another `output`, or `resume=False` to begin anew."
        raise ValueError(expected("output", what, "; ".join(others), remedy))
    best = path.with_name(BEST_NAME)
    if found["scored"] and not best.exists():
        remedy = "Put it back, or pass `resume=False` to begin anew."
        raise ValueError(expected(str(best), "the best weights of the run", "no file", remedy))
