"""The command that scores a prediction."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from command import mistake_of, run
from dermolib.evaluation import FORMS, METRICS, official_scores, score

_HEADER = ",".join(("image", *FORMS["isic2018"].columns))


@pytest.fixture
def files(tmp_path: Path) -> str:
    """Write the truth and a prediction of three images; returns the two paths as words."""
    truth = [_HEADER, "a,1,0,0,0,0,0,0", "b,0,1,0,0,0,0,0", "c,0,1,0,0,0,0,0"]
    prediction = [_HEADER, "c,.6,.4,0,0,0,0,0", "b,.1,.9,0,0,0,0,0", "a,.8,.2,0,0,0,0,0"]
    prediction[2:] = [row.replace(",0,0,0,0,0", ",0.,0.,0.,0.,0.") for row in prediction[2:]]
    for name, rows in {"truth.csv": truth, "prediction.csv": prediction}.items():
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    return f"{tmp_path / 'truth.csv'} {tmp_path / 'prediction.csv'}"


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Write a truth, an answer in another order, and metadata of most images; returns these."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    target = generator.choice(2, 120, p=[0.7, 0.3])
    ids = [f"ISIC_{number}" for number in range(120)]
    values = np.clip(0.3 + 0.4 * target + 0.2 * generator.normal(size=120), 0, 1)
    pd.DataFrame({"image": ids, "NV": 1 - target, "MEL": target}).to_csv("truth.csv", index=False)
    answer = pd.DataFrame({"MEL": values, "image": ids, "NV": 1 - values})
    answer.sample(frac=1, random_state=0).to_csv("answer.csv", index=False)
    lesions = [f"L{number // 2}" for number in range(120)]
    table = pd.DataFrame({"isic_id": ids, "lesion_id": lesions, "age": [*range(10, 70)] * 2})
    table["sex"] = ["male", "female", "female", ""] * 30
    table[:110].to_csv("lesions.csv", index=False)
    return answer.assign(target=target, lesion=[*lesions[:110], *([""] * 10)])


def test_scores_have_intervals_by_lesion_and_the_official_one_is_last(
    drawn: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score truth.csv answer.csv --groups lesions.csv --resamples 100 --seed 3") == 0

    shown = capsys.readouterr().out
    options: dict[str, Any] = {"groups": drawn["lesion"], "resamples": 100, "seed": 3}
    scores = score(drawn[["NV", "MEL"]], drawn["target"].to_numpy(), **options)
    recall = balanced_accuracy_score(drawn["target"], drawn["MEL"] > 0.5)
    assert shown.startswith(f"{scores}\n")
    assert scores.groups == 65
    assert "by lesion_id of lesions.csv; 10 images without one, each a group of its own" in shown
    assert "nan" not in shown
    last = f"Official score by the columns of the truth, balanced_accuracy: {recall:.4f}"
    assert shown.splitlines()[-1] == last


@pytest.mark.usefixtures("drawn")
def test_what_is_printed_fits_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("score truth.csv answer.csv --groups lesions.csv --by age --by SEX") == 0

    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "balanced_accuracy by age" in shown
    for words in ("30-44  ", "female  ", "missing  ", "  p = ", "  few\n"):
        assert words in shown


def test_json_has_all_scores_and_subgroups(
    drawn: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("score truth.csv answer.csv --by sex --subgroups lesions.csv --json") == 0

    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    named = {row["metric"]: row for row in found["scores"]["scores"] if row["class"] == ""}
    recall = balanced_accuracy_score(drawn["target"], drawn["MEL"] > 0.5)
    assert found["overall"] == pytest.approx(recall)
    assert named["balanced_accuracy"]["value"] == pytest.approx(recall)
    assert found["scores"]["groups"] == 120
    subgroups = [row["subgroup"] for row in found["subgroups"]]
    assert subgroups[:3] == ["female", "male", "missing"]
    assert found["subgroups"][0]["p_value"] is None
    assert found["subgroups"][0]["n"] == 55


def test_columns_that_do_not_sum_to_one_are_taken_as_independent(
    drawn: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ["image", "NV", "MEL"]
    drawn[columns].assign(NV=drawn["NV"] * 0.9).to_csv("other.csv", index=False)

    assert run("score truth.csv other.csv --resamples 20") == 0

    shown = capsys.readouterr().out
    assert "do not sum to 1 in each row, and are taken as independent." in shown
    assert "log_loss " not in shown
    assert "macro_roc_auc " in shown


@pytest.mark.usefixtures("drawn")
def test_images_without_weight_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    truth = pd.read_csv("truth.csv").assign(score_weight=[0, 2, *[1] * 118])
    truth.to_csv("truth.csv", index=False)

    assert run("score truth.csv answer.csv --resamples 20") == 0

    shown = capsys.readouterr().out
    assert shown.startswith("119 images of 119 groups")
    assert "1 image with a score_weight of 0 left out." in shown
    assert "Each image counts once, whatever its score_weight." in shown


def test_numbers_of_classes_have_no_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"I{number},{number % 8 + 1}" for number in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["ID,CLASS", *rows]))

    assert run(f"score {tmp_path / 't.csv'} {tmp_path / 't.csv'} --resamples 20") == 0

    shown = capsys.readouterr().out
    table = shown.partition("Undefined")[0]
    assert "balanced_accuracy  1.000" in table
    assert "roc_auc" not in table
    assert "nan" not in shown.lower()
    assert shown.splitlines()[-1] == "Official score of challenge, balanced_accuracy: 1.0000"


def test_a_binary_form_is_benign_and_malignant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns: dict[str, list[float]] = {"t": [0, 1, 0, 1], "p": [0.1, 0.9, 0.6, 0.7]}
    for name, values in columns.items():
        rows = [f"I{number},{value}" for number, value in enumerate(values)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image_name,target", *rows]))

    assert run(f"score {tmp_path / 't.csv'} {tmp_path / 'p.csv'} --resamples 20") == 0

    shown = capsys.readouterr().out
    assert "malignant" in shown
    assert shown.splitlines()[-1] == "Official score of isic2020, auc: 1.0000"


def test_the_official_table_shows_each_class_and_what_ranks(
    files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"score {files} --official") == 0

    header, *rows = capsys.readouterr().out.splitlines()
    shown = {row.split()[0]: row.split()[1:] for row in rows}
    assert header.split() == [*FORMS["isic2018"].codes, "macro_average", "aggregate"]
    assert shown["sensitivity"][:2] == ["1.0000", "0.5000"]
    assert shown["auc"][2] == "-"
    assert shown["overall"][-1] == "0.7500"


@pytest.mark.parametrize("official", ["", " --official"])
def test_json_has_the_places_of_the_official_scorer_and_null_for_what_is_undefined(
    files: str, official: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"score {files} --json --form isic2018{official}") == 0

    values = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    table = official_scores(*files.split())
    assert ("scores" in values) == (not official)
    assert values["overall"] == values["validation"] == values["aggregate"]["balanced_accuracy"]
    assert values["overall"] == 0.75
    assert values["per_category"]["auc"]["BCC"] is None
    read = pd.DataFrame(values["per_category"]).T.astype(float).T
    pd.testing.assert_frame_equal(read[[*METRICS]], table.iloc[:-2][[*METRICS]])
    assert values["macro_average"] == table.loc["macro_average", [*METRICS]].to_dict()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("gone.csv gone.csv", "Expected `gone.csv` to exist, but it does not."),
        ("FILES --form isic2019", "but got one without AK, SCC, UNK. It is to be a truth of isic2"),
        ("FILES --form isic2021", "argument --form: invalid choice: 'isic2021' (choose from "),
        ("gone.csv", "the following arguments are required: PREDICTION"),
        ("FILES --by age", "--by needs the file of its column: --subgroups or --groups"),
        ("FILES --subgroups x.csv", "--subgroups needs --by, the name of a column"),
        ("FILES --groups gone.csv", "Expected `gone.csv` to exist, but it does not."),
        ("FILES --resamples 0", "Expected `resamples` to be an integer of 1 or more, but got 0."),
        ("FILES --seed -1", "Expected `seed` to be an integer of 0 or more, but got -1."),
    ],
)
def test_a_mistake_is_one_sentence(
    files: str, words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in mistake_of(f"score {words.replace('FILES', files)}", capsys)
