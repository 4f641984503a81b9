import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dermolib.training.batches import Batch
from dermolib.training.mixing import mix

K = 6


def ids(rows: int, side: int = 12) -> Batch:
    """Make a batch of images each of one value, its number, of as many classes."""
    numbers = torch.arange(rows).float()
    return Batch(
        numbers[:, None, None, None].expand(-1, 3, side, side + 4).clone(),
        label=torch.arange(rows) % K,
        metadata=torch.nn.functional.one_hot(torch.arange(rows), rows).float(),
    )


def mixed(batch: Batch, *, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> Batch:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return mix(batch, mixup=mixup, cutmix=cutmix, num_classes=K)


def soft(batch: Batch) -> Tensor:
    assert batch.soft_label is not None
    return batch.soft_label


@given(
    rows=st.integers(1, K), seed=st.integers(0, 10**6), kind=st.sampled_from(["mixup", "cutmix"])
)
def test_labels_are_shared_as_images_are(rows: int, seed: int, kind: str) -> None:
    batch = ids(rows)

    new = mixed(batch, seed=seed, **{kind: 0.8})

    # The mean of an image is its own number by its share and the other's by the rest
    means = new.image.mean(dim=(1, 2, 3))
    numbers = torch.arange(K).float()
    torch.testing.assert_close(soft(new).sum(1), torch.ones(rows))
    torch.testing.assert_close(means, soft(new) @ numbers, rtol=1e-4, atol=1e-4)


@given(
    rows=st.integers(1, K), seed=st.integers(0, 10**6), kind=st.sampled_from(["mixup", "cutmix"])
)
def test_metadata_are_shared_as_labels_are(rows: int, seed: int, kind: str) -> None:
    new = mixed(ids(rows), seed=seed, **{kind: 0.8})

    assert new.metadata is not None
    torch.testing.assert_close(new.metadata, soft(new)[:, :rows])


@given(seed=st.integers(0, 10**6))
def test_mixup_has_one_share_for_the_whole_batch(seed: int) -> None:
    new = mixed(ids(4), mixup=1.0, seed=seed)

    own = soft(new)[torch.arange(4), torch.arange(4)]
    moved = own < 1
    assert len(set(own[moved].tolist())) <= 1
    assert (new.image.flatten(1).std(dim=1) < 1e-5).all()


@given(seed=st.integers(0, 10**6))
def test_cutmix_pastes_one_window_and_changes_no_pixel(seed: int) -> None:
    batch = ids(4)

    new = mixed(batch, cutmix=1.0, seed=seed)

    for own, image in zip(batch.image, new.image, strict=True):
        other = (image != own).any(0)
        assert len(set(image.flatten().tolist())) <= 2
        rows, columns = other.any(1).nonzero().flatten(), other.any(0).nonzero().flatten()
        if len(rows):
            assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_with_both_on_each_is_taken_half_of_the_time() -> None:
    batch = ids(K)

    blends = sum(
        bool((mixed(batch, mixup=1.0, cutmix=1.0, seed=seed).image % 1 != 0).any())
        for seed in range(400)
    )

    assert 150 < blends < 250


def test_the_parameter_decides_how_much_is_mixed() -> None:
    def least(alpha: float) -> float:
        shares = [soft(mixed(ids(2), mixup=alpha, seed=seed))[0, :2].min() for seed in range(200)]
        return float(torch.stack(shares).mean())

    assert least(0.1) < 0.5 * least(10.0)


def test_probabilities_can_be_mixed_again() -> None:
    batch = Batch(torch.zeros(2, 3, 4, 4), soft_label=torch.full((2, K), 1 / K))

    new = mixed(batch, mixup=1.0)

    torch.testing.assert_close(soft(new), torch.full((2, K), 1 / K))


def test_a_batch_without_labels_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Expected `batch` to be a batch with `label`, but got n"
    ):
        mixed(Batch(torch.zeros(2, 3, 4, 4)), mixup=1.0)
