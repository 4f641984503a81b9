"""Near-duplicate search: the answer of all pairs, thinned only as promised."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.auditing import duplicates as module
from dermolib.auditing.duplicates import Duplicates, find_duplicates
from dermolib.auditing.hashing import HASH_BYTES, SCALE, orientations

Hashes = npt.NDArray[np.uint8]


def unrelated(count: int, seed: int, contrast: int = 12) -> Hashes:
    """Draw hashes of images that show nothing in common."""
    drawn = np.random.default_rng(seed).normal(0, contrast, (count, HASH_BYTES))
    return as_hashes(drawn)


def as_hashes(coefficients: npt.NDArray[Any]) -> Hashes:
    return np.asarray(np.clip(np.rint(coefficients), -127, 127).astype(np.int8).view(np.uint8))


def changed(hashes: Hashes, seed: int, by: float = 1.0) -> Hashes:
    """Change each hash a little and rotate it at random."""
    rng = np.random.default_rng(seed)
    rotated = np.stack(list(orientations(hashes)))
    chosen = rotated[rng.integers(0, 8, len(hashes)), np.arange(len(hashes))].view(np.int8)
    return as_hashes(chosen + rng.normal(0, by, chosen.shape))


def all_pairs(hashes: Hashes, tolerance: float) -> dict[tuple[int, int], float]:
    """Compare every row with every other in eight orientations, the plain way."""
    rotated = np.stack(list(orientations(hashes))).view(np.int8).astype(int)
    rows = hashes.view(np.int8).astype(int)
    found = {}
    for i in np.flatnonzero(hashes.any(axis=1)).tolist():
        squares = ((rotated - rows[i]) ** 2).sum(axis=2).min(axis=0)
        near = np.flatnonzero((squares <= (tolerance * SCALE) ** 2) & hashes.any(axis=1))
        found.update({(i, j): float(squares[j] ** 0.5 / SCALE) for j in near.tolist() if i < j})
    return found


def as_dict(found: Duplicates) -> dict[tuple[int, int], float]:
    return {(i, j): d for (i, j), d in zip(found.pairs.tolist(), found.distances, strict=True)}


@pytest.fixture(autouse=True, scope="module")
def small_leaves() -> Iterator[None]:
    """Let a few rows already make many leaves and blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_LEAF", 4)
        patch.setattr(module, "_BLOCK", 7)
        yield


def test_a_changed_and_rotated_copy_is_found_among_others() -> None:
    hashes = unrelated(600, seed=0)
    copies = changed(hashes[[7, 300, 599]], seed=1)

    found = find_duplicates(np.concatenate([hashes, copies]))

    assert found.pairs.tolist() == [[7, 600], [300, 601], [599, 602]]
    assert found.pairs.dtype == np.intp
    assert ((found.distances > 0) & (found.distances <= 0.1)).all()


def test_the_distance_is_that_of_the_best_orientation_over_the_scale() -> None:
    hashes = unrelated(2, seed=0)
    hashes[1] = list(orientations(hashes[0]))[6]
    hashes[1, 5] = np.uint8((int(hashes[1, 5]) + 9) % 256)

    found = find_duplicates(hashes)

    np.testing.assert_allclose(found.distances, [9 / 127])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    originals=st.integers(0, 30),
    copies=st.integers(0, 30),
    by=st.sampled_from([0.3, 1.0, 2.5]),
    contrast=st.sampled_from([2, 12]),
    tolerance=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
)
def test_the_answer_is_that_of_all_pairs(
    seed: int, originals: int, copies: int, by: float, contrast: int, tolerance: float
) -> None:
    hashes = unrelated(originals, seed, contrast)
    if originals:
        rows = np.random.default_rng(seed).integers(0, originals, copies)
        hashes = np.concatenate([hashes, changed(hashes[rows], seed, by)])

    found = find_duplicates(hashes, tolerance=tolerance, most=1000)

    assert as_dict(found) == pytest.approx(all_pairs(hashes, tolerance))


def test_the_answer_is_that_of_all_pairs_among_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAF", 256)
    monkeypatch.setattr(module, "_BLOCK", 8192)
    hashes = unrelated(1500, seed=3, contrast=8)
    hashes = np.concatenate([hashes, changed(hashes[::3], seed=4, by=1.3)])

    found = find_duplicates(hashes, tolerance=0.12)

    expected = all_pairs(hashes, 0.12)
    assert 50 < len(expected) < 700
    assert as_dict(found) == pytest.approx(expected)


@pytest.mark.parametrize("largest", [1, 127])
def test_rows_with_equal_descriptors_are_told_apart_exactly(largest: int) -> None:
    signs = np.random.default_rng(0).choice([-1, 1], (700, HASH_BYTES)) * largest
    hashes = as_hashes(signs)
    hashes[650] = list(orientations(hashes[3]))[5]

    found = find_duplicates(hashes, tolerance=0.04 if largest == 1 else 0.1)

    assert as_dict(found) == {(3, 650): 0.0}


def test_most_comparisons_are_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    middles = unrelated(40, seed=0, contrast=25)
    hashes = changed(middles.repeat(100, axis=0), seed=1, by=4)
    compared = []
    exact = module._exact

    def counted(rotated: Any, codes: Any, maybe: npt.NDArray[np.bool_]) -> Any:
        compared.append(maybe.size)
        return exact(rotated, codes, maybe)

    monkeypatch.setattr(module, "_exact", counted)
    monkeypatch.setattr(module, "_LEAF", 64)

    find_duplicates(hashes, tolerance=0.05)

    assert sum(compared) < 0.15 * len(hashes) ** 2 / 2


