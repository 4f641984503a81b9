"""Laws of text that comes from files: nothing printed steers a terminal, ids come back whole."""

import contextlib
import csv
import io
import os
import re
import subprocess
import sys
import unicodedata
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

import dermolib
from dermolib import (
    ISICDataset,
    abcd_table,
    audit,
    augment_offline,
    grouped_split,
    make_synthetic_challenge,
    merge_tables,
    prepare,
    remove_hair_from_folder,
)
from dermolib._jobs import describe_failure
from dermolib._validation import DatasetNotFoundError, warn
from dermolib.cli import main
from dermolib.datasets import Split, load_split, read_table
from dermolib.datasets.download import Archive, Collection, Download
from dermolib.datasets.download.unpacking import check_zip
from dermolib.datasets.files import read_augmented
from dermolib.io import (
    check_names,
    fold_case,
    hdf5_path,
    is_portable,
    list_images,
    read_hdf5_bytes,
    read_image,
    write_image,
    write_table,
)
from dermolib.preprocessing import artifact_table, segment_folder
from dermolib.preprocessing.contact_sheet import sheet_entry, write_contact_sheet
from dermolib.preprocessing.folders import FolderReport
from dermolib.reporting import (
    plot_class_counts,
    plot_confusion,
    plot_history,
    plot_samples,
    write_submission,
)
from drawing import noise_image

STEERING = "\x1b\x9b\u202e\u2066\u2028\n\r\t\x07\x00\x7f\udcff$_{\\<&"
texts = st.text(st.one_of(st.sampled_from(STEERING), st.characters()), min_size=1, max_size=12)
IMAGE = np.full((40, 40, 3), 180, np.uint8)


def table(text: str) -> pd.DataFrame:
    return pd.DataFrame({name: [text, "b"] for name in ("id", "lesion", "diagnosis", "image_path")})


def command(*words: str) -> str:
    shown = io.StringIO()
    quiet = contextlib.suppress(SystemExit)
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(shown), quiet:
        main(list(words))
    return shown.getvalue()


def figure(draw: Callable[[list[str]], Any], text: str) -> str:
    """Join what a figure shows; of mathematics, which would be other text, there is none."""
    drawn = draw([text, "b"])
    found = getattr(drawn, "figure", drawn).findobj(Text)
    drawn_texts = [(one.get_text(), one.get_parse_math()) for one in found]
    assert not any(math for shown, math in drawn_texts if "$" in shown)
    return "\n".join(shown for shown, _ in drawn_texts)


def warned_of(text: str, _: Path) -> str:
    warn(text)
    return ""


def sheet(text: str, folder: Path) -> str:
    entry = sheet_entry(text, IMAGE, np.zeros((40, 40), np.bool_), IMAGE)
    write_contact_sheet(folder / "sheet.png", [entry])
    return ""


def hdf5(text: str, folder: Path) -> str:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file["a"] = 1
    read_hdf5_bytes(hdf5_path(folder / "a.h5", text))
    return ""


def store(text: str, folder: Path) -> str:
    write_image(folder / "in" / "a.png", IMAGE)
    made = prepare(folder / "in", folder / "out", steps=[], image_size=8, progress=False)
    made.path = Path(text)
    return repr(made)


def hair_report(text: str, _: Path) -> str:
    failures = ((text, text),)
    return str(FolderReport(0, 0, 0, 1, failures, 0, 0, 0, 0.0, 0.0, Path(text), Path(text)))


def split_of(text: str, _: Path) -> str:
    return str(Split([np.arange(2)], [text], pd.DataFrame({text: [2]}, index=["MEL"]), None))


def downloaded(text: str, _: Path) -> str:
    archive = Archive("a.zip", "all", ("https://example.org/a.zip",))
    return str(Download(Collection("a", text, "", text, text, (archive,)), Path(text), ()))


def lesions(text: str, mask: bool) -> str:
    masks = np.zeros((40, 40), np.bool_) if mask else np.zeros((3, 3))
    abcd_table([{"id": text, "image": IMAGE, "mask": masks}], progress=False)
    return ""


def unpacked(text: str, folder: Path) -> str:
    unwritable = contextlib.suppress(UnicodeError, IndexError)  # by the writer of Python
    with zipfile.ZipFile(folder / "a.zip", "w") as file, unwritable:
        file.writestr(text, b"")
    check_zip(folder / "a.zip")
    return ""


