import csv
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

from dermolib.datasets.isic import ISICDataset
from dermolib.datasets.synthetic import challenge as synthetic
from dermolib.datasets.synthetic.challenge import draw_sample, make_synthetic_challenge
from dermolib.datasets.synthetic.hair import VISIBLE_CHANGE
from dermolib.io import read_image, read_mask, whole_file

_COLUMNS = ["ID", "SEX", "AGE", "POSITION"]


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a challenge that several tests only read."""
    root = tmp_path_factory.mktemp("synthetic") / "challenge"
    return make_synthetic_challenge(root, images_per_class=8, image_size=(40, 48), seed=3)


def _table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_the_folder_has_the_layout_of_the_real_challenge(challenge: Path) -> None:
    train, test = (_table(challenge / f"metadata{side}.csv") for side in ("Train", "Test"))
    masks = ["", "_seg", "_hair"]

    assert list(train) == ["ID", "CLASS", *_COLUMNS[1:]]
    assert list(test) == _COLUMNS
    assert {path.name for path in (challenge / "Train").iterdir()} == {
        f"{name}{mask}.{'png' if mask else 'jpg'}" for name in train["ID"] for mask in masks
    }
    assert {path.name for path in (challenge / "Test").iterdir()} == {
        f"{name}{mask}" for name in test["ID"] for mask in (".jpg", "_hair.png")
    }
    assert {path.name for path in challenge.iterdir()} == {
        "Train",
        "Test",
        "metadataTrain.csv",
        "metadataTest.csv",
        "SampleSubmission.csv",
        "lesion_ids.csv",
    }


@pytest.mark.data
def test_the_tables_have_the_columns_of_the_real_ones(challenge: Path, data_dir: Path) -> None:
    for path in challenge.glob("*.csv"):
        with path.open() as file, (data_dir / "isic_challenge" / path.name).open() as real:
            assert next(csv.reader(file)) == next(csv.reader(real))


def test_the_reader_of_the_real_challenge_reads_the_synthetic_one(challenge: Path) -> None:
    train = ISICDataset.from_challenge(challenge, "train", masks=True)
    test = ISICDataset.from_challenge(challenge, "test")

    assert train.class_counts().tolist() == [8] * 8
    assert len(test) == 16
    assert train[0]["image"].shape == (40, 48, 3)


def test_every_image_and_mask_has_the_size_asked_for(challenge: Path) -> None:
    images = list(challenge.rglob("*.jpg"))
    masks = list(challenge.rglob("*.png"))

    assert {read_image(path).shape for path in images} == {(40, 48, 3)}
    assert {read_mask(path).shape for path in masks} == {(40, 48)}


def test_masks_hold_0_and_255_only(challenge: Path) -> None:
    values: set[int] = set()
    for path in challenge.rglob("*.png"):
        with Image.open(path) as mask:
            assert mask.mode == "L"
            values.update(np.unique(np.asarray(mask)).tolist())

    assert values == {0, 255}


def test_some_images_have_hair_and_the_others_an_empty_mask(challenge: Path) -> None:
    hairy = [read_mask(path).any() for path in challenge.rglob("*_hair.png")]

    assert 0.3 < np.mean(hairy) < 0.8


def test_every_lesion_mask_holds_a_lesion_and_skin(challenge: Path) -> None:
    shares = [read_mask(path).mean() for path in challenge.rglob("*_seg.png")]

    assert min(shares) > 0.005
    assert max(shares) < 0.8


def test_each_class_gets_its_number_of_images_and_the_test_set_a_quarter(tmp_path: Path) -> None:
    counts = [1, 2, 3, 4, 5, 6, 7, 8]

    root = make_synthetic_challenge(tmp_path, images_per_class=counts, image_size=32)

    train = _table(root / "metadataTrain.csv")
    assert train["CLASS"].value_counts().sort_index().tolist() == counts
    assert len(_table(root / "metadataTest.csv")) == 1 + 1 + 1 + 1 + 1 + 2 + 2 + 2


def test_the_sample_submission_has_the_ids_of_the_test_set_and_classes_1_to_8(
    challenge: Path,
) -> None:
    answer = _table(challenge / "SampleSubmission.csv")

    assert list(answer) == ["ID", "CLASS"]
    assert answer["ID"].tolist() == _table(challenge / "metadataTest.csv")["ID"].tolist()
    assert set(answer["CLASS"]) <= set("12345678")


def _planned(**options: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Plan a large challenge without drawing it; give its training and test rows."""
    rows = synthetic._plan([300] * 8, np.random.default_rng(0), **options)
    table = pd.DataFrame(
        {
            "id": [row.id for row in rows],
            "label": [row.label for row in rows],
            "lesion": [row.lesion for row in rows],
            "lesion_id": [row.lesion_id for row in rows],
            "sex": [row.metadata[0] for row in rows],
            "age": [row.metadata[1] for row in rows],
            "site": [row.metadata[2] for row in rows],
            "test": [row.split == 1 for row in rows],
        }
    )
    return table[~table["test"]], table[table["test"]]


