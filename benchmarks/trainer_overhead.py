"""What `Trainer` costs over a bare PyTorch loop with the same model, precision and data.

    python benchmarks/trainer_overhead.py
    python benchmarks/trainer_overhead.py --device cuda --batch 256 --steps 40
    OMP_NUM_THREADS=1 python benchmarks/trainer_overhead.py --clock cpu

Both train with AdamW, one cycle, a clipped gradient and cross-entropy, in the precision that the
Trainer chooses for the device, from the same batches in memory, channels last. They take turns in
one process; an epoch is timed from its first batch to the first batch of the next one, so that what
happens between epochs counts and starting does not, which is given apart. Figures are medians over
the epochs of all repeats, the ratio is the median of the ratios within a repeat. On a machine that
others share, ``--clock cpu`` counts the time that this process computed instead of what passed.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from dermolib import Trainer, build_model
from dermolib.io import whole_file
from dermolib.models.devices import pick_precision

_CLASSES = 8
_RATE = 1e-4
_SIZES = {"alexnet": 224, "custom_cnn": 32}
_CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
_EPOCHS = 3  # of a run: two are timed
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass
class Batches:
    """The same batches in each epoch, which note the times in s at which epochs began."""

    batches: list[dict[str, torch.Tensor]]
    clock: Callable[[], float]
    begun: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Go through the batches."""
        if self.batches[0]["image"].is_cuda:
            torch.cuda.synchronize()
        self.begun.append(self.clock())
        return iter(self.batches)


@dataclass(frozen=True)
class Timed:
    """Times of one run in s: of each epoch but the last, and from the call to the first batch."""

    epochs: list[float]
    start: float


def main(arguments: list[str] | None = None) -> None:
    """Measure both ways for each network and print a table."""
    parser = argparse.ArgumentParser(description="Measure Trainer against a bare loop.")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--batch", type=int, default=32, help="images in a batch (default 32)")
    parser.add_argument("--steps", type=int, default=4, help="AlexNet steps in an epoch")
    parser.add_argument("--small-steps", type=int, default=40, help="steps of the small network")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each way (default 5)")
    parser.add_argument("--networks", nargs="+", default=list(_SIZES), choices=list(_SIZES))
    parser.add_argument("--clock", default="wall", choices=list(_CLOCKS), help="what is counted")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    given = parser.parse_args(arguments)
    on_gpu = given.device == "cuda" or (given.device == "auto" and torch.cuda.is_available())
    device = "cuda" if on_gpu else "cpu"
    lines = [
        f"{torch.cuda.get_device_name() if on_gpu else f'{torch.get_num_threads()} CPU threads'}, "
        f"{pick_precision(device, 'auto')}, batches of {given.batch}, {given.clock} clock",
        "",
        "| network | bare loop, epoch | Trainer, epoch | ratio (least..most) | Trainer, start |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in given.networks:
        steps = given.steps if name == "alexnet" else given.small_steps
        data = batches_of(_SIZES[name], steps, given.batch, device)
        lines.append(row(name, data, given.repeats, _CLOCKS[given.clock]))
        print(lines[-1], flush=True)
    print("\n".join(lines))
    if given.output is not None:
        with whole_file(given.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def batches_of(size: int, steps: int, batch: int, device: str) -> list[dict[str, torch.Tensor]]:
    """Make random batches."""
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(batch, 3, size, size, generator=generator)
            .to(device)
            .contiguous(memory_format=torch.channels_last),
            "label": torch.randint(_CLASSES, (batch,), generator=generator).to(device),
        }
        for _ in range(steps)
    ]


def row(
    name: str, data: list[dict[str, torch.Tensor]], repeats: int, clock: Callable[[], float]
) -> str:
    """Measure one network; a row of the table."""
    size, device = data[0]["image"].shape[-1], data[0]["image"].device.type
    torch.manual_seed(0)
    options: dict[str, Any] = {} if name == "alexnet" else {"image_size": size}
    start = {k: v.clone() for k, v in build_model(name, **options).state_dict().items()}

    def fresh() -> nn.Module:
        model: nn.Module = build_model(name, **options)
        model.load_state_dict(start)
        return model

    ways: dict[str, Callable[[Batches], None]] = {
        "bare": lambda batches: bare(fresh(), batches, device),
        "trainer": lambda batches: trained(fresh(), batches, device),
    }
    timed: dict[str, list[Timed]] = {way: [] for way in ways}
    for call in ways.values():
        measured(call, data[:1], clock)
    for repeat in range(repeats):
        for way in sorted(ways, reverse=bool(repeat % 2)):
            timed[way].append(measured(ways[way], data, clock))
    pairs = zip(timed["trainer"], timed["bare"], strict=True)
    ratios = [median(one.epochs) / median(other.epochs) for one, other in pairs]
    epochs = {way: median(t for run in runs for t in run.epochs) for way, runs in timed.items()}
    begin = median(run.start for run in timed["trainer"])
    return (
        f"| {name}, {size} px, {len(data)} steps | {epochs['bare']:.3f} s "
        f"| {epochs['trainer']:.3f} s "
        f"| {median(ratios):.3f} ({min(ratios):.3f}..{max(ratios):.3f}) | {begin:.2f} s |"
    )


def measured(
    call: Callable[[Batches], None], data: list[dict[str, torch.Tensor]], clock: Callable[[], float]
) -> Timed:
    """Time one run."""
    batches = Batches(data, clock)
    start = clock()
    call(batches)
    begun = batches.begun[-_EPOCHS:]  # an engine may look for the first batch before it begins
    epochs = [after - before for before, after in itertools.pairwise(begun)]
    return Timed(epochs, begun[0] - start)


def trained(model: nn.Module, batches: Batches, device: str) -> None:
    """Train with the Trainer."""
    options: dict[str, Any] = {"class_weights": None, "device": device, "progress": False}
    Trainer(model, epochs=_EPOCHS, learning_rate=_RATE, **options).fit(batches)


def bare(model: nn.Module, batches: Batches, device: str) -> None:
    """Train with a loop as one writes it by hand."""
    kind = _AUTOCAST.get(pick_precision(device, "auto"))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch leaves this form out
    decays = [[p for p in model.parameters() if (p.ndim > 1) == large] for large in (True, False)]
    groups = [
        {"params": part, "weight_decay": decay}
        for part, decay in zip(decays, (0.02, 0.0), strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, lr=_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        _RATE,
        total_steps=_EPOCHS * len(batches),
        pct_start=0.25,
        cycle_momentum=False,
    )
    scaler = torch.amp.GradScaler(device, enabled=kind is torch.float16)
    model.train()
    for _ in range(_EPOCHS):
        total = torch.zeros((), device=device)
        for batch in batches:
            with torch.autocast(device, dtype=kind, enabled=kind is not None):
                loss = nn.functional.cross_entropy(model(batch["image"]).float(), batch["label"])
            optimizer.zero_grad()
            torch.autograd.backward(scaler.scale(loss))
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            total += loss.detach()
        float(total)


if __name__ == "__main__":
    main()
