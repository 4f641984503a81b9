"""A hair method and a fill of your own, by name or as functions, through every door."""

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

from dermolib import (
    OcclusionRemoval,
    fill_mask,
    list_occlusion_methods,
    occlusion_mask,
    occlusion_removal,
    prepare,
    register_hair_method,
    remove_hair_from_folder,
)
from dermolib._validation import Image, Mask
from dermolib.cli import main
from dermolib.io import read_image, write_image
from dermolib.preprocessing import method_options
from dermolib.preprocessing.functions import fingerprint

# Private, since a method that was registered is there for good
from dermolib.preprocessing.hair import registry


def made_here() -> tuple[Callable[..., Mask], Callable[[Image, Mask], Image]]:
    """Define a method and a fill that no worker process can import."""

    def dark(image: Image, *, level: int = 60) -> Mask:
        mask: Mask = image.max(axis=2) < level
        return mask

    def white(image: Image, _: Mask) -> Image:
        return np.full_like(image, 255)

    return dark, white


dark, white = made_here()


def dark_batch(images: torch.Tensor, *, level: int) -> torch.Tensor:
    return images.amax(dim=1) < level


@pytest.fixture(autouse=True)
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))

    register_hair_method("dark", dark)
    return "dark"


@pytest.fixture
def image() -> Image:
    drawn = np.full((64, 80, 3), 200, np.uint8)
    drawn[:, 30] = 40
    drawn[:, 50] = 80
    return drawn


@pytest.fixture
def folder(image: Image, tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, image)
    return tmp_path


def test_it_is_listed_with_its_options(method: str) -> None:
    assert {"dark", "line", "luv", "unet"} <= {*list_occlusion_methods()}
    assert method_options(method) == {"level": 60}
    assert method_options(dark, {"level": 90}) == {"level": 90}


@pytest.mark.parametrize(
    "choice",
    ["dark", dark, functools.partial(dark), lambda image: dark(image)],
    ids=["name", "function", "partial", "lambda"],
)
def test_a_name_or_function_finds_and_removes(choice: Any, image: Image) -> None:
    mask = occlusion_mask(image, method=choice)
    clean, found = occlusion_removal(image, method=choice, fill=white, margin=8, return_mask=True)

    assert np.flatnonzero(mask.all(axis=0)).tolist() == [30]
    assert np.flatnonzero(found.all(axis=0)).tolist() == [29, 30, 31]
    np.testing.assert_array_equal(clean, np.where(found[..., None], 255, image))
    assert (occlusion_removal(image, method=choice)[:, 30] == 200).all()


def test_options_reach_the_function(method: str, image: Image) -> None:
    assert np.flatnonzero(occlusion_mask(image, method=method, level=90)[0]).tolist() == [30, 50]


@pytest.mark.parametrize("batch", [None, dark_batch])
def test_it_works_on_batches(batch: Callable[..., torch.Tensor] | None, image: Image) -> None:
    register_hair_method("mine", dark, batch=batch, fill=white)
    images = torch.from_numpy(np.stack([image, image[:, ::-1]])).permute(0, 3, 1, 2)
    remove = OcclusionRemoval("mine", level=90)

    expected = occlusion_removal(image, method="mine", level=90)

    np.testing.assert_array_equal(remove(images)[0].permute(1, 2, 0), expected)
    np.testing.assert_array_equal(remove(images)[1].permute(1, 2, 0), expected[:, ::-1])
    assert (expected[:, [30, 50]] == 255).all()


