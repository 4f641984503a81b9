import warnings
from pathlib import Path

import pytest
import torch
from torch import distributed

from dermolib.models.devices import pick_precision
from dermolib.training import engine
from dermolib.training.engine import quiet


@pytest.mark.parametrize(
    ("device", "cuda", "bfloat16", "precision"),
    [
        ("cuda", True, True, "bf16-mixed"),
        ("auto", True, False, "16-mixed"),
        ("auto", False, True, "bf16-mixed"),
        ("cpu", True, False, "32-true"),
        ("mps", False, True, "32-true"),
    ],
)
def test_the_precision_is_the_fastest_that_the_device_has(
    monkeypatch: pytest.MonkeyPatch, device: str, cuda: bool, bfloat16: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    capabilities = {"avx512_bf16": bfloat16}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    assert pick_precision(device, "auto") == precision


def test_a_precision_that_was_asked_for_is_taken() -> None:
    assert pick_precision("cpu", "32-true") == "32-true"


def test_warnings_about_anything_else_come_through() -> None:
    with quiet(), pytest.warns(UserWarning, match="The images are upside down"):
        warnings.warn("The images are upside down", stacklevel=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_trains_in_mixed_precision() -> None:
    from test_trainer import Colours, network

    from dermolib import Trainer

    history = Trainer(network(), num_classes=3, epochs=2).fit(Colours(32), Colours(16))

    assert len(history) == 2


def test_a_process_leaves_its_group_before_it_ends(tmp_path: Path) -> None:
    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)

    engine._leave_group()
    left = not distributed.is_initialized()
    engine._leave_group()

    assert left
