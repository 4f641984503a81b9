"""Batches are checked and converted or refused, never ignored; mixup and cutmix."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

# What each step does to its batch; through a run their values cannot be seen
from dermolib.training.batches import Batch, labeled, mix, unpack

K = 3
IMAGE = torch.zeros(2, 3, 4, 4)
LABEL = torch.tensor([0, 2])
SOFT = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])


def batch(**parts: Any) -> dict[str, Any]:
    return {"image": IMAGE, "label": LABEL, **parts}


@given(seed=st.integers(0, 10**6), rows=st.integers(1, 9), classes=st.integers(2, 30))
def test_probabilities_of_any_precision_are_soft_labels(seed: int, rows: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    soft = (torch.randn(rows, classes, generator=generator) * 4).softmax(dim=1)

    for kind in (torch.float64, torch.float32, torch.float16):
        given = {"image": torch.zeros(rows, 3, 1, 1), "label": torch.zeros(rows).long()}
        taken = labeled({**given, "soft_label": soft.to(kind)}, classes).soft_label
        assert taken is not None
        assert torch.equal(taken, soft.to(kind).float())


ROWS = "probabilities (2, 3), floating point, each row of sum 1, but got "


@pytest.mark.parametrize(
    ("name", "value", "error", "sentence"),
    [
        ("soft_label", SOFT.long(), TypeError, f"{ROWS}torch.int64"),
        ("soft_label", SOFT[:, :2], ValueError, f"{ROWS}torch.float32 of shape (2, 2)"),
        ("soft_label", SOFT[0], ValueError, f"{ROWS}torch.float32 of shape (3,)"),
        ("soft_label", SOFT[:1], ValueError, f"{ROWS}torch.float32 of shape (1, 3)"),
        ("soft_label", SOFT * 100, ValueError, f"{ROWS}[50.0, 50.0, 0.0] in row 0. Logits become"),
        ("soft_label", SOFT * 0, ValueError, f"{ROWS}[0.0, 0.0, 0.0] in row 0."),
        ("soft_label", SOFT * torch.nan, ValueError, f"{ROWS}[nan, nan, nan] in row 0."),
        ("soft_label", SOFT * 2 - SOFT.flip(1), ValueError, f"{ROWS}[1.0, 0.5, -0.5] in row 0."),
        ("soft_label", SOFT / 0, ValueError, f"{ROWS}[inf, inf, nan] in row 0."),
        ("soft_label", [LABEL, LABEL], TypeError, "a tensor (N, K) of numbers, or None, but got a"),
        (
            "metadata",
            np.array(["a", "b"]),
            TypeError,
            "of shape (2,). Give each sample an array or",
        ),
        ("metadata", {"age": LABEL}, TypeError, "a tensor (N, M) of numbers, or None, but got an"),
        ("metadata", SOFT / 0, ValueError, "finite, but got NaN or infinity in row 0, 1. Repair"),
        ("image", IMAGE / 0, ValueError, "finite, but got NaN or infinity in row 0, 1. Repair or"),
        ("image", IMAGE.byte(), TypeError, "or a `DeviceLoader` an `augment` such as `BatchAugme"),
        ("label", LABEL[:, None], TypeError, "in 0..2, but got torch.int64 of shape (2, 1)."),
        ("label", SOFT, TypeError, "classes (N,) in 0..2, but got torch.float32 of shape (2, 3)."),
        ("label", LABEL.double(), TypeError, "in 0..2, but got torch.float64 of shape (2,)."),
        ("label", [0, 2], TypeError, "classes (N,) in 0..2, but got an object of type list."),
        ("label", LABEL + 1, ValueError, "in 0..2, but got 1, 3. Labels begin at 0"),
        ("label", LABEL[:1], ValueError, "one class for each image, but got 1 for 2 images."),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    name: str, value: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=f"^Expected `{name}` to be .*{re.escape(sentence)}"):
        labeled(batch(**{name: value}), K)


def test_images_that_are_not_finite_are_named_by_id() -> None:
    with pytest.raises(ValueError, match="NaN or infinity in image ISIC_1, ISIC_2"):
        labeled(batch(image=IMAGE * torch.nan, id=["ISIC_1", "ISIC_2"]), K)


def test_batches_without_labels_are_refused() -> None:
    for parts in ({}, {"soft_label": SOFT}):
        with pytest.raises(ValueError, match=r"with `label`, but got none\. .* use `predict`"):
            labeled({"image": IMAGE, **parts}, K)


def test_arrays_are_converted_like_tensors() -> None:
    metadata = np.arange(4.0).reshape(2, 2)
    soft, label = SOFT.double().numpy(), LABEL.numpy()

    ready: Any = labeled(batch(label=label, soft_label=soft, metadata=metadata), K)

    assert torch.equal(ready.label, LABEL)
    assert torch.equal(ready.soft_label, SOFT)
    assert ready.metadata.tolist() == metadata.tolist()
    assert ready.metadata.dtype == ready.soft_label.dtype == torch.float32
    assert unpack((IMAGE, LABEL)).image is IMAGE


def numbered(rows: int, side: int = 12) -> Batch:
    """Make a batch of images each of one value, its number, of as many classes."""
    numbers = torch.arange(rows).float()
    return Batch(
        numbers[:, None, None, None].expand(-1, 3, side, side + 4).clone(),
        label=torch.arange(rows) % 6,
        metadata=torch.nn.functional.one_hot(torch.arange(rows), rows).float(),
    )


def mixed(batch: Batch, *, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mix(batch, mixup=mixup, cutmix=cutmix, num_classes=6)


seeds = st.integers(0, 10**6)


@given(rows=st.integers(1, 6), seed=seeds, kind=st.sampled_from(["mixup", "cutmix"]))
def test_labels_and_metadata_are_blended_as_images_are(rows: int, seed: int, kind: str) -> None:
    new = mixed(numbered(rows), seed=seed, **{kind: 0.8})

    # The mean of an image is its own number by its fraction and the other's by the rest
    means, soft = new.image.mean(dim=(1, 2, 3)), new.soft_label
    torch.testing.assert_close(soft.sum(1), torch.ones(rows))
    torch.testing.assert_close(means, soft @ torch.arange(6).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(new.metadata, soft[:, :rows])


@given(seed=seeds)
def test_mixup_has_one_fraction_for_the_whole_batch(seed: int) -> None:
    new = mixed(numbered(4), mixup=1.0, seed=seed)

    own = new.soft_label[torch.arange(4), torch.arange(4)]
    assert len(set(own[own < 1].tolist())) <= 1
    assert (new.image.flatten(1).std(dim=1) < 1e-5).all()


@given(seed=seeds)
def test_cutmix_pastes_one_window_and_changes_no_pixel(seed: int) -> None:
    data = numbered(4)

    new = mixed(data, cutmix=1.0, seed=seed)

    for own, image in zip(data.image, new.image, strict=True):
        other = (image != own).any(0)
        assert len(set(image.flatten().tolist())) <= 2
        rows, columns = other.any(1).nonzero().flatten(), other.any(0).nonzero().flatten()
        if len(rows):
            assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_with_both_on_each_is_used_half_of_the_time() -> None:
    news = [mixed(numbered(6, 4), mixup=1.0, cutmix=1.0, seed=seed) for seed in range(400)]

    assert 150 < sum(bool((new.image % 1 != 0).any()) for new in news) < 250


def test_the_parameter_decides_how_much_is_mixed() -> None:
    def least(alpha: float) -> float:
        softs = [mixed(numbered(2, 4), mixup=alpha, seed=k).soft_label for k in range(200)]
        fractions: list[Tensor] = [soft[0, :2].min() for soft in softs]
        return float(torch.stack(fractions).mean())

    assert least(0.1) < 0.5 * least(10.0)


def test_probabilities_can_be_mixed_again() -> None:
    uniform = torch.full((2, 6), 1 / 6)

    new = mixed(Batch(torch.zeros(2, 3, 4, 4), soft_label=uniform), mixup=1.0)

    torch.testing.assert_close(new.soft_label, uniform)
