"""The benchmark of hair removal: exact hair, measures with known answers, a split that is kept."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hair
from dermolib.io import write_image, write_mask
from drawing import noise_image
from hair_parts import images, scripts, simulation


def coverage(start: Any, end: Any, width: float) -> Any:
    """Draw the coverage of a straight hair."""
    size = round(float(np.hypot(*np.subtract(end, start)))) + 1
    ones = np.ones(size)
    strand: Any = SimpleNamespace(points=np.linspace(start, end, size), width=ones * width)
    where, fraction, _ = simulation.cover(strand, 64, 64)
    drawn = np.zeros((64, 64))
    drawn[where[:, 0], where[:, 1]] = fraction
    return drawn


@pytest.mark.parametrize(("width", "side"), [(1, 0), (2, 0.5), (3, 1)])
def test_a_level_strand_covers_the_rows_that_its_width_says(width: float, side: float) -> None:
    rows = coverage((-10, 20), (80, 20), width)

    np.testing.assert_allclose(rows[18:23], np.repeat([[0], [side], [1], [side], [0]], 64, axis=1))
    assert rows.sum() == 64 * width


@pytest.mark.parametrize("angle", [0.3, 0.8, 2.0])
def test_a_slanted_strand_covers_its_length_times_its_width(angle: float) -> None:
    way = np.array([np.cos(angle), np.sin(angle)]) * 20

    np.testing.assert_allclose(coverage(32 - way, 32 + way, 3.0).sum(), 40 * 3, rtol=0.02)


@pytest.mark.parametrize("kind", simulation.KINDS)
def test_the_same_seed_draws_the_same_hair_and_leaves_skin_far_from_it(
    kind: simulation.Kind,
) -> None:
    clean = noise_image(256, 256, 0) // 8 + np.uint8(190)
    before = clean.copy()

    first, again, other = (
        simulation.simulate_hair(clean, kind, seed=(1, seed)) for seed in (2, 2, 3)
    )

    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.coverage, again.coverage)
    assert (first.image != other.image).any()
    assert first.mask().any()
    rows, columns = np.nonzero(first.coverage > 0)
    changed = np.argwhere((first.image != clean).any(axis=-1))[::50]
    away = np.hypot(changed[:, :1] - rows, changed[:, 1:] - columns).min(axis=1)
    assert away.max() <= 8


def test_scores_have_known_answers() -> None:
    found = np.array([[True, True, True, False, False]])
    true = np.array([[False, True, True, True, True]])
    clean = np.full((1, 5, 3), 100, np.uint8)
    image = np.where(true[..., None], np.uint8(40), clean)
    drawn = simulation.HairyImage(image, clean, true.astype(np.float32))

    both, missed = (hair.score(drawn, drawn.clean - 1, mask) for mask in (found, found & False))

    assert (both["dice"], both["recall"], both["precision"]) == (4 / 7, 0.5, 2 / 3)
    assert (missed["dice"], missed["recall"], missed["precision"]) == (0, 0, 0)
    assert (both["error"], both["count"]) == (3, 3)
    np.testing.assert_allclose(both["psnr"], 20 * np.log10(255))  # an error of one level
    assert hair.dice(found & False, found & False) == 1
    assert hair.psnr([0.0]) == np.inf
    assert np.isnan(hair.psnr([]))


def test_parts_share_no_image_and_lose_none() -> None:
    ids = ["E", "A", "C", "B", "D"]

    assert images.part_of(ids, "tuning") == ["A", "C", "E"]
    assert images.part_of(ids, "reporting") == ["B", "D"]


@pytest.mark.parametrize("name", ["LUV script", "black-hat 9", "black-hat 17"])
def test_scripts_find_a_dark_hair_and_leave_plain_skin(name: str) -> None:
    remove = scripts.SCRIPTS[name]
    skin = np.full((96, 96, 3), 200, dtype=np.uint8)
    hairy = skin.copy()
    hairy[:, 40:43] = 40

    clean, mask = remove(hairy)

    np.testing.assert_array_equal(remove(skin)[0], skin)
    assert not remove(skin)[1].any()
    # Neither scripts nor closings reach the rim
    assert mask[10:-10, 41].all()
    # Telea's method extrapolates, and overshoots by a level or two
    np.testing.assert_allclose(clean[10:-10, 40:43], 200, atol=2)


@pytest.mark.filterwarnings("ignore:The interval rests on fewer than 20 groups")  # by intent
def test_the_command_writes_a_table_and_every_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "isic2018_task1"
    rows = ["ID,dark_corner,hair,gel_border,gel_bubble,ruler,ink,patches"]
    for number in range(8):
        ruler, hairy = int(number in (4, 5)), int(number in (6, 7))
        rows.append(f"I{number},0,{hairy},0,0,{ruler},0,0")
        image = noise_image(64, 64, number) // 16 + np.uint8(200)
        write_image(folder / "images" / f"I{number}.jpg", image)
        lesion = np.zeros((64, 64), dtype=np.bool_)
        lesion[16:48, 16:48] = True
        write_mask(folder / "masks" / f"I{number}_segmentation.png", lesion)
    (folder / "artefacts.csv").write_text("\n".join(rows) + "\n")
    outputs = [str(tmp_path / "out" / name) for name in ("hair.md", "hair.csv")]

    options = ["--no-timing", "--methods", "luv", "black-hat 9"]
    hair.main(["--data", str(tmp_path), *options, "--output", *outputs])

    table, values = Path(outputs[0]).read_text(), pd.read_csv(outputs[1])
    assert table in capsys.readouterr().out
    assert "|  | luv | black-hat 9 | untouched |" in table
    assert "| PSNR off hair, dB |" in table
    assert "| `closing` | true |" in table
    scored = values[values["remover"] == "luv"].groupby("kind")["image"].agg(list)
    assert scored["faint"] == scored["none"] == ["I1", "I3"]
    assert scored["flagged"] == ["I5"]
    assert (values.loc[values["remover"] == "untouched", "masked"].dropna() == 0).all()
