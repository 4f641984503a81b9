import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from dermolib import MetadataFusion, build_model
from dermolib import labels as vocabulary
from dermolib.datasets import metadata_vectors
from dermolib.labels import METADATA_GROUPS, METADATA_MISSING, METADATA_NAMES, SITES
from dermolib.models import FeatureExtractor, custom_cnn

NOTHING = torch.tensor(METADATA_MISSING)


def images(number: int, size: int = 16) -> Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(0))


def vectors(number: int) -> Tensor:
    """Give metadata of people whose age, sex and site are all known."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": generator.uniform(10, 90, number),
            "sex": generator.choice(["female", "male"], number),
            "site": generator.choice(SITES, number),
        }
    )
    return torch.from_numpy(metadata_vectors(table))


def fused(**options: Any) -> MetadataFusion:
    torch.manual_seed(0)
    return MetadataFusion(custom_cnn(image_size=16), **options)


def small(**options: Any) -> MetadataFusion:
    """Join metadata to the mean color."""
    torch.manual_seed(0)
    color = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    return MetadataFusion(color, **options)


def drawn(model: MetadataFusion, metadata: Tensor) -> Tensor:
    """Read what the metadata's layers are given."""
    seen: list[Tensor] = []
    handle = model.metadata_layers.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    model(images(len(metadata), size=1), metadata)
    handle.remove()
    return seen[0]


def test_a_vector_of_which_nothing_is_known_is_what_the_reader_writes() -> None:
    table = pd.DataFrame({"age": [np.nan], "sex": [""], "site": [""]})

    assert metadata_vectors(table)[0].tolist() == list(METADATA_MISSING)
    assert METADATA_NAMES == vocabulary.METADATA_NAMES
    assert METADATA_NAMES[:5] == ("age", "age_missing", "female", "sex_missing", "anterior torso")
    assert len(METADATA_NAMES) == 13


def test_logits_are_one_linear_map_of_features_and_metadata_side_by_side() -> None:
    model = fused().eval()
    first, _, _, second, _ = model.metadata_layers
    hidden = first(vectors(3)).relu()
    beside = torch.cat([model.backbone(images(3)), second(hidden).relu()], dim=1)

    logits = model(images(3), vectors(3))

    torch.testing.assert_close(logits, model.head(beside))


def test_the_number_of_parameters_is_that_of_the_backbone_without_its_head_and_of_the_layers() -> (
    None
):
    with torch.device("meta"):
        alone, model = build_model("alexnet"), MetadataFusion(build_model("alexnet"), hidden=64)
    heads = (4096 + 1) * 1000 + (1000 + 1) * 8
    added = (13 + 1) * 64 + (64 + 1) * 64 + (4096 + 64 + 1) * 8

    count = sum(parameter.numel() for parameter in model.parameters())

    assert count == sum(parameter.numel() for parameter in alone.parameters()) - heads + added


@pytest.mark.parametrize("metadata", [vectors(8), None], ids=["with", "without"])
def test_every_parameter_gets_a_gradient_with_metadata_and_without(metadata: Any) -> None:
    model = fused(dropout=0)

    loss = functional.cross_entropy(model(images(8), metadata), torch.arange(8))
    gradients = torch.autograd.grad(loss, list(model.parameters()))

    assert all(gradient.any() for gradient in gradients)


def test_no_metadata_is_the_same_as_metadata_of_which_nothing_is_known() -> None:
    model = fused().eval()

    assert torch.equal(model(images(4)), model(images(4), NOTHING.expand(4, -1)))
    assert not torch.equal(model(images(4)), model(images(4), vectors(4)))


def test_the_features_of_a_fusion_are_those_of_its_image_and_metadata_side_by_side() -> None:
    model = fused().eval()

    found = FeatureExtractor(model)(images(3), vectors(3))

    torch.testing.assert_close(model.head(found), model(images(3), vectors(3)))