def test_lesions_of_the_test_set_are_apart_from_those_of_the_training_set() -> None:
    train, test = _planned()

    assert set(train["lesion"]).isdisjoint(test["lesion"])
    assert (set(train["lesion_id"]) & set(test["lesion_id"])) == {""}


def test_a_third_of_the_lesions_have_two_or_three_images_with_the_same_metadata() -> None:
    groups = _planned()[0].groupby("lesion")

    sizes = groups.size()
    assert set(sizes) == {1, 2, 3}
    assert 0.3 < (sizes > 1).mean() < 0.4
    same = groups[["label", "lesion_id", "sex", "age", "site"]].nunique()
    assert (same == 1).all(axis=None)


def test_a_lesion_of_unknown_id_has_one_image_only() -> None:
    train = _planned()[0]

    unknown = train[train["lesion_id"] == ""]
    assert len(unknown) > 50
    assert unknown["lesion"].is_unique
    known = train[train["lesion_id"] != ""]
    assert known.groupby("lesion_id")["lesion"].nunique().max() == 1


def test_ids_are_unique_and_neither_they_nor_the_order_of_rows_tell_the_class() -> None:
    train, test = _planned()
    numbers = train["id"].str.removeprefix("SYN_").astype(int)

    assert pd.concat([train["id"], test["id"]]).is_unique
    assert train["id"].str.fullmatch(r"SYN_\d{7}").all()
    assert abs(np.corrcoef(numbers, train["label"])[0, 1]) < 0.06
    assert abs(np.corrcoef(np.arange(len(train)), train["label"])[0, 1]) < 0.06
    assert abs(np.corrcoef(np.arange(len(train)), numbers)[0, 1]) < 0.06
    assert (
        abs(np.corrcoef(train["lesion_id"].str[4:].replace("", "0").astype(int), numbers)[0, 1])
        < 0.06
    )


def test_metadata_is_plausible_and_depends_mildly_on_the_class() -> None:
    train = _planned()[0]
    ages = pd.to_numeric(train["age"].replace("nan", ""))

    assert set(ages.dropna() % 5) == {0}
    assert ages.between(0, 85).sum() == ages.notna().sum()
    assert ages[train["label"] == 1].mean() < ages[train["label"] == 7].mean() - 15
    assert set(train["sex"]) == {"female", "male", "nan"}
    assert 0.05 < (train["site"] == "nan").mean() < 0.15
    assert 0.005 < ages.isna().mean() < 0.05
    heads = (train["site"] == "head/neck").groupby(train["label"]).mean()
    assert heads[3] > 0.4 > heads[1]


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"images_per_class": 2, "image_size": 32, "seed": 5}

    one = make_synthetic_challenge(tmp_path / "one", **options)
    # threads start at once, where each process would import torch first
    with joblib.parallel_config(backend="threading"):
        two = make_synthetic_challenge(tmp_path / "two", workers=2, **options)

    assert _contents(one) == _contents(two)


@pytest.mark.slow
def test_processes_give_the_same_bytes_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"images_per_class": 1, "image_size": 32, "seed": 5}

    one = make_synthetic_challenge(tmp_path / "one", **options)
    two = make_synthetic_challenge(tmp_path / "two", workers=2, **options)

    assert _contents(one) == _contents(two)


def test_another_seed_gives_other_images_and_tables(tmp_path: Path) -> None:
    one, two = (
        _contents(
            make_synthetic_challenge(
                tmp_path / str(seed), images_per_class=1, image_size=32, seed=seed
            )
        )
        for seed in (0, 1)
    )

    assert set(one.values()).isdisjoint(
        content for name, content in two.items() if not name.endswith(".png")
    )


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
    with pytest.raises(FileExistsError):
        make_synthetic_challenge(tmp_path, images_per_class=1, image_size=32)


def test_the_training_table_is_written_after_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = whole_file

    def record(path: Path) -> Any:
        written.append(path.name)
        return write(path)

    monkeypatch.setattr("dermolib.datasets.synthetic.challenge.whole_file", record)
    make_synthetic_challenge(tmp_path, images_per_class=1, image_size=32)

    assert len(written) == 4
    assert written[-1] == "metadataTrain.csv"


