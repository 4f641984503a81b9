"""Files of `Trainer.save`: what they carry, and what is refused without running it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from colors import network, same, trainer, weights

from dermolib import Trainer, build_model


@pytest.mark.parametrize("told", [{"label_space": "challenge"}, {"num_classes": 8}, {}])
def test_a_saved_trainer_predicts_the_same(told: dict[str, Any], tmp_path: Path) -> None:
    model = build_model("custom_cnn", num_classes=8, image_size=16)
    saved = trainer(model, **{"num_classes": None, **told})
    saved.save(tmp_path / "model.pt")

    loaded = Trainer.load(tmp_path / "model.pt", device="cpu", precision="32-true")

    images = [{"image": torch.randn(3, 16, 16)}]
    assert torch.equal(loaded.predict(images), saved.predict(images))
    assert loaded.class_names == ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")


def test_a_module_of_ones_own_is_loaded_into_one_like_it(tmp_path: Path) -> None:
    saved = trainer(network(seed=1), class_names=["red", "green", "blue"])
    saved.save(tmp_path / "name without ending")

    loaded = Trainer.load(tmp_path / "name without ending", model=network(seed=2), device="cpu")

    assert same(loaded.model.state_dict(), saved.model.state_dict())
    assert loaded.class_names == ("red", "green", "blue")


def test_a_module_that_does_not_fit_is_left_as_it_was(tmp_path: Path) -> None:
    trainer(network(seed=1)).save(tmp_path / "model.pt")
    model = network(classes=4, seed=2)
    before = weights(model)
    got = "other weights: 5.bias (3,) there, (4,) here, 5.weight (3, 4) there, (4, 4) here."

    with pytest.raises(ValueError, match=re.escape(f"a checkpoint of this model, but got {got}")):
        Trainer.load(tmp_path / "model.pt", model=model)

    assert same(model.state_dict(), before)


def test_a_file_whose_weights_are_not_finite_leaves_a_module_as_it_was(tmp_path: Path) -> None:
    path, model = tmp_path / "model.pt", network(seed=2)
    trainer(network(seed=1)).save(path)
    content = torch.load(path, weights_only=True)
    content["state_dict"]["5.weight"][1, 2] = -torch.inf
    torch.save(content, path)
    before = weights(model)

    found = f"`{path}` to be finite weights, but got NaN or infinity, first in `5.weight`"
    with pytest.raises(ValueError, match=re.escape(found)):
        Trainer.load(path, model=model)

    assert same(model.state_dict(), before)


def test_a_checkpoint_cannot_send_the_reader_to_another_file(tmp_path: Path) -> None:
    saved = trainer(build_model("custom_cnn", num_classes=3, image_size=16))
    saved.save(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["architecture"]["weights"] = str(tmp_path / "absent.pth")
    torch.save(content, tmp_path / "model.pt")

    assert Trainer.load(tmp_path / "model.pt", device="cpu").num_classes == 3


class Payload:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def halved(path: Path) -> None:
    trainer().save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: trainer().save(path), "Build the module yourself and pass it as `model`."),
        (lambda path: path.write_text("hello"), "but got a file that does not load ("),
        (halved, "but got a file that does not load ("),
        (
            lambda path: torch.save({"format": Payload(path.parent / "ran")}, path),
            "model.pt` to be a checkpoint of `Trainer.save`, but got a file that does not load",
        ),
        (
            lambda path: torch.save(network().state_dict(), path),
            "Load plain weights with `build_model(..., weights=PATH)`.",
        ),
    ],
)
def test_other_files_are_refused_unread(
    tmp_path: Path, write: Callable[[Path], object], sentence: str
) -> None:
    write(tmp_path / "model.pt")

    with pytest.raises(ValueError, match=re.escape(sentence)):
        Trainer.load(tmp_path / "model.pt")

    assert not (tmp_path / "ran").exists()


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("changes", "built", "sentence"),
    [
        ({"class_names": 3}, False, "one without the names of two or more classes"),
        ({"class_names": [1, 2, 3]}, False, "one without the names of two or more classes"),
        ({"class_names": ["a"]}, False, "one without the names of two or more classes"),
        ({"class_names": ["a", "a", "b"]}, False, "one without the names of two or more classes"),
        ({"class_names": nested(150)}, False, "one of more than 100 levels"),
        ({"class_names": ["a", "b", "c", "d"]}, True, "one of 3 classes with 4 names"),
        ({"state_dict": [1]}, False, "one without weights"),
        ({"format": torch.zeros(3)}, False, "other content"),
        ({"architecture": {"num_classes": torch.ones(3)}}, True, "one of tensor"),
        ({"architecture": {"name": "none", "num_classes": 3}}, True, "one that cannot be built: "),
        ({"architecture": {"num_classes": 3, 4: 5}}, True, "one that cannot be built: "),
        (
            {"architecture": {"name": "custom_cnn", "num_classes": 3, "image_size": 10**9}},
            True,
            "one that cannot be built: ",
        ),
    ],
)
def test_content_of_another_type_length_or_depth_is_refused(
    tmp_path: Path, changes: dict[str, Any], built: bool, sentence: str
) -> None:
    model = build_model("custom_cnn", num_classes=3, image_size=16) if built else network()
    trainer(model).save(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    torch.save({**content, **changes}, tmp_path / "model.pt")

    with pytest.raises(ValueError, match=f"model.pt` to be .*but got {sentence}"):
        Trainer.load(tmp_path / "model.pt", model=None if built else network())


@pytest.mark.parametrize(
    ("bias", "form"),
    [
        ("text", "'str'"),
        (torch.zeros(3, dtype=torch.int64), "((3,), 'torch.int64', 'torch.strided')"),
        (torch.ones(3, dtype=torch.cfloat), "((3,), 'torch.complex64', 'torch.strided')"),
    ],
    ids=["text", "integers", "complex numbers"],
)
def test_weights_of_another_kind_are_refused(tmp_path: Path, bias: Any, form: str) -> None:
    trainer().save(tmp_path / "model.pt")
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    content["state_dict"]["5.bias"] = bias
    torch.save(content, tmp_path / "model.pt")

    with pytest.raises(ValueError, match=re.escape(f"other weights: 5.bias {form} there, (3,) he")):
        Trainer.load(tmp_path / "model.pt", model=network())


def test_one_changed_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    saved = trainer()
    saved.save(tmp_path / "model.pt")
    content = bytearray((tmp_path / "model.pt").read_bytes())
    content[content.index(saved.model.state_dict()["5.weight"].numpy().tobytes())] ^= 1
    (tmp_path / "model.pt").write_bytes(content)

    with pytest.raises(ValueError, match=r"but got a file whose part \S+ is damaged"):
        Trainer.load(tmp_path / "model.pt", model=network())


def test_a_missing_file_a_folder_and_stored_options_are_named(tmp_path: Path) -> None:
    trainer().save(tmp_path / "model.pt")

    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        Trainer.load(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match=r"`path` to be a file, but got the folder .* Name a file"):
        trainer().save(tmp_path)
    with pytest.raises(TypeError, match=r"but got `class_names`\. Leave it out"):
        Trainer.load(tmp_path / "model.pt", model=network(), class_names=["a", "b", "c"])
    with pytest.raises(TypeError, match="`model` to be the model itself, but got the wrapper"):
        Trainer.load(tmp_path / "model.pt", model=torch.compile(network()))  # type: ignore[arg-type]  # torch says it is a function
