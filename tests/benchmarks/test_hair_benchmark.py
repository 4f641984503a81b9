"""The benchmark of hair removal: exact hair, measures with known answers, a split that is kept."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from dermolib.io import write_image, write_mask
from drawing import noise_image

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmarks, which are no package that is installed."""
    monkeypatch.syspath_prepend(_BENCHMARKS)
    return importlib.import_module


def straight(part: Callable[[str], Any], start: Any, end: Any, width: float) -> Any:
    size = round(float(np.hypot(*np.subtract(end, start)))) + 1
    ones = np.ones(size)
    return part("hair_parts.strands").Strand(
        points=np.linspace(start, end, size),
        width=ones * width,
        rise=ones,
        tone=ones,
        color=np.zeros(3),
        opacity=1.0,
        body=1.0,
        gloss=0.0,
        focus=ones,
        shadow=0.0,
    )


def coverage(part: Callable[[str], Any], strand: Any) -> Any:
    where, share, _ = part("hair_parts.strands").cover(strand, 64, 64)
    picture = np.zeros((64, 64))
    picture[where[:, 0], where[:, 1]] = share
    return picture


@pytest.mark.parametrize(("width", "side"), [(1, 0), (2, 0.5), (3, 1)])
def test_a_level_strand_covers_the_rows_that_its_width_says(
    part: Callable[[str], Any], width: float, side: float
) -> None:
    strand = straight(part, (-10, 20), (80, 20), width)

    rows = coverage(part, strand)

    np.testing.assert_allclose(rows[18:23], np.repeat([[0], [side], [1], [side], [0]], 64, axis=1))
    assert rows.sum() == 64 * width


@pytest.mark.parametrize("angle", [0.3, 0.8, 2.0])
def test_a_slanted_strand_covers_its_length_times_its_width(
    part: Callable[[str], Any], angle: float
) -> None:
    way = np.array([np.cos(angle), np.sin(angle)]) * 20
    strand = straight(part, 32 - way, 32 + way, 3.0)

    covered = coverage(part, strand).sum()

    np.testing.assert_allclose(covered, 40 * 3, rtol=0.02)


@pytest.mark.parametrize("kind", ["dense", "sparse", "faint"])
def test_the_same_seed_draws_the_same_hair_and_another_seed_other_hair(
    part: Callable[[str], Any], kind: str
) -> None:
    simulate = part("hair_parts.simulation").simulate_hair
    clean = noise_image(96, 128, 0) // 8 + np.uint8(190)
    before = clean.copy()

    first = simulate(clean, kind, seed=(1, 2))
    again = simulate(clean, kind, seed=(1, 2))
    other = simulate(clean, kind, seed=(1, 3))

    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.coverage, again.coverage)
    assert (first.image != other.image).any()
    assert first.mask().any()
    assert not (first.mask() & ~first.mask(least=0.2)).any()


def test_skin_far_from_hair_stays_as_it_was(part: Callable[[str], Any]) -> None:
    clean = noise_image(256, 256, 0) // 8 + np.uint8(190)

    drawn = part("hair_parts.simulation").simulate_hair(clean, "sparse", seed=5)

    rows, columns = np.nonzero(drawn.coverage > 0)
    changed = np.argwhere((drawn.image != clean).any(axis=-1))
    away = np.hypot(changed[:, :1] - rows, changed[:, 1:] - columns).min(axis=1)
    assert 0 < away.max() <= 8


def test_agreement_counts_common_found_and_true_pixels(part: Callable[[str], Any]) -> None:
    agreement = part("hair_parts.measures").agreement
    found = np.array([[True, True, True, False, False]])
    true = np.array([[False, True, True, True, True]])
    empty = np.zeros_like(true)

    both, missed, clear = agreement(found, true), agreement(empty, true), agreement(empty, empty)

    assert (both.dice, both.recall, both.precision) == (4 / 7, 0.5, 2 / 3)
    assert (missed.dice, missed.recall, missed.precision) == (0, 0, 0)
    assert (clear.dice, clear.recall, clear.precision) == (1, 1, 1)


