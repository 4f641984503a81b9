"""Compare predictions of the same images by two models or more, in pairs and by lesion.

The files have the form of a challenge, with rows in any order. Prints the difference of a score,
its interval from resampled lesions, and the p-value of a permutation test by lesion; of more than
two files each pair, with p-values corrected after Holm.
"""

import argparse
from typing import Any

from dermolib.cli._judged import add_judged, json_text, judge, metric_of, wrap
from dermolib.cli._options import show

SUMMARY = "compare predictions of two models or more, in pairs and by lesion"

_NAMES = "abcdefghijklmnopqrstuvwxyz"
_ALONE = "Each image is a group of its own; pass --groups if some show the same lesion or patient."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add(
        "predictions", metavar="FILE", nargs="+", help="CSV files of predicted classes, two or more"
    )
    text = "CSV file of the true classes, of these images or of more"
    add("--truth", metavar="TRUTH", required=True, help=text)
    add_judged(parser, "TRUTH")
    text = "score to compare, such as accuracy or roc_auc:MEL (default: what ranks in the form)"
    add("--metric", metavar="NAME", help=text)
    text = "difference that would not matter: says whether models are equivalent within it"
    add("--margin", metavar="X", type=float, help=text)


def run(given: argparse.Namespace) -> int:
    """Run the command."""
    from dermolib.evaluation.files import read_answers, read_truth

    files = given.predictions
    if not 2 <= len(files) <= len(_NAMES):
        given.parser.error(f"expected 2 to {len(_NAMES)} files to compare, but got {len(files)}")
    whole = read_truth(given.truth, given.form)
    truth, values = read_answers(files, whole)
    judged = judge(given, truth, values)
    options = {"metric": given.metric or metric_of(truth), "margin": given.margin, **judged.options}
    models = dict(zip(_NAMES, judged.models, strict=False))
    named = dict(zip(_NAMES, files, strict=False))
    text, rows = (_two if len(files) == 2 else _several)(models, options)
    if given.json:
        names = ("truth", "groups", "resamples", "seed")
        facts = {name: getattr(given, name) for name in names} | {"metric": options["metric"]}
        show(given, json_text({**facts, "files": named, "comparisons": rows}))
        return 0
    notes = judged.notes if given.groups else [*judged.notes, _ALONE]
    if len(truth.ids) < len(whole.ids):
        notes = [f"{len(truth.ids):,} of the {len(whole.ids):,} images of {given.truth}.", *notes]
    legend = "\n".join(f"{letter}  {file}" for letter, file in named.items())
    show(given, "\n\n".join([legend, text, wrap(notes)]))
    return 0


def _two(models: dict[str, Any], options: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Compare two models: a sentence and a table, and the numbers."""
    from dermolib.evaluation.comparison import compare

    found = compare(*models.values(), **options)
    values, ends = {"a": found.a, "b": found.b}, f"({found.low:+.3f} to {found.high:+.3f})"
    lines = [f"{name:5}  {value:6.3f}" for name, value in values.items()]
    lines += [f"a - b  {found.difference:+.3f}  {ends}"]
    row = found.to_dict()
    row |= {"value_a": row.pop("a"), "value_b": row.pop("b")}
    return f"{wrap([str(found)])}\n\n" + "\n".join(lines), [{"a": "a", "b": "b", **row}]


def _several(models: dict[str, Any], options: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Compare several models: a table of all pairs, and the numbers."""
    from dermolib.evaluation.comparison import compare_all

    target = options.pop("target")
    rows: list[Any] = compare_all(models, target, **options).to_dict("records")
    lines = [
        f"{options['metric']}, p-values corrected after Holm for {len(rows)} comparisons",
        f"{'':7}{'first':>7}{'second':>8}  {'difference (interval)':<26}{'p':>8}{'p (Holm)':>10}",
    ]
    for row in rows:
        interval = f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"
        scores = f"{row['value_a']:7.3f}{row['value_b']:8.3f}"
        tests = f"{row['p_value']:8.3g}{row['p_holm']:10.3g}"
        same = {True: "  equivalent", False: "  not shown equivalent"}.get(
            row.get("equivalent"), ""
        )
        lines.append(f"{row['a']} - {row['b']}  {scores}  {interval:<26}{tests}{same}")
    sizes = f"{rows[0]['n']:,} images of {rows[0]['groups']:,} groups"
    return "\n".join([*lines, "", sizes]), rows
