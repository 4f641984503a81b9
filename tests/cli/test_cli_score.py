"""The command that scores a prediction."""

import json
from pathlib import Path

import pandas as pd
import pytest

from command import mistake_of, run
from dermolib.evaluation import FORMS, METRICS, official_scores

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


def test_the_table_shows_each_class_and_what_ranks(
    files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"score {files}") == 0

    header, *rows = capsys.readouterr().out.splitlines()
    shown = {row.split()[0]: row.split()[1:] for row in rows}
    assert header.split() == [*FORMS["isic2018"].codes, "macro_average", "aggregate"]
    assert shown["sensitivity"][:2] == ["1.0000", "0.5000"]
    assert shown["auc"][2] == "-"
    assert shown["overall"][-1] == "0.7500"


def test_json_has_the_places_of_the_official_scorer_and_null_for_what_is_undefined(
    files: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"score {files} --json --form isic2018") == 0

    values = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    table = official_scores(*files.split())
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
    ],
)
def test_a_mistake_is_one_sentence(
    files: str, words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in mistake_of(f"score {words.replace('FILES', files)}", capsys)
