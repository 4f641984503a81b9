"""The command dermolib audit: what it reads, what it writes, and its exit codes."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import command
import releases
from dermolib.io import write_image
from drawing import noise_image


@pytest.fixture
def clean(challenge: Path) -> Path:
    """Make the small challenge one without findings."""
    for number in range(2):
        write_image(challenge / "Test" / f"TEST_{number}.jpg", noise_image(12, 16, 90 + number))
    train = pd.read_csv(challenge / "metadataTrain.csv", keep_default_na=False)
    train.assign(CLASS=[1, 2, 3, 2, 2, 2]).to_csv(challenge / "metadataTrain.csv", index=False)
    return challenge


def run(words: str) -> int:
    return command.run(f"audit {words}")


def write_tables(folder: Path) -> tuple[Path, Path]:
    """Write two CSV files that share a lesion."""
    for split in ("train", "test"):
        table = pd.DataFrame({"ID": [f"{split}_{n}" for n in range(2)], "LESION_ID": ["L1", "L2"]})
        table.to_csv(folder / f"{split}.csv", index=False)
    return folder / "train.csv", folder / "test.csv"


@pytest.fixture
def here(challenge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work beside a challenge, with two tables and folders of misleading names."""
    monkeypatch.chdir(challenge.parent)
    write_tables(challenge.parent)
    for name in ("empty", "old.json"):
        Path(name).mkdir()


def test_a_clean_challenge_has_its_page_and_the_exit_code_0(
    clean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(clean)) == 0

    shown = capsys.readouterr()
    assert shown.out.startswith("Audit of train (6 images), test (2 images)\n\nPASSED: no leaks")
    assert "8/8" in shown.err


def test_findings_make_the_exit_code_1_and_stand_in_a_sentence(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(f"{challenge} --quiet")

    assert code == 1
    assert capsys.readouterr() == (
        "",
        "dermolib audit: FAILED: 2 of 2 images of test (100%) share a lesion, patient "
        "or image with train; conflicting labels: 1.\n",
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [("leaks", 1), ("files rows", 0), ("conflicts files", 1), ("nothing", 0), ("metadata", 1)],
)
def test_what_fails_is_chosen(challenge: Path, words: str, code: int) -> None:
    assert run(f"{challenge} --quiet --fail-on {words}") == code


def test_a_missing_file_is_found_unless_images_are_left_out(clean: Path) -> None:
    (clean / "Train" / "IMG_3.jpg").unlink()

    assert run(f"{clean} --quiet") == 1
    assert run(f"{clean} --quiet --no-images") == 0


def test_one_table_or_two_are_audited_without_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = write_tables(tmp_path)

    assert run(f"{train} --quiet") == 0
    assert run(f"{train} {test}") == 1

    shown = capsys.readouterr().out
    assert "2 of 2 images of test (100%) share a lesion with train" in shown
    assert "Image files of train: its table has no column `image_path`." in shown


@pytest.mark.parametrize(("folder", "more"), [("a", ""), ("b", "--test-images b")])
def test_images_of_tables_are_in_one_folder_or_in_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    folder: str,
    more: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path)
    for number in range(2):
        write_image(f"a/train_{number}.png", noise_image(20, 20, number))
        write_image(f"{folder}/test_{number}.png", noise_image(20, 20, number + 7))

    code = run(f"train.csv test.csv --images a {more} --fail-on files")

    assert code == 0
    assert "test: 2 images, 1 kind" in capsys.readouterr().out


def test_everything_is_written_as_json(challenge: Path, tmp_path: Path) -> None:
    code = run(f"{challenge} --quiet --workers 2 --json {tmp_path / 'out' / 'audit.json'}")

    content = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert code == content["exit_code"] == 1
    assert content["splits"] == {"train": 6, "test": 2}


def test_the_page_is_written_with_pictures(challenge: Path, tmp_path: Path) -> None:
    source = challenge / "Train" / "IMG_0.jpg"
    (challenge / "Test" / "TEST_0.jpg").write_bytes(source.read_bytes())

    code = run(f"{challenge} --quiet --html {tmp_path / 'out' / 'audit.html'}")

    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert code == 1
    assert page.startswith("<!doctype html>")
    assert 'data-first="IMG_0" data-second="TEST_0"' in page
    assert 'href="data:image/jpeg;base64,' in page


