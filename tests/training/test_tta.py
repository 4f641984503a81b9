"""Views of images at test time, and logits without ties."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from colors import Colors, network, trainer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from dermolib import MetadataFusion
from dermolib.labels import METADATA_NAMES
from dermolib.training import TTA
from dermolib.training.tta import make_views


class Images(Colors):
    """Images of any size, with metadata."""

    def __init__(self, count: int, height: int = 8, width: int = 8) -> None:
        super().__init__(count)
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(count, 3, height, width, generator=generator)

    def __getitem__(self, index: int) -> dict[str, Any]:
        metadata = np.full(len(METADATA_NAMES), index / 10, np.float32)
        return {**super().__getitem__(index), "metadata": metadata}


def pixels(classes: int = 3, *, offset: float = 0.0) -> nn.Module:
    """Make a network that weighs each pixel by itself; an offset of all logits changes nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        last = nn.Linear(192, classes)
    nn.init.constant_(last.bias, offset)
    return nn.Sequential(nn.Flatten(), last)


def turned(image: Tensor) -> list[Tensor]:
    """The eight symmetries, by quarter turns and a mirror."""
    return [torch.rot90(one, turns, (2, 3)) for turns in range(4) for one in (image, image.flip(3))]


def cropped(image: Tensor) -> list[Tensor]:
    """The image and five windows of 7 pixels of 8."""
    corners = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
    windows = [image[:, :, top : top + 7, left : left + 7] for top, left in corners]
    return [image, *(functional.interpolate(one, (8, 8), mode="bilinear") for one in windows)]


def scaled(image: Tensor) -> list[Tensor]:
    """The image and windows of 7 and 6 pixels of 8 at its center."""
    windows = [image[:, :, :7, :7], image[:, :, 1:7, 1:7]]
    return [image, *(functional.interpolate(one, (8, 8), mode="bilinear") for one in windows)]


REFERENCES = {
    "flips": lambda image: [image, image.flip(3), image.flip(2), torch.rot90(image, 2, (2, 3))],
    "dihedral": turned,
    "crops": cropped,
    "scales": scaled,
}


@pytest.mark.parametrize("name", TTA)
def test_the_probabilities_of_the_views_are_averaged(name: str) -> None:
    data, model = Images(10), pixels()

    found = trainer(model).predict(data, tta=name)

    with torch.no_grad():
        views = REFERENCES[name](data.images)
        expected = torch.stack([model(view).softmax(dim=1) for view in views]).mean(dim=0)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, trainer(model).predict(data), atol=1e-3)
    assert len(views) == {"flips": 4, "dihedral": 8, "crops": 6, "scales": 3}[name]


@given(st.sampled_from([*TTA]), st.integers(4, 12), st.integers(4, 12), st.integers(1, 3))
def test_each_view_has_the_size_of_the_images_and_the_first_is_they(
    name: str, height: int, width: int, count: int
) -> None:
    images = torch.rand(count, 3, height, width)

    views = list(make_views(name)(images))

    assert {view.shape for view in views} == {images.shape}
    assert torch.equal(views[0], images)


def test_the_eight_symmetries_are_eight_and_turn_into_each_other() -> None:
    image = torch.arange(27.0).reshape(1, 3, 3, 3)

    views = {tuple(view.flatten().tolist()) for view in make_views("dihedral")(image)}

    assert views == {tuple(one.flatten().tolist()) for one in turned(image)}
    assert len(views) == 8
    for start in turned(image):
        again = {tuple(view.flatten().tolist()) for view in make_views("dihedral")(start)}
        assert again == views


@pytest.mark.parametrize("name", ["flips", "dihedral"])
def test_a_symmetric_network_says_the_same_with_and_without_views(name: str) -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    data = Images(9)

    with_views, without = (trainer(model).predict(data, tta=tta) for tta in (name, None))

    assert torch.allclose(with_views, without, atol=1e-6)


