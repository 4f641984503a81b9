import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from dermolib.evaluation import ConformalSets, coverage_table, cross_conformal
from dermolib.evaluation.conformal import quantile_by_group

Floats = npt.NDArray[np.float64]

RARE = (0.45, 0.35, 0.1, 0.06, 0.04)  # frequencies of classes


def lesions_of(
    count: int, seed: int, frequencies: Any = RARE
) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Draw lesions of 1 to 4 similar images; a network that knows how common the classes are."""
    generator = np.random.default_rng(seed)
    classes = generator.choice(len(frequencies), count, p=frequencies)
    own = generator.normal(size=(count, len(frequencies))) + 1.5 * np.eye(len(frequencies))[classes]
    lesions = np.repeat(np.arange(count), generator.choice(4, count, p=(0.7, 0.1, 0.1, 0.1)) + 1)
    logits = own[lesions] + 0.4 * generator.normal(size=(len(lesions), len(frequencies)))
    return softmax(logits + np.log(frequencies), axis=1), classes[lesions], lesions


def lesion_coverage(held: Any, target: Any, lesions: Any, chosen: int) -> float:
    """Compute the probability that the set of a random image of a random lesion holds its class."""
    rows = np.flatnonzero(target == chosen)
    hit = pd.Series(held[rows, chosen]).groupby(lesions[rows]).mean()
    return float(hit.mean())


def test_the_threshold_is_the_score_at_the_place_that_the_textbook_names() -> None:
    first = np.arange(1, 20) / 20  # 19 probabilities of class 0, and as many of class 1
    probabilities = np.concatenate([np.c_[first, 1 - first], np.c_[1 - first, first]])

    sets = ConformalSets(0.9).fit(probabilities, [0] * 19 + [1] * 19)

    assert sets.thresholds == pytest.approx([0.9, 0.9])  # the 18th of 19 scores 0.05..0.95
    assert sets.predict([[0.1, 0.9], [0.5, 0.5], [0.09, 0.91]]).tolist() == [
        [True, True],
        [True, True],
        [False, True],
    ]
    assert sets.lesions.tolist() == [19, 19]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=8),
    st.integers(1, 19),
)
def test_the_quantile_by_group_is_that_of_scores_repeated_until_groups_weigh_the_same(
    scores: list[list[int]], twentieths: int
) -> None:
    values = np.array([score for group in scores for score in group], float)
    groups = np.repeat(np.arange(len(scores)), [len(group) for group in scores])
    even = sorted(score for group in scores for score in group for _ in range(12 // len(group)))
    place = math.ceil(12 * (len(scores) + 1) * twentieths / 20 - 1e-9)

    found = quantile_by_group(values, groups, twentieths / 20)

    assert found == (even[place - 1] if place <= len(even) else np.inf)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=2, max_size=12),
    st.sampled_from([0.5, 0.75, 0.8, 0.9]),
)
def test_coverage_of_the_lesion_left_out_is_exact_whatever_the_scores_and_sizes(
    scores: list[list[int]], coverage: float
) -> None:
    values = np.array([score for group in scores for score in group], float)
    groups = np.repeat(np.arange(len(scores)), [len(group) for group in scores])
    covered = []
    for one in range(len(scores)):
        others = groups != one
        threshold = quantile_by_group(values[others], groups[others], coverage)
        covered.append(float(np.mean(values[~others] <= threshold)))

    assert np.mean(covered) >= coverage - 1e-9


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_per_class_cover_each_class_and_marginal_sets_leave_the_rare_ones_far_below(
    method: str,
) -> None:
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for seed in range(40):
        probabilities, target, lesions = lesions_of(600, 2 * seed)
        new, truth, others = lesions_of(2000, 2 * seed + 1)
        for per_class, coverages in found.items():
            sets = ConformalSets(0.9, per_class=per_class, method=method)
            held = sets.fit(probabilities, target, groups=lesions).predict(new)
            coverages.append([lesion_coverage(held, truth, others, k) for k in range(5)])
    each, marginal = np.array(found[True]), np.array(found[False])

    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    assert (each.mean(axis=0) >= 0.9 - 3 * error).all()
    assert (each.mean(axis=0) <= 0.95).all()  # 1 / (n + 1) above is all that is allowed
    assert marginal.mean(axis=0)[3:].max() < 0.75
    assert marginal.mean(axis=0) @ RARE == pytest.approx(0.9, abs=0.02)


def test_large_lesions_that_are_harder_do_not_break_the_coverage_that_counting_images_breaks() -> (
    None
):
    by_lesion: list[float] = []
    by_image: list[float] = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        sizes = np.where(generator.random(60) < 0.2, 12, 1)
        lesions = np.repeat(np.arange(60), sizes)
        # the images of a large lesion look the same and are surely right
        scores = generator.normal(size=60)[lesions] - 3 * (sizes[lesions] > 1)
        for kept, groups in ((by_lesion, lesions), (by_image, np.arange(len(lesions)))):
            threshold = quantile_by_group(scores, groups, 0.9)
            new = generator.normal(size=400) - 3 * (generator.random(400) < 0.2)
            kept.append(float(np.mean(new <= threshold)))

    assert np.mean(by_lesion) >= 0.9 - 3 * np.std(by_lesion) / np.sqrt(200)
    assert np.mean(by_image) < 0.8


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.8, 0.85, 0.9]))
def test_a_class_is_in_the_set_where_its_conformal_p_value_is_above_one_minus_the_coverage(
    seed: int, coverage: float
) -> None:
    # p = (1 + number of scores of the class at least as large) / (n + 1), as crepes computes it
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(3), 90)
    target = np.arange(90) % 3
    new = generator.dirichlet(np.ones(3), 20)

    held = ConformalSets(coverage).fit(probabilities, target).predict(new)

    for k in range(3):
        scores = 1 - probabilities[target == k, k]
        p_values = (1 + (scores >= (1 - new[:, k])[:, None]).sum(axis=1)) / 31
        assert (held[:, k] == (p_values > 1 - coverage + 1e-9)).all()


def test_adaptive_sets_hold_what_is_less_likely_only_after_all_that_is_more_likely() -> None:
    probabilities, target, lesions = lesions_of(900, 0)
    sets = ConformalSets(0.9, method="aps", per_class=False)

    held = sets.fit(probabilities, target, groups=lesions).predict(probabilities)

    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(held, order, axis=1)
    assert (np.diff(ranked.astype(int), axis=1) <= 0).all()
    assert ranked[:, 0].all()
    sizes, most = held.sum(axis=1), probabilities.max(axis=1)
    assert sizes[most < 0.4].mean() > sizes[most > 0.8].mean() + 0.5


def test_ties_between_classes_have_one_score_in_adaptive_sets() -> None:
    sets = ConformalSets.from_dict(
        {
            **ConformalSets(method="aps").fit(np.full((40, 4), 0.25), [0, 1, 2, 3] * 10).to_dict(),
            "thresholds": [0.35] * 4,
        }
    )

    held = sets.predict([[0.3, 0.3, 0.2, 0.2], [0.1, 0.4, 0.1, 0.4], [0.4, 0.3, 0.2, 0.1]])

    assert held.tolist() == [
        [True, True, False, False],
        [False, True, False, True],
        [True, False, False, False],
    ]


def test_sets_of_all_images_have_thresholds_from_other_lesions_and_cover_each_class() -> None:
    probabilities, target, lesions = lesions_of(700, 5)

    held = cross_conformal(probabilities, target, groups=lesions)

    table = coverage_table(held, target, groups=lesions, resamples=20)
    assert table["coverage"].between(0.87, 0.95).all()
    marginal = cross_conformal(
        probabilities, target, groups=lesions, sets=ConformalSets(per_class=False)
    )
    rare = coverage_table(marginal, target, groups=lesions, resamples=20).iloc[4:]
    assert (rare["coverage"] < 0.8).all()


def test_with_as_many_folds_as_lesions_each_is_judged_by_all_others() -> None:
    probabilities, target, lesions = lesions_of(40, 6, (0.5, 0.5))

    held = cross_conformal(probabilities, target, groups=lesions, folds=40)

    for one in range(40):
        own = lesions == one
        sets = ConformalSets().fit(probabilities[~own], target[~own], groups=lesions[~own])
        assert (sets.predict(probabilities[own]) == held[own]).all()


def test_folds_and_options_of_cross_conformal_sets_are_checked() -> None:
    probabilities = np.full((40, 2), 0.5)
    with pytest.raises(TypeError, match="`sets` to be a `ConformalSets`"):
        cross_conformal(probabilities, [0, 1] * 20, sets=0.9)  # type: ignore[arg-type] # the mistake
    with pytest.raises(ValueError, match=r"`folds`.*up to 40"):
        cross_conformal(probabilities, [0, 1] * 20, folds=41)
    options = ConformalSets(0.8)
    cross_conformal(probabilities, [0, 1] * 20, sets=options)
    with pytest.raises(RuntimeError, match="Call `fit`"):
        options.to_dict()
    logits = np.log(lesions_of(300, 7, (0.5, 0.5))[0])
    target = lesions_of(300, 7, (0.5, 0.5))[1]
    same = cross_conformal(softmax(logits, axis=1), target)
    assert (cross_conformal(logits + 2, target, values="logits") == same).all()


def few_lesions() -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give 9 lesions of class 2, of 3 images each, and 30 of the others."""
    target = np.repeat([0, 1, 2], [30, 30, 27])
    lesions = np.r_[np.arange(60), np.repeat(np.arange(60, 69), 3)]
    return np.random.default_rng(0).dirichlet(np.ones(3), 87), target, lesions


