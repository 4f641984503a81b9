"""Steps of a preparation: what they make of an image, what is noted of them, what is refused."""

import functools
import importlib
import json
import math
import pickle
import sys
from collections.abc import Callable
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermolib import crop_border, occlusion_removal, shades_of_gray
from dermolib._validation import Image
from dermolib.datasets.store import settings_key
from dermolib.preprocessing import field_of_view
from dermolib.preprocessing.border import Box
from dermolib.preprocessing.steps import STEPS, Pipeline
from drawing import noise_image

untyped: Any = partial  # without the types of the function, for options that it does not take
LUV = partial(occlusion_removal, method="luv")
INSCRIBED = partial(crop_border, kind="inscribed")


def darker(image: Image, *, by: float = 2, note: str = "") -> Image:  # noqa: ARG001 - an option without effect
    return (image // by).astype(np.uint8)


def mirrored(image: Image) -> Image:
    flipped: Image = image[:, ::-1]
    return flipped


def painted(image: Image) -> Image:
    image[:] = 7
    return image


def halved(image: Image) -> Image:
    return np.ascontiguousarray(image[::2, ::2])


def kernelled(image: Image, kernel: tuple[int, int] = (3, 3), start: float = 0) -> Image:  # noqa: ARG001 - defaults are what is tested
    return image


def floating(image: Image) -> Any:
    return image / 255


def grey(image: Image) -> Any:
    return image[..., 0]


def forgetful(image: Image) -> Any:
    image.sum()


def failing(image: Image) -> Image:
    raise KeyError(image.shape[0])


def unfinished(image: Image, *, size: int) -> Image:
    return image[:size]


def masked(image: Image, *, return_mask: bool = False) -> Image:  # noqa: ARG001 - as above
    return image


def framed(height: int = 60, width: int = 80, *, seed: int = 0) -> Image:
    """Draw reddish skin with two hairs in a dark frame of other widths on each side."""
    shade = np.random.default_rng(seed).integers(0, 9, (height, width, 1))
    image: Image = (shade + np.array([200, 150, 130])).astype(np.uint8)
    image[:, width // 2] = 40
    image[height // 3] = 50
    image[:6] = image[-4:] = 2
    image[:, :9] = image[:, -3:] = 2
    return image


def key_of(steps: list[Any]) -> str:
    return settings_key({"steps": Pipeline(steps).settings()})


def by_hand(image: Image, steps: list[Any]) -> Image:
    for step in steps:
        function = STEPS[step] if isinstance(step, str) else step
        image = np.asarray(function(image))
    return image


@given(
    steps=st.sampled_from(
        [
            list(order)
            for count in range(4)
            for order in permutations(["crop_border", LUV, "shades_of_gray", mirrored], count)
        ]
    ),
    height=st.integers(40, 90),
    seed=st.integers(0, 99),
)
def test_steps_are_their_functions_in_the_order_given(
    steps: list[Any], height: int, seed: int
) -> None:
    image = framed(height, 80, seed=seed)
    before = image.copy()

    done = Pipeline(steps).run(image, None)

    np.testing.assert_array_equal(done.image, by_hand(image, steps))
    assert done.mask is None
    np.testing.assert_array_equal(image, before)


def test_options_are_passed_on_and_the_order_matters() -> None:
    image = framed()
    forth: list[Any] = [partial(shades_of_gray, p=math.inf), INSCRIBED, partial(darker, by=3)]

    first = Pipeline(forth).run(image, None).image
    last = Pipeline(forth[::-1]).run(image, None).image

    np.testing.assert_array_equal(first, by_hand(image, forth))
    np.testing.assert_array_equal(last, by_hand(image, forth[::-1]))
    assert first.shape != last.shape or (first != last).any()


def test_without_steps_an_image_stays_as_it_is() -> None:
    image = noise_image(5, 7, 0)

    done = Pipeline([]).run(image, None)

    np.testing.assert_array_equal(done.image, image)
    assert (done.box, done.masked_fraction) == (Box(0, 5, 0, 7), 0.0)


@given(
    steps=st.lists(st.sampled_from(["crop_border", INSCRIBED, LUV, "shades_of_gray"]), max_size=4),
    seed=st.integers(0, 99),
)
def test_a_mask_is_cut_like_its_image_and_the_box_says_where(steps: list[Any], seed: int) -> None:
    image = framed(seed=seed)
    mask = np.random.default_rng(seed).random(image.shape[:2]) < 0.5

    done = Pipeline(steps, masks=True).run(image, mask)

    assert done.mask is not None
    np.testing.assert_array_equal(done.mask, done.box.crop(mask))
    assert done.image.shape[:2] == done.box.shape


def test_a_second_crop_is_given_in_pixels_of_the_file() -> None:
    rows, columns = np.mgrid[:100, :120]
    circle = (rows - 45) ** 2 + (columns - 65) ** 2 < 30**2
    image = np.where(circle, 200, 5).astype(np.uint8)[..., None].repeat(3, axis=2)
    first = field_of_view(image)
    second = field_of_view(first.crop(image), kind="inscribed")
    assert second != Box.full(first.shape)

    box = Pipeline(["crop_border", INSCRIBED]).run(image, None).box

    np.testing.assert_array_equal(box.crop(image), second.crop(first.crop(image)))


def test_the_fraction_is_that_of_the_pixels_that_hair_removal_replaced() -> None:
    image = framed()
    cropped = crop_border(image)
    _, hair = occlusion_removal(cropped, method="luv", return_mask=True)
    assert hair.any()

    done = Pipeline(["crop_border", LUV, "shades_of_gray"]).run(image, None)

    assert done.masked_fraction == hair.mean()
    assert Pipeline(["shades_of_gray"]).run(image, None).masked_fraction == 0


def test_a_step_of_others_may_write_into_its_image_and_change_the_size_without_a_mask() -> None:
    image = framed()
    before = image.copy()

    done = Pipeline([painted, halved]).run(image, None)

    assert (done.image == 7).all()
    assert done.image.shape == (30, 40, 3)
    np.testing.assert_array_equal(image, before)


def test_steps_pickle() -> None:
    pipeline = Pipeline(["crop_border", partial(darker, by=3)])

    again = pickle.loads(pickle.dumps(pipeline))  # noqa: S301 - what was pickled the line before

    assert again.settings() == pipeline.settings()
    wanted = pipeline.run(framed(), None).image
    np.testing.assert_array_equal(again.run(framed(), None).image, wanted)


def test_settings_hold_every_option_and_the_defaults_too() -> None:
    inner = partial(crop_border, kind="inscribed", threshold=0.2)
    steps: list[Any] = ["crop_border", LUV, "shades_of_gray", partial(inner, threshold=0.4)]
    luv = {"method": "luv", "fill": None, "margin": 0.0, "radius": 5.0, "low": 8.0, "high": 14.0}

    for ordered in (steps, tuple(steps), iter(steps)):
        assert Pipeline(ordered).settings() == [
            {"step": "crop_border", "options": {"kind": "bounding", "threshold": 0.3}},
            {"step": "occlusion_removal", "options": luv | {"min_area": 120.0}},
            {"step": "shades_of_gray", "options": {"p": 6.0}},
            {"step": "crop_border", "options": {"kind": "inscribed", "threshold": 0.4}},
        ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("shades_of_gray", shades_of_gray),
        ("shades_of_gray", partial(shades_of_gray, p=6)),
        (partial(shades_of_gray, p=6), partial(shades_of_gray, p=6.0)),
        (partial(shades_of_gray, p=6), untyped(shades_of_gray, p=np.int64(6))),
        (partial(shades_of_gray, p=6), untyped(shades_of_gray, p=np.float32(6))),
        (LUV, partial(occlusion_removal, method="luv", radius=5, margin=0)),
        ("occlusion_removal", partial(occlusion_removal, method="unet", threshold=0.3)),
        (darker, partial(darker, by=2)),
    ],
)
def test_the_same_settings_are_noted_the_same(first: Any, second: Any) -> None:
    assert key_of([first]) == key_of([second])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["shades_of_gray", "crop_border"], ["crop_border", "shades_of_gray"]),
        (["crop_border"], ["crop_border", "crop_border"]),
        ([], ["crop_border"]),
        ([darker], [mirrored]),
        ([darker], [partial(darker, by=3)]),
        ([partial(darker, note="")], [partial(darker, note="a")]),
        ([untyped(darker, note=True)], [untyped(darker, note=1)]),
        ([partial(darker, note="1")], [untyped(darker, note=1)]),
        ([untyped(darker, note=None)], [partial(darker, note="None")]),
        ([LUV], [partial(occlusion_removal, method="line")]),
        ([LUV], [partial(LUV, fill="pyramid")]),
        ([LUV], [partial(LUV, high=15)]),
        ([partial(shades_of_gray, p=7)], [partial(shades_of_gray, p=math.inf)]),
    ],
)
def test_other_settings_are_noted_otherwise(first: list[Any], second: list[Any]) -> None:
    assert key_of(first) != key_of(second)