RUN: dict[str, Any] = {"images": False, "progress": False}
PRINTED: dict[str, Callable[[str, Path], str]] = {
    "a missing data set": lambda text, _: str(DatasetNotFoundError(Path(text), text)),
    "a warning": warned_of,
    "why a file failed": lambda text, _: describe_failure(ValueError(text), Path(text)),
    "an image": lambda text, folder: str(read_image(folder / text)),
    "a data set": lambda text, _: repr(
        ISICDataset(table("a").assign(image_path=f"{text}/a.png", mask_path=""))
    ),
    "a store": store,
    "a merged table": lambda text, _: repr(
        merge_tables([read_table(pd.DataFrame({"id": [text]}))])
    ),
    "a table": lambda text, _: str(read_table(table(text).assign(sex=text))),
    "a split": split_of,
    "an audit": lambda text, _: repr(audit({text: table(text)}, **RUN)),
    "its page": lambda text, _: str(audit({text: table(text)}, **RUN)),
    "its HTML": lambda text, _: audit({text: table(text)}, **RUN).to_html(),
    "its JSON": lambda text, _: audit({text: table(text)}, **RUN).to_json(),
    "a download": downloaded,
    "an archive": unpacked,
    "a hair report": hair_report,
    "a submission": lambda text, folder: str(
        write_submission(folder / "a.csv", [text], [0], expected_ids=[f"{text}!"])
    ),
    "lesions": lambda text, _: lesions(text, mask=False),
    "lesions without a mask": lambda text, _: lesions(text, mask=True),
    "an HDF5 file": hdf5,
    "a command": lambda text, _: command("hair", text, "out"),
    "a choice of a command": lambda text, _: command("hair", "a", "b", "--method", text),
    "an option of a command": lambda text, _: command("hair", "a", "b", f"--{text}"),
    "a path of a command": lambda text, _: command("audit", "a", "--json", text),
    "titles": lambda text, _: figure(lambda names: plot_samples([IMAGE] * 2, titles=names), text),
    "classes": lambda text, _: figure(
        lambda names: plot_confusion(np.eye(2, dtype=int), names=names, title=names[0]), text
    ),
    "bars": lambda text, _: figure(lambda names: plot_class_counts([1, 2], names=names), text),
    "curves": lambda text, _: figure(
        lambda names: plot_history({name: [{"epoch": 1}] for name in names}, note=names[0]), text
    ),
    "a contact sheet": sheet,
}


@pytest.mark.parametrize("name", PRINTED)
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(text="\x1b[2J\u202e\x9b1m$\\frac{$")
@example(text="a\nb")
@example(text="\U0003134b")
@example(text="\u202e")
@given(text=texts)
def test_nothing_that_is_printed_steers_a_terminal(
    name: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            shown = PRINTED[name](text, tmp_path_factory.mktemp("law"))
        except (OSError, TypeError, ValueError) as error:
            shown = str(error)
            known = "Expected `" in shown or isinstance(error, FileNotFoundError)
            shown = shown if known else "\x00a foreign error"

    shown = "\n".join([shown, *(str(warning.message) for warning in warned)])
    assert shown.replace("\n", "").isprintable()


ids = st.lists(
    st.one_of(
        st.sampled_from(
            ["A,B", 'A"B', "007", "1e5", "NA", "nan", "1.0", "True", "=1+1", "-2", "@x"]
        ),
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1),
        st.binary(min_size=1).map(partial(bytes.decode, errors="surrogateescape")),
    ).filter(
        lambda text: (
            text == text.strip() and not re.match(r"\.|.*[/\\:\x00-\x1f\x7f-\x9f]", text, re.DOTALL)
        )
    ),
    min_size=2,
    unique=True,
)


@settings(deadline=None)
@given(names=ids)
def test_ids_come_back_as_they_were_from_every_table(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    rows = pd.DataFrame({"id": names, "label": 0, "lesion": ""})
    split = grouped_split(rows)

    write_submission(folder / "answer.csv", names, [0] * len(names))
    split.save(folder / "split.csv")

    for path in (folder / "answer.csv", folder / "split.csv"):
        options: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        with path.open(**options) as file:
            assert [row[0] for row in csv.reader(file)] == ["ID", *names]
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding_errors="surrogateescape"
        )
        assert frame["ID"].tolist() == names
        assert read_table(path)["id"].tolist() == names
    again = load_split(folder / "split.csv", rows)
    assert [part.tolist() for part in again] == [part.tolist() for part in split]
    assert audit({"train": rows}, **RUN).counts["rows"] == 0