def test_a_class_of_nine_lesions_is_refused_however_many_images_they_have() -> None:
    probabilities, target, lesions = few_lesions()

    with pytest.raises(ValueError, match=r"10 lesions or more.*9 of 2.*few=.*per_class=False"):
        ConformalSets().fit(probabilities, target, groups=lesions)

    marginal = ConformalSets(per_class=False).fit(probabilities, target, groups=lesions)
    assert marginal.lesions.tolist() == [69] * 3
    sets = ConformalSets(few="include").fit(probabilities, target, groups=lesions)
    assert sets.predict(np.eye(3))[:, 2].all()
    assert sets.thresholds[2] == 1 > sets.thresholds[:2].max()


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(ValueError, match=r"`target`.*0 of MEL"):
        ConformalSets().fit(np.full((20, 2), 0.5), np.ones(20, int), label_space=["MEL", "NV"])


def test_marginal_sets_need_ten_lesions_as_well() -> None:
    with pytest.raises(ValueError, match=r"9 of all classes together"):
        ConformalSets(per_class=False).fit(np.full((9, 2), 0.5), [0] * 9)


def test_where_the_lesions_cannot_have_the_coverage_each_set_holds_the_class_and_it_is_said() -> (
    None
):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(2), 40)
    target = np.repeat([0, 1], [12, 28])

    with pytest.warns(UserWarning, match=r"holds 0: 12 lesions .* 0\.923 at most"):
        sets = ConformalSets(0.95).fit(probabilities, target)

    assert sets.thresholds[0] == 1 > sets.thresholds[1]
    assert sets.predict([[0.0, 1.0]])[0].all()


