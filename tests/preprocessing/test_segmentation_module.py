"""Lesion masks of batches: those of the function, on any device, in any pipeline."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from dermolib import segment_lesion
from dermolib._validation import Image, Mask
from dermolib.preprocessing import LesionSegmentation, analyze
from dermolib.preprocessing.picture import look
from dermolib.preprocessing.picture_weights import load_picture_network
from drawing import lesion_image, skin_image

SIZES = [(224, 224), (300, 400), (500, 260), (100, 130), (97, 601)]


def scenes(height: int, width: int) -> list[Image]:
    """Draw a lesion, the same mirrored, skin alone, and nothing."""
    lesion, _ = lesion_image(height, width)
    skin = skin_image(height // 2 * 2, width // 2 * 2)
    skin = np.pad(skin, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return [lesion, lesion[:, ::-1].copy(), skin, np.zeros_like(lesion)]


def batch_of(images: list[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", SIZES)
def test_the_masks_are_those_of_the_function(size: tuple[int, int]) -> None:
    images = scenes(*size)

    masks = LesionSegmentation(threshold=0.3, presence=0.2)(batch_of(images))

    assert masks.dtype == torch.bool
    assert masks.shape == (4, *size)
    for mask, image in zip(masks.numpy(), images, strict=True):
        wanted = segment_lesion(image, threshold=0.3, presence=0.2)
        assert (mask != wanted).mean() < 0.005


@pytest.mark.parametrize("size", SIZES)
def test_the_probabilities_are_those_of_the_analysis(size: tuple[int, int]) -> None:
    images = scenes(*size)

    found = LesionSegmentation().probabilities(batch_of(images))

    assert found.dtype == torch.float32
    for values, image in zip(found.numpy(), images, strict=True):
        wanted = analyze(image, hair=False).probability
        # Half a level of a gray pixel more or less, and half a step of the logits
        assert np.abs(values - wanted).max() < 0.1
        assert np.abs(values - wanted).mean() < 0.01


def test_torch_and_opencv_run_one_network() -> None:
    image, _ = lesion_image(224, 224)  # at its own size, so that nothing is resized
    network, seen = load_picture_network(), look(image)

    with torch.no_grad():
        reading = network(batch_of([image]).float())

    np.testing.assert_allclose(reading.lesion[0, 0].sigmoid(), seen.lesion, atol=1e-4)
    np.testing.assert_allclose(reading.presence[0].sigmoid(), seen.presence, atol=1e-4)
    np.testing.assert_allclose(reading.artifacts[0].sigmoid(), seen.artifacts, atol=1e-4)
    np.testing.assert_allclose(reading.where[0].sigmoid(), seen.where, atol=1e-4)


def test_the_classical_method_and_functions_work_image_by_image() -> None:
    def dark(image: Image, *, level: int = 100) -> Mask:
        return np.asarray(image[..., 0] < level)

    images = scenes(60, 80)
    for method, options in (("classical", {"agreement": 0.6}), (dark, {"level": 90})):
        masks = LesionSegmentation(method, **options)(batch_of(images))
        wanted = [segment_lesion(one, method=method, **options) for one in images]
        np.testing.assert_array_equal(masks, np.stack(wanted))


def test_an_image_alone_as_floats_or_of_pil_gets_the_same_mask() -> None:
    image, _ = lesion_image(60, 80)
    segment, tensor = LesionSegmentation("classical"), batch_of([image])[0]
    wanted = segment_lesion(image, method="classical")

    for given in (tensor, tensor.float() / 255, PillowImage.fromarray(image)):
        mask = segment(given)
        assert mask.shape == (60, 80)
        np.testing.assert_array_equal(mask, wanted)


def test_labels_are_passed_on_and_a_sample_gets_its_mask() -> None:
    images = batch_of(scenes(60, 80))
    segment = LesionSegmentation("classical")

    masks, labels = segment(images, [1, 2, 3, 4])
    sample = segment({"image": images, "label": 3})

    assert labels == [1, 2, 3, 4]
    assert sample["label"] == 3
    assert torch.equal(sample["mask"], masks)
    assert sample["image"] is images


def test_a_batch_without_images_has_no_maps() -> None:
    empty = torch.zeros(0, 3, 40, 50, dtype=torch.uint8)

    assert LesionSegmentation().probabilities(empty).shape == (0, 40, 50)
    assert LesionSegmentation()(empty).shape == (0, 40, 50)


def test_autocast_and_inference_mode_change_nothing() -> None:
    images, segment = batch_of(scenes(60, 80)), LesionSegmentation()
    wanted = segment.probabilities(images)

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(segment.probabilities(images), wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same() -> None:
    images = batch_of(scenes(300, 400))

    found = LesionSegmentation(threshold=0.3, presence=0.2)(images.cuda())

    wanted = LesionSegmentation(threshold=0.3, presence=0.2)(images)
    assert found.device.type == "cuda"
    assert (found.cpu() != wanted).float().mean() < 0.005


def test_its_text_names_the_method_and_its_options() -> None:
    assert str(LesionSegmentation()) == (
        "LesionSegmentation(method='unet', threshold=0.5, presence=0.5)"
    )


@pytest.mark.parametrize(
    ("options", "images", "error", "words"),
    [
        ({"method": "unett"}, None, ValueError, "`method` to be one of"),
        ({"agreement": 0.4}, None, TypeError, "`agreement` to be one of the options of 'unet'"),
        ({"threshold": 1}, None, ValueError, "`threshold` to be a number in"),
        ({"device": "gpu"}, None, ValueError, "`device` to be one of"),
        ({}, np.zeros((4, 4, 3), np.uint8), TypeError, "`images` .* `segment_lesion` takes"),
        ({}, torch.zeros(4, 4, 3), ValueError, "`images` .* Move the channels first"),
        ({}, torch.full((3, 4, 4), 2.0), ValueError, "`images` .* outside"),
        ({}, torch.zeros(3, 4, 4, dtype=torch.int32), TypeError, "`images` .* dtype"),
    ],
)
def test_what_is_unfit_for_a_batch_is_refused(
    options: dict[str, Any], images: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LesionSegmentation(**options)(images)
