import hashlib
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm.models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models import _registry
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import (  # type: ignore[import-untyped] # no annotations published
    AlexNet_Weights,
    ResNet18_Weights,
)

from dermolib import build_model
from dermolib.models import alexnet, custom_cnn, resnet

SMALL = "mobilenetv3_small_050"


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Serve a folder on this machine, with an empty hub cache; gives the address of a file."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def address(path: Path) -> str:
        path.rename(folder / path.name)
        return f"http://127.0.0.1:{server.server_port}/{path.name}"

    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def small(**options: Any) -> nn.Module:
    return custom_cnn(**{"image_size": 8, **options})


def marked(model: nn.Module) -> dict[str, Tensor]:
    """Give a state dict of the model, each tensor one number of its own: it fills no memory."""
    return {
        key: torch.tensor(number, dtype=value.dtype, device="cpu").expand(value.shape)
        for number, (key, value) in enumerate(model.state_dict().items(), start=1)
    }


def imagenet(model: nn.Module, classifier: str) -> dict[str, Tensor]:
    """Turn the state dict of a model into one of 1000 classes."""
    state = {key: value for key, value in marked(model).items() if not key.startswith("head.")}
    inputs = state[f"{classifier}.weight"].shape[1]
    state[f"{classifier}.weight"] = torch.tensor(-1.0, device="cpu").expand(1000, inputs)
    state[f"{classifier}.bias"] = torch.tensor(-2.0, device="cpu").expand(1000)
    return state


