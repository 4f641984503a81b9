"""Two processes that share the rows of a loader: by themselves, and under other people's engines.

``python -m torch.distributed.run --nproc-per-node 2 sharing_rows.py FOLDER`` goes through two
epochs in each way and writes which rows each process saw into the folder.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import distributed
from torch.utils.data import DataLoader

from dermolib import make_loader

ROWS, EPOCHS = 80, 2

Epochs = list[list[int]]
"""Rows of each epoch."""


def shuffled() -> DataLoader[Any]:
    return make_loader(list(range(ROWS)), batch_size=8, shuffle=True, seed=1)


def seen(loader: Iterable[torch.Tensor]) -> Epochs:
    return [[int(row) for batch in loader for row in batch] for _ in range(EPOCHS)]


def loop() -> Epochs:
    return seen(shuffled())


def accelerator(**options: Any) -> Any:
    from accelerate import Accelerator, DataLoaderConfiguration  # only in the processes

    return Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**options))


def prepared(**options: Any) -> Epochs:
    loader = accelerator(**options).prepare(shuffled())
    assert len(loader) == ROWS // (8 if options.get("split_batches") else 16)
    return seen(loader)


def not_prepared() -> Epochs:
    """Leave the loader as it is beside an engine that would deal batches out."""
    accelerator()
    return seen(shuffled())


class Note(lightning.LightningModule):
    """Note the rows of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.rows: Epochs = []

    def on_train_epoch_start(self) -> None:
        self.rows.append([])

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.rows[-1] += batch.tolist()
        return self.weight * batch.float().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained() -> Epochs:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    options: dict[str, Any] = dict.fromkeys(quiet, False)
    model = Note()
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=EPOCHS, **options
    )
    trainer.fit(model, shuffled())
    return model.rows


WAYS: dict[str, Callable[[], Epochs]] = {
    "own loop": loop,
    "Lightning": trained,
    "accelerate": prepared,
    "accelerate that splits batches": lambda: prepared(split_batches=True),
    "accelerate that dispatches batches": lambda: prepared(dispatch_batches=True),
    "accelerate beside it": not_prepared,
}


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    for number, way in enumerate(WAYS.values()):
        (folder / f"{number} {distributed.get_rank()}.json").write_text(json.dumps(way()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
