import copy
from typing import Any

import pytest
import timm
import torch
from torch import nn

from dermolib import MetadataFusion, build_model, input_settings, preset
from dermolib.augmentation import IMAGENET_MEAN, IMAGENET_STD
from dermolib.models import FeatureExtractor, InputSettings

LITE = "timm/tf_efficientnet_lite0"
# timm publishes no annotations of it
RESOLVE: Any = vars(timm.data)["resolve_model_data_config"]
HALF = (0.5, 0.5, 0.5)


def built(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, **options)


@pytest.mark.parametrize(
    ("name", "options", "image_size"),
    [
        ("alexnet", {}, 224),
        ("alexnet", {"variant": "krizhevsky"}, 227),
        ("custom_cnn", {"image_size": 64}, 64),
        ("resnet18", {}, 224),
    ],
)
def test_the_own_networks_expect_the_statistics_of_imagenet(
    name: str, options: dict[str, Any], image_size: int
) -> None:
    settings = input_settings(built(name, **options))

    assert settings == InputSettings(
        mean=IMAGENET_MEAN, std=IMAGENET_STD, image_size=image_size, interpolation="bilinear"
    )


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet18.fb_swsl_ig1b_ft_in1k",
        "vit_tiny_patch16_224",
        "tf_efficientnet_lite0",
        "tf_efficientnet_lite2",
    ],
)
def test_a_network_of_timm_says_what_timm_says_of_it(name: str) -> None:
    with torch.device("meta"):
        reference = RESOLVE(timm.create_model(name))

    settings = input_settings(built(f"timm/{name}"))

    assert settings.normalization == {key: reference[key] for key in ("mean", "std")}
    assert settings.image_size == reference["input_size"][-1]
    assert settings.interpolation == reference["interpolation"]


def test_the_size_that_a_network_of_timm_was_built_for_comes_before_its_usual_one() -> None:
    assert input_settings(built("timm/vit_tiny_patch16_224", img_size=96)).image_size == 96
    assert input_settings(built("timm/vit_tiny_patch16_224", img_size=(64, 64))).image_size == 64


@pytest.mark.parametrize(
    "wrap", [MetadataFusion, FeatureExtractor, nn.DataParallel, torch.compile, copy.deepcopy]
)
def test_what_holds_a_network_passes_on_what_it_says(wrap: Any) -> None:
    model = wrap(build_model(LITE))

    assert input_settings(model) == InputSettings(mean=HALF, std=HALF, interpolation="bicubic")


def test_a_module_says_by_an_attribute_how_it_expects_images() -> None:
    model: Any = nn.Linear(2, 2)
    model.input_settings = InputSettings(mean=(0, 0, 0), std=(1, 1, 1), image_size=32)

    assert input_settings(model) is model.input_settings


def test_a_preset_takes_the_settings_of_a_model() -> None:
    settings = input_settings(built(LITE))

    transform = preset("light", image_size=settings.image_size, **settings.normalization)

    assert (transform.image_size, transform.mean, transform.std) == (224, HALF, HALF)


def test_a_module_without_settings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`model` .*Sequential .*Set its attribute `input_sett"):
        input_settings(nn.Sequential(nn.Flatten(), nn.Linear(12, 8)))
    with pytest.raises(TypeError, match=r"`model` to be a torch module, but got .* type str"):
        input_settings("resnet18")  # type: ignore[arg-type] # the wrong type is the point


def test_a_network_for_images_that_are_not_square_or_not_rgb_is_refused() -> None:
    name, gray = "vit_tiny_patch16_224", {"input_size": (1, 64, 64)}
    with torch.device("meta"):
        theirs = timm.create_model(name, pretrained_cfg_overlay=gray)

    for model, got in (
        (built(f"timm/{name}", img_size=(64, 32)), "64 x 32 px, 3 channels"),
        (theirs, "64 x 64 px, 1 channels"),
    ):
        with pytest.raises(ValueError, match=f"`model` to be .* square RGB images, but got {got}"):
            input_settings(model)


@pytest.mark.parametrize(
    ("values", "error", "fragment"),
    [
        ({"std": (0.5, 0.5, 0)}, ValueError, r"`std\[2\]` to be a number above 0 and up to 1"),
        ({"image_size": 0}, ValueError, "`image_size` to be an integer of 1 or more, but got 0"),
        ({"interpolation": 3}, TypeError, "`interpolation` to be a name, but got .* type int"),
    ],
)
def test_settings_that_no_image_can_have_are_refused(
    values: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        InputSettings(**values)
