"""The folder of an ablation: its configuration, and one file for each run that is done."""

import csv
import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from ablation_parts.grid import Cell
from ablation_parts.images import Challenge
from ablation_parts.running import Run
from dermolib._jobs import describe_differences
from dermolib._validation import DatasetNotFoundError, expected, listed
from dermolib.io import whole_file

__all__ = ["Records"]

_CONFIGURATION, _SPLIT, _RUNS = "configuration.json", "split.csv", "runs"
_OURS = "dermolib-ablation-1"


class Records:
    """What an ablation has written: enough for its table, without data and without training."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder."""
        self.folder = folder

    def claim(self, configuration: dict[str, Any], challenge: Challenge) -> None:
        """Make the folder that of a configuration, or find that it is."""
        wanted = json.loads(json.dumps({"format": _OURS, **configuration}))
        path = self.folder / _CONFIGURATION
        if path.exists():
            found = self.configuration()
            if found != wanted:
                differences = listed(describe_differences(found, wanted), most=8)
                got = f"{self.folder} of another one ({differences})"
                what = "a new folder or that of an ablation of the same configuration"
                raise ValueError(expected("output", what, got, "Choose another folder."))
            return
        self._check_empty()
        self._write_split(challenge)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")

    def configuration(self) -> dict[str, Any]:
        """Read what all runs have in common."""
        path = self.folder / _CONFIGURATION
        if not path.exists():
            raise DatasetNotFoundError(path, "the output folder of benchmarks/ablation.py")
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            ours = found["format"] == _OURS
        except (ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            what = "the configuration of an ablation"
            raise ValueError(expected(str(path), what, "something else", "Choose another folder."))
        return found

    def validation(self) -> tuple[list[str], npt.NDArray[np.object_], npt.NDArray[np.int64]]:
        """Read ids, lesions and labels of the validation side, in the order of the runs."""
        with (self.folder / _SPLIT).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["SIDE"] == "validation"]
        lesions = np.array([row["LESION"] for row in rows], dtype=object)
        labels = np.array([int(row["CLASS"]) - 1 for row in rows], dtype=np.int64)
        return [row["ID"] for row in rows], lesions, labels

    def has(self, cell: Cell, seed: int) -> bool:
        """Tell whether a run is done."""
        return self._path(cell, seed).exists()

    def add(self, run: Run) -> None:
        """Write a run, whole or not at all."""
        facts = {"levels": run.cell.levels, "seed": run.seed, **run.facts}
        with whole_file(self._path(run.cell, run.seed)) as temporary:
            np.savez_compressed(
                temporary,
                ids=np.array(self.validation()[0]),
                probabilities=run.probabilities,
                facts=np.array(json.dumps(facts)),
            )

    def runs(self) -> list[Run]:
        """Read all runs that are done, by cell and seed."""
        ids = self.validation()[0]
        found = [_read(path, ids) for path in sorted((self.folder / _RUNS).glob("[!.]*.npz"))]
        return sorted(found, key=lambda run: (run.cell, run.seed))

    def _path(self, cell: Cell, seed: int) -> Path:
        return self.folder / _RUNS / f"{cell.name}_seed{seed}.npz"

    def _check_empty(self) -> None:
        """Refuse a folder of others; the split is written before the configuration."""
        if not self.folder.is_dir():
            return
        strange = {entry.name for entry in self.folder.iterdir() if entry.name[0] != "."} - {_SPLIT}
        if strange:
            what = "a new folder or that of an ablation"
            got = f"{self.folder} with other files ({listed(sorted(strange))})"
            raise ValueError(expected("output", what, got, "Choose another folder."))

    def _write_split(self, challenge: Challenge) -> None:
        with (
            whole_file(self.folder / _SPLIT) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["ID", "LESION", "CLASS", "SIDE"])
            for side in (challenge.train, challenge.validation):
                numbers = (side.labels + 1).tolist()
                rows = zip(side.ids, side.groups, numbers, strict=True)
                writer.writerows([*row, side.split] for row in rows)


def _read(path: Path, ids: list[str]) -> Run:
    try:
        # Opened here, since NumPy leaves a damaged file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            found = stored["ids"].tolist()
            probabilities = np.asarray(stored["probabilities"], np.float32)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        remedy = "Delete it, and the same command does this run again."
        raise ValueError(expected(str(path), "the file of a run", error, remedy)) from error
    if found != ids:
        what = "a run with the validation side of this folder"
        raise ValueError(expected(str(path), what, "another side", "Delete it."))
    levels, seed = facts.pop("levels"), facts.pop("seed")
    return Run(Cell(*levels), int(seed), probabilities, facts)