def test_an_empty_set_stays_empty_or_holds_the_most_likely_class() -> None:
    sure = np.tile([[0.98, 0.02], [0.02, 0.98]], (20, 1))
    unlike = [[0.4, 0.6], [0.99, 0.01]]

    keep, top = (ConformalSets(empty=empty).fit(sure, [0, 1] * 20) for empty in ("keep", "top"))

    assert keep.predict(unlike).tolist() == [[False, False], [True, False]]
    assert top.predict(unlike).tolist() == [[False, True], [True, False]]


def test_columns_of_a_data_frame_are_found_by_their_codes() -> None:
    probabilities, target, lesions = lesions_of(600, 1)
    codes = list("abcde")
    sets = ConformalSets().fit(probabilities, target, groups=lesions, label_space=codes)
    table = pd.DataFrame(probabilities, columns=codes)

    assert (sets.predict(table[list("ecbad")]) == sets.predict(probabilities)).all()


def test_logits_and_their_softmax_give_the_same_sets() -> None:
    probabilities, target, _ = lesions_of(900, 2)
    logits = np.log(probabilities) + 3

    from_logits = ConformalSets().fit(logits, target, values="logits")

    assert from_logits.thresholds == pytest.approx(
        ConformalSets().fit(probabilities, target).thresholds
    )
    assert (from_logits.predict(logits, values="logits").sum(axis=1) > 0).any()


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_from_json_are_the_same(method: str) -> None:
    probabilities, target, lesions = lesions_of(600, 3)
    sets = ConformalSets(0.8, method=method, empty="top")
    held = sets.fit(probabilities, target, groups=lesions).predict(probabilities)

    again = ConformalSets.from_dict(json.loads(json.dumps(sets.to_dict(), allow_nan=False)))

    assert repr(again) == repr(sets)
    assert (again.predict(probabilities) == held).all()
    assert again.lesions.tolist() == sets.lesions.tolist()