def saved(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        whole = {key: value.contiguous() for key, value in content.items()}
        safetensors.torch.save_file(whole, path)
    else:
        torch.save(content, path)
    return path


def digested(path: Path) -> Path:
    """Rename a file as hubs do, with the beginning of its SHA-256."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return path.rename(path.with_name(f"{path.stem}-{digest}{path.suffix}"))


def same(loaded: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return loaded.keys() == expected.keys() and all(
        torch.equal(loaded[key], value) for key, value in expected.items()
    )


@pytest.mark.parametrize(
    ("ending", "keys"),
    [
        *(
            (end, [])
            for end in (".pth", ".pt", ".safetensors", ".PTH", ".ckpt", ".bin", ".pth.tar")
        ),
        *((".pth", [key]) for key in ("state_dict", "model", "model_state_dict", "state_dict_ema")),
        *((".pth", keys) for keys in (["model", "state_dict"], ["net"], ["model", "params"])),
    ],
)
def test_a_state_dict_of_this_model_is_loaded_whole_also_where_it_is_nested(
    tmp_path: Path, ending: str, keys: list[str]
) -> None:
    content: Any = marked(small())
    for key in reversed(keys):
        content = {"epoch": 3, key: content, "optimizer": {"state": {}, "param_groups": [{}]}}

    model = small(weights=str(saved(tmp_path / f"own{ending}", content)))

    assert same(model.state_dict(), marked(small()))


def test_of_several_state_dicts_an_average_is_taken_and_without_one_the_user_is_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dermolib")
    plain, average = small().state_dict(), marked(small())
    averaged = {"n_averaged": torch.tensor(5), **{f"module.{k}": v for k, v in average.items()}}
    path = saved(tmp_path / "both.pth", {"model": plain, "model_ema": averaged, "epoch": 3})
    unknown = saved(tmp_path / "two.pth", {"student": plain, "teacher": average})

    assert same(small(weights=path).state_dict(), average)
    assert "Taking 'model_ema' of 'model_ema', 'model' in" in caplog.text
    with pytest.raises(ValueError, match=r"but got one each under 'student', 'teacher'\. Save"):
        small(weights=unknown)


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in marked(small()).items()}


def halfway(prefix: str, *, most: int) -> dict[str, Tensor]:
    """Put a prefix before the first names alone."""
    state = enumerate(marked(small()).items())
    return {(prefix if number < most else "") + key: value for number, (key, value) in state}


def first_four(prefix: str) -> dict[str, Tensor]:
    return dict(list(prefixed(prefix).items())[:4])


PREFIXES = ["module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod."]
PREFIXES += ["_orig_mod.module.", "model._orig_mod.", "model.module.", "student.encoder.cnn."]


@pytest.mark.parametrize(
    ("content", "logged"),
    [
        *((prefixed(prefix), f"`{prefix}` from the names of 10 tensors") for prefix in PREFIXES),
        ({"state_dict": prefixed("model."), "epoch": 1}, "`model.` from the names of 10 tensors"),
        (
            {"state_dict": {**prefixed("model."), "criterion.weight": torch.ones(8)}},
            "from the names of 10 tensors of PATH, and left out criterion.weight",
        ),
        (
            {"n_averaged": torch.tensor(3), **prefixed("module.")},
            "from the names of 10 tensors of PATH, and left out n_averaged",
        ),
        (
            {k.replace("features.", "features.module."): v for k, v in prefixed("").items()},
            "`module.` from the names of 6 tensors",
        ),
        (halfway("module.", most=3), "`module.` from the names of 3 tensors"),
        (halfway("model.", most=8), "`model.` from the names of 8 tensors"),
        (prefixed("model.") | prefixed("ema_model."), "from the names of 10 tensors"),
    ],
    ids=[*PREFIXES, "nested", "loss", "average", "inside", "some", "most", "same"],
)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_wrappers_put_before_the_names_is_removed_and_logged_once(
    tmp_path: Path,
    content: dict[str, Any],
    logged: str,
    ending: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dermolib")
    content = content["state_dict"] if ending != ".pth" and "state_dict" in content else content
    path = saved(tmp_path / f"wrapped{ending}", content)

    assert same(small(weights=path).state_dict(), marked(small()))
    messages = [one.getMessage() for one in caplog.records if one.name.startswith("dermolib")]
    assert [message.startswith("Removed ") for message in messages] == [True]
    assert logged.replace("PATH", str(path)) in messages[0]


def test_a_prefix_that_the_model_itself_has_is_kept(tmp_path: Path) -> None:
    inner = build_model("fusion", backbone="custom_cnn", backbone_image_size=8)
    state = {f"model.{key}": value for key, value in marked(inner).items()}
    path = saved(tmp_path / "wrapped.pth", state)

    loaded = build_model(**inner.architecture, weights=path)  # type: ignore[arg-type] # a dict

    assert any(key.startswith("backbone.model.") for key in loaded.state_dict())
    assert same(loaded.state_dict(), marked(inner))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            prefixed("module.") | prefixed(""),
            "tensors of one network, but got both `module.features.0.0.weight` and `features.0.0.w",
        ),
        (
            prefixed("model.") | {k: v + 1 for k, v in prefixed("ema.").items()},
            "tensors of one network, but got other tensors under each of `model.`, `ema.`. Save",
        ),
        (halfway("model.", most=5), "5 missing (features.0.0.weight, features.0.0.bias, feat"),
        (
            prefixed("model.") | {"model.more.weight": torch.ones(2)},
            "1 unexpected (more.weight). Build",
        ),
        (
            {**first_four("model."), "other.weight": torch.ones(2)},
            "8 missing (features.0.0.weight, features.0.0.bias, features.1.0.weight and 5 more); "
            "5 unexpected (model.features.0.0.weight",
        ),
    ],
    ids=["both", "rivals", "half", "more", "few"],
)
def test_names_that_are_of_no_single_network_are_refused_in_one_sentence(
    tmp_path: Path, content: dict[str, Tensor], words: str
) -> None:
    path = saved(tmp_path / "mixed.pth", content)

    with pytest.raises(ValueError, match=f"^Expected `{path}` to be .*{re.escape(words)}"):
        small(weights=path)


@settings(max_examples=15)
@given(num_classes=st.integers(1, 20), image_size=st.integers(8, 24), seed=st.integers(0, 9))
def test_what_is_saved_and_loaded_computes_the_same(
    tmp_path_factory: pytest.TempPathFactory, num_classes: int, image_size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    model = custom_cnn(num_classes, image_size=image_size).eval()
    path = saved(tmp_path_factory.mktemp("w") / "w.safetensors", model.state_dict())
    images = torch.ones(1, 3, image_size, image_size)

    again = build_model(**model.architecture, weights=path).eval()  # type: ignore[arg-type] # a dict

    assert torch.equal(again(images), model(images))


@pytest.mark.parametrize(
    ("name", "options", "classifier", "kept"),
    [
        ("resnet18", {}, "fc", "fc"),
        (f"timm/{SMALL}", {}, "classifier", "classifier"),
        ("alexnet", {}, "classifier.6", "head"),
        ("alexnet", {"head": "replace"}, "classifier.6", "classifier.6"),
        ("alexnet", {"variant": "krizhevsky"}, "classifier.6", "head"),
        ("alexnet", {"variant": "krizhevsky", "head": "replace"}, "classifier.6", "classifier.6"),
    ],
)
def test_imagenet_weights_fill_a_network_but_for_the_layer_of_the_few_classes(
    tmp_path: Path, name: str, options: dict[str, Any], classifier: str, kept: str
) -> None:
    whole = {**options, "head": "append"} if name == "alexnet" else {}
    with torch.device("meta"):
        state = imagenet(build_model(name, **whole), classifier)
    ending = ".pth" if name == "alexnet" else ".safetensors"  # of which many numbers fill a disk
    path = saved(tmp_path / f"imagenet{ending}", state)

    torch.manual_seed(0)
    fresh = build_model(name, **options).state_dict()
    torch.manual_seed(0)
    loaded = build_model(name, **options, weights=path).state_dict()

    initial = {key: fresh[key] for key in (f"{kept}.weight", f"{kept}.bias")}
    assert same(loaded, state | initial)


@pytest.mark.parametrize("classes", [7, 1000, 21_843])
@pytest.mark.parametrize(
    ("name", "options", "head"),
    [
        ("custom_cnn", {"image_size": 8}, "classifier.2"),
        ("resnet18", {}, "fc"),
        (f"timm/{SMALL}", {}, "classifier"),
        ("timm/deit_tiny_distilled_patch16_224", {"depth": 1}, "head, head_dist"),
        ("fusion", {"backbone": "custom_cnn", "backbone_image_size": 8}, "head"),
        (small, {}, "classifier.2"),
    ],
    ids=["custom_cnn", "resnet18", "timm", "two heads", "fusion", "function"],
)
def test_weights_for_other_classes_are_loaded_but_for_the_last_layer_which_is_logged(
    tmp_path: Path,
    name: Any,
    options: dict[str, Any],
    head: str,
    classes: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dermolib")
    state = marked(build_model(name, num_classes=classes, **options))
    path = saved(tmp_path / "other.safetensors", {f"module.{k}": v for k, v in state.items()})

    torch.manual_seed(0)
    fresh = build_model(name, **options).state_dict()
    torch.manual_seed(0)
    loaded = build_model(name, **options, weights=path).state_dict()

    layers = tuple(f"{layer}." for layer in head.split(", "))
    assert same(loaded, {k: fresh[k] if k.startswith(layers) else v for k, v in state.items()})
    removed, kept = caplog.records
    assert removed.getMessage().startswith("Removed `module.`")
    text = f"Loaded {path} without a last layer ({classes:,} classes): `{head}` is left as initial"
    assert text in kept.getMessage()
    # That of ImageNet nobody wants, but the loss of another may surprise
    assert kept.levelno == (logging.INFO if classes == 1000 else logging.WARNING)


@pytest.mark.parametrize("head", ["append", "replace"])
@pytest.mark.parametrize("of_file", ["append", "replace", "torchvision"])
def test_alexnet_takes_files_of_seven_classes_whichever_head_they_have(
    tmp_path: Path, of_file: str, head: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with torch.device("meta"):
        state = marked(alexnet(7, head="append" if of_file == "append" else "replace"))
    if of_file == "torchvision":  # as many replace its last layer
        state = {k.replace("classifier.6.", "classifier.6.1."): v for k, v in state.items()}
    path = saved(tmp_path / "seven.pth", state)

    loaded = alexnet(head=head, weights=path).state_dict()

    body = [key for key in state if not key.startswith(("head.", "classifier.6."))]
    assert same({key: loaded[key] for key in body}, {key: state[key] for key in body})
    is_kept = bool((loaded["classifier.6.weight"] == 15).all())
    assert is_kept == (of_file == head == "append")
    assert not (loaded.get("head.weight", torch.zeros(1)) == 17).all()
    assert "7 classes" in caplog.text or "7, 1,000 classes" in caplog.text


def test_a_whole_network_of_1000_classes_and_one_from_before_batch_counters_are_loaded(
    tmp_path: Path,
) -> None:
    fresh = resnet(depth=18)
    old = {k: v for k, v in marked(fresh).items() if not k.endswith("num_batches_tracked")}
    with torch.device("meta"):
        own = imagenet(alexnet(), "classifier.6")
    own |= {"head.weight": torch.full((8, 1000), 3.0), "head.bias": torch.full((8,), 4.0)}
    paths = [
        saved(tmp_path / f"{number}.pth", state)
        for number, state in enumerate((imagenet(fresh, "fc"), old, own))
    ]

    assert (resnet(1000, depth=18, weights=paths[0]).state_dict()["fc.weight"] == -1).all()
    loaded = resnet(depth=18, weights=paths[1]).state_dict()
    assert same({key: loaded[key] for key in old}, old)
    assert same(alexnet(weights=paths[2]).state_dict(), own)


@pytest.fixture
def resnet_file(tmp_path: Path) -> Path:
    """Write ImageNet weights of a ResNet."""
    return saved(tmp_path / "resnet18.pth", imagenet(resnet(depth=18), "fc"))


def test_published_weights_are_downloaded_once_checked_and_loaded(
    tmp_path: Path,
    resnet_file: Path,
    served: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = digested(resnet_file)
    monkeypatch.setattr(ResNet18_Weights.DEFAULT.value, "url", served(path))

    first = resnet(depth=18, weights="DEFAULT").state_dict()["conv1.weight"]
    (tmp_path / "served" / path.name).unlink()
    again = resnet(depth=18, weights="DEFAULT").state_dict()["conv1.weight"]

    assert torch.equal(first, torch.ones_like(first))
    assert torch.equal(again, first)
    cached = tmp_path / "cache" / "hub" / "checkpoints" / path.name
    cached.write_bytes(cached.read_bytes()[:-1])
    message = rf"begins with {path.stem[-8:]}, but got SHA-256 .*Delete"
    with pytest.raises(ValueError, match=message):
        resnet(depth=18, weights="DEFAULT")


def test_alexnets_published_weights_are_read_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    with torch.device("meta"):
        state = imagenet(alexnet(), "classifier.6")
    path = digested(saved(cache / "alexnet-owt.pth", state))
    assert re.search(r"-[0-9a-f]{8}\.pth$", AlexNet_Weights.DEFAULT.url)
    monkeypatch.setattr(AlexNet_Weights.DEFAULT.value, "url", f"http://127.0.0.1:9/{path.name}")

    loaded = alexnet(weights="DEFAULT").state_dict()

    assert same({key: loaded[key] for key in state}, state)


def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))

    with pytest.raises(ValueError, match="`TORCH_HOME` to be a folder, but got the file"):
        alexnet(weights="DEFAULT")


def test_a_downloaded_file_with_another_digest_is_refused_and_not_kept(
    tmp_path: Path,
    resnet_file: Path,
    served: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = served(resnet_file.rename(tmp_path / "resnet18-0123abcd.pth"))
    monkeypatch.setattr(ResNet18_Weights.DEFAULT.value, "url", url)

    with pytest.raises(ValueError, match=f"published file at {url}, .* 0123abcd, but got another"):
        resnet(depth=18, weights="DEFAULT")
    assert not [*(tmp_path / "cache" / "hub" / "checkpoints").iterdir()]


def published_by_timm(monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """Let timm publish the weights of a small network at an address; gives the network's name."""
    name = f"{SMALL}.lamb_in1k"
    settings = timm.models.get_pretrained_cfg(name)
    monkeypatch.setattr(settings, "url", url)
    monkeypatch.setattr(settings, "hf_hub_id", None)
    monkeypatch.setitem(_registry._model_pretrained_cfgs, name, settings)
    return f"timm/{name}"


def test_published_weights_that_cannot_be_downloaded_are_named(
    tmp_path: Path, served: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").touch()
    url = served(tmp_path / "other").replace("other", "gone-0123abcd.pth")
    monkeypatch.setattr(ResNet18_Weights.DEFAULT.value, "url", url)
    name = published_by_timm(monkeypatch, url)

    with pytest.raises(ConnectionError, match=f"from {url}, but got HTTP Error 404.*its path as"):
        resnet(depth=18, weights="DEFAULT")
    with pytest.raises(ConnectionError, match=r"timm can download for .*HTTP Error 404.*its path"):
        build_model(name, weights="DEFAULT")


def test_timms_published_weights_are_downloaded_by_timm(
    tmp_path: Path, served: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = imagenet(build_model(f"timm/{SMALL}"), "classifier")
    url = served(saved(tmp_path / "small-12345678.pth", state))

    loaded = build_model(published_by_timm(monkeypatch, url), weights="DEFAULT").state_dict()

    assert torch.equal(loaded["conv_stem.weight"], state["conv_stem.weight"])
    assert loaded["classifier.weight"].shape == (8, 1024)


def of_swin_in_its_first_naming(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as the authors of Swin did: a stage ends with what now begins the next one."""

    def name(key: str) -> str:
        found = re.match(r"layers\.(\d)\.(downsample.*)", key)
        key = f"layers.{int(found[1]) - 1}.{found[2]}" if found else key
        return key.replace("head.fc.", "head.")

    index = {"layers.0.blocks.0.attn.relative_position_index": torch.zeros(9, 9, dtype=torch.int64)}
    return {name(key): value for key, value in state.items()} | index


VIT, SWIN = "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"
SHALLOW: dict[str, Any] = {VIT: {"depth": 1}, SWIN: {"depths": (1, 1, 1, 1)}, "resnet18": {}}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("name", "classes", "options", "change"),
    [
        (VIT, 1000, {"img_size": 64}, dict),
        (VIT, 21_843, {"img_size": (96, 48)}, dict),
        (VIT, 0, {"img_size": 96}, dict),
        (VIT, 8, {"img_size": 96}, lambda state: {**state, "pre_logits.fc.bias": torch.ones(192)}),
        (SWIN, 21_841, {"img_size": 112}, of_swin_in_its_first_naming),
        ("resnet18", 1000, {"in_chans": 1}, dict),
    ],
    ids=["smaller", "21k", "headless", "older", "swin", "gray"],
)
def test_files_for_other_images_and_in_older_names_are_converted_as_timm_does_its_own(
    tmp_path: Path,
    name: str,
    classes: int,
    options: dict[str, Any],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    prefix: str,
) -> None:
    torch.manual_seed(0)
    state = timm.create_model(name, num_classes=classes, **SHALLOW[name]).state_dict()
    state = {
        key: value + torch.rand_like(value.double()).to(value.dtype) for key, value in state.items()
    }
    path = saved(tmp_path / "plain.pth", change(state))
    wrapped = {prefix + key: value for key, value in change(state).items()}
    options = {**options, **SHALLOW[name]}

    generator = torch.get_rng_state()
    plain = build_model(f"timm/{name}", **options).state_dict()
    after = torch.get_rng_state()
    torch.set_rng_state(generator)
    weights = saved(tmp_path / "given.pth", {"model": wrapped})
    loaded = build_model(f"timm/{name}", **options, weights=weights).state_dict()

    assert torch.equal(torch.get_rng_state(), after)
    overlay = {"file": str(path), "num_classes": classes}
    given: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": overlay, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, of how timm resizes
        theirs = timm.create_model(name, num_classes=classes, **given).state_dict()
    heads = {key for key in plain if key.startswith(("head.", "fc."))} if classes != 8 else set()
    initial = {key: plain[key] for key in heads}
    assert same(loaded, {k: v for k, v in theirs.items() if k not in heads} | initial)


def test_position_embeddings_are_resized_and_the_one_of_the_class_is_kept(tmp_path: Path) -> None:
    state = timm.create_model(VIT, depth=1).state_dict()
    state["pos_embed"] = torch.rand(state["pos_embed"].shape)
    path = saved(tmp_path / "vit.pth", state)

    model = build_model(f"timm/{VIT}", depth=1, img_size=64, weights=path)

    grid = state["pos_embed"][:, 1:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    small_grid = functional.interpolate(grid, size=(4, 4), mode="bicubic", antialias=True)
    found = model.state_dict()["pos_embed"]
    torch.testing.assert_close(found[:, 1:], small_grid.flatten(2).permute(0, 2, 1))
    assert torch.equal(found[:, :1], state["pos_embed"][:, :1])


def test_a_file_that_timm_cannot_convert_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "wide.pth", timm.create_model("vit_small_patch16_224", depth=1).state_dict()
    )

    message = r"keys \d+ of another shape \(cls_token \(1, 1, 384\) instead of \(1, 1, 192\), "
    with pytest.raises(ValueError, match=f"^Expected `{path}` to be weights of .*{message}"):
        build_model(f"timm/{VIT}", depth=1, weights=path)


def test_default_is_refused_where_nothing_is_published() -> None:
    bare = next(
        name
        for name in timm.list_models()
        if not (settings := timm.models.get_pretrained_cfg(name)) or not settings.has_weights
    )
    builds: dict[str, Callable[[], nn.Module]] = {
        "none are published for 'custom_cnn' with": lambda: custom_cnn(weights="DEFAULT"),
        "variant='krizhevsky'": lambda: alexnet(variant="krizhevsky", weights="DEFAULT"),
        f"timm publishes none for '{bare}'": lambda: build_model(f"timm/{bare}", weights="DEFAULT"),
    }

    for fragment, build in builds.items():
        message = f"`weights` to be None or a path, but got 'DEFAULT', and .*{re.escape(fragment)}"
        with torch.device("meta"), pytest.raises(ValueError, match=message):
            build()


class Trap:
    """A pickle that would call a function when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("trap-was-sprung",)


def first_weight(change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    state = marked(small())
    return {**state, "features.0.0.weight": change(state["features.0.0.weight"])}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.double() * 1e300 + 1e300, "infinity, first in `features.0.0.weight`"),
        (
            lambda value: value.long(),
            "of the kind of the model's, but got others in",
        ),
        (lambda value: value.to(torch.complex64), "others in features.0.0.weight"),
        (lambda value: value.to_sparse(), "other values under features.0.0.weight"),
        (lambda value: value.to("meta"), "other values under features.0.0.weight"),
    ],
    ids=["overflow", "integers", "complex", "sparse", "meta"],
)
def test_weights_of_another_kind_are_refused_by_name(
    tmp_path: Path, change: Callable[[Tensor], Tensor], words: str
) -> None:
    path = saved(tmp_path / "other.pth", first_weight(change))

    with pytest.raises(ValueError, match=f"^Expected `{path}` to be .*{re.escape(words)}"):
        small(weights=path)
    assert small(weights=saved(tmp_path / "half.pth", first_weight(Tensor.half))) is not None


def test_a_state_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["model"] = state

    with pytest.raises(ValueError, match="to be a state dict of tensors, but got other values"):
        small(weights=saved(tmp_path / "endless.pth", state))


def test_a_bit_that_flipped_is_noticed_where_the_file_has_sums(tmp_path: Path) -> None:
    state = small().state_dict()
    path = saved(tmp_path / "sums.pth", state)
    data = bytearray(path.read_bytes())
    data[data.index(state["features.0.0.weight"].numpy().tobytes()[:64])] ^= 1
    path.write_bytes(data)

    with pytest.raises(ValueError, match="cannot be read as such"):
        small(weights=path)
    torch.serialization.set_crc32_options(False)  # a user may
    try:
        saved(path, state)
    finally:
        torch.serialization.set_crc32_options(True)
    assert small(weights=path) is not None


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path, model = tmp_path / "trap.pth", tmp_path / "model.pt"
    torch.save({"weight": Trap()}, path, _use_new_zipfile_serialization=not legacy)
    saved(model, nn.Linear(2, 2))

    with pytest.raises(ValueError, match=rf"{path}. .* calls `{os.name}.mkdir`, which was not run"):
        small(weights=path)
    with pytest.raises(ValueError, match=r"linear.Linear`, which was not run. Save `model.state_d"):
        small(weights=model)
    assert {*tmp_path.iterdir()} == {path, model}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"\x80\x04]\x94."])
