"""Training in any label space, and in classes that data, options or the model tell."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from colors import Colors, Silent, network, same, trainer, weights
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from dermolib import Trainer, build_model
from dermolib.labels import LABEL_SPACES, LabelSpace
from dermolib.training.sampling import loss_weights

OPEN: dict[str, Any] = {"num_classes": None, "epochs": 1}


class Drawn(Colors):
    """Drawn images of the classes of a label space, two of each."""

    def __init__(self, space: Any) -> None:
        self.label_space = LABEL_SPACES.get(space, space)
        super().__init__(2 * len(self.label_space), classes=len(self.label_space))


class Holding:
    """A wrapper that holds a data set, as those for transforms do."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Any:
        return self.dataset[row]


@pytest.mark.parametrize("name", LABEL_SPACES)
def test_every_label_space_is_trained_in_scored_predicted_and_kept(
    name: str, tmp_path: Path
) -> None:
    data, space = Drawn(name), LABEL_SPACES[name]
    fitted = trainer(network(classes=len(space)), output=tmp_path, **OPEN)

    fitted.fit(data, data)

    assert (fitted.label_space, fitted.class_names) == (space, space.codes)
    assert fitted.evaluate(data)["n"] == len(data)
    options: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    model = network(classes=len(space), seed=1)
    stored = Trainer.load(tmp_path / "best.pt", model=model, **options)
    assert (stored.label_space, stored.class_names) == (space, space.codes)
    assert same(weights(model), weights(fitted.model))
    # The last bit depends on where weights lie in memory, on some processors
    torch.testing.assert_close(stored.predict(data), fitted.predict(data), rtol=0, atol=1e-6)
    other = Drawn("binary" if name != "binary" else "padufes")
    with pytest.raises(
        ValueError, match=rf"`data` .* label space {name}, .* {other.label_space.name}"
    ):
        stored.evaluate(other)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda data: Subset(Subset(data, range(9)), range(8)),
        lambda data: data + data,
        lambda data: DataLoader(ConcatDataset([data, Subset(data, [0, 1])]), batch_size=4),
        Holding,
        lambda data: Subset[Any](Holding(data), range(8)),  # type: ignore[arg-type]  # a wrapper of ones own
    ],
    ids=["subset of subset", "sum", "loader of a concatenation", "wrapper", "subset of a wrapper"],
)
def test_label_space_and_labels_are_found_in_what_holds_a_data_set(wrapped: Any) -> None:
    data = wrapped(Drawn("padufes"))
    fitted = trainer(network(classes=6), class_weights="auto", **OPEN)

    fitted.fit(data)

    assert fitted.label_space == LABEL_SPACES["padufes"]
    counted = loss_weights(fitted, data)
    drawn: Any = data.dataset if isinstance(data, DataLoader) else data
    labels = [drawn[row]["label"] for row in range(len(drawn))]
    sizes = np.bincount(labels, minlength=6)
    assert counted is not None
    assert counted.numpy() == pytest.approx(len(labels) / (6 * sizes))