def test_images_of_the_fit_are_refused_by_their_ids() -> None:
    probabilities, target = np.tile([[0.7, 0.3], [0.3, 0.7]], (20, 1)), [0, 1] * 20
    ids = [f"ISIC_{number}" for number in range(40)]
    sets = ConformalSets().fit(probabilities, target, ids=ids)

    assert sets.predict(probabilities[:2], ids=["ISIC_40", "ISIC_41"]).any()
    with pytest.raises(ValueError, match=r"`ids`.*1 of 2.*ISIC_39"):
        sets.predict(probabilities[:2], ids=["ISIC_39", "ISIC_40"])
    by_lesion = ConformalSets().fit(probabilities, target, groups=ids)
    assert by_lesion.predict(probabilities[:2], groups=["other", None]).any()
    with pytest.raises(ValueError, match=r"`groups`.*1 of 2.*ISIC_39"):
        by_lesion.predict(probabilities[:2], groups=["ISIC_39", "other"])
    with pytest.raises(ValueError, match=r"`ids` to be an id for each image \(40,\)"):
        ConformalSets().fit(probabilities, target, ids=ids[1:])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"coverage": 1.0}, ValueError, r"`coverage`.*below 1"),
        ({"coverage": 0}, ValueError, r"`coverage`.*above 0"),
        ({"coverage": "0.9"}, TypeError, r"`coverage`"),
        ({"per_class": "yes"}, TypeError, r"`per_class`"),
        ({"method": "raps"}, ValueError, r"`method`.*'lac', 'aps'"),
        ({"few": "drop"}, ValueError, r"`few`.*'refuse', 'include'"),
        ({"empty": "all"}, ValueError, r"`empty`.*'keep', 'top'"),
    ],
)
def test_options_of_sets_out_of_range_are_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ConformalSets(**options)


def test_predicted_classes_other_shapes_and_calls_out_of_order_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Call `fit`"):
        ConformalSets().predict([[0.5, 0.5]])
    with pytest.raises(RuntimeError, match="Call `fit`"):
        ConformalSets().to_dict()
    with pytest.raises(ValueError, match=r"`probabilities` to be floats \(N, K\)"):
        ConformalSets().fit([0, 1] * 20, [0, 1] * 20)
    sets = ConformalSets().fit(np.full((40, 2), 0.5), [0, 1] * 20)
    with pytest.raises(ValueError, match=r"a column for each of 0, 1, but got shape \(1, 3\)"):
        sets.predict([[0.5, 0.25, 0.25]])
    with pytest.raises(ValueError, match=r"no thresholds"):
        ConformalSets.from_dict({k: v for k, v in sets.to_dict().items() if k != "thresholds"})
    with pytest.raises(ValueError, match=r"`thresholds` to be numbers in 0\.\.1"):
        ConformalSets.from_dict({**sets.to_dict(), "thresholds": [0.5, 2]})
    with pytest.raises(TypeError, match=r"a mapping that `to_dict` made"):
        ConformalSets.from_dict([0.5])  # type: ignore[arg-type] # the mistake itself


@pytest.mark.parametrize("value", [None, "a", {}, ["a", "b"], [0.5, float("nan")], ["a", "a"]])
def test_sets_that_were_changed_are_refused_in_words(value: object) -> None:
    known = ConformalSets(0.8).fit(np.full((40, 2), 0.5), [0, 1] * 20).to_dict()
    names = ("thresholds", "lesions", *(["codes"] if value != ["a", "b"] else []))
    for name in names:
        with pytest.raises((TypeError, ValueError), match=f"Expected `{name}`"):
            ConformalSets.from_dict(known | {name: value})
