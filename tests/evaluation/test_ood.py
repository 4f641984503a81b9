import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.metrics import roc_auc_score, roc_curve

from dermolib.evaluation import OODDetector, ood_score, score_unknowns

Floats = npt.NDArray[np.float64]


def features(count: int, seed: int = 0, size: int = 6) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Draw features of three classes with correlated entries."""
    generator = np.random.default_rng(seed)
    target = np.arange(count) % 3
    mixed = generator.normal(size=(count, size)) @ (np.eye(size) + 0.5)
    return mixed + 4 * np.eye(3, size)[target], target


def test_energy_and_maximum_softmax_are_higher_for_what_is_less_sure() -> None:
    logits = [[9.0, 0.0, 0.0], [1.0, 1.0, 0.5]]

    for method in ("energy", "msp"):
        sure, unsure = ood_score(logits, method=method)
        assert unsure > sure
    assert ood_score(logits, method="msp")[1] == pytest.approx(
        1 - np.exp(1) / (2 * np.exp(1) + np.exp(0.5))
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.1, 50))
def test_energy_is_minus_t_times_the_log_of_the_sum_of_exponentials_over_t(
    seed: int, temperature: float
) -> None:
    logits = np.random.default_rng(seed).normal(0, 30, (5, 4))

    found = ood_score(logits, method="energy", temperature=temperature)

    assert found == pytest.approx(-temperature * logsumexp(logits / temperature, axis=1))
    assert ood_score(logits - 7, temperature=temperature) == pytest.approx(found + 7)
    again = ood_score(logits - 7, method="msp", temperature=temperature)
    assert again == pytest.approx(ood_score(logits, method="msp", temperature=temperature))


def test_mahalanobis_is_the_distance_of_scikit_learn_to_the_nearest_class() -> None:
    known, target = features(300)
    new, _ = features(20, 1)
    means = np.array([known[target == k].mean(axis=0) for k in range(3)])
    shrunken = LedoitWolf(assume_centered=True).fit(known - means[target])

    found = ood_score(new, method="mahalanobis", reference=known, reference_target=target)

    distances = [shrunken.mahalanobis(new - mean) for mean in means]
    assert found == pytest.approx(np.min(distances, axis=0))
    alone = ood_score(new, method="mahalanobis", reference=known)
    assert alone == pytest.approx(LedoitWolf().fit(known).mahalanobis(new))


def test_with_many_images_mahalanobis_is_that_of_the_empirical_covariance() -> None:
    known, _ = features(50_000)
    new, _ = features(20, 1)

    found = ood_score(new, method="mahalanobis", reference=known)

    assert found == pytest.approx(EmpiricalCovariance().fit(known).mahalanobis(new), rel=0.01)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_mahalanobis_does_not_depend_on_where_the_features_are_and_how_they_are_turned(
    seed: int,
) -> None:
    known, target = features(60, seed)
    new, _ = features(9, seed + 1)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    options: dict[str, Any] = {"method": "mahalanobis", "reference_target": target}

    found = ood_score(new, reference=known, **options)

    moved = ood_score(5 * new @ turn + 3, reference=5 * known @ turn + 3, **options)
    assert moved == pytest.approx(found, rel=1e-6)


def test_fewer_images_than_features_still_have_a_distance() -> None:
    known, target = features(30, size=80)

    found = ood_score(known, method="mahalanobis", reference=known, reference_target=target)
    far = ood_score(known + 10, method="mahalanobis", reference=known, reference_target=target)

    assert np.isfinite(found).all()
    assert far.min() > found.max()


@pytest.mark.parametrize("method", ["energy", "msp", "mahalanobis"])
def test_a_detector_passes_known_images_finds_unknown_ones_and_comes_back_from_json(
    method: str,
) -> None:
    reference, target = features(300)
    given: dict[str, Any] = {"reference": reference, "reference_target": target}
    options = given if method == "mahalanobis" else {}
    known, _ = features(4000, 1)
    unknown = np.random.default_rng(2).normal(0, 0.1, (50, 6)) - 6 * (method != "msp")

    detector = OODDetector(method).fit(features(400, 3)[0], **options)

    assert (~detector.predict(known)).mean() == pytest.approx(0.95, abs=0.035)
    assert detector.predict(unknown).mean() > 0.5
    scores = ood_score(known, method=method, **options)
    assert detector.score(known) == pytest.approx(scores)
    again = OODDetector.from_dict(json.loads(json.dumps(detector.to_dict(), allow_nan=False)))
    assert (again.predict(known) == detector.predict(known)).all()
    assert repr(again) == repr(detector)


def test_the_threshold_counts_each_lesion_once() -> None:
    logits = np.c_[np.arange(59.0), np.zeros(59)]
    lesions = np.r_[np.zeros(40), np.arange(1, 20)]  # 40 of the least sure images are one lesion

    detector = OODDetector("energy", tpr=0.9).fit(logits, groups=lesions)
    alone = OODDetector("energy", tpr=0.9).fit(logits)

    # the 18.9th of 20 lesions, and the 54th of 59 images
    assert detector.threshold == pytest.approx(-np.logaddexp(40, 0))
    assert alone.threshold == pytest.approx(-np.logaddexp(5, 0))


def test_too_few_lesions_for_the_rate_and_images_of_the_fit_are_refused() -> None:
    logits = features(40)[0]
    with pytest.raises(ValueError, match=r"`known`.*18, which can have 0\.947"):
        OODDetector().fit(logits[:18])
    detector = OODDetector().fit(logits, ids=[f"a{n}" for n in range(40)])
    with pytest.raises(ValueError, match="fitting the detector"):
        detector.predict(logits[:2], ids=["a1", "b"])
    detector = OODDetector().fit(logits, groups=[f"a{n}" for n in range(40)])
    with pytest.raises(ValueError, match=r"`groups`.*fitting the detector"):
        detector.predict(logits[:2], groups=["a1", "b"])
    assert len(detector.predict(logits[:2], groups=["b", None])) == 2


def test_scores_of_unknowns_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    known = generator.normal(size=300).round(1)
    unknown = generator.normal(1.5, 1, size=200).round(1)

    table = score_unknowns(known, unknown, resamples=50).set_index("metric")

    truth, scores = np.r_[np.zeros(300), np.ones(200)], np.r_[known, unknown]
    assert table.loc["roc_auc", "value"] == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(1 - truth, -scores)  # known is positive
    assert table.loc["fpr_at_tpr", "value"] == pytest.approx(false[true >= 0.95].min())
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert table[["known", "unknown"]].iloc[0].tolist() == [300, 200]


def test_tiles_of_one_picture_widen_the_intervals_and_few_pictures_are_marked() -> None:
    generator = np.random.default_rng(0)
    known = generator.normal(size=300)
    unknown = np.repeat(generator.normal(1.5, 1, size=8), 25)
    pictures = np.repeat(np.arange(8), 25)

    alone = score_unknowns(known, unknown, resamples=200)
    by_picture = score_unknowns(known, unknown, unknown_groups=pictures, resamples=200)

    width = [table["high"] - table["low"] for table in (alone, by_picture)]
    assert (width[1] > 1.5 * width[0]).all()
    assert not alone["few"].any()
    assert by_picture["few"].all()
    assert by_picture["unknown_groups"].tolist() == [8, 8]


@pytest.mark.parametrize(
    ("values", "options", "error", "words"),
    [
        ([[1.0, 2.0]], {"method": "odin"}, ValueError, r"`method`.*'energy', 'mahalanobis'"),
        ([[1.0, 2.0]], {"temperature": 0}, ValueError, r"`temperature`.*above 0"),
        ([[1.0], [2.0]], {}, ValueError, r"two classes or more"),
        ([1.0, 2.0], {}, ValueError, r"`features_or_logits`.*\(2,\)"),
        ([[1.0, np.inf]], {}, ValueError, r"`features_or_logits`.*finite"),
        ([["a", "b"]], {}, TypeError, r"`features_or_logits`"),
        ([[1.0, 2.0]], {"method": "mahalanobis"}, ValueError, r"`reference`.*None"),
        ([[1.0, 2.0]], {"reference": [[1.0, 2.0]]}, ValueError, r"`reference`.*None for 'energy'"),
        ([[1.0, 2.0]], {"reference_target": [0]}, ValueError, r"`reference_target`"),
    ],
)
def test_values_and_options_of_scores_out_of_range_are_refused(
    values: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ood_score(values, **options)


def test_references_of_other_shapes_are_refused() -> None:
    known, target = features(30)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"reference_target": target[:-1]}, r"`reference_target`.*\(30,\)"),
        ({"reference_target": np.arange(30)}, r"`reference`.*more images than classes"),
        ({"reference": known[:, :2]}, r"`features_or_logits`.*\(N, 2\)"),
        ({"reference": np.ones((30, 6))}, r"`reference`.*vary"),
    ]
    for options, words in mistakes:
        with pytest.raises(ValueError, match=words):
            ood_score(known, **{"method": "mahalanobis", "reference": known, **options})
    with pytest.raises(TypeError, match="`reference_target`"):
        ood_score(known, method="mahalanobis", reference=known, reference_target=target / 2)


def test_a_detector_that_was_not_fitted_and_half_a_mapping_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Call `fit`"):
        OODDetector().predict([[1.0, 2.0]])
    with pytest.raises(RuntimeError, match="Call `fit`"):
        OODDetector().to_dict()
    with pytest.raises(ValueError, match="no threshold"):
        OODDetector.from_dict({"method": "msp", "temperature": 1.0, "tpr": 0.95})
    with pytest.raises(ValueError, match="`known` to be scores"):
        score_unknowns([[0.1]], [0.2])


def test_a_data_frame_of_logits_is_read() -> None:
    logits = pd.DataFrame({"MEL": [1.0, 2.0], "NV": [0.0, 1.0]})

    assert ood_score(logits) == pytest.approx(ood_score(logits.to_numpy()))


def test_features_whose_square_is_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"NaN, infinity or 1e\+100"):
        ood_score([[1e200, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize("method", ["energy", "msp"])
def test_probabilities_and_logits_of_other_classes_are_no_logits(method: str) -> None:
    with pytest.raises(ValueError, match=r"logits \(N, K\).*rows sum to 1.*before the softmax"):
        ood_score([[0.9, 0.1], [0.2, 0.8]], method=method)
    detector = OODDetector(method, tpr=0.5).fit(np.diag([6.0] * 8))
    with pytest.raises(ValueError, match=r"logits \(N, 8\), as many as in `fit`"):
        detector.predict([[6.0] + [0.0] * 6])
