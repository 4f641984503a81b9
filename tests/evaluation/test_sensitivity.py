"""How far predictions move when an artifact is drawn over an image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import nn

from dermolib import ISICDataset, make_synthetic_challenge, with_artifact
from dermolib._validation import Image
from dermolib.evaluation import artifact_sensitivity
from dermolib.io import write_image, write_mask
from dermolib.models.settings import InputSettings
from drawing import ellipse, skin_image

Model = Callable[[list[Image]], Any]
IMAGES = [skin_image(64, 80, seed) for seed in range(14)]


def violet(images: list[Image]) -> npt.NDArray[np.float64]:
    """Answer by the fraction of pixels that are bluer than they are red."""
    return np.array([(image[..., 2] > image[..., 0]).mean() for image in images])


def constant(images: list[Image]) -> npt.NDArray[np.float64]:
    return np.full((len(images), 3), 1 / 3)


def rows(table: pd.DataFrame, metric: str, class_: str = "") -> Any:
    return table[(table["metric"] == metric) & (table["class"] == class_)].set_index("kind")


def test_a_model_that_never_changes_its_mind_moves_by_nothing() -> None:
    table = artifact_sensitivity(constant, IMAGES, resamples=50)

    assert set(table["kind"]) == {"ruler", "ink", "patch", "hair", "dark_corner", "bubble"}
    numbers = table[["value", "low", "high", "covered", "mirrored", "excess"]].to_numpy()
    np.testing.assert_array_equal(numbers, 0)
    assert (table["worst"] == "").all()
    assert (table["n"] == 14).all()
    assert (table["groups"] == 14).all()
    assert not table["few"].any()


def test_a_model_that_looks_at_violet_is_moved_by_ink_and_not_by_bubbles_or_skin() -> None:
    options: dict[str, Any] = {"kinds": ["ink", "bubble", "dark_corner"], "resamples": 200}
    table = artifact_sensitivity(violet, IMAGES, label_space="binary", **options)

    change = rows(table, "change")
    assert change.loc["ink", "low"] > 0.002
    assert change.loc["ink", "excess_low"] > 0.002
    assert change.loc["ink", "covered"] < 1e-3
    assert change.loc["bubble", "value"] < 1e-3
    shift = rows(table, "shift", "malignant")
    assert shift.loc["ink", "value"] == pytest.approx(change.loc["ink", "value"])
    assert rows(table, "shift", "benign").loc["ink", "value"] == pytest.approx(
        -shift.loc["ink", "value"]
    )


def test_values_are_the_means_of_what_drawing_by_hand_changes() -> None:
    seen: list[list[Image]] = []

    def model(images: list[Image]) -> npt.NDArray[np.float64]:
        seen.append(images)
        level = np.array([image.mean() / 255 for image in images])
        return np.column_stack([level / 2, level / 2, 1 - level])

    table = artifact_sensitivity(model, IMAGES, kinds=["patch"], batch_size=20, resamples=50)

    before, mirrored, drawn, covered = seen
    for image, flipped, changed, hidden in zip(before, mirrored, drawn, covered, strict=True):
        np.testing.assert_array_equal(flipped, image[:, ::-1])
        assert ((changed != image).any(axis=2) >= (hidden != image).any(axis=2)).all()
    levels = [np.array([image.mean() / 255 for image in images]) for images in seen]
    moved = np.abs(levels[2] - levels[0])
    change = rows(table, "change").loc["patch"]
    assert change["value"] == pytest.approx(moved.mean())
    assert change["covered"] == pytest.approx(np.abs(levels[3] - levels[0]).mean())
    assert change["excess"] == pytest.approx(change["value"] - change["covered"])
    assert change["low"] <= change["value"] <= change["high"]
    assert change["worst"].split(", ")[0] == str(moved.argmax())
    top = np.argmax([levels[2] / 2, 1 - levels[2]], axis=0)
    flips = top != np.argmax([levels[0] / 2, 1 - levels[0]], axis=0)
    assert rows(table, "top_class").loc["patch", "value"] == pytest.approx(flips.mean())


def test_neither_batches_nor_the_order_of_the_images_matter(tmp_path: Path) -> None:
    paths = [tmp_path / f"image_{number}.png" for number in range(6)]
    for path, image in zip(paths, IMAGES, strict=False):
        write_image(path, image)
    options: dict[str, Any] = {"kinds": ["ink", "ruler"], "resamples": 30}

    whole = artifact_sensitivity(violet, paths, **options)
    others = [
        artifact_sensitivity(violet, paths, batch_size=4, **options),
        artifact_sensitivity(violet, paths[::-1], **options),
    ]

    columns = ["kind", "metric", "class", "value", "covered", "mirrored", "excess"]
    for other in others:
        pd.testing.assert_frame_equal(other[columns], whole[columns])
    assert set(rows(whole, "change").loc["ink", "worst"].split(", ")) <= {p.stem for p in paths}


def test_intervals_are_by_group_and_few_groups_are_marked() -> None:
    options: dict[str, Any] = {"kinds": ["ink"], "resamples": 300}

    alone = artifact_sensitivity(violet, IMAGES * 2, **options)
    paired = artifact_sensitivity(violet, IMAGES * 2, groups=[*range(14)] * 2, **options)
    three = artifact_sensitivity(violet, IMAGES, groups=[n % 3 for n in range(14)], **options)

    assert paired["groups"].unique() == [14]
    assert alone["groups"].unique() == [28]
    assert three["few"].all()
    assert rows(paired, "change")["value"].item() == pytest.approx(
        rows(alone, "change")["value"].item()
    )


def test_a_data_set_brings_its_classes_lesions_and_masks(tmp_path: Path) -> None:
    root = make_synthetic_challenge(tmp_path / "c", images_per_class=2, image_size=48, seed=0)
    data = ISICDataset.from_challenge(root, masks=True)

    def model(images: list[Image]) -> npt.NDArray[np.float64]:
        level = np.array([image.mean() / 255 for image in images])
        return np.column_stack([level] + [(1 - level) / 7] * 7)

    table = artifact_sensitivity(
        model, data, kinds=["dark_corner"], malignant=["MEL", "BCC"], resamples=30
    )

    assert table["class"].tolist()[2:10] == list(data.label_space.codes)
    shift = [rows(table, "shift", code)["value"].item() for code in ("MEL", "BCC", "malignant")]
    assert shift[2] == pytest.approx(shift[0] + shift[1])
    assert table["groups"].iloc[0] == data.table["lesion"].nunique()


def test_a_lesion_that_is_given_is_spared(tmp_path: Path) -> None:
    lesion = ellipse(64, 80)
    write_mask(tmp_path / "m.png", lesion)
    seen: list[list[Image]] = []

    def model(images: list[Image]) -> npt.NDArray[np.float64]:
        seen.append(images)
        return constant(images)

    for lesions in ([lesion] * 14, [tmp_path / "m.png"] * 14, None):
        artifact_sensitivity(model, IMAGES, kinds=["patch"], lesions=lesions, resamples=5)

    hidden = [
        np.mean([(a != b)[lesion].mean() for a, b in zip(seen[n], seen[n + 2], strict=True)])
        for n in (0, 4, 8)
    ]
    assert hidden[0] == hidden[1] <= hidden[2]


class Network(nn.Module):
    """Two logits by the mean of the input, and drop-out that must not be active."""

    def __init__(self) -> None:
        super().__init__()
        self.input_settings = InputSettings(image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
        self.weight = nn.Parameter(torch.tensor([4.0]))
        self.drop = nn.Dropout(0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (3, 32, 32)
        level: torch.Tensor = self.drop(images).mean(dim=(1, 2, 3))
        return torch.stack([0 * level, self.weight * (level - 0.6)], dim=1)


def test_a_network_is_called_as_its_settings_say_and_is_left_as_it_was() -> None:
    network = Network().train()
    options: dict[str, Any] = {"kinds": ["dark_corner"], "resamples": 30}

    table = artifact_sensitivity(network, IMAGES, **options)

    def model(images: list[Image]) -> npt.NDArray[np.float64]:
        levels = np.array([image.mean() / 255 for image in images])
        return 1 / (1 + np.exp(-4 * (levels - 0.6)))

    assert network.training
    expected = artifact_sensitivity(model, IMAGES, **options)
    np.testing.assert_allclose(table["value"], expected["value"], atol=0.01)
    assert rows(table, "shift", "1")["high"].item() < 0


def test_a_transform_of_ones_own_prepares_the_images_of_a_network() -> None:
    def transform(image: Image) -> dict[str, torch.Tensor]:
        return {"image": torch.full((3, 32, 32), float(image.mean()) / 255)}

    table = artifact_sensitivity(
        Network(), IMAGES, kinds=["dark_corner"], transform=transform, resamples=30
    )
    plain = artifact_sensitivity(Network(), IMAGES, kinds=["dark_corner"], resamples=30)

    np.testing.assert_allclose(table["value"], plain["value"], atol=0.01)


def test_the_artifact_of_an_image_is_that_of_its_id_and_the_seed() -> None:
    seen: list[list[Image]] = []

    def model(images: list[Image]) -> npt.NDArray[np.float64]:
        seen.append(images)
        return constant(images)

    for seed in (0, 0, 1):
        artifact_sensitivity(model, [IMAGES[0]] * 2, kinds=["ink"], seed=seed, resamples=2)

    first, again, other = seen[2], seen[6], seen[10]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    assert (first[0] != other[0]).any()
    assert not np.array_equal(first[0], with_artifact(IMAGES[0], "ruler"))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kinds": ["rulers"]}, ValueError, r"`kinds\[0\]` to be one of 'ruler'"),
        ({"kinds": []}, ValueError, "`kinds` to be at least one kind"),
        ({"kinds": ["ink", "ink"]}, ValueError, "`kinds` to be different kinds"),
        ({"kinds": "ink"}, TypeError, "`kinds` to be a list"),
        ({"images": []}, ValueError, "`images` to be one image or more"),
        ({"images": IMAGES[0]}, TypeError, "`images` to be a dataset"),
        ({"model": 3}, TypeError, "`model` to be a torch module, or a function"),
        ({"model": lambda images: [[2.0, -1]] * len(images)}, ValueError, r"values in 0\.\.1"),
        ({"model": lambda _images: [[0.5, 0.5]]}, ValueError, "a row for each of 14 images"),
        ({"transform": print}, ValueError, "`transform` to be left out"),
        ({"model": Network(), "transform": lambda image: {"image": image}}, TypeError, "a tensor"),
        ({"label_space": "binary"}, ValueError, "a space of the 3 classes"),
        ({"malignant": ["MEL"]}, ValueError, r"`malignant\[0\]` to be one of '0'"),
        ({"malignant": "MEL"}, TypeError, "`malignant` to be a list"),
        ({"lesions": [None]}, ValueError, "`lesions` to be 14 masks"),
        ({"lesions": "masks"}, TypeError, "`lesions` to be a list of masks or mask files"),
        ({"groups": [1, 2]}, ValueError, "`groups` to be a group for each image"),
        ({"batch_size": 0}, ValueError, "`batch_size` to be an integer of 1 or more"),
        ({"resamples": 0}, ValueError, "`resamples` to be an integer of 1 or more"),
        ({"level": 1}, ValueError, "`level` to be a number above 0"),
        ({"seed": -1}, ValueError, "`seed` to be an integer of 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {"model": constant, "images": IMAGES, "kinds": ["ink"], "resamples": 2, **change}
    model, images = given.pop("model"), given.pop("images")
    with pytest.raises(error, match=words):
        artifact_sensitivity(model, images, **given)


def test_a_network_that_gives_nan_or_another_number_of_classes_is_refused() -> None:
    broken = Network()
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(ValueError, match="to be finite"):
        artifact_sensitivity(broken, IMAGES, kinds=["ink"])
    calls: list[int] = []

    def growing(images: list[Image]) -> npt.NDArray[np.float64]:
        calls.append(1)
        return np.full((len(images), 2 + len(calls)), 1 / (2 + len(calls)))

    with pytest.raises(ValueError, match="the same number of classes each time"):
        artifact_sensitivity(growing, IMAGES, kinds=["ink"])


def test_a_network_that_gives_more_than_logits_is_refused() -> None:
    class Both(Network):
        def forward(self, images: torch.Tensor) -> Any:
            return super().forward(images), images

    with pytest.raises(TypeError, match="a tensor of logits, but got an object of type tuple"):
        artifact_sensitivity(Both(), IMAGES, kinds=["ink"])


def test_a_function_may_write_into_its_images() -> None:
    def careless(images: list[Image]) -> npt.NDArray[np.float64]:
        found = violet(images)
        for image in images:
            image[:] = 0
        return found

    options: dict[str, Any] = {"kinds": ["ink"], "resamples": 2}
    pd.testing.assert_frame_equal(
        artifact_sensitivity(careless, IMAGES, **options),
        artifact_sensitivity(violet, IMAGES, **options),
    )


@pytest.mark.filterwarnings("ignore:The interval")
def test_the_interval_of_one_image_is_its_value_and_marked() -> None:
    table = artifact_sensitivity(violet, IMAGES[:1], kinds=["ink"], resamples=2)

    assert (table["low"] == table["value"]).all()
    assert (table["high"] == table["value"]).all()
    assert table["few"].all()