def test_a_model_learns_from_metadata_alone_and_from_images_where_there_is_none() -> None:
    """In half of the batch only the sex tells the label, in the other half only the image."""
    model = small(num_classes=2, dropout=0, metadata_dropout=0)
    metadata = NOTHING.repeat(4, 1)
    metadata[:2, [2, 3]] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # a woman and a man
    grey, light = torch.zeros(3, 4, 4), torch.ones(3, 4, 4)
    batch = torch.stack([grey, grey, grey, light])
    labels = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

    for _ in range(60):
        optimizer.zero_grad()
        loss: Any = functional.cross_entropy(model(batch, metadata), labels)
        loss.backward()
        optimizer.step()

    assert model.eval()(batch, metadata).argmax(dim=1).tolist() == [0, 1, 0, 1]
    assert model(batch[2:]).argmax(dim=1).tolist() == [0, 1]


def test_metadata_dropout_takes_each_of_age_sex_and_site_away_by_its_chance() -> None:
    model = small(metadata_dropout=0.3)
    known = vectors(4000)

    with torch.no_grad():
        found = drawn(model, known)

    start, gone = 0, []
    for names in METADATA_GROUPS.values():
        part = slice(start, start := start + len(names))
        missing = (found[:, part] == NOTHING[part]).all(dim=1)
        kept = (found[:, part] == known[:, part]).all(dim=1)
        assert (missing ^ kept).all()
        gone.append(missing)
    fractions = torch.stack(gone).float().mean(dim=1)
    # Five standard deviations of a fraction of 4000 draws
    assert (fractions - 0.3).abs().max() < 0.037
    both = (gone[0] & gone[1]).float().mean()
    assert (both - 0.09).abs() < 0.023


def test_metadata_dropout_is_repeated_by_the_seed_and_rests_in_evaluation() -> None:
    model, known, every = small(metadata_dropout=0.5), vectors(50), small(metadata_dropout=1)

    torch.manual_seed(3)
    first = drawn(model, known)
    torch.manual_seed(3)
    again = drawn(model, known)

    assert torch.equal(first, again)
    assert not torch.equal(first, known)
    assert torch.equal(drawn(model.eval(), known), known)
    assert torch.equal(drawn(every, known), NOTHING.expand(50, -1))


@given(number=st.integers(1, 6))
def test_each_sample_is_judged_by_itself(number: int) -> None:
    model = fused().eval()
    batch, metadata = images(number), vectors(number)

    whole = model(batch, metadata)

    alone = torch.cat([model(batch[[row]], metadata[[row]]) for row in range(number)])
    torch.testing.assert_close(whole, alone)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alexnet", {"variant": "krizhevsky", "head": "replace"}),
        ("custom_cnn", {"image_size": 16, "dropout": 0.1}),
        ("resnet18", {}),
        ("timm/mobilenetv3_small_050", {"drop_rate": 0.25}),
        ("timm/vit_tiny_patch16_224", {"img_size": 64}),
    ],
)
def test_a_fusion_is_rebuilt_from_its_architecture(name: str, options: dict[str, Any]) -> None:
    with torch.device("meta"):
        model: Any = MetadataFusion(
            build_model(name, **options), num_classes=5, hidden=7, dropout=0.2, metadata_dropout=0
        )
        again: Any = build_model(**json.loads(json.dumps(model.architecture)))

    assert model.architecture == {
        "name": "fusion",
        "num_classes": 5,
        "backbone": name,
        **{f"backbone_{key}": value for key, value in options.items()},
        "hidden": 7,
        "dropout": 0.2,
        "metadata_dropout": 0.0,
    }
    size = 227 if name == "alexnet" else options.get("image_size", 64)
    assert again(torch.zeros(2, 3, size, size, device="meta")).shape == (2, 5)
    assert again.architecture == model.architecture
    assert again.dropout.p == 0.2
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in again.state_dict().items()} == shapes


