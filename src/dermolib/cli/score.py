"""Score a prediction against the truth by the rules of the official ISIC scorer.

Prints the scores of each class, their average, and what ranks in the challenge: balanced accuracy
(ISIC 2018 and 2019), AUC (2020), partial AUC (2024) or macro F1, called dice (MILK10k).
"""

import argparse
import json

from dermolib.cli._options import show

SUMMARY = "score a prediction by the rules of the official ISIC scorer"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from dermolib.evaluation.forms import FORMS

    add = parser.add_argument
    add("truth", metavar="TRUTH", help="CSV file of the true classes")
    add("prediction", metavar="PREDICTION", help="CSV file of the predicted ones")
    text = f"form of both files: {', '.join(FORMS)} (default: by the columns of TRUTH)"
    add("--form", metavar="NAME", choices=FORMS, help=text)
    text = "print JSON, as the official scorer does, rather than a table"
    add("--json", action="store_true", help=text)
    parser.set_defaults(quiet=False)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.evaluation.official import METRICS, official_scores

    table = official_scores(given.truth, given.prediction, form=given.form)
    if not given.json:
        known = table.T.dropna(how="all")
        show(given, known.to_string(float_format="{:.4f}".format, na_rep="-"))
        return 0
    aggregate, average = table.loc["aggregate"], table.loc["macro_average", [*METRICS]]
    classes = table.loc[table.index[:-2], [*METRICS]]
    values = {
        **aggregate[["overall", "validation"]],
        "per_category": {name: dict(classes[name]) for name in METRICS},
        "macro_average": dict(average),
        "aggregate": dict(aggregate[["balanced_accuracy"]]),
    }
    show(given, json.dumps(_without_nan(values), indent=2))
    return 0


def _without_nan(value: object) -> object:
    """Write what is undefined as null, since JSON has no nan."""
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    return value if value == value else None