@pytest.mark.parametrize("choice", ["dark", dark], ids=["name", "function"])
@pytest.mark.parametrize("workers", [1, 2])
def test_it_cleans_folders_and_stores_with_workers(
    choice: Any, workers: int, folder: Path, image: Image
) -> None:
    with_fill = {"method": choice, "fill": white}
    expected = occlusion_removal(image, **with_fill)

    report = remove_hair_from_folder(
        folder / "in", folder / "out", workers=workers, progress=False, **with_fill
    )
    steps = [functools.partial(occlusion_removal, **with_fill)]
    store = prepare(
        folder / "in",
        folder / "store",
        steps=steps,
        image_size=(64, 80),
        workers=workers,
        progress=False,
    )

    assert report.cleaned == 2
    np.testing.assert_array_equal(read_image(folder / "out" / "b.png"), expected)
    np.testing.assert_array_equal(store.image(1), expected)


def test_the_command_takes_its_name(
    method: str, folder: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder / "in"), str(folder / "out"), "--quiet"]

    assert main(["hair", *arguments, "--method", method, "--option", "level=90"]) == 0
    with pytest.raises(SystemExit, match="0"):
        main(["hair", "--help"])

    expected = occlusion_removal(image, method=method, level=90)
    np.testing.assert_array_equal(read_image(folder / "out" / "a.png"), expected)
    assert ", ".join(list_occlusion_methods()) in " ".join(capsys.readouterr().out.split())


def test_other_code_of_the_same_name_is_another_setting(folder: Path) -> None:
    run = functools.partial(remove_hair_from_folder, folder / "in", folder / "out", progress=False)
    run(method="dark")
    register_hair_method("dark", lambda image: image[..., 0] < 90)

    with pytest.raises(ValueError, match="a new folder or that of the same run"):
        run(method="dark")


def changing(image: Image, *_: Any) -> Any:
    image[:] = 0
    return image[..., 0] > 0


@pytest.mark.parametrize(
    ("function", "kind", "fragment"),
    [
        (
            lambda image: image,
            TypeError,
            "`{}(image)` to be a mask (64, 80) of dtype bool, but got",
        ),
        (
            lambda image: image[:, 0, 0] > 0,
            ValueError,
            "`{}(image)` to be a mask (64, 80) of dtype",
        ),
        (lambda _: None, TypeError, "but got an object of type NoneType."),
        (
            changing,
            ValueError,
            "`changing` to be a function that leaves what it is given unchanged",
        ),
    ],
)
def test_a_method_that_returns_something_else_is_named(
    function: Any, kind: type[Exception], fragment: str, image: Image
) -> None:
    before = image.copy()
    sentence = re.escape(fragment.format(function.__name__))

    for use in (occlusion_mask, occlusion_removal):
        with pytest.raises(kind, match=sentence):
            use(image, method=function)
    with pytest.raises(kind, match=sentence):
        OcclusionRemoval(function)(torch.from_numpy(image).permute(2, 0, 1))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("function", "kind", "fragment"),
    [
        (lambda image, _: image[..., 0], ValueError, "`{}(image, mask)` to be an RGB image"),
        (lambda image, _: image / 255, TypeError, "(image, mask)` to be an RGB image (H, W, 3)"),
        (lambda image, _: image[1:], ValueError, "image (64, 80, 3), but got shape (63, 80, 3)"),
        (lambda *_: "image", TypeError, "but got an object of type str."),
        (
            changing,
            ValueError,
            "`changing` to be a function that leaves what it is given unchanged",
        ),
    ],
)
def test_a_fill_that_returns_something_else_is_named(
    function: Any, kind: type[Exception], fragment: str, image: Image
) -> None:
    with pytest.raises(kind, match=re.escape(fragment.format(function.__name__))):
        fill_mask(image, image[..., 0] == 40, fill=function)


