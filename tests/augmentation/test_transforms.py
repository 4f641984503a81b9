"""Transforms: the bits of albumentations where they are only faster, known numbers where not."""

from typing import Any

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib import preset, shades_of_gray
from dermolib.augmentation import DrawArtifact, RandomShadesOfGray, transforms
from dermolib.augmentation.transforms import ElasticTransform, Transpose
from dermolib.preprocessing.color import correct, illuminant
from drawing import lesion_image, noise_image

BORDER = cv2.BORDER_REFLECT_101
CAST = noise_image(9, 12, 0) // np.array([1, 2, 3], np.uint8)


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
    ours = getattr(transforms, name)(border_mode=BORDER, p=1, **options)
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


def drawn(transform: RandomShadesOfGray, image: Any, seed: int = 0) -> Any:
    transform.set_random_seed(seed)
    return transform(image=image)["image"]


def test_a_strength_of_one_is_shades_of_gray_and_one_of_zero_is_nothing() -> None:
    whole = drawn(RandomShadesOfGray(strength=(1, 1), p=1), CAST)
    nothing = drawn(RandomShadesOfGray(strength=(0, 0), p=1), CAST)

    np.testing.assert_array_equal(whole, shades_of_gray(CAST))
    np.testing.assert_array_equal(nothing, CAST)
    assert drawn(RandomShadesOfGray(p=0), CAST) is CAST


@given(seed=st.integers(0, 2**32 - 1), norm=st.sampled_from([1, 2.5, 6]))
def test_the_fraction_that_is_drawn_is_divided_out_of_the_image(seed: int, norm: float) -> None:
    image = noise_image(8, 8, seed) // np.array([1, 2, 3], np.uint8)
    transform = RandomShadesOfGray(strength=(0.2, 0.7), norm=norm, p=1)

    result = drawn(transform, image, seed)

    strength = transform.params["strength"]
    reference = correct(image, illuminant(image, p=norm), strength=strength)
    assert 0.2 <= strength <= 0.7
    np.testing.assert_array_equal(result, reference)


def test_draws_differ_and_the_same_seed_gives_the_same() -> None:
    transform = RandomShadesOfGray(p=1)

    draws = [drawn(transform, CAST, seed).tobytes() for seed in (0, 1, 2, 0)]

    assert len(set(draws)) == 3
    assert draws[0] == draws[3]


def test_it_is_a_transform_of_any_pipeline_and_leaves_mask_and_input_alone() -> None:
    image, mask = CAST.copy(), np.eye(9, 12, dtype=np.uint8)
    pipeline = A.Compose([A.HorizontalFlip(p=1), RandomShadesOfGray(strength=(1, 1), p=1)])

    result = pipeline(image=image, mask=mask)

    np.testing.assert_array_equal(result["image"], shades_of_gray(image)[:, ::-1])
    np.testing.assert_array_equal(result["mask"], mask[:, ::-1])
    np.testing.assert_array_equal(image, CAST)


def test_it_survives_the_way_through_a_dictionary() -> None:
    transform = RandomShadesOfGray(strength=(0.25, 0.5), norm=2, p=0.3)

    copy = A.from_dict(A.to_dict(transform))

    assert (copy.strength, copy.norm, copy.p) == ((0.25, 0.5), 2, 0.3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        *(
            ({"strength": strength}, TypeError, "`strength` to be a pair of numbers")
            for strength in (0.5, (0.1, 0.2, 0.3), {0.1, 0.2}, "ab")
        ),
        ({"strength": ("a", "b")}, TypeError, r"`strength\[0\]` to be a number in 0\.\.1"),
        ({"strength": (-1, 1)}, ValueError, r"`strength\[0\]` to be a number in 0\.\.1"),
        ({"strength": (0.5, 0.4)}, ValueError, r"`strength\[1\]` to be a number in 0\.5\.\.1"),
        ({"strength": (0, 1.5)}, ValueError, r"`strength\[1\]` to be a number in 0\.\.1"),
        ({"norm": 0.5}, ValueError, "`norm` to be a number of 1 or more"),
        ({"p": 2}, ValueError, r"`p` to be a number in 0\.\.1"),
    ],
)
def test_an_unfit_option_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RandomShadesOfGray(**options)


def test_an_image_of_floats_is_refused() -> None:
    with pytest.raises(TypeError, match="`image` to be an RGB image"):
        RandomShadesOfGray(p=1)(image=np.zeros((4, 4, 3)))


def test_an_artifact_is_drawn_over_the_image_from_the_seed_alone_and_the_mask_stays() -> None:
    skin, lesion = lesion_image(90, 120)
    transform = DrawArtifact(p=1)

    seen = []
    for seed in range(12):
        transform.set_random_seed(seed)
        first = transform(image=skin, mask=lesion)
        transform.set_random_seed(seed)
        again = transform(image=skin, mask=lesion)
        np.testing.assert_array_equal(first["image"], again["image"])
        np.testing.assert_array_equal(first["mask"], lesion)
        assert (first["image"] != skin).any()
        seen.append(first["image"].tobytes())
    assert len(set(seen)) == 12


def test_a_drawn_artifact_goes_before_a_preset_and_through_serialization() -> None:
    pipeline = A.Compose([DrawArtifact(["ruler"], p=1), A.HorizontalFlip(p=0.5)], seed=0)
    restored = A.from_dict(A.to_dict(pipeline))
    skin = lesion_image(90, 120)[0]

    assert restored.transforms[0].kinds == ("ruler",)
    whole = A.Compose([DrawArtifact(["patch"], p=1), preset("light", image_size=64)], seed=0)
    assert whole(image=skin)["image"].shape == (3, 64, 64)


def test_only_the_kinds_that_were_asked_for_are_drawn() -> None:
    transform, skin = DrawArtifact(["ink", "dark_corner"], p=1), np.full((90, 120, 3), 200, "u1")
    for seed in range(20):
        transform.set_random_seed(seed)
        assert (transform(image=skin)["image"] <= 200).all()


def test_kinds_of_artifacts_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`kinds\[1\]` to be one of 'ruler'"):
        DrawArtifact(["ink", "sticker"])
    with pytest.raises(ValueError, match="`kinds` to be at least one"):
        DrawArtifact([])
    with pytest.raises(TypeError, match="`kinds` to be a list"):
        DrawArtifact("ink")
    with pytest.raises(ValueError, match=r"`p` to be a number in 0\.\.1"):
        DrawArtifact(p=2)
