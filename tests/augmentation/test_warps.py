"""Warps: the bits of albumentations where they are only faster, known numbers where they differ."""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import pytest

from dermolib.augmentation import transforms as warps
from dermolib.augmentation.transforms import ElasticTransform, Transpose
from drawing import noise_image

BORDER = cv2.BORDER_REFLECT_101


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Affine", {"rotate": (-90, 90), "scale": (0.7, 1.3), "shear": (-9, 9)}),
        ("Rotate", {"limit": (-90, 90)}),
        ("OpticalDistortion", {"distort_limit": (-0.5, 0.5)}),
        ("GridDistortion", {"distort_limit": (-0.4, 0.4)}),
    ],
)
def test_a_warp_gives_the_bits_of_albumentations(name: str, options: dict[str, Any]) -> None:
    image, mask = noise_image(61, 83, 0), noise_image(61, 83, 1)[..., 0]
    ours = getattr(warps, name)(border_mode=BORDER, p=1, **options)
    theirs = getattr(A, name)(border_mode=BORDER, p=1, **options)

    for seed in range(20):
        ours.set_random_seed(seed)
        theirs.set_random_seed(seed)
        found, expected = ours(image=image, mask=mask), theirs(image=image, mask=mask)
        np.testing.assert_array_equal(found["image"], expected["image"])
        np.testing.assert_array_equal(found["mask"], expected["mask"])


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_transpose_gives_the_bits_of_albumentations(channels: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 12, *channels), dtype=np.uint8)

    ours, theirs = Transpose(p=1), A.Transpose(p=1)

    np.testing.assert_array_equal(ours(image=image)["image"], theirs(image=image)["image"])
    np.testing.assert_array_equal(ours.apply_to_mask(image), theirs.apply_to_mask(image))


@pytest.mark.parametrize(("shape", "sigma"), [((224, 224), 8), ((90, 150), 3), ((56, 56), 1.5)])
def test_elastic_displacements_have_the_deviation_and_the_smoothness_asked_for(
    shape: tuple[int, int], sigma: float
) -> None:
    transform = ElasticTransform(displacement=1.8, sigma=sigma)
    fields = []

    for seed in range(60):
        transform.set_random_seed(seed)
        maps = transform.get_params_dependent_on_data({"shape": (*shape, 3)}, {})
        rows, columns = np.indices(shape)
        fields += [maps["map_x"] - columns, maps["map_y"] - rows]

    field, lag = np.stack(fields), round(sigma)
    alike = (field[:, :, lag:] * field[:, :, :-lag]).mean() / field.var()
    assert field.mean() == pytest.approx(0, abs=0.05)
    assert field.std() == pytest.approx(1.8, rel=0.05)
    # white noise behind a Gaussian is alike over a distance d by exp(-d * d / (4 sigma * sigma))
    assert alike == pytest.approx(np.exp(-((lag / (2 * sigma)) ** 2)), abs=0.04)
    assert maps["map_x"].dtype == maps["map_y"].dtype == np.float32


def test_elastic_displacements_are_no_larger_at_the_border_as_those_of_albumentations_are() -> None:
    ours, theirs = ElasticTransform(displacement=1.8, sigma=8), A.ElasticTransform(220, 8)
    edges = []

    for transform in (ours, theirs):
        fields = []
        for seed in range(40):
            transform.set_random_seed(seed)
            maps = transform.get_params_dependent_on_data({"shape": (224, 224, 3)}, {})
            fields.append(maps["map_x"] - np.arange(224))
        field = np.stack(fields)
        edges.append(float(field[:, :, :8].std() / field[:, :, 108:116].std()))

    assert edges[0] == pytest.approx(1, abs=0.15)
    assert edges[1] > 1.3


def test_an_elastic_warp_moves_image_and_mask_alike_and_repeats() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 16:50] = 255
    transform = ElasticTransform(displacement=2, sigma=4)
    results = []

    for _ in range(2):
        transform.set_random_seed(7)
        results.append(transform(image=np.dstack([mask] * 3), mask=mask, force_apply=True))

    np.testing.assert_array_equal(results[0]["image"], results[1]["image"])
    assert ((results[0]["image"][..., 0] >= 128) == (results[0]["mask"] >= 128)).mean() > 0.98
    assert (results[0]["mask"] != mask).any()
