"""The benchmark of recaptures plants what it says, and its figures are right."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recaptures
from dermolib._validation import Image
from dermolib.auditing import shortlist
from dermolib.auditing.geometry import Alignment
from dermolib.datasets.synthetic import draw_hair, draw_lesion
from dermolib.io import write_image
from recapture_parts import calibration, copies, harness, index_scale, planting, search

pytestmark = pytest.mark.usefixtures("opencv_threads")


def lesion(seed: int, size: int | tuple[int, int] = 128) -> Image:
    return draw_lesion(seed % 8, image_size=size, generator=np.random.default_rng(seed))[0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_transform_of_a_recapture_is_true(seed: int) -> None:
    # Three colored spots on skin, where no hair hides them for the median of a spot
    image = np.full((240, 320, 3), (205, 165, 150), np.uint8)
    spots = {(0, 2): (110, 100), (1, 0): (215, 105), (2, 1): (160, 165)}
    for (strong, weak), place in spots.items():
        color = [120.0, 120.0, 120.0]
        color[strong], color[weak] = 235.0, 30.0
        cv2.circle(image, place, 14, color, -1)
    before = image.copy()

    pair = planting.plant_recapture(image, seed=seed)

    assert (image == before).all()
    assert 0.7 <= pair.scale <= 1.4
    area = pair.second.shape[0] * pair.second.shape[1] / pair.scale**2
    assert 0.58 * image.shape[0] * image.shape[1] <= area <= 0.92 * image.shape[0] * image.shape[1]
    seen = 0
    for (strong, weak), place in spots.items():
        x, y = pair.matrix @ [*place, 1]
        part = pair.second[max(0, round(y) - 3) :, max(0, round(x) - 3) :][:7, :7]
        margin = 20 * pair.scale
        inside = margin < x < pair.second.shape[1] - margin
        if not (inside and margin < y < pair.second.shape[0] - margin):
            continue
        color = np.median(part.reshape(-1, 3), axis=0)
        seen += int(color[strong] > 1.4 * color[weak])
        # Not so only where hair or dark corners hide it
        hidden = pair.hairy or pair.beyond == "round field"
        assert color[strong] > 1.4 * color[weak] or hidden
    assert seen or pair.hairy or pair.beyond == "round field"


def test_a_recapture_is_the_same_for_a_seed_and_hair_is_on_one_of_the_two() -> None:
    image = lesion(3)
    pairs = [planting.plant_recapture(image, seed=[1, number]) for number in range(12)]
    again = planting.plant_recapture(image, seed=[1, 5])

    assert (again.second == pairs[5].second).all()
    assert again.matrix.tolist() == pairs[5].matrix.tolist()
    assert {pair.hairy for pair in pairs} == {0, 1}
    assert {pair.beyond for pair in pairs} == set(planting.BEYOND)
    for pair in pairs:
        assert (pair.first == image).all() == (pair.hairy == 1)


def test_the_error_of_a_transform_is_in_pixels_of_the_second_image() -> None:
    pair = planting.plant_recapture(lesion(1), seed=0)
    shifted, doubled = pair.matrix.copy(), pair.matrix.copy()
    shifted[:, 2] += (3, 4)
    doubled[:] *= 2

    assert harness.transform_error(pair, pair.matrix) == pytest.approx(0, abs=1e-9)
    assert harness.transform_error(pair, shifted) == pytest.approx(5)
    far = np.hypot(pair.second.shape[1] - 1, pair.second.shape[0] - 1)
    assert harness.transform_error(pair, doubled) == pytest.approx(far)


def test_there_are_26_changes_and_each_changes_an_image() -> None:
    generator = np.random.default_rng(0)
    image = draw_hair(lesion(0, (150, 200)), generator=generator)[0]  # for what removes hair
    before = image.copy()

    assert len(planting.CHANGES) == 26
    assert set(planting.NAMED_CHANGES) < set(planting.CHANGES)
    for change in planting.CHANGES.values():
        copy = change(image)
        assert copy.dtype == np.uint8
        assert copy.shape != image.shape or (copy != image).any()
    assert (image == before).all()


def test_copies_are_counted_at_equal_false_pairs() -> None:
    distances = [0.1, 0.4, 0.2, 0.9, 0.3, 0.5]
    table = pd.DataFrame(
        {
            "change": ["a", "a", "b", "b", "a", "b"],
            "distance": distances,
            "copy": [True] * 4 + [False] * 2,
        }
    )

    none, one = (copies.largest_distance(table, count) for count in (0, 1))

    assert 0.2 <= none < 0.3
    assert copies.found_copies(table, none)[0].to_dict() == {"a": 0.5, "b": 0.5}
    assert copies.found_copies(table, none)[1] == 0
    assert copies.found_copies(table, one)[0].to_dict() == {"a": 1.0, "b": 0.5}
    assert copies.found_copies(table, one)[1] == 1
    assert copies.largest_distance(table, 2) == np.inf


def test_a_match_is_judged_by_pairs_of_different_lesions(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(6)]
    for number, file in enumerate(files):
        write_image(file, lesion(number, 64))
    pairs = list(harness.planted(files))
    known = {pair.second.tobytes(): pair.first.tobytes() for pair in pairs[1:]}

    def match(first: Image, second: Image) -> float:
        return float(known.get(second.tobytes()) == first.tobytes())

    trial = harness.try_match(match, files, false_pairs=20)

    assert trial.true["score"].tolist() == [0, 1, 1, 1, 1, 1]
    assert trial.false.tolist() == [0.0] * 20
    assert trial.recall() == pytest.approx(5 / 6)


def test_chosen_images_show_different_lesions(tmp_path: Path) -> None:
    for number, seed in enumerate([0, 1, 2, 3, 3]):
        write_image(tmp_path / "images" / f"A{number}.jpg", lesion(seed))
    (tmp_path / "isic_challenge").mkdir()
    text = "ID,LESION_ID\nA0,L0\nA1,L0\nA2,\nA3,L3\nA4,L4\n"
    (tmp_path / "isic_challenge" / "lesion_ids.csv").write_text(text)

    chosen = harness.choose_files(tmp_path, "images/*.jpg", 10)

    # A1 is of the lesion of A0, A4 is a copy of A3
    assert [file.stem for file in chosen] == ["A0", "A2", "A3"]
    assert len(harness.choose_files(tmp_path, "images/*.jpg", 2)) == 2


def test_the_table_of_copies_names_the_ways_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        write_image(tmp_path / "isic2018_task1" / "images" / f"A{number}.jpg", lesion(number))
    (tmp_path / "isic_challenge").mkdir()
    (tmp_path / "isic_challenge" / "lesion_ids.csv").write_text("ID,LESION_ID\n")
    both = ["--data", str(tmp_path), "--output", str(tmp_path / "out")]

    recaptures.main(["copies", *both, "--ways", "find_duplicates"])
    recaptures.main(["table", *both])

    printed = capsys.readouterr().out
    assert "| copies found, %, 512 px | find_duplicates |" in printed
    assert "| half the size | 100 |" in printed
    assert "| mirrored | 100 |" in printed
    assert printed.count("\n| ") == 1 + 26 + 8


def found(first: int, second: int, score: float, **transform: float) -> dict[str, object]:
    matrix = {"scale": 1.0, "angle": 0.0, "shift_x": 0.0, "shift_y": 0.0}
    return {"first_row": first, "second_row": second, "score": score, **matrix, **transform}


def test_found_pairs_are_judged_by_what_was_planted() -> None:
    pairs = [planting.plant_recapture(lesion(number), seed=number) for number in range(3)]
    right = {name: getattr(pairs[0], name) for name in ("scale", "angle", "shift_x", "shift_y")}
    table = pd.DataFrame([found(0, 3, 0.9, **right), found(0, 4, 0.6), found(2, 5, 0.5)])

    result = search.outcome(table, pairs)
    scores = result["score"].to_numpy()

    assert scores.tolist() == [0.9, 0.0, 0.5]
    assert result["error"][0] == pytest.approx(0, abs=1e-9)
    assert result["error"][1] == np.inf
    none = np.eye(2, 3)
    assert result["error"][2] == pytest.approx(harness.transform_error(pairs[2], none))
    assert search.recall_at_no_false(table, scores) == pytest.approx(1 / 3)
    # All of the 12 false pairs are drawn, or none that was found
    assert search.recall_at_no_false(table, scores, drawn=500) == pytest.approx(1 / 3)
    assert search.recall_at_no_false(table, scores, drawn=0) == pytest.approx(2 / 3)


def test_the_places_of_pairs_do_not_depend_on_their_order() -> None:
    table = pd.DataFrame({"first": ["a", "b"], "second": ["c", "d"]})

    assert search.ranks(table, [("d", "b"), ("a", "c"), ("a", "d")]) == [2, 1, None]


def test_a_folder_without_images_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given_folders = ["--data", str(tmp_path), "--output", str(tmp_path / "out")]

    with pytest.raises(SystemExit):
        recaptures.main(["copies", *given_folders])

    assert "DERMOLIB_DATA" in capsys.readouterr().err


def test_the_score_is_fitted_to_pairs_that_were_judged() -> None:
    rng = np.random.default_rng(0)
    true = [Alignment(int(n), np.eye(2, 3), 0.5, 0.4, 0.8) for n in rng.integers(8, 60, 80)]
    false = [Alignment(int(n), np.eye(2, 3), 0.5, 0.0, 0.3) for n in rng.integers(5, 7, 80)]
    labels = np.array([1.0] * 40 + [0.0] * 80 + [np.nan])
    weights, intercept = calibration.fit([*true[:40], *false, true[0]], labels, true[40:])
    logit = [weights @ [np.log(one.inliers), one.fine, one.coarse] for one in (true[0], false[0])]
    assert logit[0] + intercept > 2
    assert logit[1] + intercept < -2


def test_pairs_are_judged_by_the_list_of_ham10000() -> None:
    table = pd.DataFrame(
        {
            "first": ["ISIC_0030074", "ISIC_0032096", "a", "ISIC_0025635"],
            "second": ["ISIC_0025226", "ISIC_0032378", "b", "ISIC_0026640"],
            "score": [0.99, 0.9, 0.1, 0.7],
            "metadata": ["agree", "unknown", "differ", "differ"],
        }
    )
    labels = calibration.judged(table)
    np.testing.assert_array_equal(labels, [1, 1, 0, np.nan])
    bands = calibration.by_score(table, labels)
    assert bands["true"].tolist() == [0, 0, 1, 1]
    assert bands["judged"].tolist() == [1, 0, 1, 1]
    assert bands["metadata agree"].tolist() == [0, 0, 0, 1]


def test_pairs_within_a_lesion_are_listed_once() -> None:
    images = pd.DataFrame({"lesion": ["L1", "", "L1", "L2", "L1", None]})
    assert calibration.within_lesions(images) == [(0, 2), (0, 4), (2, 4)]


def test_the_index_is_timed_and_compared_with_an_exact_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write_image(tmp_path / f"{number}.png", lesion(number))
    images = pd.DataFrame({"image_path": [tmp_path / f"{number}.png" for number in range(5)]})
    features = index_scale.describe(images)

    (tmp_path / "cost").mkdir()
    costs = index_scale.cost(features, 300, tmp_path / "cost")

    assert len([*(tmp_path / "cost").glob("0*.npy")]) == 3
    entries = np.minimum(features["count"], 300).sum() * 60
    assert costs["index, MB"] == pytest.approx(entries * 44 / 1e6, rel=0.01)
    assert min(costs.values()) > 0
    # Few images lie in one cell, and an exact search loses nothing
    assert index_scale.recall(features, np.arange(5), tmp_path, 3) == 1
    monkeypatch.setattr(shortlist, "_IN_CELL", 5)
    assert index_scale.recall(features, np.arange(5), tmp_path, 1) < 1