def test_recaptures_are_searched_where_asked(
    clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(images: pd.DataFrame, **_: Any) -> pd.DataFrame:
        paths = images["image_path"].map(lambda path: Path(path).parent.name)
        found = {"first_row": [0], "second_row": [(paths == "Test").argmax()], "score": [0.97]}
        numbers = ("agreement", "inliers", "scale", "angle", "shift_x", "shift_y")
        found |= {name: [1.0] for name in numbers}
        return pd.DataFrame({**found, "kind": "recapture", "metadata": "agree"})

    monkeypatch.setattr("dermolib.auditing.recaptures.find_recaptures", find)
    page = tmp_path / "page.json"

    assert run(f"{clean} --recaptures --json {page}") == 1

    assert "1 of 2 images of test (50.0%) share a lesion" in capsys.readouterr().err
    assert json.loads(page.read_text("utf-8"))["recaptures"]["count"] == 1
    assert run(f"{clean} --recaptures --quiet --fail-on conflicts") == 0
    assert run(f"{clean} --quiet") == 0


def test_a_name_that_the_terminal_lacks_does_not_lose_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = write_tables(tmp_path)
    train.write_text("ID,LESION_ID,CLASS\na,\u9ed1,1\nb,\u9ed1,2\n", encoding="utf-8")
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", shown)

    code = run(f"{train}")

    shown.flush()
    assert code == 1
    assert b"?: a (train, MEL), b (train, NV)" in shown.buffer.getvalue()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("gone.csv", "Expected `gone.csv` to exist, but it does not"),
        ("nope", "layout: the folder of a collection, or a CSV file with the names of its"),
        ("empty", "Expected `empty/metadataTrain.csv` to exist"),
        ("empty", "and lesion_ids.csv; name another collection with `--collection`."),
        (". --label-space foo", "'padufes', but got 'foo'. See `dermolib audit --help`."),
        ("train.csv test.csv --images gone", "Expected `gone` to exist"),
        (". test.csv", "expected the folder of a collection alone, but got TEST as well"),
        (". --images empty", "expected the folder of a collection alone, but got --images"),
        ("train.csv --no-images --images empty", "expected --no-images without a folder of"),
        ("train.csv --no-images --recaptures", "expected --recaptures with images, but got --no"),
        ("train.csv --test-images empty", "expected --test-images with TEST, but got it alone"),
        ("train.csv --collection isic2019", "--collection with the folder of a collection, but"),
        ("train.csv --collection challenge", "--collection with the folder of a collection, but"),
        (". --collection isic2021", "argument --collection: invalid choice: 'isic2021' (choose "),
        ("train.csv --json a.txt", "argument --json: expected a file ending in .json that can be"),
        ("train.csv --json old.json", "expected a file ending in .json that can be written"),
        ("train.csv --json train.csv/a.json", "a file ending in .json that can be written"),
        ("train.csv --html a.htm", "argument --html: expected a file ending in .html that can be"),
        ("train.csv --html train.csv/a.html", "a file ending in .html that can be written"),
        ("gone.csv --fail-on leak", "argument --fail-on: invalid choice: 'leak' (choose from "),
        ("train.csv --fail-on nothing leaks", "findings, or 'nothing' alone, but got both"),
        ("train.csv --fail-on confounding", "confounding with --artifacts or --artifact-table"),
        ("train.csv --artifacts", "expected --artifacts with --images, but got tables alone"),
        ("train.csv --recaptures", "expected --recaptures with --images, but got tables alone"),
        ("train.csv --images test.csv", "--images: expected a folder, a store of `prepare`, or"),
        ("train.csv test.csv --test-images test.csv", "--test-images: expected a folder, a stor"),
        ("train.csv --workers 0", "Expected `workers` to be an integer of 1 or more, but got 0."),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_mistake_is_one_sentence_and_the_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    assert sentence in command.mistake_of(f"audit {words}", capsys)


def write_moved(root: Path, name: str, source: str = "", target: str = "") -> Path:
    """Write a collection and move a file of it, out of it without a target, or add an empty one."""
    releases.write(name, root)
    if source:
        (root / source).rename(root / target if target else root.with_name("moved away"))
    elif target:
        (root / target).touch()
    return root


TEST_2018 = "ISIC2018_Task3_Test_Input"


@pytest.mark.parametrize(
    ("case", "splits"),
    [
        (["ham10000"], r"train \(\d images\)"),
        (["isic2018"], r"train \(3 images\), test \(1 image\)"),
        (["isic2018", TEST_2018, "ISIC2018_Task1-2_Test_Input"], r"train \(3 images\)"),
        (["isic2019"], r"train \(\d images\), test \(\d images?\)"),
        (["isic2020"], r"train \(\d images\), test \(\d images?\)"),
        (["isic2024"], r"train \(\d images\)"),
    ],
)
def test_all_splits_of_a_collection_are_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: list[str], splits: str
) -> None:
    root = write_moved(tmp_path / "root", *case)

    assert run(f"{root} --collection {case[0]} --fail-on nothing") == 0

    assert re.match(f"Audit of {splits}\n", capsys.readouterr().out)


