"""A drawn challenge: the layout of the real one, with exact hair and lesion masks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib._jobs import one_thread, run_tasks
from dermolib._validation import Image, Mask, PathLike, as_path, check_number, require
from dermolib.datasets.synthetic.drawing import Field, check_generator, step
from dermolib.datasets.synthetic.hair import draw_hair, keep_visible
from dermolib.datasets.synthetic.lesions import check_image_size, draw_lesion
from dermolib.io import write_image, write_mask, write_table
from dermolib.labels import DIAGNOSES

__all__ = ["SyntheticSample", "draw_sample", "make_synthetic_challenge"]

_TRAIN, _TEST, _PLAN = 0, 1, 2
_FOLDERS = ("Train", "Test")
_TEST_FRACTION = 0.25
_MISSING_SEX, _MISSING_AGE, _MISSING_SITE = 0.02, 0.02, 0.10
_UNKNOWN_LESION = 0.10
_IMAGES_PER_LESION = (0.65, 0.25, 0.10)
_HAIRY, _VIGNETTED, _ROUND = 0.55, 0.40, 0.20
# Mean age, fraction of men and fraction on head and neck of each diagnosis, roughly as in the ISIC
# archive
_AGES = (61, 45, 65, 67, 64, 51, 53, 71)
_MEN = (0.55, 0.49, 0.60, 0.54, 0.57, 0.50, 0.51, 0.66)
_HEADS = (0.20, 0.07, 0.35, 0.60, 0.40, 0.02, 0.15, 0.30)
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
        image: Image (H, W, 3), uint8 RGB, with hair on some of the samples.
        clean: The same image without hair; equal to `image` wherever `hair_mask` is False.
        mask: Lesion (H, W), bool; hair that lies over it leaves no gap.
        hair_mask: Hair (H, W), bool: exactly the pixels in which the two images differ.
    """

    image: Image
    clean: Image
    mask: Mask
    hair_mask: Mask


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
    empty where unknown). Neither ids nor the order of rows reveal the class.

    What stays true: a third of the lesions have two or three images, taken from other angles under
    another light, with the same lesion id and metadata. No lesion of the test set is in the
    training set, unlike in the real challenge, and a lesion whose id is unknown has one image
    only, so that a split by lesion id leaks nothing. A hair mask holds exactly the pixels that
    hair changed before the JPEG was encoded, each by at least `VISIBLE_CHANGE` levels (see
    `draw_hair`). The same arguments give the same bytes for any number of workers. The tables are
    written last, ``metadataTrain.csv`` after all others: a folder without it is incomplete.

    The images share colors, textures and borders with the diagnoses they are named after, and
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
    root = as_path(root, "root")
    free = not root.exists() or (root.is_dir() and not any(root.iterdir()))
    got = "a folder with files in it" if root.is_dir() else "a file"
    hint = "Name another folder, or delete this one if it came from an interrupted call."
    require(free, str(root), "a new or empty folder", got, hint, error=FileExistsError)
    generator = _generator(seed, _PLAN)
    plan = _plan(counts, generator)
    rows = plan[["ID", "split", "label", "lesion", "image"]].itertuples(index=False)
    tasks = ((root, *row, shape, seed) for row in rows)
    with one_thread():
        list(run_tasks(_write_images, tasks, workers=workers))
    _write_tables(root, plan, generator)
    return root


