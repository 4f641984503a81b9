"""Score a prediction against the truth, with intervals that resample lesions.

Prints all scores with their intervals, then the score that ranks in the challenge, by the rules of
the official ISIC scorer: balanced accuracy (ISIC 2018 and 2019), AUC (2020), partial AUC (2024) or
macro F1, called dice (MILK10k).
"""

import argparse
import json
from typing import TYPE_CHECKING, Any

from dermolib.cli._judged import Judged, add_judged, json_text, judge, metric_of, wrap
from dermolib.cli._options import show

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "score a prediction, with intervals by lesion, and by the rules of the ISIC scorer"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("truth", metavar="TRUTH", help="CSV file of the true classes")
    add("prediction", metavar="PREDICTION", help="CSV file of the predicted ones")
    add_judged(parser, "TRUTH")
    text = "print the table of the official scorer alone, without intervals"
    add("--official", action="store_true", help=text)
    text = "score each subgroup of a column, such as age or sex; may be given several times"
    add("--by", metavar="COLUMN", action="append", default=[], help=text)
    text = "CSV file with ids and the columns of --by (default: that of --groups)"
    add("--subgroups", metavar="FILE", help=text)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.evaluation.files import read_prediction, read_truth
    from dermolib.evaluation.official import official_table

    _check(given)
    truth = read_truth(given.truth, given.form)
    values = read_prediction(given.prediction, truth)
    official = official_table(truth, values)
    if given.official:
        known = official.T.dropna(how="all").to_string(float_format="{:.4f}".format, na_rep="-")
        show(given, json_text(_official_parts(official)) if given.json else known)
        return 0
    judged = judge(given, truth, [values])
    scores, subgroups = _scores(judged), _subgroups(given, judged)
    if given.json:
        parts = {**_official_parts(official), "scores": json.loads(scores.to_json())}
        parts |= {"subgroups": subgroups.to_dict("records")} if given.by else {}
        show(given, json_text(parts))
        return 0
    form = f"of {truth.form.name}" if truth.form else "by the columns of the truth"
    overall = float(official["overall"]["aggregate"])
    last = f"Official score {form}, {truth.metric}: {overall:.4f}"
    parts_shown = [str(scores), _subgroup_text(subgroups) if given.by else ""]
    parts_shown += [wrap(judged.notes), last]
    show(given, "\n\n".join(filter(None, parts_shown)))
    return 0


def _check(given: argparse.Namespace) -> None:
    """Refuse options that need another."""
    if given.by and not (given.subgroups or given.groups):
        given.parser.error("--by needs the file of its column: --subgroups or --groups")
    if given.subgroups and not given.by:
        given.parser.error("--subgroups needs --by, the name of a column")


def _scores(judged: Judged) -> Any:
    from dermolib.evaluation.scores import score

    return score(judged.models[0], **judged.options)


def _subgroups(given: argparse.Namespace, judged: Judged) -> "pd.DataFrame":
    """Score the subgroups of each column by what ranks."""
    import pandas as pd

    from dermolib.evaluation.files import read_subgroups
    from dermolib.evaluation.subgroups import score_subgroups

    if not given.by:
        return pd.DataFrame()
    path = given.subgroups or given.groups
    found = [read_subgroups(path, judged.truth, name) for name in given.by]
    by, options = {str(one.name): one for one in found}, dict(judged.options)
    target, metric = options.pop("target"), metric_of(judged.truth)
    return score_subgroups(judged.models[0], target, by, metric=metric, **options)


def _official_parts(table: "pd.DataFrame") -> dict[str, Any]:
    """Arrange a table as the official scorer does."""
    from dermolib.evaluation.official import METRICS

    aggregate, average = table.loc["aggregate"], table.loc["macro_average", [*METRICS]]
    classes = table.loc[table.index[:-2], [*METRICS]]
    return {
        **aggregate[["overall", "validation"]],
        "per_category": {name: dict(classes[name]) for name in METRICS},
        "macro_average": dict(average),
        "aggregate": dict(aggregate[["balanced_accuracy"]]),
    }


def _subgroup_text(table: "pd.DataFrame") -> str:
    """Lay out the scores of subgroups within 100 columns, notes on lines of their own."""
    lines: list[str] = []
    width = min(40, max(map(len, table["subgroup"])))
    parts: Any = table.groupby(["column", "metric", "class"], sort=False)
    for (column, metric, code), rows in parts:
        lines += ["", f"{metric}{f' of {code}' if code else ''} by {column}"]
        for row in rows.itertuples():
            name = f"  {row.subgroup[:width]:{width}}"
            if row.value != row.value:
                lines.append(wrap([f"{name}  undefined: {row.note}"]))
                continue
            value = f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
            counts = f"{row.n:>7,} images {row.groups:>7,} groups"
            end = f"  p = {row.p_value:.3g}" if row.gap else "  few" * row.few
            lines.append(f"{name}  {value:24}{counts}{end}")
            lines += [wrap([f"    {row.note}"])] if row.note else []
    return "\n".join(lines[1:])
