"""Components kept by their steps: against the pixels that OpenCV labels."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib.preprocessing.hair import components
from dermolib.preprocessing.hair.components import components_above

Steps = npt.NDArray[np.uint8]


def framed(steps: Steps) -> Steps:
    """Put the column and the row of zeros around that keep rows apart."""
    return np.pad(steps, ((0, 1), (1, 0)))


def textbook(steps: Steps, low: int, high: int, min_area: int) -> npt.NDArray[np.bool_]:
    count, label = cv2.connectedComponents((steps > low).astype(np.uint8), connectivity=8)
    kept = [
        number > 0 and (steps[label == number] > high).any() and (label == number).sum() >= min_area
        for number in range(count)
    ]
    mask: npt.NDArray[np.bool_] = np.array(kept)[label]
    return mask


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    density=st.sampled_from([0.02, 0.3, 0.5, 0.9, 1.0]),
    min_area=st.integers(1, 12),
    seed=st.integers(0, 999),
)
def test_the_same_pixels_are_kept_as_by_labels(
    height: int, width: int, density: float, min_area: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    steps = generator.integers(1, 30, (height, width), dtype=np.uint8)
    steps[generator.random((height, width)) > density] = 0

    mask = components_above(framed(steps), 5, 20, min_area)

    assert (mask == textbook(steps, 5, 20, min_area)).all()


@pytest.mark.parametrize("most", [0, 10**9])
def test_both_ways_to_label_keep_the_same(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_MOST_RUNS", most)
    steps = np.random.default_rng(0).integers(0, 30, (90, 120), dtype=np.uint8)

    mask = components_above(framed(steps), 17, 27, 9)

    assert (mask == textbook(steps, 17, 27, 9)).all()
    assert mask.any()


def test_long_ways_around_are_one_component() -> None:
    comb = np.zeros((80, 81), np.uint8)
    comb[:, ::2] = 6
    comb[-1] = 6
    rings = np.zeros((81, 81), np.uint8)
    for edge in range(0, 40, 4):
        rings[edge : 81 - edge, [edge, 80 - edge]] = 6
        rings[[edge, 80 - edge], edge : 81 - edge] = 6
    rings[40, 0:40] = 6
    comb[0, 0] = rings[0, 0] = 9

    assert components_above(framed(comb), 5, 8, 1).sum() == (comb > 0).sum()
    assert components_above(framed(rings), 5, 8, 1).sum() == (rings > 0).sum()


def test_nothing_above_is_nothing_kept() -> None:
    assert not components_above(framed(np.full((5, 6), 3, np.uint8)), 5, 8, 1).any()
