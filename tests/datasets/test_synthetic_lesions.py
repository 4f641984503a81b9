import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.synthetic._drawing import paint, ribbon, step, waves
from dermolib.datasets.synthetic.lesions import check_image_size, draw_lesion
from dermolib.labels import DIAGNOSES

_CODES = {diagnosis.code: diagnosis.index for diagnosis in DIAGNOSES}


def _draw(code: str, seed: int, **options: Any) -> tuple[Any, Any]:
    return draw_lesion(_CODES[code], generator=np.random.default_rng(seed), **options)


@settings(deadline=None, max_examples=25)
@given(
    label=st.integers(0, 7),
    seed=st.integers(0, 2**32),
    height=st.integers(32, 72),
    width=st.integers(32, 72),
)
def test_every_lesion_fills_a_part_of_its_image(
    label: int, seed: int, height: int, width: int
) -> None:
    image, mask = draw_lesion(
        label, image_size=(height, width), generator=np.random.default_rng(seed)
    )

    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    # a part of the shorter side's square, since sizes are shares of that side
    assert 0.005 < mask.sum() / min(height, width) ** 2 < 0.95
    assert image.std() > 2


@pytest.mark.parametrize("code", list(_CODES))
def test_a_lesion_differs_from_the_skin_around_it(code: str) -> None:
    gaps = []
    for seed in range(8):
        image, mask = _draw(code, seed, image_size=64)
        gaps.append(np.abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max())

    assert np.mean(gaps) > 10


def test_the_same_state_draws_the_same_lesion_and_another_does_not() -> None:
    first, again, other = (_draw("NV", seed, image_size=48)[0] for seed in (1, 1, 2))

    assert (first == again).all()
    assert (first != other).any()


def test_another_view_shows_the_same_lesion() -> None:
    def colour(lesion: int, view: int) -> Any:
        image, mask = _draw("VASC", lesion, image_size=64, view=np.random.default_rng(view))
        mean = image[mask].mean(axis=0)
        return mean / mean.sum()

    between = [np.abs(colour(lesion, 0) - colour(lesion, 1)).sum() for lesion in range(10)]
    apart = [np.abs(colour(lesion, 0) - colour(lesion + 1, 0)).sum() for lesion in range(10)]

    assert (_draw("VASC", 0, view=np.random.default_rng(0))[0] != _draw("VASC", 0)[0]).any()
    assert np.mean(between) < 0.7 * np.mean(apart)


def test_a_lesion_looks_alike_at_every_image_size() -> None:
    small, _ = _draw("BKL", 3, image_size=64, view=np.random.default_rng(0))
    mask = _draw("BKL", 3, image_size=64, view=np.random.default_rng(0))[1]
    large = _draw("BKL", 3, image_size=192, view=np.random.default_rng(0))[1]

    assert small.shape == (64, 64, 3)
    assert (mask != large[1::3, 1::3]).mean() < 0.03


def test_a_melanoma_has_more_colours_and_a_rougher_border_than_a_nevus() -> None:
    def spread(code: str) -> float:
        drawn = [_draw(code, seed, image_size=64) for seed in range(12)]
        return float(np.mean([image[mask].std(axis=0).mean() for image, mask in drawn]))

    def roughness(code: str) -> float:
        masks = [_draw(code, seed, image_size=96)[1] for seed in range(12)]
        edges = [np.abs(np.diff(mask.astype(int))).sum() / math.sqrt(mask.sum()) for mask in masks]
        return float(np.mean(edges))

    assert spread("MEL") > 1.3 * spread("NV")
    assert roughness("MEL") > 1.1 * roughness("NV")


def test_a_dermatofibroma_is_pale_in_the_centre_of_its_border() -> None:
    gains = []
    for seed in range(8):
        image, mask = _draw("DF", seed, image_size=64)
        rows, columns = np.nonzero(mask)
        away = np.hypot(rows - rows.mean(), columns - columns.mean())
        inner = away < 0.3 * away.max()
        values = image[mask].mean(axis=1)
        gains.append(values[inner].mean() - values[~inner].mean())

    assert min(gains) > 0


def test_a_vascular_lesion_is_redder_and_bluer_against_green_than_its_skin() -> None:
    for seed in range(8):
        image, mask = _draw("VASC", seed, image_size=64)
        red, green, blue = image[mask].mean(axis=0)
        skin = image[~mask].mean(axis=0)
        assert red / green > 1.2 * skin[0] / skin[1]
        assert blue / green > skin[2] / skin[1]


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ({"label": 8}, ValueError, "Expected `label` to be an integer in 0..7, but got 8."),
        (
            {"label": "MEL"},
            TypeError,
            "Expected `label` to be an integer in 0..7, but got 'MEL' of type str.",
        ),
        (
            {"image_size": 2049},
            ValueError,
            "Expected `image_size` to be an integer in 32..2048, but got 2049.",
        ),
        (
            {"generator": None},
            TypeError,
            "Expected `generator` to be a numpy.random.Generator, "
            "but got an object of type NoneType. "
            "Make one with `numpy.random.default_rng(seed)`.",
        ),
        (
            {"view": 1},
            TypeError,
            "Expected `view` to be a numpy.random.Generator, but got an object of type int. "
            "Make one with `numpy.random.default_rng(seed)`.",
        ),
    ],
)
def test_bad_arguments_are_refused(
    arguments: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    options: dict[str, Any] = {"label": 0, "generator": np.random.default_rng(0)} | arguments
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        draw_lesion(options.pop("label"), **options)


def test_a_size_is_one_side_or_height_and_width() -> None:
    assert check_image_size(40) == (40, 40)
    assert check_image_size((40, 50)) == (40, 50)
    with pytest.raises(ValueError, match=r"^Expected `image_size` to be one side or "):
        check_image_size((40,))  # type: ignore[arg-type] # the length is what is refused
    with pytest.raises(
        TypeError,
        match=r"^Expected `image_size` to be an integer in 32\.\.2048, but got 40\.5 of type float",
    ):
        check_image_size(40.5)  # type: ignore[arg-type] # the type is what is refused


def test_waves_have_mean_0_and_variance_1_over_all_draws() -> None:
    u, v = np.meshgrid(
        np.linspace(0, 9, 40, dtype=np.float32), np.linspace(0, 9, 40, dtype=np.float32)
    )

    fields = [waves(u, v, cycles=2, generator=np.random.default_rng(seed)) for seed in range(30)]

    assert abs(np.mean(fields)) < 0.05
    assert abs(np.var(fields) - 1) < 0.1


def test_a_step_rises_or_falls_from_0_to_1() -> None:
    values = np.array([-1, 0, 0.5, 1, 2], np.float32)

    assert step(values, 0, 1).tolist() == [0, 0, 0.5, 1, 1]
    assert step(values, 1, 0).tolist() == [1, 1, 0.5, 0, 0]


@pytest.mark.parametrize("side", [40, 520])
def test_a_painted_stroke_covers_its_length_times_its_width(side: int) -> None:
    line = np.column_stack([np.linspace(5, 25, 9), np.linspace(8, 23, 9)])
    outline = ribbon(line, np.full(9, 3.0))

    canvas = paint((side, side), [outline], [(255.0, 51.0)])

    assert canvas.shape == (side, side, 2)
    assert canvas[..., 0].sum() == pytest.approx(25 * 3, rel=0.2)
    assert canvas[..., 1] == pytest.approx(canvas[..., 0] / 5, abs=0.01)
