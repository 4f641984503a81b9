import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dermolib.evaluation import FORMS, official_scores
from dermolib.labels import LABEL_SPACES
from dermolib.reporting import write_submission


def test_the_file_holds_ids_in_their_order_and_classes_one_above_the_labels(
    tmp_path: Path,
) -> None:
    path = write_submission(tmp_path / "new" / "answer.csv", ["b", "a", "c"], [0, 7, 3])

    assert path == tmp_path / "new" / "answer.csv"
    assert path.read_bytes() == b"ID,CLASS\nb,1\na,8\nc,4\n"


@pytest.mark.filterwarnings("ignore:Expected `predictions` to be classes from 0")  # drawn so
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.dictionaries(
        st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1).filter(str.strip),
        st.integers(0, 7),
        min_size=1,
    )
)
def test_any_answer_is_the_text_that_the_csv_module_writes(
    tmp_path: Path, answers: dict[str, int]
) -> None:
    path = write_submission(tmp_path / "answer.csv", list(answers), list(answers.values()))

    reference = io.StringIO()
    rows = [(name, label + 1) for name, label in answers.items()]
    csv.writer(reference, lineterminator="\n").writerows([("ID", "CLASS"), *rows])
    assert path.read_bytes() == reference.getvalue().encode()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_are_taken(tmp_path: Path, dtype: type[Any]) -> None:
    path = write_submission(tmp_path / "answer.csv", ["a", "b"], np.array([7, 0], dtype))

    assert path.read_text() == "ID,CLASS\na,8\nb,1\n"


def test_class_numbers_given_as_labels_are_noticed_without_the_last_class_too(
    tmp_path: Path,
) -> None:
    with pytest.warns(
        UserWarning, match=r"`predictions` to be classes from 0, but got 1\.\.7 and no 0"
    ):
        write_submission(tmp_path / "answer.csv", list("abcdefg"), range(1, 8))

    assert (tmp_path / "answer.csv").read_text().endswith("g,8\n")


def test_the_expected_ids_may_come_in_any_order(tmp_path: Path) -> None:
    path = write_submission(tmp_path / "a.csv", ["b", "a"], [0, 1], expected_ids=iter("ab"))

    assert path.read_text() == "ID,CLASS\nb,1\na,2\n"


NAN = float("nan")


@pytest.mark.parametrize(
    ("ids", "labels", "kind", "found"),
    [
        ([], [], ValueError, "at least one id, none empty, but got none"),
        (["a", " "], [0, 1], ValueError, "at least one id, none empty, but got an empty one"),
        (["a", 7], [0, 1], TypeError, "`ids` to be text, but got 7"),
        (["a", "b", "a", "b", "c"], [0] * 5, ValueError, "unique, but got repeated a, b"),
        (["a", "b"], [0], ValueError, "2 labels, one per id, but got shape (1,)"),
        (["a", "b"], [1, 8], ValueError, "in 0..7, but got 1 other (row 3 (b): 8)"),
        (["a", "b"], [-1, 0], ValueError, "in 0..7, but got 1 other (row 2 (a): -1)"),
        (["a", "b"], [1, NAN], TypeError, "in 0..7, but got dtype float64"),
        (["a", "b"], [True, False], TypeError, "in 0..7, but got dtype bool"),
    ],
)
def test_a_wrong_answer_is_refused_and_the_old_file_kept(
    tmp_path: Path, ids: list[Any], labels: Any, kind: type[Exception], found: str
) -> None:
    path = tmp_path / "answer.csv"
    path.write_text("old")

    with pytest.raises(kind, match=re.escape(found)):
        write_submission(path, ids, labels)
    assert path.read_text() == "old"


def test_ids_other_than_the_expected_ones_are_counted_and_named(tmp_path: Path) -> None:
    found = "got 7 missing (b, c, d, e, f and 2 more) and 1 unexpected (z)."
    with pytest.raises(ValueError, match=re.escape(found)):
        write_submission(tmp_path / "a.csv", ["a", "z"], [0, 1], expected_ids="abcdefgh")
    with pytest.raises(ValueError, match=r"but got 1 missing \(b\)\.$"):
        write_submission(tmp_path / "a.csv", ["a"], [0], expected_ids=["a", "b"])

    assert not list(tmp_path.iterdir())


SPACES = {name: LABEL_SPACES[name].codes for name in ("isic2018", "isic2019", "milk10k")}
HEADERS = {
    "challenge": "ID,CLASS",
    "isic2018": "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC",
    "isic2019": "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
    "isic2020": "image_name,target",
    "isic2024": "isic_id,target",
    "milk10k": "lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC",
}


def _drawn(columns: int, dtype: type[Any] = np.float64) -> Any:
    return np.random.default_rng(0).dirichlet(np.ones(columns), 40).astype(dtype)


def test_each_form_has_the_header_that_its_challenge_published() -> None:
    assert {name: ",".join((x.id_column, *x.columns)) for name, x in FORMS.items()} == HEADERS


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", HEADERS)
def test_a_file_of_each_form_reads_back_to_the_bit_and_is_scored(
    tmp_path: Path, form: str, dtype: type[Any]
) -> None:
    codes, ids = FORMS[form].codes, [f"i{place}" for place in range(40)]
    values = _drawn(len(codes), dtype)

    path = write_submission(tmp_path / "a.csv", ids, torch.as_tensor(values), form=form)

    header, *rows = path.read_text().splitlines()
    fields = [row.split(",") for row in rows]
    assert header == HEADERS[form]
    assert [row[0] for row in fields] == ids
    if form == "challenge":
        assert [int(row[1]) for row in fields] == [int(row.argmax()) + 1 for row in values]
    else:
        wanted = values if len(codes) > 2 else values[:, 1:]
        assert [[*map(float, row[1:])] for row in fields] == wanted.astype(float).tolist()
    labels = values.argmax(axis=1)
    hot = (labels[:, None] == np.arange(len(codes))).astype(int)
    truth = pd.DataFrame(hot, columns=codes) if len(codes) > 2 else pd.DataFrame({"target": labels})
    truth = pd.DataFrame({"CLASS": labels + 1}) if form == "challenge" else truth
    truth.insert(0, FORMS[form].id_column, ids)
    scores = official_scores(truth, path)
    best = {"isic2024": 0.2, "milk10k": scores.loc["macro_average", "dice"]}
    assert scores.loc["aggregate", "overall"] == pytest.approx(best.get(form, 1))