def test_copies_of_images_whose_ids_look_like_numbers_or_gaps_find_their_parents(
    tmp_path: Path,
) -> None:
    names = ["NA", "1.0", "007", "a,b", "caf\udce9"]
    for seed, name in enumerate(names):
        write_image(tmp_path / "in" / f"{name}.png", noise_image(40, 40, seed))
    rows = pd.DataFrame({"ID": names, "CLASS": 4})
    dataset = ISICDataset(rows, tmp_path / "in", split="train")

    augment_offline(dataset, tmp_path / "out", factors={"AK": 2}, image_size=32, progress=False)

    made = read_augmented(tmp_path / "out", dataset.table, masks=False)
    assert made is not None
    assert made["parent_id"].tolist() == names


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x1bb", "a\x9bb", "a\u2028b"])
def test_an_id_of_several_lines_is_refused_before_a_submission_is_written(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ValueError, match="`ids` to be one line of text each"):
        write_submission(tmp_path / "a.csv", [text], [0])

    assert not (tmp_path / "a.csv").exists()


def test_half_a_character_is_refused_and_no_table_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv` to be a table of text that UTF-8"):
        write_table(tmp_path / "a.csv", ["ID"], [["\ud800"]])

    assert list(tmp_path.iterdir()) == []


def test_a_table_of_numbers_has_the_bytes_that_pandas_writes(tmp_path: Path) -> None:
    cells: list[list[Any]] = [[1, 0.1 + 0.2, ""], [2, 1e-05, float("inf")], [3, -0.0, "a,b"]]

    write_table(tmp_path / "a.csv", ["epoch", "x", "y,z"], cells, quoted=False)

    frame = pd.DataFrame(cells, columns=["epoch", "x", "y,z"])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == frame.to_csv(index=False)


def test_a_table_whose_other_texts_are_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"ID,SEX,POSITION\nA,male,t\xeate\n")

    with pytest.raises(ValueError, match=r"a CSV file in UTF-8, but got .* Save it as UTF-8\."):
        read_table(tmp_path / "a.csv")


def hair(source: Path, out: Path) -> None:
    remove_hair_from_folder(source, out, method="luv", progress=False)


def segmented(source: Path, out: Path) -> None:
    segment_folder(source, out, method="classical", progress=False)


def stored(source: Path, out: Path) -> None:
    prepare(source, out, steps=[], image_size=8, progress=False)


def offline(source: Path, out: Path) -> None:
    files = list_images(source).files
    names = [Path(file).stem for file in files]
    rows = read_table(pd.DataFrame({"ID": names, "CLASS": 4}))
    rows["image_path"], rows["mask_path"] = [str(source / file) for file in files], ""
    augment_offline(ISICDataset(rows, split="train"), out, factors={"AK": 2}, progress=False)


def archived(source: Path, out: Path) -> None:
    out.mkdir()
    with zipfile.ZipFile(out / "a.zip", "w") as file:
        for name in list_images(source).files:
            file.writestr(name, b"")
    try:
        check_zip(out / "a.zip")
    finally:
        (out / "a.zip").unlink()
        out.rmdir()


WRITERS = {
    "hair": hair,
    "segment": segmented,
    "prepare": stored,
    "offline": offline,
    "archive": archived,
}
COMPOSED = [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]


@pytest.mark.parametrize("job", WRITERS)
@pytest.mark.parametrize(
    "files",
    [["A.png", "a.png"], COMPOSED, ["CON.png"], ["nul.x.png"], ["com1.jpg"], ["LPT¹.png"]],
    ids=["case", "composition", "CON", "nul", "com1", "LPT1"],
)
def test_every_job_refuses_names_that_some_system_would_lose(
    job: str, files: list[str], tmp_path: Path
) -> None:
    for seed, file in enumerate(files):
        write_image(tmp_path / "in" / file, noise_image(40, 40, seed))

    with pytest.raises(
        ValueError, match="to be files of plain names that every system can hold and keep apart"
    ):
        WRITERS[job](tmp_path / "in", tmp_path / "out")

    assert not (tmp_path / "out").exists()
    assert len(list_images(tmp_path / "in").files) == len(files)  # which may be read all the same


@pytest.mark.parametrize("name", ["a?.png", "a*.png", 'a".png', "a<b.png", "a|b.png"])
@pytest.mark.parametrize("job", ["hair", "segment", "offline", "archive"])
def test_jobs_that_write_by_names_refuse_what_windows_cannot_write(
    job: str, name: str, tmp_path: Path
) -> None:
    write_image(tmp_path / "in" / name, noise_image(40, 40, 0))

    with pytest.raises(ValueError, match=re.escape(repr(Path(name).stem)[:-1])):
        WRITERS[job](tmp_path / "in", tmp_path / "out")


def test_copies_whose_names_become_too_long_are_refused_before_work_starts(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "in" / f"{'é' * 125}.png", noise_image(40, 40, 0))

    with pytest.raises(ValueError, match="of 259 bytes would be made, more than 255"):
        offline(tmp_path / "in", tmp_path / "out")

    assert not (tmp_path / "out").exists()


@given(
    files=st.lists(
        st.text(st.sampled_from("aAbé/.") | st.characters(codec="utf-8"), min_size=1), max_size=6
    )
)
def test_names_that_pass_are_plain_and_lie_apart_on_all_systems(files: list[str]) -> None:
    try:
        check_names(zip(files, files, strict=True), "files")
    except ValueError:
        return

    parts = [file.split("/") for file in files]
    assert all(is_portable(part) and ".." not in part for one in parts for part in one)
    folded = {fold_case(file) for file in files}
    assert len(folded) == len(files)
    folders = {"/".join(one[:end]) for one in parts for end in range(1, len(one))}
    assert folded.isdisjoint(map(fold_case, folders))


BYTES: dict[str, Callable[[Any, Path], Any]] = {
    "prepare": lambda path, out: prepare(path, out, steps=[], image_size=8, progress=False),
    "hair": lambda path, out: remove_hair_from_folder(path, out, method="luv", progress=False),
    "segment": lambda path, out: segment_folder(path, out, method="classical", progress=False),
    "artifacts": lambda path, out: artifact_table(path, cache=out, progress=False),
    "data set": lambda path, _: ISICDataset(pd.DataFrame({"ID": ["a"]}), path),
    "submission": lambda path, _: write_submission(path + b"/a.csv", ["a"], [0]),
    "image": lambda path, _: write_image(path + b"/b.png", IMAGE),
    "synthetic": lambda path, _: make_synthetic_challenge(
        path + b"/x", images_per_class=1, image_size=32
    ),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_path_of_bytes_is_a_path(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    write_image(folder / "a.png", IMAGE)

    assert BYTES[name](os.fsencode(folder), tmp_path / "out") is not NotImplemented


@pytest.mark.parametrize("name", BYTES)
def test_a_null_character_in_a_path_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError), match=r"^Expected `"):
        BYTES[name](b"a\0b", tmp_path / "out")