def test_a_file_of_something_else_is_refused_with_its_size(
    tmp_path: Path, ending: str, content: bytes
) -> None:
    path = tmp_path / f"damaged{ending}"
    path.write_bytes(content)
    fragment = f"but got {len(content)} bytes that cannot be read"
    if content.startswith(b"\x80") and ending == ".pth":
        fragment = "but got"  # releases of torch differ in whether a plain pickle is one of theirs

    with pytest.raises(ValueError, match=rf"`{path}` to be .*{fragment}"):
        small(weights=path)


@settings(max_examples=60)
@given(cut=st.floats(0, 0.999), ending=st.sampled_from([".pth", ".safetensors"]))
def test_a_file_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: float, ending: str
) -> None:
    path = saved(tmp_path_factory.mktemp("cut") / f"cut{ending}", {"weight": torch.zeros(50)})
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])

    with pytest.raises(ValueError, match=r"^Expected `.*` to be a file of plain tensors, but got"):
        small(weights=path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ([torch.zeros(2)], "an object of type list"),
        (torch.zeros(2), "an object of type Tensor"),
        ({}, "an empty one"),
        ({"weight": torch.zeros(2), "epoch": 3, "lr": 0.1}, "other values under epoch, lr. Save"),
    ],
    ids=["list", "tensor", "empty", "other values"],
)
def test_a_file_that_holds_no_state_dict_is_refused(
    tmp_path: Path, content: object, got: str
) -> None:
    path = saved(tmp_path / "other.pth", content)

    with pytest.raises(ValueError, match=f"`{path}` to be a state dict of tensors, but got {got}"):
        small(weights=path)