@pytest.mark.parametrize("form", SPACES)
def test_columns_in_another_order_are_put_in_that_of_the_form(tmp_path: Path, form: str) -> None:
    codes, values = SPACES[form], _drawn(len(SPACES[form]))
    ids = [f"i{place}" for place in range(40)]
    turned = [code.lower() for code in codes[::-1]]

    paths = [
        write_submission(tmp_path / "a.csv", ids, values, form=form),
        write_submission(tmp_path / "b.csv", ids, values[:, ::-1], form=form, label_space=turned),
        write_submission(
            tmp_path / "c.csv", ids, pd.DataFrame(values[:, ::-1], columns=turned), form=form
        ),
    ]

    assert len({path.read_bytes() for path in paths}) == 1


def test_labels_and_the_two_columns_of_a_binary_form_follow_the_label_space(
    tmp_path: Path,
) -> None:
    codes = [*LABEL_SPACES["challenge"].codes[2:], "MEL", "NV"]
    path = write_submission(tmp_path / "a.csv", ["a", "b"], [0, 7], label_space=codes)
    assert path.read_text() == "ID,CLASS\na,3\nb,2\n"

    for values in ([0.25, 1.0], [[0.25], [1.0]], [[0.75, 0.25], [0.0, 1.0]]):
        path = write_submission(path, ["a", "b"], np.array(values), form="isic2020")
        assert path.read_text() == "image_name,target\na,0.25\nb,1.0\n"
    turned = ["malignant", "benign"]
    write_submission(path, ["a"], [[0.25, 0.75]], form="isic2024", label_space=turned)
    assert path.read_text() == "isic_id,target\na,0.25\n"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_tensor_of_any_precision_that_has_gradients_is_written_exactly(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    values = torch.tensor([0.1, 0.7], dtype=dtype, requires_grad=True)

    path = write_submission(tmp_path / "a.csv", ["a", "b"], values, form="isic2024")

    written = [float(row.split(",")[1]) for row in path.read_text().splitlines()[1:]]
    assert written == [value.item() for value in values]


def test_the_first_of_equal_probabilities_is_the_class_of_the_challenge(tmp_path: Path) -> None:
    path = write_submission(tmp_path / "a.csv", ["a"], [[0.1, 0.3, 0.1, 0.3, 0.1, 0.1, 0.0, 0.0]])

    assert path.read_text() == "ID,CLASS\na,2\n"


@pytest.mark.parametrize(
    ("form", "values", "options", "kind", "found"),
    [
        ("isic2021", [[0.5] * 7], {}, ValueError, "`form` to be one of 'challenge', 'isic2018', "),
        (
            "isic2018",
            [[0.1] * 8],
            {},
            ValueError,
            "(1, 7) for the form isic2018, but got shape (1, 8)",
        ),
        (
            "isic2018",
            [3],
            {},
            ValueError,
            "isic2018, but got shape (1,). Its classes are MEL, NV, ",
        ),
        ("isic2018", [[1, 0, 0, 0, 0, 0, 0]], {}, TypeError, "isic2018, but got dtype int64"),
        ("isic2020", [[0.1] * 3], {}, ValueError, "(1, 2) or (1,) or (1, 1) for the form isic2020"),
        ("isic2018", [[0.1], [0.1, 0.2]], {}, ValueError, "array of predictions for each id"),
        ("isic2020", [NAN], {}, ValueError, "in 0..1, but got 1 other (row 2 (a): nan)"),
        ("isic2020", [1.5], {}, ValueError, "row 2 (a): 1.5). Apply softmax or sigmoid to logits."),
        ("isic2024", [[0.5, 0.6]], {}, ValueError, "row 2 (a): sum 1.1). Pass the column of malig"),
        ("milk10k", [[-3.0] * 11], {}, ValueError, "in 0..1, but got 1 other (row 2 (a): -3.0)"),
        ("challenge", [[2.0] * 8], {}, ValueError, "in 0..1, but got 1 other (row 2 (a): 2.0)"),
        (
            "isic2019",
            [[0.1] * 8],
            {"label_space": "challenge"},
            ValueError,
            "SCC, UNK, in any order, but got 1 missing (UNK). Give predictions of a column for e",
        ),
        ("challenge", [8], {"label_space": "isic2019"}, ValueError, "got 1 unexpected (UNK)"),
        ("isic2018", [[0.1] * 7], {"label_space": 7}, TypeError, "`label_space` to be the name of"),
    ],
)
def test_predictions_that_a_form_does_not_fit_are_one_sentence(
    tmp_path: Path, form: str, values: Any, options: Any, kind: type[Exception], found: str
) -> None:
    with pytest.raises(kind, match=re.escape(found)):
        write_submission(tmp_path / "a.csv", ["a"], values, form=form, **options)

    assert not list(tmp_path.iterdir())
