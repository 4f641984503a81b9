"""Every benchmark on images says in one sentence where it looked for them."""

import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["border", "duplicates", "hair", "presets", "segmentation"])
def test_a_folder_without_images_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(name).main(["--data", str(tmp_path)])

    error = capsys.readouterr().err
    assert f"Expected `{tmp_path}" in error
    assert "Name the folder with --data or DERMOLIB_DATA" in error
