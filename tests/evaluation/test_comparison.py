import itertools
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2, false_discovery_control, norm
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from dermolib.evaluation import Comparison, compare, compare_all, delong, mcnemar
from dermolib.evaluation.statistics import CLASS_METRICS, OVERALL_METRICS

Floats = npt.NDArray[np.float64]
CODES = ["MEL", "NV", "BCC"]
FAST: dict[str, Any] = {"resamples": 200, "permutations": 500}


def drawn(seed: int = 0, n: int = 90, better: float = 0.0) -> tuple[Floats, Floats, Any, Any]:
    generator = np.random.default_rng(seed)
    lesions = np.r_[np.arange(n // 2), generator.integers(0, n // 2, n - n // 2)]
    target = generator.integers(0, 3, n // 2)[lesions]
    logits = generator.normal(size=(2, n, 3)) + generator.normal(size=(1, n, 3))
    logits[0] += (1.5 + better) * np.eye(3)[target]
    logits[1] += 1.5 * np.eye(3)[target]
    a, b = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return a, b, target, lesions


def frames(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series]:
    a, b, target, lesions = drawn(seed)
    ids = [f"ISIC_{number:04}" for number in range(len(target))]
    first, second = (pd.DataFrame(one, ids, CODES) for one in (a, b))
    return first, second, pd.Series([CODES[k] for k in target], ids), pd.Series(lesions, ids)


@pytest.mark.parametrize(
    ("metric", "foreign"),
    [
        ("balanced_accuracy", lambda t, p: balanced_accuracy_score(t, p.argmax(axis=1))),
        ("macro_f1", lambda t, p: f1_score(t, p.argmax(axis=1), average="macro")),
        ("log_loss", log_loss),
        ("roc_auc:2", lambda t, p: roc_auc_score(t == 2, p[:, 2])),
        ("macro_roc_auc", lambda t, p: roc_auc_score(t, p, multi_class="ovr")),
    ],
)
def test_values_are_those_of_scikit_learn(metric: str, foreign: Any) -> None:
    a, b, target, lesions = drawn()

    found = compare(a, b, target, groups=lesions, metric=metric, **FAST)

    assert found.a == pytest.approx(foreign(target, a), abs=1e-12)
    assert found.b == pytest.approx(foreign(target, b), abs=1e-12)
    assert found.difference == pytest.approx(found.a - found.b, abs=1e-15)
    assert found.low <= found.difference <= found.high
    assert (found.n, found.groups, found.metric) == (90, 45, metric)


@pytest.mark.parametrize("metric", [*OVERALL_METRICS, *(f"{name}:1" for name in CLASS_METRICS)])
def test_every_score_can_be_compared_and_exchanged_models_change_the_sign(metric: str) -> None:
    a, b, target, lesions = drawn(4)

    found = compare(a, b, target, groups=lesions, metric=metric, **FAST)
    turned = compare(b, a, target, groups=lesions, metric=metric, **FAST)

    assert turned.difference == -found.difference
    assert turned.p_value == pytest.approx(found.p_value, abs=1e-12)
    assert 0 < found.p_value <= 1
    np.testing.assert_allclose([turned.low, turned.high], [-found.high, -found.low], atol=2e-3)


@pytest.mark.parametrize("metric", [*OVERALL_METRICS, *(f"{name}:1" for name in CLASS_METRICS)])
def test_a_model_does_not_differ_from_itself(metric: str) -> None:
    a, _, target, lesions = drawn()

    found = compare(a, a, target, groups=lesions, metric=metric, margin=0.01, **FAST)

    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert found.equivalent


def test_the_p_value_of_balanced_accuracy_is_that_of_all_flips_written_out() -> None:
    target = np.array([0, 0, 0, 0, 1, 1, 1])
    a, b = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 1, 0, 1, 0, 0])
    lesions = np.array([0, 0, 1, 2, 3, 3, 4])

    found = compare(a, b, target, groups=lesions)

    right = (a == target).astype(float) - (b == target)
    parts = [(right / np.where(target, 3, 4))[lesions == g].sum() / 2 for g in range(5)]
    sums = [np.dot(signs, parts) for signs in itertools.product((-1, 1), repeat=5)]
    assert found.p_value == pytest.approx(np.mean(np.abs(sums) >= abs(sum(parts)) - 1e-12))
    assert found.test == "exact permutation by group"
    assert found.p_error == 0


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1", "roc_auc:0", "log_loss"])
def test_the_p_value_does_not_depend_on_the_number_of_resamples(metric: str) -> None:
    a, b, target, lesions = drawn(1)
    options: dict[str, Any] = {"groups": lesions, "metric": metric, "permutations": 2000}

    few = compare(a, b, target, resamples=100, **options)
    many = compare(a, b, target, resamples=2000, **options)

    assert few.p_value == many.p_value
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.5)