@pytest.mark.parametrize(
    ("arguments", "kind", "fragment"),
    [
        ({"name": 3}, TypeError, "`name` to be a text, but got 3."),
        ({"name": "luv"}, ValueError, "`name` to be a name that the library does not use"),
        ({"mask": "dark"}, TypeError, "`mask` to be a function, but got an object of type str."),
        ({"batch": 3}, TypeError, "`batch` to be a function, but got an object of type int."),
        ({"name": ""}, ValueError, "does not use, and not empty, but got ''."),
        (
            {"mask": lambda image, level: image[..., 0] < level},
            TypeError,
            "`mask` to be a function of an image, whose further parameters have names and defaults,"
            " but got <lambda>(image, level).",
        ),
        ({"mask": lambda image, **_: image[..., 0] < 9}, TypeError, "got <lambda>(image, **_)."),
        ({"mask": lambda: 3}, TypeError, "`mask` to be a function of an image"),
        ({"fill": "tela"}, ValueError, "but got 'tela'. Did you mean 'telea'?"),
    ],
)
def test_what_cannot_be_registered_is_refused(
    arguments: dict[str, Any], kind: type[Exception], fragment: str
) -> None:
    with pytest.raises(kind, match=re.escape(fragment)):
        register_hair_method(**{"name": "mine", "mask": dark, **arguments})


def test_a_batch_of_masks_that_does_not_fit_names_its_function(image: Image) -> None:
    register_hair_method("mine", dark, batch=lambda images, **_: images)

    with pytest.raises(
        TypeError, match=re.escape("<lambda>(images)` to be a tensor of masks (1, ")
    ):
        OcclusionRemoval("mine")(torch.from_numpy(image).permute(2, 0, 1))


def test_a_batch_function_that_writes_into_its_images_is_refused(image: Image) -> None:
    def blackening(images: torch.Tensor, **_: Any) -> torch.Tensor:
        return images.zero_().amax(dim=1) > 0

    register_hair_method("mine", dark, batch=blackening)
    images = torch.from_numpy(image.copy()).permute(2, 0, 1)

    with pytest.raises(ValueError, match="`blackening` to be a function that leaves what it is"):
        OcclusionRemoval("mine")(images)
    np.testing.assert_array_equal(images.permute(1, 2, 0), image)


def narrow(image: Image) -> Mask:
    if image.shape[1] < 80:
        raise ZeroDivisionError("too narrow")
    return dark(image)


FAILS = "Expected `narrow` to be a function that can take values of the shape (64, 70, 3), but got"


def test_a_method_that_fails_on_an_image_is_named_with_it(
    folder: Path, image: Image, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(folder / "in" / "c.png", image[:, :70])
    register_hair_method("narrow", narrow)
    places = (folder / "in", folder / "out")

    report = remove_hair_from_folder(*places, method="narrow", progress=False)

    assert (report.cleaned, report.failed) == (2, 1)
    assert report.failures == (("c.png", f"{FAILS} ZeroDivisionError: too narrow."),)
    with pytest.raises(ValueError, match=r"ZeroDivisionError: too narrow\. It was c\.png\."):
        remove_hair_from_folder(*places, method="narrow", progress=False, errors="raise")
    with pytest.raises(RuntimeError, match=re.escape(FAILS)):
        occlusion_removal(image[:, :70], method="narrow")

    register_hair_method("failing", lambda image: image[..., 9] > 0)
    assert main(["hair", str(places[0]), str(folder / "other"), "--method", "failing"]) == 2
    words = "to be a function that can take values of the shape (512, 512, 3), but got IndexError:"
    assert words in capsys.readouterr().err


def test_an_option_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(TypeError, match=r"but got 'radus'\. Did you mean 'radius'\?"):
        method_options("luv", {"radus": 3})


@pytest.mark.parametrize("device", ["gpu", "cuda0", ""])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="`device` to be one of 'auto', 'cpu', 'cuda', 'mps', but"):
        OcclusionRemoval(device=device)


def test_an_unknown_option_is_refused_with_the_known_ones(image: Image) -> None:
    for choice, known in (("dark", "level"), (lambda image: dark(image), "which has none")):
        with pytest.raises(TypeError, match=f"`size` to be one of the options of .*, {known}, but"):
            occlusion_mask(image, method=choice, size=3)


