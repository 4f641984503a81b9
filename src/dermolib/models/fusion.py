"""Age, sex and site joined to any network of images."""

from typing import Any

import torch
from torch import Tensor, nn

from dermolib._validation import check_number, check_type, expected, require
from dermolib.labels import METADATA_GROUPS, METADATA_MISSING, METADATA_NAMES
from dermolib.models.architecture import finish
from dermolib.models.feature_extractor import FeatureExtractor

__all__ = ["MetadataFusion"]

NAME = "fusion"
BACKBONE = "backbone"
_LARGEST = 2  # age / 100; an age in years is above
_WIDTH = len(METADATA_MISSING)


class MetadataFusion(nn.Module):
    """Late fusion of age, sex and site with a network of images; it returns logits.

    Two linear layers with ReLU turn the metadata into `hidden` values, which are concatenated with
    the features of the backbone, see `dermolib.models.FeatureExtractor`; after dropout one linear
    layer turns both into logits. This is the late fusion with which Gessert et al. won ISIC 2019,
    with fewer values and without batch norm: entries are in 0..1 already, and batches may be small.

    Missing values are flagged, not imputed: each of age, sex and site has a flag. In training,
    metadata dropout makes each of the three missing in each sample at random, so that the network
    also learns from the image alone; without metadata it is a classifier of images. Random numbers
    come from torch's global generator on the device, so `torch.manual_seed` repeats them.

    Args:
        backbone: Classifier of images, such as `build_model` returns; its layers are shared.
        num_classes: Number of logits.
        hidden: Number of hidden values of the metadata, 1 or more.
        dropout: Fraction of values before the last layer, and of the metadata's hidden ones, that
            training drops, in 0..1.
        metadata_dropout: Probability in 0..1 that training drops an age, a sex, a site.

    Attributes:
        architecture: Flat dict from which ``build_model(**model.architecture)`` builds the same
            network again, the backbone's options with ``backbone_`` before their names. Only where
            the backbone has one.
        backbone: The backbone without its last layer.
        takes_metadata: True: a trainer passes metadata to networks with this attribute.

    Raises:
        TypeError: `backbone` is not a module, or a number is not a number.
        ValueError: The backbone has no linear layer or takes metadata itself, or a number is out of
            its range.

    References:
        Gessert et al., Skin lesion classification using ensembles of multi-resolution EfficientNets
        with meta data, 2020, https://doi.org/10.1016/j.mex.2020.100864.

    Examples:
        >>> from dermolib import build_model
        >>> model = MetadataFusion(build_model("custom_cnn", image_size=32)).eval()
        >>> metadata = torch.tensor(METADATA_MISSING).expand(2, -1)
        >>> model(torch.zeros(2, 3, 32, 32), metadata).shape
        torch.Size([2, 8])
    """

    takes_metadata = True
    wrapped_attribute = BACKBONE

    missing: Tensor
    groups: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int = 8,
        hidden: int = 64,
        dropout: float = 0.4,
        metadata_dropout: float = 0.1,
    ) -> None:
        """Take off the backbone's last layer and join the two."""
        super().__init__()
        for name, value in (("num_classes", num_classes), ("hidden", hidden)):
            check_number(value, name, low=1, integer=True)
        for name, rate in (("dropout", dropout), ("metadata_dropout", metadata_dropout)):
            check_number(rate, name, low=0, high=1)
        self.metadata_dropout = float(metadata_dropout)
        self.backbone = FeatureExtractor(backbone)
        what, got = "a classifier of images alone", f"a {type(backbone).__name__} of metadata too"
        require(not self.backbone.takes_metadata, "backbone", what, got)
        first, second = nn.Linear(_WIDTH, hidden), nn.Linear(hidden, hidden)
        layers = (first, nn.ReLU(), nn.Dropout(dropout), second, nn.ReLU())
        self.metadata_layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.size + hidden, num_classes)
        # Constants of the vocabulary, not weights
        self.register_buffer("missing", torch.tensor(METADATA_MISSING), persistent=False)
        groups = [number for number, names in enumerate(METADATA_GROUPS.values()) for _ in names]
        self.register_buffer("groups", torch.tensor(groups), persistent=False)
        record: dict[str, Any] = dict(getattr(backbone, "architecture", {}))
        if record:
            options = {BACKBONE: record.pop("name")}
            del record["num_classes"]  # the backbone's own last layer is gone
            options |= {f"{BACKBONE}_{key}": value for key, value in record.items()}
            options |= {"hidden": int(hidden), "dropout": float(dropout)}
            finish(self, NAME, num_classes, **options, metadata_dropout=self.metadata_dropout)

    def forward(self, images: Tensor, metadata: Tensor | None = None) -> Tensor:
        """Turn images (N, 3, H, W) and metadata into logits (N, `num_classes`).

        Args:
            images: Batch, as the backbone takes it.
            metadata: Vectors (N, 13), floating point, with the meanings
                `dermolib.labels.METADATA_NAMES`, on any device; None where nothing is known.

        Raises:
            TypeError: Metadata is not a floating-point tensor.
            ValueError: It has another shape, or a value that is not in 0..2, NaN included (values
                are not checked under `torch.compile`).
        """
        vectors = self._vectors(images, metadata)
        features = self.backbone(images)
        joined = torch.cat([features, self.metadata_layers(vectors)], dim=1)
        logits: Tensor = self.head(self.dropout(joined))
        return logits

    def _vectors(self, images: Tensor, metadata: Tensor | None) -> Tensor:
        # Not the weight of the head, which a `FeatureExtractor` leaves out
        weight = self.metadata_layers[0].get_parameter("weight")
        missing = self.missing.to(weight.dtype)
        if metadata is None:
            return missing.expand(len(images), -1)
        _check_metadata(metadata, len(images))
        vectors = metadata.to(weight)
        if not self.training or self.metadata_dropout == 0:
            return vectors
        chances = torch.rand(len(vectors), len(METADATA_GROUPS), device=weight.device)
        dropped = (chances < self.metadata_dropout)[:, self.groups]
        return torch.where(dropped, missing, vectors)


def _check_metadata(metadata: Any, number: int) -> None:
    name, what = "metadata", f"a floating-point tensor ({number}, {_WIDTH}), a row for each image"
    check_type(metadata, name, Tensor, what)
    require(metadata.is_floating_point(), name, what, f"dtype {metadata.dtype}", error=TypeError)
    got, hint = f"shape {tuple(metadata.shape)}", "Use `dermolib.datasets.metadata_vectors(table)`."
    require(tuple(metadata.shape) == (number, _WIDTH), name, what, got, hint)
    if torch.compiler.is_compiling():
        return
    right = (metadata >= 0) & (metadata <= _LARGEST)  # NaN is in no range
    if not bool(right.all()):
        row, entry = (~right).nonzero()[0].tolist()
        got = f"{metadata[row, entry].item():g} in row {row}, entry {METADATA_NAMES[entry]!r}"
        what = f"in 0..{_LARGEST}: flags, and the age divided by 100"
        hint = "A missing value is 0 and its flag 1, see `dermolib.datasets.metadata_vectors`."
        raise ValueError(expected(name, what, got, hint))
