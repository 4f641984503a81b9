from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dermolib.evaluation import DeLong, delong

Floats = npt.NDArray[np.float64]


def drawn(seed: int, n: int = 60, models: int = 3, ties: bool = True) -> tuple[Floats, Any]:
    generator = np.random.default_rng(seed)
    target = np.r_[0, 0, 1, 1, generator.integers(0, 2, n - 4)]
    scores = generator.normal(size=(n, models)) + generator.normal(size=(n, 1)) + target[:, None]
    return (scores.round(1) if ties else scores), target


def textbook_components(scores: Floats, target: Any) -> tuple[Floats, Floats]:
    """Compare each positive with each negative, as DeLong et al. (1988) write it."""
    above = scores[target == 1][:, None] > scores[target == 0][None]
    equal = scores[target == 1][:, None] == scores[target == 0][None]
    kernel = above + 0.5 * equal
    return kernel.mean(axis=1), kernel.mean(axis=0)


def textbook_delong(scores: Floats, target: Any) -> tuple[Floats, Floats]:
    v10, v01 = textbook_components(scores, target)
    s10, s01 = np.cov(v10.T, ddof=1), np.cov(v01.T, ddof=1)
    return v10.mean(axis=0), s10 / len(v10) + s01 / len(v01)


def textbook_obuchowski(scores: Floats, target: Any, groups: Any) -> tuple[Floats, Floats]:
    """Sum the components over each cluster, as Obuchowski (1997) writes it."""
    v10, v01 = textbook_components(scores, target)
    area, names = v10.mean(axis=0), np.unique(groups)
    diseased, healthy = groups[target == 1], groups[target == 0]
    x = np.array([v10[diseased == g].sum(0) - (diseased == g).sum() * area for g in names])
    y = np.array([v01[healthy == g].sum(0) - (healthy == g).sum() * area for g in names])
    i10, i01, i = len(np.unique(diseased)), len(np.unique(healthy)), len(names)
    m, n = len(diseased), len(healthy)
    s10 = i10 / ((i10 - 1) * m) * x.T @ x
    s01 = i01 / ((i01 - 1) * n) * y.T @ y
    s11 = i / (i - 1) * x.T @ y
    return area, s10 / m + s01 / n + (s11 + s11.T) / (m * n)


@pytest.mark.parametrize("seed", range(5))
def test_with_one_image_per_lesion_the_covariance_is_that_of_delong(seed: int) -> None:
    scores, target = drawn(seed)

    found = delong(scores, target)

    area, covariance = textbook_delong(scores, target)
    np.testing.assert_allclose(found.auc, area, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-12)
    error = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5
    p_value = 2 * norm.sf(abs(area[0] - area[1]) / error)
    assert found.p_value(0, 1) == pytest.approx(p_value, abs=1e-10)
    assert found.difference(0, 1).low == pytest.approx(area[0] - area[1] - 1.959964 * error)


@pytest.mark.parametrize("seed", range(5))
def test_with_lesions_of_both_classes_the_covariance_is_that_of_obuchowski(seed: int) -> None:
    scores, target = drawn(seed)
    groups = np.random.default_rng(seed).integers(0, 25, len(target))

    found = delong(scores, target, groups=groups)

    area, covariance = textbook_obuchowski(scores, target, groups)
    np.testing.assert_allclose(found.auc, area, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-12)
    assert found.groups == len(np.unique(groups))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9999), st.sampled_from([np.exp, lambda x: 3 * x - 7, np.cbrt]))
def test_areas_are_those_of_scikit_learn_whatever_the_scale(seed: int, change: Any) -> None:
    scores, target = drawn(seed, ties=False)

    found, changed = delong(scores, target), delong(change(scores), target)

    areas = [roc_auc_score(target, column) for column in scores.T]
    np.testing.assert_allclose(found.auc, areas, atol=1e-12)
    np.testing.assert_allclose(found.covariance, changed.covariance, atol=1e-12)
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-12


def test_the_order_of_the_images_does_not_matter_and_exchanged_models_change_sign() -> None:
    scores, target = drawn(3)
    groups = np.arange(60) // 2
    order = np.random.default_rng(0).permutation(60)

    found = delong(scores, target, groups=groups)
    again = delong(scores[order], target[order], groups=groups[order])

    np.testing.assert_allclose(found.covariance, again.covariance, atol=1e-14)
    assert found.difference(0, 2).score == -found.difference(2, 0).score
    assert found.p_value(0, 2) == found.p_value(2, 0)


def test_copies_of_images_add_nothing_once_their_lesion_is_known() -> None:
    scores, target = drawn(1)
    twice, lesions = np.repeat(np.arange(60), 2), np.repeat(np.arange(60), 2)

    once = delong(scores, target)
    naive = delong(scores[twice], target[twice])
    clustered = delong(scores[twice], target[twice], groups=lesions)

    np.testing.assert_allclose(clustered.covariance, once.covariance, atol=1e-12)
    assert naive.covariance[0, 0] < 0.55 * once.covariance[0, 0]


def test_a_model_does_not_differ_from_itself() -> None:
    scores, target = drawn(0, models=1)

    found = delong(np.hstack([scores, scores]), target)

    assert found.p_value() == 1
    assert found.difference().score == 0
    assert isinstance(found, DeLong)


@pytest.mark.parametrize(
    ("scores", "target", "groups", "error", "words"),
    [
        ([0.1, np.nan, 0.3, 0.2], [0, 1, 0, 1], None, ValueError, r"`scores`.*finite.*NaN"),
        (["a", "b", "c", "d"], [0, 1, 0, 1], None, TypeError, r"`scores`.*dtype"),
        ([0.1, 0.2, 0.3], [0, 1, 0, 1], None, ValueError, r"`scores`.*`target`, 4.*3"),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0], None, ValueError, r"two groups.*class 1.*0"),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0, 1, 2, 2], ValueError, r"two groups.*class 1.*1"),
        ([0.1, 0.2, 0.3, 0.4], [0, 2, 1, 1], None, ValueError, r"`target`.*0\.\.1.*2"),
    ],
)
def test_scores_that_have_no_covariance_are_refused(
    scores: Any, target: Any, groups: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        delong(scores, target, groups=groups)


def test_a_model_that_is_not_there_is_refused() -> None:
    scores, target = drawn(0, models=2)

    with pytest.raises(ValueError, match=r"`second`.*0\.\.1.*2"):
        delong(scores, target).difference(0, 2)


def test_scores_of_any_tensor_are_read_and_rows_of_other_lengths_are_refused() -> None:
    torch = pytest.importorskip("torch")
    assert delong(torch.tensor([0.0, 1, 2, 3]).bfloat16(), [0, 0, 1, 1]).auc.tolist() == [1.0]
    with pytest.raises(ValueError, match=r"`scores`.*rows of different lengths"):
        delong([[1, 2], [3]], [0, 1])
