"""The drawn challenge: its layout, its plan, its lesions and its hair."""

import csv
import math
import re
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dermolib import DIAGNOSES, ISICDataset, make_synthetic_challenge
from dermolib.datasets.synthetic import challenge as synthetic
from dermolib.datasets.synthetic import draw_hair, draw_lesion, draw_sample, keep_visible
from dermolib.datasets.synthetic.hair import VISIBLE_CHANGE
from dermolib.io import read_image, read_mask, write_table

GENERATOR = "a numpy.random.Generator, but got an object of type int. Make one with `numpy.random."
CODES = [diagnosis.code for diagnosis in DIAGNOSES]


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a challenge that several tests only read."""
    root = tmp_path_factory.mktemp("synthetic") / "challenge"
    return make_synthetic_challenge(root, images_per_class=8, image_size=(40, 48), seed=3)


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(code: str, *seed: int, **options: Any) -> tuple[Any, Any]:
    return draw_lesion(CODES.index(code), generator=rng(*seed), **options)


def skin(height: int = 64, width: int = 80) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    return (np.array([205, 165, 150]) + noise).astype(np.uint8)


def test_the_folder_has_the_layout_of_the_real_challenge(challenge: Path) -> None:
    train, test = (table(challenge / f"metadata{split}.csv") for split in ("Train", "Test"))
    answer = table(challenge / "SampleSubmission.csv")

    assert list(train) == ["ID", "CLASS", "SEX", "AGE", "POSITION"]
    assert list(test) == ["ID", "SEX", "AGE", "POSITION"]
    assert list(answer) == ["ID", "CLASS"]
    assert answer["ID"].tolist() == test["ID"].tolist()
    assert set(answer["CLASS"]) <= set("12345678")
    names = {"metadataTrain.csv", "metadataTest.csv", "SampleSubmission.csv", "lesion_ids.csv"}
    for folder, ids, ends in [
        ("Train", train["ID"], (".jpg", "_seg.png", "_hair.png")),
        ("Test", test["ID"], (".jpg", "_hair.png")),
    ]:
        names |= {f"{folder}/{name}{end}" for name in ids for end in ends}
    assert set(contents(challenge)) == names


@pytest.mark.data
def test_the_tables_have_the_columns_of_the_real_ones(challenge: Path, data_dir: Path) -> None:
    for path in challenge.glob("*.csv"):
        with path.open() as file, (data_dir / "isic_challenge" / path.name).open() as real:
            assert next(csv.reader(file)) == next(csv.reader(real))


def test_the_reader_of_the_real_challenge_reads_the_synthetic_one(challenge: Path) -> None:
    train = ISICDataset.from_challenge(challenge, "train", masks=True)

    assert train.class_counts().tolist() == [8] * 8
    assert len(ISICDataset.from_challenge(challenge, "test")) == 16
    assert train[0]["image"].shape == (40, 48, 3)


def test_images_and_masks_are_of_the_size_asked_for_and_masks_of_0_and_255(challenge: Path) -> None:
    assert {read_image(path).shape for path in challenge.rglob("*.jpg")} == {(40, 48, 3)}
    values: set[int] = set()
    for path in challenge.rglob("*.png"):
        with Image.open(path) as mask:
            assert (mask.mode, mask.size) == ("L", (48, 40))
            values.update(np.unique(np.asarray(mask)).tolist())
    assert values == {0, 255}


def test_some_images_have_hair_and_every_training_image_has_lesion_and_skin(
    challenge: Path,
) -> None:
    hairy = [read_mask(path).any() for path in challenge.rglob("*_hair.png")]
    fractions = [read_mask(path).mean() for path in challenge.rglob("*_seg.png")]

    assert 0.3 < np.mean(hairy) < 0.8
    assert 0.005 < min(fractions) < max(fractions) < 0.8


def test_each_class_gets_its_number_of_images_and_the_test_set_a_quarter(tmp_path: Path) -> None:
    counts = [1, 2, 3, 4, 5, 6, 7, 8]

    root = make_synthetic_challenge(tmp_path, images_per_class=counts, image_size=32)

    train = table(root / "metadataTrain.csv")
    assert train["CLASS"].value_counts().sort_index().tolist() == counts
    assert len(table(root / "metadataTest.csv")) == 1 + 1 + 1 + 1 + 1 + 2 + 2 + 2


@pytest.fixture(scope="module")
def plan() -> pd.DataFrame:
    """Plan a large challenge; private, since to draw it would take minutes."""
    return synthetic._plan([300] * 8, np.random.default_rng(0))


def test_lesions_are_on_one_side_and_share_their_metadata(plan: pd.DataFrame) -> None:
    train, test = plan[plan["split"] == 0], plan[plan["split"] == 1]
    lesions = train.groupby("lesion")
    unknown = train[train["LESION_ID"] == ""]

    assert set(train["lesion"]).isdisjoint(test["lesion"])
    assert (set(train["LESION_ID"]) & set(test["LESION_ID"])) == {""}
    assert set(lesions.size()) == {1, 2, 3}
    assert 0.3 < (lesions.size() > 1).mean() < 0.4
    assert (lesions[["label", "LESION_ID", "SEX", "AGE", "POSITION"]].nunique() == 1).all(axis=None)
    assert len(unknown) > 50
    assert unknown["lesion"].is_unique
    known = train[train["LESION_ID"] != ""]
    assert known.groupby("LESION_ID")["lesion"].nunique().max() == 1


def test_ids_are_unique_and_neither_they_nor_the_order_of_rows_reveal_the_class(
    plan: pd.DataFrame,
) -> None:
    train = plan[plan["split"] == 0]
    revealing = pd.DataFrame({"label": train["label"], "row": np.arange(len(train))})
    revealing["id"] = train["ID"].str.removeprefix("SYN_").astype(int)
    revealing["lesion"] = train["LESION_ID"].str[4:].replace("", "0").astype(int)

    assert plan["ID"].is_unique
    assert plan["ID"].str.fullmatch(r"SYN_\d{7}").all()
    correlations = revealing.corr().abs().to_numpy(copy=True)
    np.fill_diagonal(correlations, 0)
    assert correlations[:, :3].max() < 0.06


def test_metadata_is_plausible_and_depends_mildly_on_the_class(plan: pd.DataFrame) -> None:
    train = plan[plan["split"] == 0]
    ages = pd.to_numeric(train["AGE"].replace("nan", ""))
    heads = (train["POSITION"] == "head/neck").groupby(train["label"]).mean()

    assert set(ages.dropna() % 5) == {0}
    assert ages.between(0, 85).sum() == ages.notna().sum()
    assert ages[train["label"] == 1].mean() < ages[train["label"] == 7].mean() - 15
    assert set(train["SEX"]) == {"female", "male", "nan"}
    assert 0.05 < (train["POSITION"] == "nan").mean() < 0.15
    assert 0.005 < ages.isna().mean() < 0.05
    assert heads[3] > 0.4 > heads[1]


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers(
    tmp_path: Path, backend: str
) -> None:
    options: dict[str, Any] = {"images_per_class": 2, "image_size": 32}

    one = make_synthetic_challenge(tmp_path / "one", seed=5, **options)
    other = make_synthetic_challenge(tmp_path / "other", seed=6, **options)
    with joblib.parallel_config(backend=backend):
        two = make_synthetic_challenge(tmp_path / "two", seed=5, workers=2, **options)

    assert contents(one) == contents(two)
    changed = {name: data for name, data in contents(other).items() if not name.endswith(".png")}
    assert set(contents(one).values()).isdisjoint(changed.values())


def test_an_interrupted_call_leaves_no_table_and_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "write_mask", fail)
        with pytest.raises(OSError, match="disk full"):
            make_synthetic_challenge(tmp_path, images_per_class=1, image_size=32)

    assert not list(tmp_path.glob("*.csv"))
    with pytest.raises(FileExistsError, match="a new or empty folder, but got a folder with files"):
        make_synthetic_challenge(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match=r"got a file\. Name another folder, or delete this"):
        make_synthetic_challenge(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_the_training_table_is_written_after_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def record(path: Path, *given: Any, **named: Any) -> None:
        written.append(path.name)
        write_table(path, *given, **named)

    monkeypatch.setattr(synthetic, "write_table", record)
    make_synthetic_challenge(tmp_path, images_per_class=1, image_size=32)

    assert len(written) == 4
    assert written[-1] == "metadataTrain.csv"


@pytest.mark.parametrize(
    ("option", "value", "error", "words"),
    [
        ("images_per_class", [1, 2], ValueError, "one number or 8 of them, but got 2 numbers."),
        ("images_per_class", 0, ValueError, "an integer of 1 or more, but got 0."),
        ("images_per_class", "many", TypeError, "an integer of 1 or more, but got 'many' of type"),
        ("image_size", 31, ValueError, "an integer in 32..2048, but got 31."),
        ("image_size", 2049, ValueError, "an integer in 32..2048, but got 2049."),
        ("image_size", 40.5, TypeError, "an integer in 32..2048, but got 40.5 of type float."),
        ("image_size", (64, 64, 3), ValueError, "one side or (height, width) in pixels, but got"),
        ("seed", -1, ValueError, "an integer of 0 or more, but got -1."),
        ("workers", 0, ValueError, "an integer of 1 or more, but got 0."),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path: Path, option: str, value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^Expected `{option}` to be {re.escape(words)}"):
        make_synthetic_challenge(tmp_path / "new", **{option: value})

    assert not (tmp_path / "new").exists()


@settings(deadline=None, max_examples=25)
@given(label=st.integers(0, 7), seed=st.integers(0, 2**32), side=st.integers(32, 64))
def test_the_hair_mask_is_exactly_where_hair_changed_the_image(
    label: int, seed: int, side: int
) -> None:
    sample = draw_sample(label, image_size=side, generator=rng(seed))

    change = np.abs(sample.image.astype(int) - sample.clean).max(axis=2)
    assert ((change > 0) == sample.hair_mask).all()
    assert (change[sample.hair_mask] >= VISIBLE_CHANGE).all()


def test_black_corners_are_on_some_images_and_hide_hair_and_lesion() -> None:
    samples = [draw_sample(3, image_size=32, generator=rng(seed)) for seed in range(60)]
    black = [(sample.clean == 0).all(axis=2) for sample in samples]

    assert 4 < sum(corner.any() for corner in black) < 24
    for sample, corner in zip(samples, black, strict=True):
        assert not (corner & (sample.hair_mask | sample.mask)).any()


def test_the_view_alone_decides_on_hair_and_light() -> None:
    first, second = (
        draw_sample(1, image_size=48, generator=rng(0), view=rng(view)) for view in (0, 1)
    )

    assert (first.clean != second.clean).any()
    assert (first.hair_mask != second.hair_mask).any()


def simple_features(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Color of the center, its spread, and how it differs from the image's median."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float64)
    quarter = len(lab) // 4
    center = lab[quarter:-quarter, quarter:-quarter].reshape(-1, 3)
    around = np.median(lab.reshape(-1, 3), axis=0)
    return np.concatenate([center.mean(axis=0), center.std(axis=0), center.mean(axis=0) - around])


def test_simple_features_tell_the_eight_kinds_apart_far_better_than_chance() -> None:
    drawn = [
        draw_sample(label, image_size=48, generator=rng(label, lesion)).image
        for label in range(8)
        for lesion in range(24)
    ]
    features = np.array([simple_features(image) for image in drawn]).reshape(8, 24, 9)
    known, unseen = features[:, :14], features[:, 14:]
    scale = known.reshape(-1, 9).std(axis=0)
    distances = np.linalg.norm((unseen[:, :, None] - known.mean(axis=1)) / scale, axis=-1)

    right = distances.argmin(axis=-1) == np.arange(8)[:, None]
    assert right.mean() > 0.5


@settings(deadline=None, max_examples=25)
@given(
    label=st.integers(0, 7),
    seed=st.integers(0, 2**32),
    size=st.tuples(st.integers(32, 72), st.integers(32, 72)),
)
def test_every_lesion_fills_a_part_of_its_image(
    label: int, seed: int, size: tuple[int, int]
) -> None:
    image, mask = draw_lesion(label, image_size=size, generator=rng(seed))

    assert image.shape == (*size, 3)
    assert mask.shape == size
    assert image.dtype == np.uint8
    assert mask.dtype == np.bool_
    # Of the shorter side's square, since sizes are fractions of that side
    assert 0.005 < mask.sum() / min(size) ** 2 < 0.95
    assert image.std() > 2


@pytest.mark.parametrize("code", CODES)
def test_a_lesion_differs_from_the_skin_around_it(code: str) -> None:
    drawn = [draw(code, seed, image_size=64) for seed in range(8)]

    gaps = [
        abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max() for image, mask in drawn
    ]
    assert np.mean(gaps) > 10


def test_another_view_shows_the_same_lesion() -> None:
    def color(lesion: int, view: int) -> Any:
        image, mask = draw("VASC", lesion, image_size=64, view=rng(view))
        mean = image[mask].mean(axis=0)
        return mean / mean.sum()

    same = [np.abs(color(lesion, 0) - color(lesion, 1)).sum() for lesion in range(10)]
    other = [np.abs(color(lesion, 0) - color(lesion + 1, 0)).sum() for lesion in range(10)]

    assert (draw("VASC", 0, view=rng(0))[0] != draw("VASC", 0)[0]).any()
    assert np.mean(same) < 0.7 * np.mean(other)


def test_a_lesion_has_the_same_shape_at_every_image_size() -> None:
    small, large = (draw("BKL", 3, image_size=side, view=rng(0))[1] for side in (64, 192))

    assert (small != large[1::3, 1::3]).mean() < 0.03


def test_a_melanoma_has_more_colors_and_a_rougher_border_than_a_nevus() -> None:
    def spread_and_roughness(code: str) -> Any:
        drawn = [draw(code, seed, image_size=96) for seed in range(12)]
        spread = np.mean([image[mask].std(axis=0).mean() for image, mask in drawn])
        edges = [abs(np.diff(mask.astype(int))).sum() / math.sqrt(mask.sum()) for _, mask in drawn]
        return np.array([spread, np.mean(edges)])

    assert (spread_and_roughness("MEL") > [1.3, 1.1] * spread_and_roughness("NV")).all()


def test_a_dermatofibroma_is_pale_in_the_center_of_its_border() -> None:
    for seed in range(8):
        image, mask = draw("DF", seed, image_size=64)
        rows, columns = np.nonzero(mask)
        away = np.hypot(rows - rows.mean(), columns - columns.mean())
        inner = away < 0.3 * away.max()
        values = image[mask].mean(axis=1)
        assert values[inner].mean() > values[~inner].mean()


def test_a_vascular_lesion_is_redder_and_bluer_against_green_than_its_skin() -> None:
    for seed in range(8):
        image, mask = draw("VASC", seed, image_size=64)
        (red, green, blue), skin = image[mask].mean(axis=0), image[~mask].mean(axis=0)
        assert red / green > 1.2 * skin[0] / skin[1]
        assert blue / green > skin[2] / skin[1]


def test_no_density_means_no_hair() -> None:
    image = skin()

    hairy, mask = draw_hair(image, density=0, generator=rng(0))

    assert (hairy == image).all()
    assert hairy is not image
    assert not mask.any()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    density=st.floats(0.001, 0.5),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
def test_the_mask_is_exactly_where_the_image_changed(
    seed: int, density: float, size: tuple[int, int]
) -> None:
    image = skin(*size)
    before = image.copy()

    hairy, mask = draw_hair(image, density=density, generator=rng(seed))

    change = np.abs(hairy.astype(int) - image).max(axis=2)
    assert ((change > 0) == mask).all()
    assert (change[mask] >= VISIBLE_CHANGE).all()
    assert (image == before).all()


@pytest.mark.parametrize("density", [0.03, 0.1, 0.2])
@pytest.mark.parametrize("side", [128, 600])
def test_the_fraction_of_the_mask_is_near_the_density(density: float, side: int) -> None:
    image = np.full((side, side, 3), 128, np.uint8)

    masks = [draw_hair(image, density=density, generator=rng(seed))[1] for seed in range(8)]

    assert 0.6 * density < np.mean(masks) < 1.4 * density


def test_the_same_generator_state_draws_the_same_and_another_does_not() -> None:
    for first, again, other in (
        [draw_hair(skin(), generator=rng(seed))[0] for seed in (4, 4, 5)],
        [draw("NV", seed, image_size=48)[0] for seed in (1, 1, 2)],
    ):
        assert (first == again).all()
        assert (first != other).any()


def test_hair_of_the_color_of_the_skin_is_in_no_mask() -> None:
    image = np.full((40, 40, 3), 90, np.uint8)

    for seed in range(20):
        hairy, mask = draw_hair(image, density=0.3, generator=rng(seed))
        assert (hairy[~mask] == 90).all()


def test_changes_below_the_threshold_are_undone_pixel_by_pixel() -> None:
    generator = np.random.default_rng(1)
    clean = generator.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    moved = np.clip(clean + generator.integers(-8, 9, clean.shape), 0, 255).astype(np.uint8)

    image, mask = keep_visible(clean, moved)

    for place in np.ndindex(12, 9):
        pairs = zip(clean[place].tolist(), moved[place].tolist(), strict=True)
        visible = any(abs(after - before) >= VISIBLE_CHANGE for before, after in pairs)
        assert mask[place] == visible
        assert (image[place] == (moved if visible else clean)[place]).all()


OF_LESION: dict[str, Any] = {"label": 0, "generator": rng(0)}
OF_HAIR: dict[str, Any] = {"image": skin(), "generator": rng(0)}
OF_CHANGE: dict[str, Any] = {"clean": skin(), "changed": skin()}
NO_IMAGE = np.zeros((64, 80, 3))


@pytest.mark.parametrize(
    ("function", "valid", "option", "value", "error", "words"),
    [
        *(
            (function, OF_LESION, *rest)
            for function in (draw_sample, draw_lesion)
            for rest in [
                ("label", 8, ValueError, "an integer in 0..7, but got 8."),
                ("label", "MEL", TypeError, "an integer in 0..7, but got 'MEL' of type str."),
                ("image_size", (40,), ValueError, "one side or (height, width) in pixels"),
                ("generator", 3, TypeError, GENERATOR),
                ("view", 3, TypeError, GENERATOR),
            ]
        ),
        (draw_hair, OF_HAIR, "image", NO_IMAGE[..., 0].astype("u1"), ValueError, "(H, W, 3) of"),
        (draw_hair, OF_HAIR, "density", 0.6, ValueError, "a number in 0..0.5, but got 0.6."),
        (draw_hair, OF_HAIR, "density", "thick", TypeError, "a number in 0..0.5, but got 'thick'"),
        (draw_hair, OF_HAIR, "generator", 3, TypeError, GENERATOR),
        (keep_visible, OF_CHANGE, "changed", skin(64, 81), ValueError, "of shape (64, 80, 3), but"),
        (keep_visible, OF_CHANGE, "changed", NO_IMAGE, TypeError, "uint8, but got dtype float64."),
        (keep_visible, OF_CHANGE, "clean", NO_IMAGE, TypeError, "uint8, but got dtype float64."),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    function: Any,
    valid: dict[str, Any],
    option: str,
    value: Any,
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=f"^Expected `{option}` to be .*{re.escape(words)}"):
        function(**valid | {option: value})