def test_targets_count_as_labels() -> None:
    data: Any = Silent(6)
    data.targets = torch.arange(6) % 3

    assert loss_weights(trainer(class_weights="auto"), data) is not None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"num_classes": 7},
            "`num_classes` to be 6, the number of classes of the label space",
        ),
        (
            {"label_space": "isic2018"},
            "that the Trainer has, the label space isic2018, but got",
        ),
        (
            {"class_names": [*"abc"]},
            "`num_classes` to be 6, the number of classes of the label",
        ),
        (
            {"class_names": ["BCC", "ACK", "MEL", "NEV", "SCC", "SEK"]},
            "in its order, ACK, BCC, MEL, NEV, SCC, SEK, but got BCC in place 1.",
        ),
    ],
)
def test_options_that_contradict_the_label_space_of_the_data_are_refused(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        trainer(network(classes=6), **{**OPEN, **options}).fit(Drawn("padufes"))


def test_a_model_of_other_outputs_is_told_how_to_be_built() -> None:
    sentence = r"\(N, 6\), the classes of the label space padufes, but got .* \(8, 8\).*space\)\)`"
    with pytest.raises(ValueError, match=sentence):
        trainer(network(classes=8), **OPEN).fit(Drawn("padufes"))


def test_sets_of_two_label_spaces_put_together_are_refused() -> None:
    mixed = Drawn("padufes") + Drawn("binary")

    with pytest.raises(ValueError, match="label space padufes and the label space binary"):
        trainer(network(classes=6), **OPEN).fit(mixed)


def test_the_classes_are_those_of_a_built_model_where_nothing_else_tells_them() -> None:
    model = build_model("custom_cnn", num_classes=3, image_size=16)
    assert trainer(model, **OPEN).predict([{"image": torch.zeros(3, 16, 16)}]).shape == (1, 3)

    eight = trainer(network(classes=8), **OPEN)
    assert eight.predict(Colors(4)).shape == (4, 8)
    assert eight.class_names == LABEL_SPACES["challenge"].codes
    words = r"logits \(N, 8\), .* of the same `num_classes` that the Trainer has"
    with pytest.raises(ValueError, match=words):
        trainer(network(), **OPEN).predict(Colors(8))


def test_a_run_of_another_label_space_is_not_resumed(tmp_path: Path) -> None:
    class Stopping(Drawn):
        def __getitem__(self, row: int) -> Any:
            if row == 11:
                raise RuntimeError("Out of luck")
            return super().__getitem__(row)

    one, other = LabelSpace([*"abcdef"]), LabelSpace([*"abcdeg"])
    with pytest.raises(RuntimeError, match="Out of luck"):
        trainer(network(classes=6), output=tmp_path, save_every=1, **OPEN).fit(
            Drawn(one), Stopping(one)
        )

    with pytest.raises(ValueError, match=r"class_names \['a', 'b'.*'g'\] here"):
        trainer(network(classes=6), output=tmp_path, save_every=1, **OPEN).fit(
            Drawn(other), Drawn(other)
        )


class OneLogit(nn.Module):
    """A network of one logit, that of the second class; or of the two that it counts as."""

    def __init__(self, *, two: bool) -> None:
        super().__init__()
        self.network, self.two = network(classes=1), two

    def forward(self, image: Tensor) -> Any:
        logit = self.network(image)
        return torch.cat([torch.zeros_like(logit), logit], dim=1) if self.two else logit


def test_one_logit_trains_as_binary_cross_entropy_and_predicts_by_the_sigmoid() -> None:
    data = Drawn("binary")
    one, two = (trainer(OneLogit(two=two), **{**OPEN, "epochs": 3}) for two in (False, True))
    images, label = data.images, torch.from_numpy(data.labels).float()
    with torch.no_grad():
        before = nn.functional.binary_cross_entropy_with_logits(one.model(images)[:, 0], label)
    assert one.evaluate(data)["loss"] == pytest.approx(float(before), rel=1e-5)

    assert one.fit(data).rows == two.fit(data).rows

    with torch.no_grad():
        sigmoid = one.model.eval()(images).sigmoid()
    assert torch.allclose(one.predict(data), torch.cat([1 - sigmoid, sigmoid], dim=1), atol=1e-6)


def test_probabilities_and_pixels_that_are_not_normalized_are_warned_of_once() -> None:
    model = nn.Sequential(network(), nn.Softmax(dim=1))
    with pytest.warns(UserWarning, match="are probabilities. Leave the softmax out") as caught:
        trainer(model, epochs=2).fit(Colors(12), Colors(6))
    assert len(caught) == 1

    data = Colors(12)
    data.images = data.images.clamp(0, 1) * 255
    with pytest.warns(UserWarning, match=r"`image` to be normalized images, .* up to 255.*Divide"):
        trainer().evaluate(data)


@pytest.mark.parametrize(
    "options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"sampler": 0.5}, {"loss": "focal"}]
)
@pytest.mark.parametrize("name", ["binary", "milk10k"])
def test_mixing_sampling_and_losses_work_with_two_and_with_eleven_classes(
    name: str, options: dict[str, Any]
) -> None:
    data = Drawn(name)

    rows = trainer(network(classes=len(data.label_space)), **OPEN, **options).fit(data).rows

    assert np.isfinite(rows[0]["train_loss"])


def test_a_class_without_training_images_is_named_by_its_code() -> None:
    data = Drawn("padufes")

    with pytest.warns(UserWarning, match="training set has no image of SEK, which the model"):
        trainer(network(classes=6), **OPEN).fit(Subset(data, range(5)))
