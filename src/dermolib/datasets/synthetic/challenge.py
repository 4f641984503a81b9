"""A challenge drawn from nothing: the layout of the real one, with exact hair and lesion masks."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from dermolib._validation import Image, Mask, PathLike, check_number, expected
from dermolib.datasets.synthetic._drawing import Field, check_generator, step
from dermolib.datasets.synthetic.hair import draw_hair, keep_visible
from dermolib.datasets.synthetic.lesions import check_image_size, draw_lesion
from dermolib.io import whole_file, write_image, write_mask
from dermolib.labels import DIAGNOSES

__all__ = ["SyntheticSample", "draw_sample", "make_synthetic_challenge"]

_TRAIN, _TEST, _PLAN = 0, 1, 2
_FOLDERS = ("Train", "Test")
_TEST_SHARE = 0.25
_MISSING = "nan"
_MISSING_SEX, _MISSING_AGE, _MISSING_SITE = 0.02, 0.02, 0.10
_UNKNOWN_LESION = 0.10
_IMAGES_PER_LESION = (0.65, 0.25, 0.10)
_HAIRY, _VIGNETTED, _ROUND = 0.55, 0.40, 0.20

# mean age, share of men and share on head and neck of each diagnosis, as they roughly are in
# the ISIC archive
_AGES = (61, 45, 65, 67, 64, 51, 53, 71)
_MEN = (0.55, 0.49, 0.60, 0.54, 0.57, 0.50, 0.51, 0.66)
_HEADS = (0.20, 0.07, 0.35, 0.60, 0.40, 0.02, 0.15, 0.30)
_HEAD = "head/neck"
_SITES = {
    "anterior torso": 0.36,
    "lower extremity": 0.29,
    "upper extremity": 0.17,
    "posterior torso": 0.15,
    "palms/soles": 0.02,
    "oral/genital": 0.005,
    "lateral torso": 0.005,
}


@dataclass(frozen=True, slots=True)
class SyntheticSample:
    """One synthetic image with everything that is known of it.

    Attributes:
        image: Image (H, W, 3), uint8 RGB, with hair on a share of the samples.
        clean: The same image without hair; equal to `image` wherever `hair_mask` is False.
        mask: Lesion (H, W), bool; hair that lies over it is no gap.
        hair_mask: Hair (H, W), bool: exactly the pixels in which the two images differ.
    """

    image: Image
    clean: Image
    mask: Mask
    hair_mask: Mask


@dataclass(frozen=True, slots=True)
class _Row:
    """One image of the plan: where it goes, what it shows, what the tables say of it."""

    id: str
    split: int
    label: int
    lesion: int
    image: int
    lesion_id: str
    metadata: tuple[str, str, str]


def make_synthetic_challenge(
    root: PathLike,
    *,
    images_per_class: int | Sequence[int] = 24,
    image_size: int | tuple[int, int] = 128,
    seed: int = 0,
    workers: int = 1,
) -> Path:
    """Write a challenge of drawn images in the layout of the real one.

    ``Train/ID.jpg`` with the lesion mask ``ID_seg.png`` and the hair mask ``ID_hair.png``,
    ``Test/ID.jpg`` with its hair mask, ``metadataTrain.csv`` (ID, CLASS 1-8, SEX, AGE, POSITION;
    missing values are the text ``nan``), ``metadataTest.csv`` (no CLASS), ``SampleSubmission.csv``
    (ID, CLASS: random classes in the form of an answer) and ``lesion_ids.csv`` (ID, LESION_ID,
    empty where unknown). Neither ids nor the order of rows tell the class.

    What stays true: a third of the lesions have two or three images, taken from other angles under
    another light, with the same lesion id and metadata. No lesion of the test set is in the
    training set, unlike in the real challenge, and a lesion whose id is unknown has one image
    only, so that a split by lesion id leaks nothing. A hair mask holds exactly the pixels that
    hair changed before the JPEG was encoded, each by at least `VISIBLE_CHANGE` levels (see
    `draw_hair`). The same arguments give the same bytes for any number of workers. The tables are
    written last, ``metadataTrain.csv`` after all others: a folder without it is incomplete.

    The images share colours, textures and borders with the diagnoses they are named after, and
    nothing else: a score on them says nothing about skin.

    Args:
        root: Folder to write to, new or empty.
        images_per_class: Training images of each diagnosis, or eight numbers. The test set gets a
            quarter of each, at least one.
        image_size: Side of a square image, or height and width, in pixels, each in 32..2048.
        seed: Which of all such challenges to draw.
        workers: Number of processes; each takes seconds to start, which pays from about a thousand
            images on.

    Returns:
        `root` as a path.

    Raises:
        FileExistsError: `root` is a file or holds anything: nothing is ever overwritten.
        TypeError: An argument is of another type.
        ValueError: A number is out of range, or `images_per_class` has not eight numbers.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     root = make_synthetic_challenge(folder, images_per_class=1, image_size=32)
        ...     (root / "metadataTrain.csv").read_text().splitlines()[0]
        'ID,CLASS,SEX,AGE,POSITION'
    """
    counts = _check_counts(images_per_class)
    shape = check_image_size(image_size)
    check_number(seed, "seed", low=0, integer=True)
    check_number(workers, "workers", low=1, integer=True)
    root = _check_root(Path(root))
    generator = np.random.default_rng(_sequence(seed, _PLAN))
    rows = _plan(counts, generator)
    write = joblib.delayed(_write_images)
    joblib.Parallel(n_jobs=workers)(write(root, row, shape, seed) for row in rows)
    _write_tables(root, rows, generator)
    return root


def draw_sample(
    label: int,
    *,
    image_size: int | tuple[int, int] = 128,
    generator: np.random.Generator,
    view: np.random.Generator | None = None,
) -> SyntheticSample:
    """Draw one image of the synthetic challenge, with and without its hair.

    Hair, a vignette and black corners are each on a share of the images. All lie over the lesion
    of `draw_lesion`; ruler marks, ink and gel are not drawn.

    Args:
        label: Index of the diagnosis, 0..7.
        image_size: Side of a square image, or height and width, in pixels, each in 32..2048.
        generator: Source of the lesion's looks and the skin's tone.
        view: Source of angle, place, light, skin texture, hair and vignette; `generator` where
            None.

    Returns:
        The image, the image without hair, and both masks.

    Raises:
        TypeError: An argument is of another type.
        ValueError: `label` or `image_size` is out of range.

    Examples:
        >>> sample = draw_sample(0, image_size=64, generator=np.random.default_rng(1))
        >>> differs = (sample.image != sample.clean).any(axis=2)
        >>> bool((differs == sample.hair_mask).all())
        True
    """
    check_generator(generator)
    view = generator if view is None else check_generator(view, "view")
    clean, mask = draw_lesion(label, image_size=image_size, generator=generator, view=view)
    density = math.exp(view.uniform(math.log(0.01), math.log(0.13)))
    hairy = clean
    if view.random() < _HAIRY:
        hairy = draw_hair(clean, density=density, generator=view)[0]
    light = _light(mask.shape, view)
    clean, hairy = _shade(clean, light), _shade(hairy, light)
    image, hair_mask = keep_visible(clean, hairy)
    # what lies in a black corner is in no picture
    return SyntheticSample(image, clean, mask & (light > 0.1), hair_mask)


def _check_counts(images_per_class: Any) -> tuple[int, ...]:
    several = np.ndim(images_per_class) > 0
    counts = tuple(images_per_class) if several else (images_per_class,) * len(DIAGNOSES)
    if len(counts) != len(DIAGNOSES):
        what = f"one number or {len(DIAGNOSES)} of them"
        raise ValueError(expected("images_per_class", what, f"{len(counts)} numbers"))
    for count in counts:
        check_number(count, "images_per_class", low=1, integer=True)
    return counts


def _check_root(root: Path) -> Path:
    """Refuse to write where anything is: it may be a real data set."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        what = "a new or empty folder"
        kind = "a folder with files in it" if root.is_dir() else "a file"
        remedy = "Name another folder, or delete this one if it came from an interrupted call."
        raise FileExistsError(expected(str(root), what, kind, remedy))
    return root