def test_the_state_dict_of_another_network_is_refused_with_what_differs(tmp_path: Path) -> None:
    state = marked(small(num_classes=7, image_size=16))
    state["extra.weight"] = state.pop("features.0.0.bias")
    path = saved(tmp_path / "other.pth", state)

    message = (
        "1 missing (features.0.0.bias); 1 unexpected (extra.weight); "
        "1 of another shape (classifier.1.weight (32, 256) instead of (32, 64))."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        small(weights=path)
    wide = marked(small()) | {"classifier.2.weight": torch.ones(7, 31)}
    with pytest.raises(
        ValueError, match=r"1 of another shape \(classifier\.2\.weight \(7, 31\) in"
    ):
        small(weights=saved(path, wide))
    head = {key: value for key, value in marked(small()).items() if key.startswith("classifier.2")}
    with pytest.raises(ValueError, match=r"keys 8 missing \(features\.0\.0\.weight, .* and 5 more"):
        small(weights=saved(path, head))
    del wide["classifier.2.bias"]
    with pytest.raises(ValueError, match=r"keys 1 missing \(classifier\.2\.bias\); 1 of another"):
        small(weights=saved(path, wide))


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf], ids=["nan", "inf"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, ending: str, value: float) -> None:
    state = marked(small())
    state["classifier.2.bias"][3] = value
    path = saved(tmp_path / f"broken{ending}", state)

    found = f"`{path}` to be finite weights, but got NaN or infinity, first in `classifier.2.bias`"
    with pytest.raises(ValueError, match=re.escape(found)):
        small(weights=path)


@pytest.mark.parametrize(
    ("weights", "error", "fragment"),
    [
        ("model.h5", ValueError, "a file ending in .pth, .pt, .*, .tar, but got 'model.h5'"),
        ("gone.pth", FileNotFoundError, "an existing file, but got 'gone.pth'"),
        (True, TypeError, "None, 'DEFAULT' or a path, but got an object of type bool"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(
    weights: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=f"`weights` to be {fragment}"):
        small(weights=weights)


def test_a_file_that_may_not_be_read_is_no_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "locked.pth", marked(small()))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(torch, "load", refuse)

    with pytest.raises(PermissionError, match="Permission denied"):
        small(weights=path)