@pytest.mark.parametrize(("name", "kind"), [("", "a folder with files in it"), ("a", "a file")])
def test_anything_at_the_target_is_kept_and_named(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "a").write_text("mine")
    root = tmp_path / name if name else tmp_path

    sentence = (
        f"Expected `{root}` to be a new or empty folder, but got {kind}. "
        "Name another folder, or delete this one if it came from an interrupted call."
    )
    with pytest.raises(FileExistsError, match=f"^{re.escape(sentence)}$"):
        make_synthetic_challenge(root)
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        (
            {"images_per_class": [1, 2]},
            ValueError,
            "Expected `images_per_class` to be one number or 8 of them, but got 2 numbers.",
        ),
        (
            {"images_per_class": 0},
            ValueError,
            "Expected `images_per_class` to be an integer of 1 or more, but got 0.",
        ),
        (
            {"images_per_class": "many"},
            TypeError,
            "Expected `images_per_class` to be an integer of 1 or more, "
            "but got 'many' of type str.",
        ),
        (
            {"image_size": 31},
            ValueError,
            "Expected `image_size` to be an integer in 32..2048, but got 31.",
        ),
        (
            {"image_size": (64, 64, 3)},
            ValueError,
            "Expected `image_size` to be one side or (height, width) in pixels, "
            "but got (64, 64, 3).",
        ),
        (
            {"seed": -1},
            ValueError,
            "Expected `seed` to be an integer of 0 or more, but got -1.",
        ),
        (
            {"workers": 0},
            ValueError,
            "Expected `workers` to be an integer of 1 or more, but got 0.",
        ),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence)}$"):
        make_synthetic_challenge(tmp_path / "new", **options)

    assert not (tmp_path / "new").exists()


@settings(deadline=None, max_examples=25)
@given(label=st.integers(0, 7), seed=st.integers(0, 2**32), side=st.integers(32, 64))
def test_the_hair_mask_is_exactly_where_hair_changed_the_image(
    label: int, seed: int, side: int
) -> None:
    sample = draw_sample(label, image_size=side, generator=np.random.default_rng(seed))

    change = np.abs(sample.image.astype(int) - sample.clean).max(axis=2)
    assert ((change > 0) == sample.hair_mask).all()
    assert (change[sample.hair_mask] >= VISIBLE_CHANGE).all()


def test_black_corners_are_on_a_share_and_hide_hair_and_lesion() -> None:
    samples = [
        draw_sample(3, image_size=32, generator=np.random.default_rng(seed)) for seed in range(60)
    ]
    black = [(sample.clean == 0).all(axis=2) for sample in samples]

    assert 4 < sum(corner.any() for corner in black) < 24
    for sample, corner in zip(samples, black, strict=True):
        assert not (corner & (sample.hair_mask | sample.mask)).any()


def test_the_view_alone_decides_on_hair_and_light() -> None:
    first, second = (
        draw_sample(
            1, image_size=48, generator=np.random.default_rng(0), view=np.random.default_rng(view)
        )
        for view in (0, 1)
    )

    assert (first.clean != second.clean).any()
    assert (first.hair_mask != second.hair_mask).any()


def test_a_sample_needs_generators() -> None:
    sentence = (
        "Expected `{}` to be a numpy.random.Generator, but got an object of type int. "
        "Make one with `numpy.random.default_rng(seed)`."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(sentence.format('generator'))}$"):
        draw_sample(0, generator=3)  # type: ignore[arg-type] # the type is what is refused
    with pytest.raises(TypeError, match=f"^{re.escape(sentence.format('view'))}$"):
        draw_sample(0, generator=np.random.default_rng(0), view=3)  # type: ignore[arg-type] # the type is what is refused


def _features(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Colour of the centre, its spread, and how it differs from the image's median."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float64)
    quarter = len(lab) // 4
    centre = lab[quarter:-quarter, quarter:-quarter].reshape(-1, 3)
    around = np.median(lab.reshape(-1, 3), axis=0)
    return np.concatenate([centre.mean(axis=0), centre.std(axis=0), centre.mean(axis=0) - around])


def test_simple_features_tell_the_eight_kinds_apart_far_better_than_chance() -> None:
    features = np.array(
        [
            [
                _features(
                    draw_sample(
                        label, image_size=48, generator=np.random.default_rng([label, lesion])
                    ).image
                )
                for lesion in range(24)
            ]
            for label in range(8)
        ]
    )
    known, unseen = features[:, :14], features[:, 14:]
    scale = known.reshape(-1, 9).std(axis=0)
    distances = np.linalg.norm((unseen[:, :, None] - known.mean(axis=1)) / scale, axis=-1)

    right = distances.argmin(axis=-1) == np.arange(8)[:, None]
    assert right.mean() > 0.5
