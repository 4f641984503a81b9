"""The command that segments a folder."""

from pathlib import Path

import pandas as pd
import pytest

from command import run
from dermolib.io import read_mask, write_image
from drawing import lesion_image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_image(tmp_path / "in" / "a.png", lesion_image(90, 120)[0])
    return tmp_path / "in"


def test_a_folder_is_segmented_and_summed_up(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(f"segment {source} {tmp_path / 'out'} --method classical --option agreement=0.5")

    table = tmp_path / "out" / "segment.csv"
    assert code == 0
    assert capsys.readouterr().out.splitlines() == [
        "Images: 1 with a lesion, 0 without one, 0 done before, 0 failed.",
        f"Table: {table}",
    ]
    assert read_mask(tmp_path / "out" / "a.png").any()
    assert pd.read_csv(table)["id"].tolist() == ["a"]


def test_images_that_failed_are_counted_in_the_exit_code(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "b.jpg").write_bytes(b"torn")

    code = run(f"segment {source} {tmp_path / 'out'} --quiet")

    table = tmp_path / "out" / "segment.csv"
    assert code == 1
    assert capsys.readouterr().err == (
        f"dermolib segment: 1 of 2 images failed; {table} names the reasons.\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("segment gone out", "Expected `gone` to exist, but it does not."),
        ("segment in", "the following arguments are required: OUT"),
        ("segment in out --method x", "argument --method: invalid choice: 'x' (choose from "),
        ("segment in out --option radius=3", "Expected `radius` to be one of the options of 'unet"),
        ("segment in out --option workers=3", "expected --option of the method, but got workers"),
    ],
)
def test_mistakes_are_named(
    source: Path,
    words: str,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(source.parent)

    assert run(words) == 2
    assert sentence in capsys.readouterr().err
