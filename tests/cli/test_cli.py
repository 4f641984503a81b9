"""The command dermolib: its words, its exit codes, and that it answers at once."""

import functools
import inspect
import runpy
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dermolib
from command import mistake_of, run
from dermolib.auditing import FINDINGS
from dermolib.cli import _COMMANDS
from dermolib.datasets.download import list_collections
from dermolib.evaluation import FORMS
from dermolib.io import read_mask, write_image
from dermolib.preprocessing import STEPS, FolderReport, folders

COMMANDS = tuple(_COMMANDS)
CONTINUES = "What is finished stays; the same command continues from there."


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write one image with hair and one without."""
    image = np.full((48, 64, 3), 200, np.uint8)
    write_image(tmp_path / "in" / "bare.png", image)
    image[:, 20] = 40
    write_image(tmp_path / "in" / "hairy.png", image)
    return tmp_path / "in"


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[dict[str, Any]]:
    """Put a stand-in for the function behind ``hair``, and record how it is called."""
    calls = []
    values: dict[str, Any] = dict.fromkeys(inspect.signature(FolderReport).parameters, 0)

    @functools.wraps(folders.remove_hair_from_folder)
    def stand_in(**options: Any) -> Any:
        calls.append(options)
        if isinstance(answer, BaseException):
            raise answer
        return FolderReport(**values)

    monkeypatch.setattr(folders, "remove_hair_from_folder", stand_in)
    return calls


def test_hair_is_removed_from_a_folder_and_summed_up(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks, sheet = tmp_path / "masks", tmp_path / "sheet.png"

    code = run(
        f"hair {source} {tmp_path / 'out'} --method luv --masks {masks} --contact-sheet {sheet}"
    )

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

    code = run(f"hair {source} {tmp_path / 'out'} --method luv --quiet")

    table = tmp_path / "out" / "hair.csv"
    assert code == 1
    assert capsys.readouterr() == (
        "",
        f"dermolib hair: 1 of 3 images failed; {table} names the reasons.\n",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("wash", "argument COMMAND: invalid choice: 'wash'"),
        ("hair gone out", "Expected `gone` to exist, but it does not."),
        ("hair in in/out", "Expected `destination` to be a folder neither inside the"),
        ("hair in file", "Expected `destination` to be a folder, but got the file"),
        ("hair in", "the following arguments are required: OUT"),
        ("hair in out --method lub", "argument --method: invalid choice: 'lub' (choose from "),
        ("hair in out --fill lub", "argument --fill: invalid choice: 'lub' (choose from "),
        ("hair in out --method luv --option radio=3", "Expected `radio` to be one of the option"),
        ("hair in out --method luv --option radius=x", "Expected `radius` to be a number above"),
        ("hair in out --option quality=3", "expected --option of the method, but got quality"),
        ("hair in out --option radius", "expected NAME=VALUE, but got 'radius'"),
        ("hair in out --option =6", "expected NAME=VALUE, but got '=6'"),
        ("hair in out --option radius=", "expected NAME=VALUE, but got 'radius='"),
        ("hair in out --workers 0", "Expected `workers` to be an integer of 1 or more, but got"),
        ("hair in out --workers two", "argument --workers: invalid int value: 'two'"),
        ("prepare in out", "the following arguments are required: --image-size"),
        ("prepare in out --image-size 8 --step crop", "Expected `steps[0]` to be one of "),
        ("prepare in out --image-size 8 --step crop_border:a", "expected NAME=VALUE, but got 'a'"),
    ],
)
@pytest.mark.usefixtures("source")
def test_a_mistake_is_one_sentence_and_the_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()

    assert sentence in mistake_of(words, capsys)

    assert not (tmp_path / "out").exists()


def test_every_option_reaches_the_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answer_with(monkeypatch, None)

    code = run(
        "hair IN OUT --method line --fill telea --masks M --contact-sheet S.png --workers 3 "
        "--overwrite --quality 80 --suffix .png --exclude '*_x.png' --exclude 'y*' "
        "--option radius=6 --option low=7.5 --option kind=soft --quiet"
    )

    assert code == 0
    wanted: dict[str, Any] = {"method": "line", "fill": "telea", "masks": "M"}
    wanted |= {"contact_sheet": "S.png", "workers": 3, "overwrite": True, "quality": 80}
    wanted |= {"suffix": ".png", "exclude": ["*_x.png", "y*"], "progress": False}
    wanted |= {"radius": 6, "low": 7.5, "kind": "soft"}
    assert calls == [{"source": "IN", "destination": "OUT", **wanted}]
    assert capsys.readouterr() == ("", "")


def test_without_options_the_function_has_its_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = inspect.signature(folders.remove_hair_from_folder).parameters
    calls = answer_with(monkeypatch, None)

    run("hair IN OUT")

    (options,) = calls
    defaults = {name: parameters[name].default for name in options}
    assert options == {**defaults, "source": "IN", "destination": "OUT"}


def test_images_are_prepared_in_one_store(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = "--step crop_border --step occlusion_removal:method=luv,radius=6"

    code = run(f"prepare {source} {tmp_path / 'out'} --image-size 8 12 {step}")

    store = dermolib.PreparedStore(tmp_path / "out")
    assert code == 0
    assert store.images.shape == (2, 8, 12, 3)
    assert str(store) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, f"stopped. {CONTINUES}"),
        (OSError(28, "No space left"), 1, f"[Errno 28] No space left. {CONTINUES}"),
        (BrokenExecutor("Expected `a` to be b."), 1, "Expected `a` to be b."),
        (MemoryError("Expected `a` to be b."), 1, "Expected `a` to be b."),
        (MemoryError(), 1, f"too little memory. {CONTINUES}"),
        (
            PermissionError("Expected `a` to be b, but got c."),
            2,
            "Expected `a` to be b, but got c.",
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

    assert run("hair IN OUT") == code

    assert capsys.readouterr() == ("", f"dermolib hair: {sentence}\n")


@pytest.mark.parametrize("kind", [TypeError, ValueError, RuntimeError])
def test_a_fault_of_the_program_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    answer_with(monkeypatch, kind("unsupported operand"))

    with pytest.raises(kind, match="unsupported operand"):
        run("hair IN OUT")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("", COMMANDS),
        ("hair", [*dermolib.list_occlusion_methods(), *dermolib.list_fills()]),
        ("audit", FINDINGS),
        ("prepare", STEPS),
        ("download", list_collections()),
        ("score", list(FORMS)),
    ],
)
def test_help_lists_what_can_be_chosen(
    command: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{command} --help") == 0

    shown = capsys.readouterr().out
    assert all(name in shown for name in named)


def test_the_module_runs_as_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dermolib", "--version"])

    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module("dermolib", run_name="__main__")

    assert capsys.readouterr().out == f"dermolib {dermolib.__version__}\n"


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        ("", {"numpy", "cv2", "PIL", "pandas", "torch", "joblib", "tqdm"}),
        *((command, {"torch", "albumentations", "lightning"}) for command in COMMANDS),
    ],
)
def test_help_loads_nothing_heavy(command: str, heavy: set[str]) -> None:
    code = (
        "import sys\nfrom dermolib.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    words = [sys.executable, "-c", code, *command.split(), "--help"]

    result = subprocess.run(  # noqa: S603 - this interpreter, with code from this file
        words, capture_output=True, text=True, check=True
    )

    assert "usage: dermolib" in result.stdout
    assert not heavy & set(result.stderr.split())


def test_ctrl_c_while_a_command_loads_has_the_same_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_COMMANDS["audit"], "add_options", stop)

    assert run("audit a.csv") == 130
    assert capsys.readouterr().err == f"dermolib audit: stopped. {CONTINUES}\n"