def test_copies_of_images_do_not_make_a_difference_surer() -> None:
    a, b, target, _ = drawn(2, better=0.3)
    ten = np.repeat(np.arange(90), 10)

    once = compare(a, b, target)
    naive = compare(a[ten], b[ten], target[ten])
    by_lesion = compare(a[ten], b[ten], target[ten], groups=ten)

    assert naive.p_value < 0.1 * once.p_value
    assert by_lesion.p_value == pytest.approx(once.p_value, abs=0.02)
    assert (by_lesion.low, by_lesion.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_a_large_difference_is_found_and_a_small_one_within_a_margin_is_equivalence() -> None:
    a, b, target, lesions = drawn(3, n=600, better=2.0)

    far = compare(a, b, target, groups=lesions, margin=0.05)
    near = compare(a, 0.999 * a + 0.001 * b, target, groups=lesions, margin=0.05)

    assert far.p_value < 0.001
    assert far.low > 0.05
    assert far.equivalent is False
    assert near.equivalent is True
    assert near.equivalence is not None
    assert near.low <= near.equivalence[0] <= near.equivalence[1] <= near.high
    assert compare(a, b, target, groups=lesions, **FAST).equivalent is None


def test_the_difference_of_areas_is_tested_as_delong_tests_it() -> None:
    a, b, target, lesions = drawn(5, n=300)

    found = compare(a, b, target, groups=lesions, metric="roc_auc:1", **FAST)
    one = delong(np.column_stack([a[:, 1], b[:, 1]]), target == 1, groups=lesions)

    assert found.difference == pytest.approx(one.difference().score, abs=1e-12)
    assert found.p_value == pytest.approx(one.p_value(), abs=1e-10)
    assert found.test == "DeLong by group"


def test_the_variance_of_the_macro_average_of_areas_is_that_of_the_jackknife() -> None:
    a, b, target, lesions = drawn(6, n=260)

    found = compare(a, b, target, groups=lesions, metric="macro_roc_auc", **FAST)

    def area(scores: Any, positive: Any) -> float:
        return float((scores[positive][:, None] > scores[~positive]).mean())

    def difference(rows: Any) -> float:
        kept = target[rows]
        return float(
            np.mean([area(a[rows, k], kept == k) - area(b[rows, k], kept == k) for k in range(3)])
        )

    without = np.array([difference(lesions != lesion) for lesion in range(130)])
    error = (129 / 130 * ((without - without.mean()) ** 2).sum()) ** 0.5
    p_value = 2 * norm.sf(abs(difference(lesions >= 0)) / error)
    assert found.p_value == pytest.approx(p_value, abs=0.01)


def test_areas_of_a_class_of_few_lesions_are_tested_by_permutation_of_ranks() -> None:
    a, b, target, _ = drawn(7, n=90)
    target[:] = np.r_[np.zeros(1), np.ones(29), np.full(60, 2)]

    found = compare(a, b, target, metric="macro_roc_auc", **FAST)
    one = compare(a, b, target, metric="roc_auc:MEL", label_space=CODES, **FAST)
    many = compare(a, b, target == 2, metric="roc_auc:1", values="independent", **FAST)

    assert found.test == one.test == "500 permutations by group"
    assert found.p_error > 0
    assert one.few
    assert "Fewer than 10 groups" in str(one)
    assert many.test == "DeLong by group"


def test_scores_that_rank_do_not_depend_on_the_scale_of_one_model() -> None:
    a, b, target, lesions = drawn(8)
    options: dict[str, Any] = {"groups": lesions, "values": "independent", **FAST}

    for metric in ("average_precision:1", "pauc:0", "macro_roc_auc"):
        found = compare(a, b, target, metric=metric, **options)
        scaled = compare(a, b**3, target, metric=metric, **options)
        assert found.p_value == pytest.approx(scaled.p_value, abs=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["macro_f1", "balanced_accuracy", "brier"]))