def test_a_rebuilt_fusion_takes_the_weights_of_a_file_but_not_those_of_another_network(
    tmp_path: Path,
) -> None:
    model: Any = fused().eval()
    path, other = tmp_path / "fusion.pth", tmp_path / "alone.pth"
    torch.save(model.state_dict(), path)
    torch.save(custom_cnn(image_size=16).state_dict(), other)

    again = build_model(**model.architecture, weights=path).eval()

    assert torch.equal(again(images(2), vectors(2)), model(images(2), vectors(2)))
    message = r"to be weights of 'fusion' with num_classes=8, backbone='custom_cnn', .*missing"
    with pytest.raises(ValueError, match=message):
        build_model(**model.architecture, weights=other)
    with pytest.raises(
        ValueError, match="`weights` to be None or a path, but got 'DEFAULT', and n"
    ):
        build_model(**model.architecture, weights="DEFAULT")


def test_a_backbone_of_ones_own_is_joined_and_leaves_no_record() -> None:
    model = MetadataFusion(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), num_classes=3)

    assert model(images(2, size=4), vectors(2)).shape == (2, 3)
    assert not hasattr(model, "architecture")
    assert model.takes_metadata


def test_metadata_of_another_precision_is_taken() -> None:
    model = fused().eval()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model(images(2), vectors(2))
    double = model(images(2), vectors(2).double())

    assert torch.equal(double, model(images(2), vectors(2)))
    torch.testing.assert_close(half.float(), double, rtol=0.05, atol=0.05)
    assert model.double()(images(2).double(), vectors(2)).dtype == torch.float64


def changed(row: int, entry: int, value: float) -> Tensor:
    metadata = vectors(4)
    metadata[row, entry] = value
    return metadata


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("metadata", "error", "fragment"),
    [
        (changed(2, 0, float("nan")), ValueError, r"in 0\.\.2: .* got nan in row 2, entry 'age'"),
        (changed(0, 12, float("inf")), ValueError, "got inf in row 0, entry 'site_missing'"),
        (changed(1, 0, 4.5), ValueError, "divided by 100, but got 4.5 in row 1, entry 'age'"),
        (changed(3, 0, -0.05), ValueError, "but got -0.05 in row 3, entry 'age'"),
        (vectors(4)[:, :12], ValueError, r"tensor \(4, 13\), .* got shape \(4, 12\)"),
        (vectors(3), ValueError, r"tensor \(4, 13\), .* got shape \(3, 13\)"),
        (vectors(4).long(), TypeError, "got dtype torch.int64"),
        (vectors(4).numpy(), TypeError, "got an object of type ndarray"),
    ],
    ids=["nan", "infinite", "years", "negative", "width", "number", "integers", "array"],
)
def test_metadata_that_does_not_fit_is_refused(
    metadata: Any, error: type[Exception], fragment: str, training: bool
) -> None:
    model = fused().train(training)

    with pytest.raises(error, match=f"`metadata` to be .*{fragment}"):
        model(images(4), metadata)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"hidden": 0}, "`hidden` to be an integer of 1 or more"),
        ({"dropout": 1.5}, r"`dropout` to be a number in 0\.\.1"),
        ({"metadata_dropout": -0.1}, r"`metadata_dropout` to be a number in 0\.\.1"),
        ({"num_classes": 0}, "`num_classes` to be an integer of 1 or more"),
    ],
)
def test_an_option_out_of_its_range_is_refused(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(ValueError, match=fragment):
        fused(**options)


def test_a_backbone_with_several_heads_or_metadata_of_its_own_is_refused() -> None:
    with torch.device("meta"):
        backbone = build_model("timm/deit_tiny_distilled_patch16_224")

    with pytest.raises(ValueError, match=r"`penultimate_layer` .* 'head, head_dist'"):
        MetadataFusion(backbone)
    with pytest.raises(ValueError, match="`backbone` to be a classifier of images alone"):
        MetadataFusion(fused())
