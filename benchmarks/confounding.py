"""What artifacts go with in real collections: classes, splits, sources, and what they give away.

    python benchmarks/confounding.py flags --data DIR
    python benchmarks/confounding.py detected --data DIR --workers 2
    python benchmarks/confounding.py coverage

``flags`` takes the hand-made flags of ISIC 2018 task 1, whose classes are those of the challenge;
``detected`` what `artifact_table` finds in the images of the challenge that are there;
and how far its fractions are from those of the flags; ``coverage`` draws data sets of which the
truth is known. Each writes
``results/confounding_NAME.md``.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib import grouped_split
from dermolib.auditing import artifact_associations, artifact_only_score
from dermolib.datasets import read_table
from dermolib.io import whole_file
from dermolib.preprocessing import ARTIFACTS, artifact_table
from dermolib.preprocessing.artifacts import network_digest
from hair_parts.images import default_data

_RESULTS = Path(__file__).parent / "results"
_SPLITS = Path(__file__).parents[1] / "scripts" / "picture_splits.csv"  # of the network
_DRAWS = 2000
_THRESHOLD = 0.5
_NEVUS, _MELANOMA = 1, 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables of one part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("part", choices=["flags", "detected", "coverage"])
    add("--data", type=Path, default=default_data(), help="folder of the real data")
    add("--workers", type=int, default=1)
    add("--draws", type=int, default=_DRAWS, help="data sets that are drawn")
    add("--results", type=Path, default=_RESULTS, help="folder of the tables")
    given = parser.parse_args(arguments)
    makers = {"flags": _flags, "detected": _detected, "coverage": _coverage}
    text = "\n".join(makers[given.part](given)) + "\n"
    with whole_file(given.results / f"confounding_{given.part}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def _flags(given: argparse.Namespace) -> Iterator[str]:
    table = _challenge(given.data)
    flags = pd.read_csv(given.data / "isic2018_task1" / "artefacts.csv")
    table = table[table["id"].isin(flags["ID"])].reset_index(drop=True)
    yield from _associated(flags, table)
    yield ""
    yield from _evenness(flags.set_index("ID"), table)


def _challenge(data: Path) -> pd.DataFrame:
    """Read the training rows with their lesions and, as far as these name it, their sources."""
    root = data / "isic_challenge"
    table = read_table(root / "metadataTrain.csv")
    lesions = pd.read_csv(root / "lesion_ids.csv", index_col="ID")["LESION_ID"]
    lesion = table["id"].map(lesions).fillna("")
    source = lesion.str.extract(r"^([A-Za-z]+)")[0].fillna("no lesion id")
    return table.assign(lesion=lesion, source=source)


def _associated(artifacts: pd.DataFrame, *splits: pd.DataFrame) -> Iterator[str]:
    """Tabulate associations, and the score of a classifier that sees artifacts alone."""
    named = dict(zip(("train", "test"), splits, strict=False))
    table = artifact_associations(artifacts, named)
    for by, part in table.groupby("by", sort=False):
        values = [*part["value"].unique()]
        sizes = part.drop_duplicates("value").set_index("value")["images"]
        yield f"| {by} | " + " | ".join(f"{one} ({sizes[one]:,})" for one in values) + " |"
        yield "|---|" + "---:|" * len(values)
        for artifact, rows in part.groupby("artifact", sort=False):
            cells = rows.set_index("value").to_dict("index")
            yield f"| {artifact} | " + " | ".join(_cell(cells[one]) for one in values) + " |"
        yield ""
    yield "| artifacts alone | value | low | high | chance | images | groups |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in artifact_only_score(artifacts, named).to_dict("records"):
        name = f"sensitivity of {row['class']}" if row["class"] else "balanced accuracy"
        numbers = " | ".join(f"{row[key]:.3f}" for key in ("value", "low", "high", "chance"))
        yield f"| {name} | {numbers} | {row['images']:,} | {row['groups']:,} |"


def _cell(row: dict[Any, Any]) -> str:
    """Write fraction, ratio and interval, in bold where they count."""
    interval = f"{row['ratio_low']:.2f}..{row['ratio_high']:.2f}"
    text = f"{row['fraction']:.1%}, {row['ratio']:.2f} ({interval})"
    return f"**{text}**" if row["severity"] in ("moderate", "large") else text


def _evenness(artifacts: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    """Tabulate how far five folds are from the whole, with and without `stratify`."""
    columns = artifacts.loc[table["id"], [*ARTIFACTS]].astype(float).reset_index(drop=True)
    yield "| largest deviation of a fold, points | class | artifacts |"
    yield "|---|---:|---:|"
    for name, stratify in (("by class", None), ("by class and artifacts", columns)):
        found = [grouped_split(table, folds=5, seed=n, stratify=stratify) for n in range(10)]
        off = [
            max((columns.iloc[rows].mean() - columns.mean()).abs().max() for rows in split)
            for split in found
        ]
        by_class = np.mean([split.largest_deviation for split in found])
        yield f"| {name} | {100 * by_class:.2f} | {100 * np.mean(off):.2f} |"


def _detected(given: argparse.Namespace) -> Iterator[str]:
    """Tabulate what goes with what `artifact_table` finds, and how right that is for flags."""
    root = given.data / "isic_challenge"
    table = _challenge(given.data).drop(columns="source")
    train, test = ([*sorted((root / one).glob("*.jpg"))] for one in ("Train", "Test"))
    found = artifact_table([*train, *test], workers=given.workers)
    lesions = pd.read_csv(root / "lesion_ids.csv", index_col="ID")["LESION_ID"].fillna("")
    ids = [path.stem for path in test]
    others = pd.DataFrame({"id": ids, "lesion": lesions[ids].to_numpy(), "label": np.nan})
    table = table[table["id"].isin(found.index)].reset_index(drop=True)
    yield f"Found by the network {network_digest()[:12]}."
    yield ""
    yield from _associated(found, table, others)
    yield ""
    yield from _against_flags(given, _challenge(given.data))


def _against_flags(given: argparse.Namespace, table: pd.DataFrame) -> Iterator[str]:
    """Compare fractions of each class by soft counts, by a threshold, and by hand-made flags."""
    splits = pd.read_csv(_SPLITS, index_col="ID")["split"]
    unseen = splits.index[splits != "train"]
    root = given.data / "isic2018_task1"
    flags = pd.read_csv(root / "artefacts.csv", index_col="ID").loc[unseen, [*ARTIFACTS]]
    paths = [root / "images" / f"{one}.jpg" for one in unseen]
    found = artifact_table(paths, workers=given.workers)
    label = table.set_index("id")["label"].loc[unseen].to_numpy()
    hand, soft, hard = (one.groupby(label).mean() for one in (flags, found, found > _THRESHOLD))
    yield f"| {len(unseen)} images that the network was not fitted on | soft | above 0.5 |"
    yield "|---|---:|---:|"
    truth = hand.loc[_NEVUS] - hand.loc[_MELANOMA]
    for name in ARTIFACTS:
        errors = [100 * (one[name] - hand[name]).abs().mean() for one in (soft, hard)]
        yield f"| {name}, points off by class | {errors[0]:.1f} | {errors[1]:.1f} |"
    gaps = [
        100 * (one.loc[_NEVUS] - one.loc[_MELANOMA] - truth).abs().mean() for one in (soft, hard)
    ]
    yield f"| difference of nevi and melanomas, points off | {gaps[0]:.1f} | {gaps[1]:.1f} |"


def _coverage(given: argparse.Namespace) -> Iterator[str]:
    """Count how often tests are wrong and intervals hold the truth where it is known."""
    generator = np.random.default_rng(0)
    yield "| artifact in nevi / melanomas | p below 0.05 | difference held | ratio held |"
    yield "|---|---:|---:|---:|"
    for nevi, melanomas in ((0.02, 0.02), (0.02, 0.04), (0.1, 0.1), (0.3, 0.3), (0.3, 0.6)):
        held = np.zeros(3)
        for _ in range(given.draws):
            row = _drawn(generator, nevi, melanomas)
            held += [
                row["p_value"] < 0.05,
                row["difference_low"] <= nevi - melanomas <= row["difference_high"],
                row["ratio_low"] <= nevi / melanomas <= row["ratio_high"],
            ]
        cells = " | ".join(f"{one:.1%}" for one in held / given.draws)
        yield f"| {nevi:.0%} / {melanomas:.0%} | {cells} |"


def _drawn(generator: np.random.Generator, nevi: float, melanomas: float) -> dict[Any, Any]:
    """Compare 60 nevi of 1 to 4 images with 200 melanomas; each lesion has a rate of its own."""
    lesions = np.repeat(np.arange(260), generator.integers(1, 5, 260))
    middle = np.where(np.arange(260) < 60, nevi, melanomas)
    rate = generator.beta(2 * middle, 2 * (1 - middle))
    table = pd.DataFrame({"id": np.arange(len(lesions)), "lesion": [f"L{n}" for n in lesions]})
    table["label"] = np.where(lesions < 60, _NEVUS, _MELANOMA)
    shown = generator.random(len(lesions)) < rate[lesions]
    artifacts = pd.DataFrame({"id": table["id"], "ink": shown})
    return artifact_associations(artifacts, table, by=["class"]).iloc[0].to_dict()


if __name__ == "__main__":
    main()