def test_the_same_seed_gives_the_same_comparison(seed: int, metric: str) -> None:
    a, b, target, lesions = drawn(seed, n=40)

    first, again = (
        compare(
            *(a, b, target), groups=lesions, metric=metric, resamples=50, permutations=99, seed=seed
        )
        for _ in range(2)
    )

    assert first == again


def test_frames_are_put_in_the_same_order_by_their_ids() -> None:
    a, b, target, lesions = frames()

    plain = compare(*drawn()[:3], groups=drawn()[3], label_space=CODES, **FAST)
    shuffled = b.sample(frac=1, random_state=0)[["BCC", "MEL", "NV"]]
    found = compare(a, shuffled, target.sample(frac=1, random_state=1), groups=lesions, **FAST)

    assert found == plain
    assert compare(a, b.to_numpy(), target.to_numpy(), groups=lesions.tolist(), **FAST) == plain


def test_tensors_logits_and_predicted_classes_are_taken() -> None:
    a, b, target, lesions = drawn()

    plain = compare(a, b, target, groups=lesions, metric="accuracy", **FAST)
    tensors = (torch.from_numpy(one) for one in (np.log(a), np.log(b), target))
    logits = compare(*tensors, groups=lesions, metric="accuracy", values="logits", **FAST)
    classes = compare(a.argmax(1), b, target, groups=lesions, metric="accuracy", **FAST)

    assert plain == logits == classes


def test_a_comparison_is_a_sentence_a_mapping_and_json() -> None:
    a, b, target, lesions = drawn(better=0.2)

    found = compare(a, b, target, groups=lesions, margin=0.3, **FAST)

    text = str(found)
    assert f"{abs(found.difference):.3f}" in text
    assert f"p = {found.p_value:.2g}" in text
    assert "90 images of 45 groups" in text
    assert "within ±0.3: the 90 % interval" in text
    assert json.loads(found.to_json()) == found.to_dict()
    assert found.to_dict()["equivalent"] is found.equivalent
    assert isinstance(found, Comparison)


def test_several_models_are_corrected_after_holm() -> None:
    a, b, target, lesions = drawn(better=1.0)
    models = {"a": a, "b": b, "mean": (a + b) / 2, "again": a}

    table = compare_all(models, target, groups=lesions, **FAST)

    raw = table["p_value"].to_numpy()
    order, count = np.argsort(raw, kind="stable"), len(raw)
    highest, corrected = 0.0, np.zeros(count)
    for rank, place in enumerate(order):  # Holm (1979), step by step
        highest = max(highest, (count - rank) * raw[place])
        corrected[place] = min(1, highest)
    np.testing.assert_allclose(table["p_holm"], corrected, atol=1e-15)
    assert (table["p_holm"] >= false_discovery_control(raw) - 1e-12).all()
    pairs = [*itertools.combinations(models, 2)]
    assert [*zip(table["a"].tolist(), table["b"].tolist(), strict=True)] == pairs
    alone = compare(a, b, target, groups=lesions, **FAST)
    first = table.to_dict("records")[0]
    for name in ("difference", "low", "high", "p_value", "n", "groups"):
        assert first[name] == getattr(alone, name)


def test_several_models_are_compared_with_one_of_them() -> None:
    a, b, target, lesions = drawn(better=1.0)

    table = compare_all(
        {"a": a, "b": b, "again": b}, target, against="b", groups=lesions, margin=0.05, **FAST
    )

    assert table[["a", "b"]].values.tolist() == [["a", "b"], ["again", "b"]]
    assert table.loc[0, "difference"] == pytest.approx(
        balanced_accuracy_score(target, a.argmax(axis=1))
        - balanced_accuracy_score(target, b.argmax(axis=1))
    )
    assert table["equivalent"].tolist() == [False, True]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=60))
def test_mcnemar_with_one_image_per_lesion_is_the_exact_binomial_test(rows: Any) -> None:
    a, b, target = np.array(rows).T

    found = mcnemar(a, b, target)

    only_a = int(((a == target) & (b != target)).sum())
    only_b = int(((b == target) & (a != target)).sum())
    total = only_a + only_b
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p_value == pytest.approx(binomtest(only_a, total).pvalue if total else 1)
    if total:
        assert found.chi2 == pytest.approx((only_a - only_b) ** 2 / total)