@pytest.mark.parametrize("value", [1.5, 7, True, None, "a", math.inf, -math.inf, math.nan])
def test_settings_survive_json(value: Any) -> None:
    noted = Pipeline([untyped(darker, note=value)]).settings()

    assert json.loads(json.dumps(noted, allow_nan=False)) == noted
    if isinstance(value, float) and not math.isfinite(value):
        assert noted[0]["options"]["note"] == str(value)


def test_a_default_that_is_not_a_plain_value_stands_in_the_source() -> None:
    (noted,) = Pipeline([kernelled]).settings()

    assert noted["step"] == f"{__name__}:kernelled"
    assert noted["options"] == {"start": 0.0}
    assert len(noted["source"]) == 16


def test_a_function_of_others_may_have_an_option_that_hair_removal_keeps_for_itself() -> None:
    (noted,) = Pipeline([partial(masked, return_mask=True)]).settings()

    assert noted["options"] == {"return_mask": True}


def imported(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Image]:
    """Write a module with a function `step`, import it, and forget other modules of its name."""
    folder.mkdir()
    (folder / "module_of_a_user.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "module_of_a_user", raising=False)
    step: Callable[..., Image] = importlib.import_module("module_of_a_user").step
    return step


def test_the_code_of_a_function_tells_stores_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def step(image):\n    return image // 2\n"
    (first,) = Pipeline([imported(tmp_path / "a", source, monkeypatch)]).settings()
    (again,) = Pipeline([imported(tmp_path / "b", f"N = 1\n{source}", monkeypatch)]).settings()
    changed = source.replace("2", "3")
    (other,) = Pipeline([imported(tmp_path / "c", changed, monkeypatch)]).settings()

    assert first["step"] == "module_of_a_user:step"
    assert len(first["source"]) == 16
    assert again == first
    assert other["source"] != first["source"]
    assert other | {"source": ""} == first | {"source": ""}


class Callers:
    """Holds what is called like a function and has no name of its own."""

    def method(self, image: Image) -> Image:
        return image

    @staticmethod
    def plain(image: Image) -> Image:
        return image


def wrapper(function: Callable[[Image], Image]) -> Callable[[Image], Image]:
    @functools.wraps(function)
    def around(image: Image) -> Image:
        return function(image)

    return around


@wrapper
def decorated(image: Image) -> Image:
    return image


def test_static_methods_and_decorated_functions_go_by_their_names() -> None:
    names = [noted["step"] for noted in Pipeline([Callers.plain, decorated]).settings()]

    assert names == [f"{__name__}:Callers.plain", f"{__name__}:decorated"]


def local() -> Callable[[Image], Image]:
    def inside(image: Image) -> Image:
        return image

    return inside


@pytest.mark.parametrize(
    "steps",
    [
        "crop_border", b"crop_border", None, crop_border, {"crop_border": {"kind": "inscribed"}},
        {"crop_border", "shades_of_gray"},
    ],
    ids=lambda steps: type(steps).__name__,
)  # fmt: skip
def test_what_is_not_a_list_of_steps_is_refused(steps: Any) -> None:
    with pytest.raises(TypeError, match=r"`steps` to be a list of steps in .* `\[` and `\]`"):
        Pipeline(steps)


NAMED = r"`steps\[0\]` to be a name, a function with a name of its own"
PLAIN = r"`steps\[0\].by` to be a number, a text, True, False or None, but got an object of type "
OPTIONS = r"`steps\[0\]` to be a function of an image, with options that it has, but got "


NOT_PLAIN: list[Any] = [[6], (6,), {}, np.ones(1), len, 1j]
UNFIT: list[tuple[Any, type[Exception], str]] = [
    ("crop_borders", ValueError, r"`steps\[0\]` to be one of 'crop_b.*mean 'crop_border'\?"),
    *(
        (step, TypeError, f"{NAMED}.* but got an object of type ")
        for step in (None, 3, ["crop_border"], len, Callers, Callers().method, partial(len))
    ),
    *(
        (step, TypeError, f"{NAMED}.*<.*at the top of a module: its name tells stores apart")
        for step in (lambda image: image, local(), partial(local()))
    ),
    (untyped(darker, 3, "a"), TypeError, r"keywords alone, but got .* arguments \(3, 'a'\)"),
    *(
        (untyped(darker, by=value), TypeError, f"{PLAIN}{type(value).__name__}")
        for value in NOT_PLAIN
    ),
    (partial(LUV, return_mask=True), TypeError, "return_mask` to be left to the preparation"),
    (untyped(crop_border, knd="x"), TypeError, f"{OPTIONS}crop_border: got an .*'knd'"),
    (untyped(darker, image=1), TypeError, f"{OPTIONS}.*:darker: multiple values for .*image"),
    (unfinished, TypeError, f"{OPTIONS}.*:unfinished: missing a required argument: 'size'"),
    (partial(crop_border, kind="x"), ValueError, "`kind` to be one of 'bounding', 'inscribed'"),
    (partial(shades_of_gray, p=0), ValueError, "`p` to be a number of 1 or more, but got 0"),
    (untyped(shades_of_gray, p="inf"), TypeError, "`p` to be a number of 1 or more"),
    (partial(occlusion_removal, radius=5), TypeError, "`radius` to be one of the options of"),
    (failing, ValueError, ":failing` to be a step that can take .*256 x 256.*KeyError: 256"),
    (floating, TypeError, ":floating` to be an RGB image .* but got dtype float64"),
    (grey, ValueError, r":grey` to be an RGB image .* but got shape \(256, 256\)"),
    (forgetful, TypeError, ":forgetful` to be an RGB image .* of type NoneType"),
]


@pytest.mark.parametrize("number", range(len(UNFIT)))
def test_a_step_that_is_unfit_is_refused(number: int) -> None:
    step, error, words = UNFIT[number]
    with pytest.raises(error, match=words):
        Pipeline([step])


def test_a_step_that_changes_the_size_of_an_image_with_a_mask_is_refused() -> None:
    words = r":halved` to be a step that keeps the size \(256, 256\), .* got \(128, 128\)\. Of the"
    with pytest.raises(ValueError, match=words):
        Pipeline([halved], masks=True)
