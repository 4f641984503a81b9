"""The command dermolib: its words, its exit codes, and that it answers at once."""

import inspect
import re
import runpy
import shlex
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dermolib
from dermolib.cli import main
from dermolib.io import read_mask, write_image
from dermolib.preprocessing import folders
from dermolib.preprocessing.folders import FolderReport


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write one image with hair and one without."""
    image = np.full((48, 64, 3), 200, np.uint8)
    write_image(tmp_path / "in" / "bare.png", image)
    image[:, 20] = 40
    write_image(tmp_path / "in" / "hairy.png", image)
    return tmp_path / "in"


def report(**changed: Any) -> FolderReport:
    values: dict[str, Any] = {
        "cleaned": 1,
        "unchanged": 0,
        "skipped": 0,
        "failed": 0,
        "failures": (),
        "excluded": 0,
        "ignored": 0,
        "orphaned": 0,
        "mean_masked_fraction": 0.1,
        "max_masked_fraction": 0.2,
        "csv": Path("out/hair.csv"),
        "contact_sheet": None,
    }
    return FolderReport(**values | changed)


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[tuple[Any, Any]]:
    """Put a stand-in for the function behind ``hair``, and note how it is called."""
    calls = []

    def stand_in(*given: Any, **options: Any) -> Any:
        calls.append((given, options))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(folders, "remove_hair_from_folder", stand_in)
    return calls


def test_hair_is_removed_from_a_folder_and_summed_up(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks, sheet = tmp_path / "masks", tmp_path / "sheet.png"
    words = f"hair {source} {tmp_path / 'out'} --method luv --masks {masks} --contact-sheet {sheet}"

    code = main(shlex.split(words))

    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.splitlines() == [
        "Images: 1 cleaned, 1 without hair, 0 done before, 0 failed.",
        "Masked: 0.78% of an image on average, 1.56% at most.",
        f"Table: {tmp_path / 'out' / 'hair.csv'}, contact sheet: {sheet}",
    ]
    assert "2/2" in shown.err
    assert read_mask(masks / "hairy.png")[:, 20].all()
    assert sheet.exists()


def test_images_that_fail_are_counted_and_make_the_exit_code_1(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "zero.jpg").write_bytes(b"")

    code = main(["hair", str(source), str(tmp_path / "out"), "--method", "luv", "--quiet"])

    shown = capsys.readouterr()
    assert code == 1
    assert shown.out == ""
    table = tmp_path / "out" / "hair.csv"
    assert shown.err == f"dermolib hair: 1 of 3 images failed; {table} names the reasons.\n"


def test_a_mistake_is_one_sentence_and_the_exit_code_2(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    (tmp_path / "file").touch()
    mistakes = {
        f"{tmp_path / 'gone'} {out}": f"Expected `{tmp_path / 'gone'}` to exist, but it does not.",
        f"{source} {source / 'clean'}": "Expected `destination` to be a folder neither inside the",
        f"{source} {out} --method lub": "Expected `method` to be one of ",
        f"{source} {out} --method luv --option radio=3": "Expected `radio` to be one of the option",
        f"{source} {out} --method luv --option radius=x": "Expected `radius` to be a number above",
        f"{source} {out} --option quality=3": "Expected `--option` to be a parameter of the method",
        f"{source} {out} --workers 0": "Expected `workers` to be an integer of 1 or more, but got",
        f"{source} {tmp_path / 'file'}": "Expected `destination` to be a folder, but got the file",
    }
    for words, sentence in mistakes.items():
        assert main(["hair", *shlex.split(words)]) == 2

        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"dermolib hair: {sentence}")
        assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_flag_reaches_the_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answer_with(monkeypatch, report())
    words = (
        "hair IN OUT --method line --fill telea --masks M --contact-sheet S.png --workers 3 "
        "--overwrite --quality 80 --suffix .png --exclude '*_x.png' --exclude 'y*' "
        "--option radius=6 --option low=7.5 --option kind=soft --quiet"
    )

    assert main(shlex.split(words)) == 0

    assert calls == [
        (
            ("IN", "OUT"),
            {
                "method": "line",
                "fill": "telea",
                "masks": "M",
                "contact_sheet": "S.png",
                "workers": 3,
                "overwrite": True,
                "quality": 80,
                "suffix": ".png",
                "exclude": ["*_x.png", "y*"],
                "progress": False,
                "radius": 6,
                "low": 7.5,
                "kind": "soft",
            },
        )
    ]
    assert capsys.readouterr() == ("", "")


def test_without_flags_the_function_has_its_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = inspect.signature(folders.remove_hair_from_folder).parameters
    calls = answer_with(monkeypatch, report())

    main(["hair", "IN", "OUT"])

    (_, options), *_ = calls
    assert "exclude" not in options
    for name, value in options.items():
        assert value == parameters[name].default


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (
            KeyboardInterrupt(),
            130,
            "stopped. What is finished stays; the same command continues from there.",
        ),
        (
            OSError(28, "No space left on device"),
            1,
            "[Errno 28] No space left on device. What is finished stays; the same command "
            "continues from there.",
        ),
        (
            BrokenExecutor("killed"),
            1,
            "a worker process was killed, which happens where memory runs out. What is finished "
            "stays; the same command continues from there. Try fewer workers.",
        ),
        (
            PermissionError("Expected `masks` to be x, but got y."),
            2,
            "Expected `masks` to be x, but got y.",
        ),
        (TypeError("Expected `a` to be b, but got c."), 2, "Expected `a` to be b, but got c."),
    ],
)
def test_what_ends_a_run_early_has_its_sentence_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    sentence: str,
) -> None:
    answer_with(monkeypatch, error)

    assert main(["hair", "IN", "OUT"]) == code

    assert capsys.readouterr() == ("", f"dermolib hair: {sentence}\n")


@pytest.mark.parametrize("kind", [TypeError, ValueError, RuntimeError])
def test_a_fault_of_the_program_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    answer_with(monkeypatch, kind("unsupported operand"))

    with pytest.raises(kind, match="unsupported operand"):
        main(["hair", "IN", "OUT"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("wash", "invalid choice: 'wash'"),
        ("hair IN", "the following arguments are required: OUT"),
        ("hair IN OUT --workers two", "argument --workers: invalid int value: 'two'"),
        ("hair IN OUT --option radius", "expected NAME=VALUE, but got 'radius'"),
        ("hair IN OUT --option =6", "expected NAME=VALUE, but got '=6'"),
        ("hair IN OUT --option radius=", "expected NAME=VALUE, but got 'radius='"),
    ],
)
def test_words_that_make_no_command_end_with_the_usage(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(shlex.split(words))

    shown = capsys.readouterr().err
    assert shown.startswith("usage: dermolib")
    assert re.search(re.escape(sentence), shown)


@pytest.mark.parametrize("words", [["--help"], ["hair", "--help"]])
def test_help_says_what_can_be_done(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(words)

    shown = " ".join(capsys.readouterr().out.split())
    assert "remove hair from all images of a folder" in shown.lower()


def test_the_module_runs_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dermolib", "--version"])

    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("dermolib", run_name="__main__")

    assert capsys.readouterr().out == f"dermolib {dermolib.__version__}\n"


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    code = (
        "import sys\nfrom dermolib.cli import main\n"
        "try:\n    main(['hair', '--help'])\nexcept SystemExit:\n    pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )

    result = subprocess.run(  # noqa: S603 - this interpreter, with code from this file
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    heavy = {"numpy", "cv2", "PIL", "pandas", "torch", "joblib", "tqdm"}
    assert not heavy & set(result.stderr.split())