def _sequence(seed: int, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(int(seed), spawn_key=key)


def _plan(counts: Sequence[int], generator: np.random.Generator) -> list[_Row]:
    """Decide what each image shows; rows come in an order that tells nothing."""
    tests = [max(1, round(count * _TEST_SHARE)) for count in counts]
    lesions = [
        (split, label, number)
        for split, wanted in ((_TRAIN, counts), (_TEST, tests))
        for label, count in enumerate(wanted)
        for number in _split_up(count, generator)
    ]
    ids = iter(generator.permutation(sum(number for _, _, number in lesions)) + 1)
    lesion_ids = generator.permutation(len(lesions)) + 1
    rows = []
    for lesion, (split, label, number) in enumerate(lesions):
        unknown = generator.random() < _UNKNOWN_LESION and number == 1
        lesion_id = "" if unknown else f"SYL_{lesion_ids[lesion]:07d}"
        metadata = _draw_metadata(label, generator)
        rows += [
            _Row(f"SYN_{next(ids):07d}", split, label, lesion, image, lesion_id, metadata)
            for image in range(number)
        ]
    return [rows[place] for place in generator.permutation(len(rows))]


def _split_up(count: int, generator: np.random.Generator) -> Iterable[int]:
    """Split a number of images over lesions of one, two or three."""
    while count > 0:
        number = min(count, 1 + int(generator.choice(3, p=_IMAGES_PER_LESION)))
        yield number
        count -= number


def _draw_metadata(label: int, generator: np.random.Generator) -> tuple[str, str, str]:
    """Draw sex, age in steps of five years, and site."""
    sex = "male" if generator.random() < _MEN[label] else "female"
    years = float(np.clip(5 * round(generator.normal(_AGES[label], 15) / 5), 0, 85))
    on_head = generator.random() < _HEADS[label]
    elsewhere = generator.choice(list(_SITES), p=list(_SITES.values()))
    gone = generator.random(3) < (_MISSING_SEX, _MISSING_AGE, _MISSING_SITE)
    return (
        _MISSING if gone[0] else sex,
        _MISSING if gone[1] else str(years),
        _MISSING if gone[2] else _HEAD if on_head else str(elsewhere),
    )


def _write_images(root: Path, row: _Row, shape: tuple[int, int], seed: int) -> None:
    """Draw and write one image from generators of its own, so that no order matters."""
    sample = draw_sample(
        row.label,
        image_size=shape,
        generator=np.random.default_rng(_sequence(seed, row.split, row.lesion)),
        view=np.random.default_rng(_sequence(seed, row.split, row.lesion, row.image)),
    )
    folder = root / _FOLDERS[row.split]
    write_image(folder / f"{row.id}.jpg", sample.image)
    write_mask(folder / f"{row.id}_hair.png", sample.hair_mask)
    if row.split == _TRAIN:
        write_mask(folder / f"{row.id}_seg.png", sample.mask)


def _write_tables(root: Path, rows: Sequence[_Row], generator: np.random.Generator) -> None:
    test = [row for row in rows if row.split == _TEST]
    train = [row for row in rows if row.split == _TRAIN]
    guesses = generator.integers(1, len(DIAGNOSES), len(test), endpoint=True)
    lesions = [(row.id, row.lesion_id) for row in rows]
    answers = [(row.id, str(guess)) for row, guess in zip(test, guesses, strict=True)]
    _write_table(root / "lesion_ids.csv", ("ID", "LESION_ID"), lesions)
    _write_table(root / "SampleSubmission.csv", ("ID", "CLASS"), answers)
    columns = ("SEX", "AGE", "POSITION")
    unlabelled = [(row.id, *row.metadata) for row in test]
    _write_table(root / "metadataTest.csv", ("ID", *columns), unlabelled)
    labelled = [(row.id, str(DIAGNOSES[row.label].number), *row.metadata) for row in train]
    _write_table(root / "metadataTrain.csv", ("ID", "CLASS", *columns), labelled)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _light(shape: tuple[int, ...], view: np.random.Generator) -> Field:
    """Share of light (H, W) that a dermatoscope lets through: less outwards, none in corners."""
    y, x = np.indices(shape, dtype=np.float32)
    centre = np.array([shape[0] - 1, shape[1] - 1]) / 2 + view.normal(0, 0.02, 2) * min(shape)
    away = np.hypot(y - np.float32(centre[0]), x - np.float32(centre[1]))
    away /= np.float32(math.hypot(*shape) / 2)
    light = np.ones_like(away)
    if view.random() < _VIGNETTED:
        light -= np.float32(view.uniform(0.1, 0.5)) * np.square(away)
    if view.random() < _ROUND:
        edge = view.uniform(0.70, 0.92)
        light *= step(away, edge + view.uniform(0.02, 0.08), edge)
    lit: Field = np.clip(light, 0, 1)
    return lit


def _shade(image: Image, light: Field) -> Image:
    shaded: Image = np.rint(image * light[..., None]).astype(np.uint8)
    return shaded