def test_images_that_are_not_square_get_the_symmetries_that_keep_their_size() -> None:
    data, model = Images(6, 8, 6), nn.Sequential(nn.Flatten(), nn.Linear(144, 3))

    dihedral, flips = (trainer(model).predict(data, tta=name) for name in ("dihedral", "flips"))

    assert torch.equal(dihedral, flips)


def test_views_of_ones_own_come_after_the_images() -> None:
    data, model = Images(10), pixels()

    one = trainer(model).predict(data, tta=partial(torch.flip, dims=[3]))
    two = trainer(model).predict(data, tta=[lambda images: images * 2, lambda images: images + 1])

    with torch.no_grad():
        said = [
            model(view).softmax(dim=1)
            for view in (data.images, data.images.flip(3), data.images * 2, data.images + 1)
        ]
    assert torch.allclose(one, (said[0] + said[1]) / 2, atol=1e-6)
    assert torch.allclose(two, (said[0] + said[2] + said[3]) / 3, atol=1e-6)


def test_each_view_has_the_metadata_of_its_image() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MetadataFusion(network(), num_classes=3).eval()
    data = Images(5)

    found = trainer(model).predict(data, tta="flips")

    metadata = torch.from_numpy(np.stack([data[row]["metadata"] for row in range(5)]))
    with torch.no_grad():
        views = REFERENCES["flips"](data.images)
        expected = torch.stack([model(view, metadata).softmax(dim=1) for view in views]).mean(dim=0)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("tta", "error", "fragment"),
    [
        ("rotations", ValueError, "`tta` to be one of 'flips', 'dihedral', 'crops', 'scales'"),
        (3, TypeError, "`tta` to be one of 'flips'"),
        ([], TypeError, "a list of functions or None, but got []"),
        (["flips"], TypeError, "`tta` to be one of 'flips'"),
        (lambda images: images[:, :, 1:], ValueError, "`tta` to be functions that return images"),
        (lambda images: images.numpy(), ValueError, "`tta` to be functions that return images"),
        (lambda images: images.half(), ValueError, "of dtype torch.float32, but got torch.float16"),
    ],
    ids=range(7),
)
def test_unfit_views_are_refused(tta: Any, error: type[Exception], fragment: str) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        trainer().predict(Colors(4), tta=tta)


def ties(probabilities: Tensor) -> int:
    best = probabilities == probabilities.amax(dim=1, keepdim=True)
    return int((best.sum(dim=1) > 1).sum())


def rounded(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return torch.as_tensor(model(images)).float()


@pytest.mark.parametrize("classes", [2, 8])
def test_bfloat16_makes_no_ties_between_classes(classes: int) -> None:
    model, data = pixels(classes, offset=8.0), Images(400)
    options: dict[str, Any] = {"num_classes": classes, "batch_size": 100}

    found = trainer(model, precision="bf16-mixed", **options).predict(data)

    assert ties(rounded(model, data.images)) > 5
    assert ties(found) == 0
    exact = trainer(model, **options).predict(data)
    assert torch.allclose(found, exact, atol=1e-5)


def test_the_logit_of_a_model_with_one_is_of_full_precision() -> None:
    model, data = pixels(1), Images(400)
    options: dict[str, Any] = {"num_classes": 2, "batch_size": 100}

    found = trainer(model, precision="bf16-mixed", **options).predict(data)

    assert torch.allclose(found, trainer(model, **options).predict(data), atol=1e-6)
    assert not torch.allclose(found[:, 1:], rounded(model, data.images).sigmoid(), atol=1e-4)


def test_a_score_of_bfloat16_has_no_ties_either() -> None:
    model, data = pixels(8, offset=8.0), Images(400)
    data.labels = trainer(model, num_classes=8).predict(data).argmax(dim=1).numpy()

    found = trainer(model, num_classes=8, precision="bf16-mixed").evaluate(data)

    # Where two classes tie, the first is taken, which is as often as not the other one
    assert (rounded(model, data.images).argmax(dim=1).numpy() == data.labels).mean() < 1
    assert found["accuracy"] == 1
    assert not any(
        layer._forward_hooks for layer in model.modules()
    )  # what was hooked is as it was