def test_the_validation_split_is_audited_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = releases.write_isic2018(tmp_path)
    releases.write_images(root / "ISIC2018_Task3_Validation_Input", ["ISIC_8"])

    assert run(f"{root} --collection isic2018 --fail-on nothing") == 0

    assert ", validation (1 image), test (1 image)\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["val", "Valid", "dev"])
def test_a_validation_split_of_another_name_is_audited_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for number, folder in enumerate(("train/a", "train/b", f"{name}/a", f"{name}/b")):
        releases.write_images(tmp_path / folder, [str(number)])

    assert run(f"{tmp_path} --collection class_folders --no-images") == 0

    page = capsys.readouterr().out
    assert page.startswith("Audit of train (2 images), validation (2 images)\n")


@pytest.mark.parametrize(
    ("case", "missing"),
    [
        (["isic2019", "ISIC_2019_Test_Metadata.csv"], "ISIC_2019_Test_Metadata.csv"),
        (["isic2020", "ISIC_2020_Test_Metadata.csv"], "ISIC_2020_Test_Metadata.csv"),
        (["isic2018", TEST_2018, "isic_TEST.zip"], TEST_2018),
        (["isic2018", "", "my Validation"], "ISIC2018_Task3_Validation_Input"),
        (["isic2024", "", "test-image.hdf5"], "test-metadata.csv"),
    ],
)
def test_a_split_that_is_there_and_cannot_be_read_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: list[str], missing: str
) -> None:
    root = write_moved(tmp_path / "root", *case)

    sentence = f"Expected `{root / missing}` to exist, but it does not"
    words = f"audit {root} --collection {case[0]} --quiet"
    assert sentence in command.mistake_of(words, capsys)


def test_a_label_space_is_a_name_or_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.csv"
    path.write_text("ID,diagnosis\na,wart\nb,naevus\n")

    assert run(f"{path} --label-space naevus,wart") == 0
    shown = capsys.readouterr().out
    assert re.search(r"naevus +1", shown)
    assert re.search(r"wart +1", shown)
    for wrong, words in (("isic2108", "Did you mean 'isic2018'"), ("a,a", "a, a more than once")):
        assert run(f"{path} --label-space {wrong}") == 2
        assert words in capsys.readouterr().err


def test_a_table_of_artifacts_is_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.DataFrame({"ID": [f"I{n}" for n in range(60)], "CLASS": [1, 2] * 30})
    rows.to_csv(tmp_path / "train.csv", index=False)
    rows.assign(ruler=[0, 1] * 30)[["ID", "ruler"]].to_csv(tmp_path / "flags.csv", index=False)
    table = f"--artifact-table {tmp_path / 'flags.csv'}"

    assert run(f"{tmp_path / 'train.csv'} {table} --fail-on confounding") == 1

    shown = capsys.readouterr()
    assert "ruler with NV: 100.0% of 30 images against 0.0% of 30 images" in shown.out
    assert "artifacts that go with a class, split or source: 1" in shown.err
    assert run(f"{tmp_path / 'train.csv'} --artifact-table {tmp_path / 'absent.csv'}") == 2
    assert "absent.csv" in capsys.readouterr().err


def test_artifacts_are_detected_on_request(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{clean} --artifacts --quiet --json {clean / 'audit.json'}") == 0

    found = json.loads((clean / "audit.json").read_text())
    assert "artifacts" in found["checked"]
    assert {row["artifact"] for row in found["associations"]["rows"]} > {"ruler", "patches"}
    assert run(f"{clean} --artifacts --no-images") == 2
    assert "--artifacts with images" in capsys.readouterr().err
