"""The audit of a data set: data leakage between splits, and what is wrong in each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from dermolib._validation import Indices, PathLike, check_choice, check_number, require
from dermolib.auditing import confounding, leakage, torn_lesions
from dermolib.auditing import images as image_files
from dermolib.auditing.report import DEFAULT_FINDINGS, FINDINGS, AuditReport
from dermolib.auditing.rows import METADATA, UNKNOWN, Splits, gather, row_problems
from dermolib.auditing.shift import SHIFT_COLUMNS, find_shifts
from dermolib.datasets.tables import HasTable

__all__ = ["audit"]

_Split: TypeAlias = HasTable | pd.DataFrame


def audit(
    train: _Split | Mapping[str, _Split],
    test: _Split | None = None,
    *,
    images: bool = True,
    duplicates: bool = True,
    recaptures: bool = False,
    artifacts: bool | pd.DataFrame | PathLike = False,
    tolerance: float = 0.08,
    fail_on: Iterable[str] = DEFAULT_FINDINGS,
    workers: int = 1,
    progress: bool = True,
    seed: int = 0,
) -> AuditReport:
    """Check the splits of a data set for data leakage, and each for faults.

    Between any two splits: shared lesions, patients and ids, augmented copies, identical files,
    near-duplicates, and distribution shift of age, sex, site, class and collection. In each split:
    duplicates that a split by lesion would separate, conflicting labels, missing and unreadable
    files, blank images, images of doubtful quality (see `dermolib.auditing.image_quality`), lesion
    masks that are empty, full or unreadable, duplicate ids, impossible values (an age outside
    0..120 years, a label beyond the classes), image sizes and modes, class counts, and missing
    metadata.

    Labels conflict where two images of one lesion, or that show the same, have different ones, or,
    where one of the two has none, different diagnoses as published by the same source. The result
    depends neither on the order of the rows nor on the number of workers. Nothing is written, and
    no file stops the audit. What could not be checked is reported.

    Args:
        train: `ISICDataset` or table with the column ``id`` and any of ``label``, ``diagnosis``,
            ``lesion``, ``patient``, ``age``, ``sex``, ``site``, ``year``, ``source``,
            ``parent_id``, ``image_path`` (empty for a missing file) and ``mask_path``; or a mapping
            of names to such, for any number of splits. A lesion or patient ``"1.0"`` is 1, and one
            such as ``"nan"``, ``"N/A"``, ``"none"`` or ``"unknown"`` is missing.
        test: The second split.
        images: Whether to read the image files, and the lesion masks where there are any.
        duplicates: Whether to look for identical files and near-duplicates.
        recaptures: Whether to look for second photographs of one lesion under another lesion id,
            and for neighboring lesions of one patient, by `find_recaptures`; it takes minutes for
            ten thousand images. Leaks and conflicts are then counted for the joined lesions, too.
        artifacts: Whether to look for rulers, ink, patches and other artifacts in the images, see
            `dermolib.preprocessing.detect_artifacts`, and for what they go with: classes, splits
            and sources. Or the artifacts of each image, as
            `dermolib.auditing.artifact_associations` takes them.
        tolerance: Largest distance of the hashes of near-duplicates, 0..0.5, see
            `find_duplicates`.
        fail_on: Which findings make the exit code 1, of `FINDINGS`: by default ``"leaks"``,
            ``"conflicts"``, ``"duplicates"``, ``"files"`` and ``"rows"``; also ``"metadata"``,
            ``"shift"``, ``"confounding"`` and ``"quality"``.
        workers: Number of parallel workers that read files, 1 or more.
        progress: Whether to show a progress bar on the standard error.
        seed: Seed of the permutations that shifts are compared with, and of the folds that
            artifacts are scored by, 0 or more.

    Returns:
        What was found.

    Raises:
        TypeError: A split is neither a dataset nor a table, or a column has values of another kind.
        ValueError: A table has no column ``id``, a label is negative or fractional, or an argument
            is out of range.

    References:
        Why a lesion in both splits makes a score too good: Kaufman et al., Leakage in data mining,
        ACM TKDD 6(4), 2012, https://doi.org/10.1145/2382577.2382579. Permutation of whole groups:
        Gail et al., Statistics in Medicine 15(11), 1996,
        https://doi.org/10.1002/(SICI)1097-0258(19960615)15:11%3C1069::AID-SIM220%3E3.0.CO;2-Q.

    Examples:
        >>> train = pd.DataFrame({"id": ["a", "b", "c"], "lesion": ["L1", "L2", "L2"]})
        >>> test = pd.DataFrame({"id": ["d", "e"], "lesion": ["L2", "L3"]})
        >>> report = audit(train, test)
        >>> report.shared_lesions[["lesion", "first_ids", "second_ids"]].to_dict("records")
        [{'lesion': 'L2', 'first_ids': ('b', 'c'), 'second_ids': ('d',)}]
    """
    hint = f"Write `[{fail_on!r}]`."
    single = isinstance(fail_on, str)
    require(not single, "fail_on", "several findings", "one text", hint, error=TypeError)
    fail_on = tuple(fail_on)
    for finding in fail_on:
        check_choice(finding, "fail_on", FINDINGS)
    what, got = "False where `images` is, since they show it", repr(recaptures)
    require(images or not recaptures, "recaptures", what, got)
    what = "a table where `images` is False"
    require(images or artifacts is not True, "artifacts", what, repr(artifacts))
    check_number(tolerance, "tolerance", low=0, high=0.5)
    check_number(seed, "seed", low=0, integer=True)
    splits = gather(train, test)
    with_files = [number for number, given in enumerate(splits.given) if "image_path" in given]
    rows = np.flatnonzero(np.isin(splits["split"], with_files) & images)
    paths = splits["image_path"][rows].tolist()
    show = progress and bool(paths)
    masks = splits["mask_path"][rows]
    found = image_files.inspect_images(
        paths, masks=masks.tolist(), hashes=duplicates, workers=workers, progress=show
    )
    lists = {column: leakage.shared(splits, column) for column in leakage.SHARED}
    by = {column: flags for column, (_, flags) in lists.items()}
    good = np.flatnonzero(found.ok & duplicates)
    pairs = leakage.image_pairs(
        splits, rows[good], found.digest[good], found.hash[good], tolerance=tolerance
    )
    if duplicates and len(rows):
        by["identical"] = leakage.shared_images(splits, pairs, identical=True)
        by["near"] = leakage.shared_images(splits, pairs, identical=False)
    recaptured, searched = torn_lesions.NO_RECAPTURES, len(rows) and recaptures
    if searched:
        readable = rows[found.ok]
        recaptured = torn_lesions.search_recaptures(
            splits, readable, pairs, workers=workers, progress=show
        )
        by |= torn_lesions.recapture_flags(splits, recaptured, pairs.duplicate_of)
    shifts = find_shifts(splits, seed=seed)
    if isinstance(artifacts, bool):
        readable = rows[found.ok] if artifacts else rows[:0]
        seen = confounding.detect(splits, readable, workers=workers, progress=show)
    else:
        seen = confounding.artifact_rows(artifacts, splits)
    confounded = confounding.find_confounding(splits, seen, asked=artifacts is not False, seed=seed)
    checks = {
        "labels": splits.known("label").any() or splits.known("diagnosis").any(),
        "images": len(rows),
        "duplicates": len(rows) and duplicates,
        "recaptures": searched,
        "artifacts": seen is not None,
        "masks": found.mask.any(),
    }
    problems = [*image_files.file_problems(splits, rows, found), *row_problems(splits)]
    header = ["split", "id", "image_path", "kind", "reason", "detail"]
    files = image_files.file_table(splits, rows, found)
    unchecked = [*_unknown(splits), *_unread(splits, rows, found, images, duplicates)]
    if not searched:
        why = "no table has images" if recaptures else "not searched (option `recaptures`)"
        unchecked.append(f"Second photographs of one lesion: {why}.")
    unchecked += confounded.unchecked
    return AuditReport(
        splits={name: len(splits.rows_of(number)) for number, name in enumerate(splits.names)},
        leaks=leakage.leak_counts(splits, by),
        shared_lesions=lists["lesion"][0],
        shared_patients=lists["patient"][0],
        shared_ids=lists["id"][0],
        shared_origins=lists["origin"][0],
        duplicates=leakage.pair_table(splits, pairs),
        recaptures=torn_lesions.recapture_table(splits, recaptured),
        conflicts=leakage.conflicts(splits, pairs, torn_lesions.joined_lesions(splits, recaptured)),
        problems=pd.DataFrame(problems, columns=pd.Index(header)),
        notes=image_files.note_table(splits, rows, found),
        class_counts=_class_counts(splits),
        missing_values=_missing_values(splits),
        sizes=image_files.size_counts(files),
        shifts=shifts,
        artifacts=confounded.artifacts,
        associations=confounded.associations,
        artifact_scores=confounded.scores,
        quality=image_files.quality_table(splits, rows, found),
        files=files,
        checked=tuple(name for name, done in checks.items() if done),
        unchecked=(*unchecked, *_not_compared(splits, shifts), *_unread_masks(masks, found)),
        fail_on=tuple(name for name in FINDINGS if name in fail_on),
    )


def _class_counts(splits: Splits) -> pd.DataFrame:
    labels = splits["label"]
    known = sorted({*range(len(splits.label_space)), *labels.tolist()} - {UNKNOWN})
    counts = pd.crosstab(labels, splits["split"])
    counts = counts.reindex([*known, UNKNOWN], columns=range(len(splits.names)), fill_value=0)
    names = pd.Index([*map(splits.class_name, known), "unknown"], name="class")
    counts = counts.set_axis(names).set_axis(pd.Index(splits.names), axis=1)
    counts.attrs["label_space"] = splits.label_space.to_dict()
    return counts


def _missing_values(splits: Splits) -> pd.DataFrame:
    rows = [
        (name, column, int((~splits.known(column)[part]).sum()), len(part))
        for number, name in enumerate(splits.names)
        for part in [splits.rows_of(number)]
        for column in METADATA
    ]
    return pd.DataFrame(rows, columns=pd.Index(["split", "column", "missing", "images"]))


def _unknown(splits: Splits) -> Iterator[str]:
    """Say where a second split, images, patients, lesions or labels are missing."""
    if len(splits.names) == 1:
        yield "Data leakage: there is only one split."
    for number, name in enumerate(splits.names):
        part = splits.rows_of(number)
        if not len(part):
            yield f"{name}: no images to check or compare."
        for column in ("patient", "lesion", "label"):
            unknown = int((~splits.known(column)[part]).sum())
            if unknown:
                words = f"{column.capitalize()}s of {name}: unknown"
                yield f"{words} for {unknown:,} of {len(part):,} images."


def _unread(
    splits: Splits, rows: Indices, found: image_files.Inspection, images: bool, duplicates: bool
) -> Iterator[str]:
    """Say which files were not read, and which images not compared."""
    if not images:
        yield "Image files: not read, as requested, so duplicates cannot be found."
        return
    for name, given in zip(splits.names, splits.given, strict=True):
        if "image_path" not in given:
            yield f"Image files of {name}: its table has no column `image_path`."
    if not duplicates:
        yield "Duplicate images: not searched, as requested."
        return
    for number, name in enumerate(splits.names):
        unread = int((~found.ok[splits["split"][rows] == number]).sum())
        if unread:
            yield f"Images of {name}: {unread:,} are missing or unreadable and were not compared."
    flat = int((found.ok & ~found.hash.any(axis=1)).sum())
    if flat:
        yield f"Featureless images: {flat:,} were compared byte for byte only."


def _unread_masks(masks: npt.NDArray[Any], found: image_files.Inspection) -> Iterator[str]:
    """Say whether there was no mask to read, or how many have no image that can be read."""
    unread = int(np.count_nonzero((masks != "") & (found.mask == 0)))
    if not found.mask.any():
        yield "Lesion masks: not read."
    elif unread:
        yield f"Lesion masks: {unread:,} of images that are missing or unreadable were not read."


def _not_compared(splits: Splits, shifts: pd.DataFrame) -> Iterator[str]:
    compared = set(zip(shifts["first"], shifts["second"], shifts["column"], strict=True))
    for pair in splits.pairs:
        first, second = (splits.names[split] for split in pair)
        columns = [name for name in SHIFT_COLUMNS if (first, second, name) not in compared]
        if columns:
            words = f"Shift of {', '.join(columns)} between {first} and {second}"
            yield f"{words}: one of the two has no values."