def test_the_order_of_rows_does_not_change_what_is_found() -> None:
    hashes = unrelated(60, seed=5)
    hashes = np.concatenate([hashes, changed(hashes[:30], seed=6)])
    order = np.random.default_rng(7).permutation(len(hashes))

    there = as_dict(find_duplicates(hashes[order]))

    moved = {tuple(sorted((int(order[i]), int(order[j])))): d for (i, j), d in there.items()}
    assert moved == as_dict(find_duplicates(hashes))


def test_the_same_call_gives_the_same_answer_and_leaves_its_input_alone() -> None:
    hashes = unrelated(1, seed=0).repeat(300, axis=0)
    hashes = changed(hashes, seed=1)
    before = hashes.copy()

    one, other = find_duplicates(hashes, most=3), find_duplicates(hashes, most=3)

    np.testing.assert_array_equal(one.pairs, other.pairs)
    np.testing.assert_array_equal(one.distances, other.distances)
    np.testing.assert_array_equal(hashes, before)


@pytest.mark.parametrize(
    "hashes", [unrelated(0, seed=0), unrelated(1, seed=0), np.zeros((50, HASH_BYTES), np.uint8)]
)
def test_no_row_one_row_and_featureless_rows_have_no_duplicates(hashes: Hashes) -> None:
    found = find_duplicates(hashes)

    assert (found.pairs.shape, found.distances.shape) == ((0, 2), (0,))
    assert found.groups(len(hashes)).tolist() == list(range(len(hashes)))


def test_featureless_rows_are_left_out_and_the_others_keep_their_numbers() -> None:
    hashes = np.zeros((50, HASH_BYTES), np.uint8)
    hashes[[20, 40]] = unrelated(1, seed=0)

    found = find_duplicates(hashes)

    assert found.pairs.tolist() == [[20, 40]]


@pytest.mark.parametrize("by", [0, 0.6])
def test_a_cluster_of_copies_gives_few_pairs_and_one_group(by: float) -> None:
    copies = changed(unrelated(1, seed=0).repeat(3000, axis=0), seed=1, by=by)
    hashes = np.concatenate([unrelated(100, seed=2), copies])

    found = find_duplicates(hashes, most=4)

    assert len(found.pairs) <= 5 * len(copies)
    assert np.bincount(found.pairs.ravel(), minlength=len(hashes))[100:].min() >= 4
    assert found.groups(len(hashes)).tolist() == [*range(100), *[100] * 3000]


@settings(max_examples=30)
@given(seed=st.integers(0, 999), most=st.integers(1, 6), tolerance=st.sampled_from([0.1, 0.3]))
def test_thinning_keeps_the_groups_and_pairs_enough_of_each_row(
    seed: int, most: int, tolerance: float
) -> None:
    middles = unrelated(4, seed)
    hashes = changed(middles.repeat(12, axis=0), seed, by=2.2)

    thinned = find_duplicates(hashes, tolerance=tolerance, most=most)

    every = all_pairs(hashes, tolerance)
    full = np.array(list(every), np.intp).reshape(-1, 2)
    degrees = np.bincount(full.ravel(), minlength=len(hashes))
    kept = np.bincount(thinned.pairs.ravel(), minlength=len(hashes))
    whole = Duplicates(full, np.array(list(every.values())))
    assert (kept >= np.minimum(degrees, most)).all()
    assert len(thinned.pairs) <= (most + 1) * len(hashes)
    everything = as_dict(whole)
    assert {pair: everything[pair] for pair in as_dict(thinned)} == pytest.approx(as_dict(thinned))
    np.testing.assert_array_equal(thinned.groups(len(hashes)), whole.groups(len(hashes)))


def test_groups_are_the_connected_components_in_the_order_of_first_rows() -> None:
    order = np.random.default_rng(0).permutation(5000)
    chain = np.sort(np.stack([order[:-1], order[1:]], axis=1), axis=1) + 3
    pairs = np.concatenate([[[1, 5003], [2, 5004]], chain])

    groups = Duplicates(pairs, np.zeros(len(pairs))).groups(5005)

    assert groups.tolist() == [0, 1, 2, *[3] * 5000, 1, 2]


@pytest.mark.parametrize(
    ("hashes", "kind", "got"),
    [
        ([[1] * 64], TypeError, "an object of type list"),
        (np.zeros((2, 64)), TypeError, "dtype float64"),
        (np.zeros((2, 64), np.int8), TypeError, "dtype int8"),
        (np.zeros(64, np.uint8), ValueError, "shape (64,)"),
        (np.zeros((2, 8), np.uint8), ValueError, "shape (2, 8)"),
        (np.full((2, 64), 128, np.uint8), ValueError, "a byte of 128"),
    ],
)
def test_what_are_no_hashes_is_refused(hashes: Any, kind: type[Exception], got: str) -> None:
    sentence = f"`hashes` to be hashes (N, 64) of dtype uint8, but got {got}. Stack the results"

    with pytest.raises(kind, match=re.escape(sentence)):
        find_duplicates(hashes)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"tolerance": 0.6}, "`tolerance` to be a number in 0..0.5, but got 0.6."),
        ({"tolerance": float("nan")}, "`tolerance` to be a number in 0..0.5, but got nan"),
        ({"most": 0}, "`most` to be an integer of 1 or more, but got 0."),
    ],
)
def test_options_out_of_range_are_refused(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        find_duplicates(unrelated(2, seed=0), **option)


@pytest.mark.parametrize(("n", "kind"), [(4, ValueError), (5.0, TypeError)])
def test_groups_of_fewer_rows_than_were_paired_are_refused(n: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="`n` to be an integer of 5 or more"):
        Duplicates(np.array([[0, 4]]), np.zeros(1)).groups(n)