def draw_sample(
    label: int,
    *,
    image_size: int | tuple[int, int] = 128,
    generator: np.random.Generator,
    view: np.random.Generator | None = None,
) -> SyntheticSample:
    """Draw one image of the synthetic challenge, with and without its hair.

    Hair, a vignette and black corners are each on some of the images. All lie over the lesion of
    `draw_lesion`; ruler marks, ink and gel are not drawn.

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
    clean, hairy = (np.rint(one * light[..., None]).astype(np.uint8) for one in (clean, hairy))
    image, hair_mask = keep_visible(clean, hairy)
    # What lies in a black corner is in no picture
    return SyntheticSample(image, clean, mask & (light > 0.1), hair_mask)


def _check_counts(images_per_class: Any) -> tuple[int, ...]:
    several = np.ndim(images_per_class) > 0
    counts = tuple(images_per_class) if several else (images_per_class,) * len(DIAGNOSES)
    what, got = f"one number or {len(DIAGNOSES)} of them", f"{len(counts)} numbers"
    require(len(counts) == len(DIAGNOSES), "images_per_class", what, got)
    for count in counts:
        check_number(count, "images_per_class", low=1, integer=True)
    return counts


def _generator(seed: int, *key: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(int(seed), spawn_key=tuple(map(int, key)))
    return np.random.default_rng(sequence)


def _plan(counts: Sequence[int], generator: np.random.Generator) -> pd.DataFrame:
    """Decide what each image shows; rows come in an order that reveals nothing."""
    tests = [max(1, round(count * _TEST_FRACTION)) for count in counts]
    lesions = [
        (split, label, number)
        for split, wanted in ((_TRAIN, counts), (_TEST, tests))
        for label, count in enumerate(wanted)
        for number in _images_of_lesions(count, generator)
    ]
    ids = iter(generator.permutation(sum(number for _, _, number in lesions)) + 1)
    lesion_ids = generator.permutation(len(lesions)) + 1
    rows = []
    for lesion, (split, label, number) in enumerate(lesions):
        unknown = generator.random() < _UNKNOWN_LESION and number == 1
        shown = {"split": split, "label": label, "lesion": lesion}
        lesion_id = "" if unknown else f"SYL_{lesion_ids[lesion]:07d}"
        tabled = {"LESION_ID": lesion_id, **_draw_metadata(label, generator)}
        for image in range(number):
            rows.append({"ID": f"SYN_{next(ids):07d}", **shown, "image": image, **tabled})
    plan = pd.DataFrame(rows).iloc[generator.permutation(len(rows))]
    return plan.assign(CLASS=[DIAGNOSES[label].number for label in plan["label"]])


def _images_of_lesions(count: int, generator: np.random.Generator) -> Iterator[int]:
    """Spread a number of images over lesions of one, two or three."""
    while count > 0:
        number = min(count, 1 + int(generator.choice(3, p=_IMAGES_PER_LESION)))
        yield number
        count -= number


def _draw_metadata(label: int, generator: np.random.Generator) -> dict[str, str]:
    """Draw sex, age in steps of five years, and site."""
    sex = "male" if generator.random() < _MEN[label] else "female"
    years = float(np.clip(5 * round(generator.normal(_AGES[label], 15) / 5), 0, 85))
    on_head = generator.random() < _HEADS[label]
    elsewhere = str(generator.choice(list(_SITES), p=list(_SITES.values())))
    drawn = {"SEX": sex, "AGE": str(years), "POSITION": "head/neck" if on_head else elsewhere}
    missing = generator.random(3) < (_MISSING_SEX, _MISSING_AGE, _MISSING_SITE)
    return {name: "nan" if gone else drawn[name] for name, gone in zip(drawn, missing, strict=True)}


def _write_images(
    root: Path, id_: str, split: int, label: int, lesion: int, image: int, shape: Any, seed: int
) -> None:
    """Draw and write one image from generators of its own, so that no order matters."""
    generator, view = _generator(seed, split, lesion), _generator(seed, split, lesion, image)
    sample = draw_sample(label, image_size=shape, generator=generator, view=view)
    folder = root / _FOLDERS[split]
    write_image(folder / f"{id_}.jpg", sample.image)
    write_mask(folder / f"{id_}_hair.png", sample.hair_mask)
    if split == _TRAIN:
        write_mask(folder / f"{id_}_seg.png", sample.mask)


def _write_tables(root: Path, plan: pd.DataFrame, generator: np.random.Generator) -> None:
    train, test = plan[plan["split"] == _TRAIN], plan[plan["split"] == _TEST]
    guesses = generator.integers(1, len(DIAGNOSES), len(test), endpoint=True)
    columns = ["SEX", "AGE", "POSITION"]
    tables = {
        "lesion_ids.csv": plan[["ID", "LESION_ID"]],
        "SampleSubmission.csv": test[["ID"]].assign(CLASS=guesses),
        "metadataTest.csv": test[["ID", *columns]],
        "metadataTrain.csv": train[["ID", "CLASS", *columns]],
    }
    for name, table in tables.items():
        write_table(root / name, [*map(str, table)], table.to_numpy(object).tolist(), quoted=False)


def _light(shape: tuple[int, ...], view: np.random.Generator) -> Field:
    """Draw the light (H, W) that a dermatoscope lets through: less outwards, none in corners."""
    y, x = np.indices(shape, dtype=np.float32)
    center = np.array([shape[0] - 1, shape[1] - 1]) / 2 + view.normal(0, 0.02, 2) * min(shape)
    away = np.hypot(y - np.float32(center[0]), x - np.float32(center[1]))
    away /= np.float32(math.hypot(*shape) / 2)
    light = np.ones_like(away)
    if view.random() < _VIGNETTED:
        light -= np.float32(view.uniform(0.1, 0.5)) * np.square(away)
    if view.random() < _ROUND:
        edge = view.uniform(0.70, 0.92)
        light *= step(away, edge + view.uniform(0.02, 0.08), edge)
    lit: Field = np.clip(light, 0, 1)
    return lit