def test_mcnemar_by_lesion_is_the_test_of_accuracy_and_close_to_its_chi_square() -> None:
    a, b, target, lesions = drawn(9, n=400, better=0.1)

    found = mcnemar(a, b, target, groups=lesions)

    accuracy = compare(a, b, target, groups=lesions, metric="accuracy", **FAST)
    assert found.p_value == pytest.approx(accuracy.p_value, abs=1e-12)
    assert found.p_value == pytest.approx(chi2.sf(found.chi2, 1), abs=0.06)
    assert f"a alone is right on {found.only_a}" in str(found)


def test_ten_predictions_are_compared_with_a_mark() -> None:
    target = [0, 1] * 5

    found = compare(target, [0] * 10, target, label_space=["benign", "malignant"])

    assert found.p_value == 2 / 2**5
    assert found.few
    assert "may be too narrow" in str(found)


A, B, TARGET, LESIONS = drawn()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"b": B[:80]}, ValueError, r"`b` and `target` differ in length: 80 vs 90"),
        ({"b": B[:, :2] / B[:, :2].sum(1, keepdims=True)}, ValueError, r"`b`.*class.*\(90, 2\)"),
        ({"a": np.where(A > 0.9, np.nan, A)}, ValueError, r"`a`.*finite.*NaN"),
        ({"a": 2 * A}, ValueError, r"`a`.*0\.\.1"),
        ({"metric": "balanced_acuracy"}, ValueError, r"`metric`.*Did you mean 'balanced_accuracy'"),
        ({"metric": "roc_auc"}, ValueError, r"`metric`.*one number.*roc_auc:0"),
        ({"metric": "roc_auc:7"}, ValueError, r"`roc_auc:CLASS`.*'7'"),
        ({"metric": 3}, TypeError, r"`metric`"),
        (
            {"a": A.argmax(1), "metric": "macro_roc_auc"},
            ValueError,
            r"`metric`.*`a`.*needs probabilities, not classes",
        ),
        (
            {"target": np.minimum(TARGET, 1), "metric": "sensitivity:2"},
            ValueError,
            r"no image of class 2",
        ),
        ({"groups": LESIONS[:9]}, ValueError, r"`groups`.*\(90,\).*\(9,\)"),
        ({"groups": np.zeros(90, int)}, ValueError, r"`groups`.*two groups or more.*1"),
        ({"margin": 0}, ValueError, r"`margin`.*above 0"),
        ({"margin": 0.1, "level": 0.5}, ValueError, r"`level`.*above 0\.5"),
        ({"level": 1}, ValueError, r"`level`.*below 1"),
        ({"resamples": 0}, ValueError, r"`resamples`.*1 or more"),
        ({"permutations": 1.5}, TypeError, r"`permutations`.*integer"),
        ({"seed": -1}, ValueError, r"`seed`.*0 or more"),
        ({"values": "scores"}, ValueError, r"`values`.*'logits'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {"a": A, "b": B, "target": TARGET, "groups": LESIONS} | change

    with pytest.raises(error, match=words):
        compare(**given)


def test_frames_of_different_images_are_refused_by_their_ids() -> None:
    a, b, target, lesions = frames()

    other = b.rename(index={"ISIC_0003": "ISIC_9999"})

    with pytest.raises(ValueError, match=r"`b`.*`a`.*missing.*ISIC_0003.*ISIC_9999"):
        compare(a, other, target, groups=lesions)
    with pytest.raises(ValueError, match=r"`target`.*`a`.*1 missing \(ISIC_0000\)"):
        compare(a, b, target.iloc[1:], groups=lesions)


def test_one_model_or_an_unknown_reference_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`models`.*two.*1"):
        compare_all({"a": A}, TARGET)
    with pytest.raises(ValueError, match=r"`against`.*'a', 'b'.*'c'"):
        compare_all({"a": A, "b": B}, TARGET, against="c")


def test_models_may_have_any_names_and_ids_of_other_types() -> None:
    target = [0, 0, 0, 0, 1, 1, 1, 1]
    models: dict[Any, Any] = {"target": target, "groups": target[::-1], 1: target}
    table = compare_all(models, target, against="1")
    assert table["difference"].tolist() == [0.0, -1.0]
    number: Any = 1
    again = compare_all(models, target, against=number)
    assert again["b"].tolist() == ["1", "1"]
    with pytest.raises(ValueError, match=r"`models` to be models of different names"):
        compare_all(models | {"1": target}, target)
    numbers, texts = range(5, 13), [*map(str, range(5, 13))]
    found = compare(pd.Series(target, numbers), pd.Series(target, texts), target)
    assert found.difference == 0
