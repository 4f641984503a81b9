import cv2
import numpy as np
import pytest
from skin import draw_skin, photograph, similarity

from dermolib.auditing.geometry import FEWEST, align
from dermolib.auditing.local_features import describe_image
from dermolib.io import resize_image


def test_the_transform_goes_from_the_first_image_to_the_second_either_way() -> None:
    skin = draw_skin(1)
    matrix = similarity(0.9, -40, -10, 120)
    first, second = describe_image(skin), describe_image(photograph(skin, matrix))
    there, back = align(first, second), align(second, first)
    assert there
    assert back
    assert there.inliers == back.inliers >= 30
    np.testing.assert_allclose(there.matrix[:, :2], matrix[:, :2], atol=0.02)
    np.testing.assert_allclose(there.matrix[:, 2], matrix[:, 2], atol=2)
    whole = cv2.invertAffineTransform(there.matrix)
    np.testing.assert_allclose(whole, back.matrix, rtol=1e-6, atol=1e-6)
    assert there.overlap == pytest.approx(back.overlap, abs=0.02)


def test_an_image_agrees_with_itself_at_half_its_size() -> None:
    skin = draw_skin(2)
    small = resize_image(skin, (100, 130))
    found = align(describe_image(skin), describe_image(small))
    assert found
    assert np.hypot(*found.matrix[:, 0]) == pytest.approx(0.5, rel=0.01)
    assert found.overlap > 0.96
    assert found.fine > 0.8
    assert found.coarse > 0.98


def test_half_of_an_image_overlaps_half() -> None:
    skin = draw_skin(4, 200, 400)
    found = align(describe_image(skin), describe_image(np.ascontiguousarray(skin[:, :200])))
    assert found
    assert found.overlap == pytest.approx(0.5, abs=0.02)


def test_different_lesions_have_few_inliers_and_no_common_structures() -> None:
    records = [describe_image(draw_skin(seed)) for seed in range(12)]
    found = [align(records[0], other) for other in records[1:]]
    for one in filter(None, found):
        assert one.inliers < 2 * FEWEST
        assert one.fine < 0.4


def test_images_without_keypoints_have_no_alignment() -> None:
    gray = describe_image(np.full((50, 50, 3), 90, np.uint8))
    assert align(gray, gray) is None
    assert align(gray, describe_image(draw_skin(0))) is None