def test_a_function_that_workers_cannot_get_is_refused(folder: Path) -> None:
    lock = threading.Lock()

    def locked(image: Image) -> Mask:
        with lock:
            return dark(image)

    run = functools.partial(remove_hair_from_folder, folder / "in", folder / "out", progress=False)
    assert run(method=locked).cleaned == 2
    with pytest.raises(TypeError, match=r"`locked` to be a function that .* Use one worker, or"):
        run(method=locked, workers=2, overwrite=True)


LEVEL = 60


class Dark:
    def __init__(self, level: float, table: Any = None) -> None:
        self.level, self.table = level, table

    def __call__(self, image: Image) -> Mask:
        return image.max(axis=2) < self.level  # type: ignore[no-any-return]

    def bound(self, image: Image) -> Mask:
        return self(image)


def make(level: float, *others: Any) -> Callable[[Image], Mask]:
    return lambda image: dark(image, level=level) & (len(others) < 9)


def tabled(image: Image, tab: Any) -> Mask:
    return image.max(axis=2) < tab.max()  # type: ignore[no-any-return]


def global_level(image: Image) -> Mask:
    return image.max(axis=2) < LEVEL  # type: ignore[no-any-return]


def with_level(level: int) -> Callable[[Image], Mask]:
    return FunctionType(global_level.__code__, {"LEVEL": level}, "global_level")


BIG = np.zeros((99, 99))
BIGGER = BIG.copy()
BIGGER[50, 50] = 1
PAIRS: dict[str, tuple[Any, Any]] = {
    "closures": (make(60), make(250)),
    "instances": (Dark(60), Dark(250)),
    "bound": (Dark(60).bound, Dark(250).bound),
    "one line": (lambda image: image[..., 0] < 60, lambda image: image[..., 0] < 250),
    "arrays": (functools.partial(tabled, tab=BIG), functools.partial(tabled, tab=BIGGER)),
    "tensors": (make(1, torch.zeros(2)), make(1, torch.ones(2))),
    "globals": (with_level(60), with_level(250)),
    "nested": (make(1, [{"a": Dark(60)}]), make(1, [{"a": Dark(250)}])),
    "typed": (eval("lambda image: image[..., 0] < 60"), lambda image: image[..., 0] < 250),  # noqa: S307 - as at a prompt
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_that_differ_in_what_they_hold_are_other_settings(name: str) -> None:
    first, second = PAIRS[name]

    assert fingerprint(first) == fingerprint(first)
    assert fingerprint(first) != fingerprint(second)


def test_a_folder_or_store_of_another_closure_is_not_taken_for_done(folder: Path) -> None:
    def clean(method: Callable[[Image], Mask]) -> None:
        remove_hair_from_folder(folder / "in", folder / "out", method=method, progress=False)

    def store(method: Callable[[Image], Mask]) -> None:
        steps = [functools.partial(occlusion_removal, method=method)]
        prepare(folder / "in", folder / "store", steps=steps, image_size=64, progress=False)

    for run in (clean, store):
        run(make(60))
        run(make(60))
        with pytest.raises(ValueError, match="Expected `destination` to be"):
            run(make(250))


IN_A_FILE = """
import functools, re, threading
import numpy as np
from dermolib.preprocessing.functions import fingerprint
class Held:
    def __init__(self):
        self.words, self.lock = {"a", "b", "c", "d"}, threading.Lock()
        self.pattern, self.array, self.me = re.compile("x"), np.arange(9), self
    def find(self, image):
        return image in {"p", "q", "r", "s"}
def method(image, held, **kw): return held
print(fingerprint(functools.partial(method, held=Held())))
print(fingerprint(Held().find))
"""


def test_fingerprints_are_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IN_A_FILE)

    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, str(tmp_path / "mine.py")]
        return subprocess.check_output(command, env=environment, text=True)  # noqa: S603 - our own

    assert run("1") == run("2")
    assert len({*run("3").split()}) == 4