LOCALE = """
import os, sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="dermolib")
import numpy as np, pandas as pd
from pathlib import Path
from dermolib import grouped_split
from dermolib.reporting import write_submission
from dermolib.cli import main
from dermolib.datasets import load_split, read_table
from dermolib.io import list_images
folder = Path(sys.argv[1])
assert sys.getfilesystemencoding() == "ascii"
assert main(["prepare", str(folder / "in"), str(folder / "store"), "--image-size", "8",
    "--skip-errors"]) == 0
assert main(["hair", str(folder / "in"), str(folder / "out"), "--method", "luv"]) == 1
names = [Path(file).stem for file in list_images((folder / "in").resolve()).files]
rows = pd.DataFrame({"id": names, "label": 0, "lesion": ""})
rows.rename(columns={"id": "ID"})[["ID"]].to_csv(
    folder / "t.csv", encoding="utf-8", errors="surrogateescape", index=False)
rows = rows.assign(id=read_table(folder / "t.csv")["id"])
assert main(["audit", str(folder / "t.csv"), "--json", str(folder / "a.json")]) == 0
write_submission(folder / "s.csv", names, [0] * len(names))
grouped_split(rows).save(folder / "split.csv")
assert len(load_split(folder / "split.csv", rows)) == 2
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no ASCII locale")
def test_all_works_where_the_locale_knows_ascii_alone(tmp_path: Path) -> None:
    for seed, name in enumerate(["é.png", "皮.png", "a.png"]):
        write_image(tmp_path / "in" / name, noise_image(40, 40, seed))
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment["PYTHONPATH"] = str(Path(dermolib.__file__).parents[1])
    environment["PYTHONIOENCODING"] = "ascii:strict"
    (tmp_path / "in" / "ü.png").write_bytes(b"<html>")

    result = subprocess.run(  # noqa: S603 - this interpreter, our code
        [sys.executable, "-X", "warn_default_encoding", "-c", LOCALE, str(tmp_path)],
        capture_output=True,
        env=environment,
        check=False,
    )

    assert result.returncode == 0, result.stderr.decode("ascii", "backslashreplace")
    assert result.stdout.isascii()
    assert result.stderr.isascii()
    assert "é".encode() in (tmp_path / "s.csv").read_bytes()
