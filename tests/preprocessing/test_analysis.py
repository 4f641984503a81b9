"""All that an image shows, in one call: what the single functions find, and one look for it."""

from typing import Any

import numpy as np
import pytest

from dermolib import occlusion_mask, segment_lesion
from dermolib._validation import Image
from dermolib.preprocessing import ARTIFACTS, analyze, detect_artifacts
from dermolib.preprocessing.picture import Picture, look
from drawing import hairy_image, lesion_image, noise_image


def test_one_call_finds_what_the_single_functions_find() -> None:
    image, _ = lesion_image(120, 160)

    found = analyze(image)

    np.testing.assert_array_equal(found.lesion, segment_lesion(image))
    np.testing.assert_array_equal(found.hair, occlusion_mask(image))
    assert found.artifacts == detect_artifacts(image)
    assert tuple(found.where) == ARTIFACTS
    assert found.probability.shape == (120, 160)
    assert found.probability.dtype == np.float32
    assert 0 <= found.confidence <= 1


def test_the_network_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[Image]()

    def counted(image: Image) -> Picture:
        looks.append(image)
        return look(image)

    monkeypatch.setattr("dermolib.preprocessing.lesion.look", counted)

    analyze(hairy_image(64, 64)[0], hair=False)

    assert len(looks) == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (2000, 3)])
@pytest.mark.parametrize("color", [0, 128, 255])
def test_an_image_that_shows_nothing_has_no_lesion_and_no_confidence(
    size: tuple[int, int], color: int
) -> None:
    found = analyze(np.full((*size, 3), color, np.uint8))

    assert found.lesion.shape == found.probability.shape == size
    assert not found.lesion.any()
    assert found.confidence == 0
    assert found.hair is not None
    assert found.hair.shape == size


def test_any_view_gets_the_same_and_is_not_modified() -> None:
    whole = noise_image(60, 80, 0)
    view, before = whole[::2, ::-1], whole.copy()
    view.flags.writeable = False

    found, other = analyze(view, hair=False), analyze(view.copy(), hair=False)

    assert found.hair is None
    assert found.artifacts == other.artifacts
    np.testing.assert_array_equal(found.probability, other.probability)
    np.testing.assert_array_equal(whole, before)


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((4, 4), np.uint8), {}, ValueError, r"`image` to be an RGB .* shape \(4, 4\)"),
        (np.zeros((4, 4, 3)), {}, TypeError, "`image` to be an RGB image .* dtype float64"),
        (noise_image(4, 4, 0), {"hair": "yes"}, TypeError, "`hair` to be True or False"),
    ],
)
def test_what_is_unfit_for_an_analysis_is_refused(
    image: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        analyze(image, **options)