def test_psnr_of_an_error_of_one_level_is_48_decibels(part: Callable[[str], Any]) -> None:
    psnr = part("hair_parts.measures").psnr
    truth = np.full((4, 4, 3), 100, dtype=np.uint8)
    result = truth.copy()
    result[0] = 99
    first = np.zeros((4, 4), dtype=np.bool_)
    first[0] = True

    inside, outside, nowhere = (
        psnr(result, truth, mask) for mask in (first, ~first, first & False)
    )

    np.testing.assert_allclose(inside, 20 * np.log10(255))
    assert np.isinf(outside)
    assert np.isnan(nowhere)


def test_ssim_is_that_of_scikit_image(part: Callable[[str], Any]) -> None:
    truth = noise_image(40, 30, 0)
    result = truth // 2 + noise_image(40, 30, 1) // 2

    similar = part("hair_parts.measures").ssim_map(result, truth)

    reference = structural_similarity(
        truth,
        result,
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )[1].mean(axis=-1)
    np.testing.assert_allclose(similar, reference, atol=1e-9)


def test_parts_share_no_image_and_lose_none(part: Callable[[str], Any]) -> None:
    images = part("hair_parts.images")
    ids = ["E", "A", "C", "B", "D"]

    assert images.part_of(ids, "tuning") == ["A", "C", "E"]
    assert images.part_of(ids, "reporting") == ["B", "D"]


@pytest.mark.parametrize("name", ["LUV script", "black-hat 9", "black-hat 17"])
def test_scripts_find_a_dark_hair_and_leave_plain_skin(
    part: Callable[[str], Any], name: str
) -> None:
    remove = part("hair_parts.scripts").SCRIPTS[name]
    skin = np.full((96, 96, 3), 200, dtype=np.uint8)
    hairy = skin.copy()
    hairy[:, 40:43] = 40

    plain, nothing = remove(skin)
    clean, mask = remove(hairy)

    np.testing.assert_array_equal(plain, skin)
    assert not nothing.any()
    # Neither scripts nor closings reach the rim
    assert mask[10:-10, 41].all()
    # Telea's method extrapolates, and overshoots by a level or two
    np.testing.assert_allclose(clean[10:-10, 40:43], 200, atol=2)


def test_the_command_writes_a_table_and_every_value(
    part: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "isic2018_task1"
    rows = ["ID,dark_corner,hair,gel_border,gel_bubble,ruler,ink,patches"]
    for number in range(8):
        ruler, hair = int(number in (4, 5)), int(number in (6, 7))
        rows.append(f"I{number},0,{hair},0,0,{ruler},0,0")
        image = noise_image(64, 64, number) // 16 + np.uint8(200)
        write_image(folder / "images" / f"I{number}.jpg", image)
        lesion = np.zeros((64, 64), dtype=np.bool_)
        lesion[16:48, 16:48] = True
        write_mask(folder / "masks" / f"I{number}_segmentation.png", lesion)
    (folder / "artefacts.csv").write_text("\n".join(rows) + "\n")
    outputs = [tmp_path / "out" / "hair.md", tmp_path / "out" / "hair.json"]

    options = ["--no-timing", "--no-fills", "--methods", "luv", "black-hat 9"]
    part("hair").main(["--data", str(tmp_path), *options, "--output", *map(str, outputs)])

    table = outputs[0].read_text()
    values = json.loads(outputs[1].read_text())
    assert table in capsys.readouterr().out
    assert "| luv | black-hat 9 | untouched |" in table
    assert "PSNR off hair, dB" in table
    assert values["ids"] == {"hair_free": ["I1", "I3"], "lesions": ["I5"]}
    assert len(values["removers"]["luv"]["dice"]["faint"]) == 2
    assert values["removers"]["untouched"]["masked"] == [0, 0]


def test_the_command_says_where_it_looked_for_images(
    part: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        part("hair").main(["--data", str(tmp_path)])

    assert "Name the folder with --data or DERMOLIB_DATA." in capsys.readouterr().err
