from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skin import draw_skin, photograph, similarity
from sklearn.decomposition import PCA

from dermolib.auditing import shortlist
from dermolib.auditing.local_features import describe_image, unit_descriptors
from dermolib.auditing.shortlist import (
    CANDIDATES,
    build_index,
    nearest_features,
    unique_pairs,
    vote,
)


@pytest.fixture(scope="module")
def block() -> npt.NDArray[np.void]:
    """Give the features of five lesions and of a second photograph of the first."""
    skins = [draw_skin(seed, 100, 130) for seed in range(5)]
    skins.append(photograph(skins[0], similarity(1.1, 20, 15, -25)))
    return np.stack([describe_image(skin) for skin in skins])


def indexed(block: npt.NDArray[np.void], folder: Path) -> shortlist.Index:
    np.save(folder / "block.npy", block)
    return build_index([folder / "block.npy"], folder / "index.npy")


def test_keypoints_vote_for_a_second_photograph(
    block: npt.NDArray[np.void], tmp_path: Path
) -> None:
    found = vote(block, 0, indexed(block, tmp_path), np.arange(6), 1)
    assert found["first"].tolist() == [*range(6)]
    assert (found["second"][0], found["second"][5]) == (5, 0)
    assert found["votes"][[0, 5]].min() > 3 * found["votes"][1:5].max()


def test_without_cells_the_nearest_are_those_of_all_pairs(
    block: npt.NDArray[np.void], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "_IN_CELL", 10**9)
    monkeypatch.setattr(shortlist, "_ENTRIES", 70)
    monkeypatch.setattr(shortlist, "_ROWS", 33)
    index = indexed(block, tmp_path)
    images, _, components = shortlist._voters(block, 0, shortlist._VOTERS)  # no public name
    nearest, cosine = shortlist._nearest(images, components, index, np.arange(6))
    entries = np.load(index.path)
    values = components - index.center
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    similar = values @ (entries["values"].astype(np.float32).T / 127)
    similar[images[:, None] == entries["image"]] = -2
    np.testing.assert_allclose(cosine, -np.sort(-similar, axis=1)[:, :2], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(similar, nearest, axis=1), cosine, atol=1e-5)


def test_cells_lose_few_of_the_nearest(
    block: npt.NDArray[np.void], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cells").mkdir()
    images, _, components = shortlist._voters(block, 0, shortlist._VOTERS)
    exact = shortlist._nearest(images, components, indexed(block, tmp_path), np.arange(6))[1]
    monkeypatch.setattr(shortlist, "_IN_CELL", 100)
    index = indexed(block, tmp_path / "cells")
    assert len(index.starts) > 8
    found = shortlist._nearest(images, components, index, np.arange(6))[1]
    near = exact[:, 0] > 0.9
    assert near.sum() > 50
    assert (found[near, 0] > exact[near, 0] - 1e-5).mean() > 0.85


def test_the_basis_is_orthonormal_and_descriptors_have_length_1(
    block: npt.NDArray[np.void],
) -> None:
    basis = shortlist._BASIS
    np.testing.assert_allclose(basis.T @ basis, np.eye(32), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(unit_descriptors(block[0]), axis=1), 1, atol=1e-5)


def test_nearest_features_are_those_of_whitened_components() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5)) * [9, 4, 1, 1, 0.2]
    groups = np.arange(40) // 2
    white = PCA(whiten=True).fit_transform(values)
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    cosine = white @ white.T
    cosine[groups[:, None] == groups] = -2
    found = np.concatenate([*nearest_features(values, groups, 3)])
    for row in range(40):
        expected = np.argsort(-cosine[row])[:3]
        assert {*found["second"][found["first"] == row]} == {*expected}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9)), max_size=30))
def test_each_pair_is_kept_once_with_its_most_votes(rows: list[tuple[int, int, int]]) -> None:
    rows = [row for row in rows if row[0] != row[1]]
    most: dict[tuple[int, int], int] = {}
    for first, second, votes in rows:
        key = min(first, second), max(first, second)
        most[key] = max(votes, most.get(key, 0))
    found = unique_pairs([np.array(rows[:7], CANDIDATES), np.array(rows[7:], CANDIDATES)])
    assert {(one["first"], one["second"]): one["votes"] for one in found} == most
    assert len(found) == len(most)


def test_no_images_have_no_candidates(tmp_path: Path) -> None:
    gray = np.full((40, 40, 3), 120, np.uint8)
    block = np.stack([describe_image(gray)] * 3)
    assert len(vote(block, 0, indexed(block, tmp_path), np.arange(3), 5)) == 0
    assert len(unique_pairs([])) == 0
    assert [*nearest_features(np.empty((0, 4)), np.empty(0, np.intp), 5)] == []
