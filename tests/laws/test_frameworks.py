"""Laws of other people's frameworks: what dermolib gives them works there, or is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, assert_type

import albumentations as A  # noqa: N812 - the name that its documentation prescribes
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image as PillowImage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import distributed
from torch.utils.data import ConcatDataset, Subset, default_collate
from torchvision import (  # type: ignore[import-untyped] # no annotations published
    datasets,
    transforms,
    tv_tensors,
)
from torchvision.transforms import v2

import sharing_rows
from dermolib import (
    ISICDataset,
    OcclusionRemoval,
    grouped_split,
    list_presets,
    make_loader,
    occlusion_removal,
    preset,
)
from dermolib.io import write_image
from dermolib.preprocessing import STEPS
from drawing import hairy_image, lesion_image
from sharing_rows import EPOCHS, ROWS, WAYS

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def as_dictionary(pipeline: Any, _path: Path) -> Any:
    return A.from_dict(A.to_dict(pipeline))


def as_file(pipeline: Any, path: Path, *, data_format: str) -> Any:
    A.save(pipeline, path, data_format=data_format)
    return A.load(path, data_format=data_format)


SAVED: dict[str, Callable[[Any, Path], Any]] = {
    "a dictionary": as_dictionary,
    "JSON": partial(as_file, data_format="json"),
    "YAML": partial(as_file, data_format="yaml"),
}


PRESETS = [*((name, "squeeze") for name in list_presets()), ("light", "pad"), ("light", "crop")]


@pytest.mark.parametrize("way", SAVED)
@pytest.mark.parametrize(("name", "fit"), PRESETS)
def test_the_transforms_of_a_preset_come_back_from_what_albumentations_saves(
    name: str, fit: str, way: str, tmp_path: Path
) -> None:
    image, mask = lesion_image(70, 90)
    pipeline = A.Compose(preset(name, image_size=48, fit=fit).transforms)

    again = SAVED[way](pipeline, tmp_path / "pipeline")

    for seed in range(12):  # so that each transform is drawn
        draws = []
        for one in (pipeline, again):
            one.set_random_seed(seed)
            draws.append(one(image=image, mask=mask.astype(np.uint8)))
        assert torch.equal(draws[0]["image"], draws[1]["image"])
        assert torch.equal(draws[0]["mask"], draws[1]["mask"])


@pytest.mark.parametrize(("name", "fit"), PRESETS)
def test_the_transforms_of_a_preset_are_replayed(name: str, fit: str) -> None:
    image, lesion = lesion_image(70, 90)
    mask = lesion.astype(np.uint8)
    pipeline = A.ReplayCompose(preset(name, image_size=48, fit=fit).transforms)

    for seed in range(12):
        pipeline.set_random_seed(seed)
        drawn = pipeline(image=image, mask=mask)
        again = A.ReplayCompose.replay(drawn["replay"], image=image, mask=mask)
        assert torch.equal(drawn["image"], again["image"])
        assert torch.equal(drawn["mask"], again["mask"])


@pytest.mark.parametrize(("name", "fit"), PRESETS)
def test_a_preset_is_a_step_of_a_pipeline_of_albumentations(name: str, fit: str) -> None:
    image, mask = lesion_image(70, 90)
    last = preset(name, image_size=48, fit=fit, seed=3)
    pipeline = A.Compose([A.HorizontalFlip(p=1), last], strict=True)

    drawn = pipeline(image=image, mask=mask.astype(np.uint8), label=2)

    flipped: dict[str, Any] = {"image": image[:, ::-1], "mask": mask[:, ::-1]}
    wanted = preset(name, image_size=48, fit=fit, seed=3)(**flipped, label=2)
    assert torch.equal(drawn["image"], wanted["image"])
    assert torch.equal(drawn["mask"], wanted["mask"])
    assert drawn["label"] == 2
    assert repr(A.from_dict(A.to_dict(pipeline))) == repr(pipeline)


def test_a_pipeline_seeds_its_preset_and_names_what_it_applied() -> None:
    image, _ = lesion_image(70, 90)
    choice = A.OneOf([preset("paper", image_size=32), preset("strong", image_size=32)], p=1)
    pipeline = A.Compose([choice, A.NoOp()], save_applied_params=True)

    draws = []
    for seed in (0, 1, 0):
        pipeline.set_random_seed(seed)
        draws.append(pipeline(image=image))

    assert torch.equal(draws[0]["image"], draws[2]["image"])
    assert not torch.equal(draws[0]["image"], draws[1]["image"])
    name, params = draws[0]["applied_transforms"][0]
    assert (name, {*params}) == ("Preset", {"applied"})


class Lesions:
    """Four times the same image, drawn by a pipeline with a preset inside."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        image = lesion_image(40, 40)[0]
        return self.transform(image=image)["image"]


def test_a_loader_seeds_the_preset_within_a_pipeline() -> None:
    lesions = Lesions(A.Compose([preset("light", image_size=32, seed=0)]))

    (first,), (again,) = (list(make_loader(lesions, seed=5)) for _ in range(2))

    assert torch.equal(first, again)
    assert len({one.numpy().tobytes() for one in first}) == 4


@pytest.mark.parametrize(
    ("use", "fragment"),
    [
        (A.ReplayCompose, r"`transforms` to be .* replayed, .* `preset\(\.\.\.\)\.transforms`"),
        (partial(A.Compose, additional_targets={"other": "image"}), "`additional_targets` to be"),
        (lambda steps: A.Compose(steps)(image=lesion_image(32, 32)[0], boxes=[]), "got `boxes`"),
    ],
    ids=["to replay", "with further images", "with boxes"],
)
def test_what_a_preset_cannot_do_in_a_pipeline_is_refused(use: Any, fragment: str) -> None:
    with pytest.raises(TypeError, match=fragment):
        use([preset("light", image_size=32)])


@pytest.mark.parametrize("flag", [True, False])
def test_types_follow_from_whether_a_mask_is_returned(flag: bool) -> None:
    image, _ = hairy_image(64, 64)

    clean = assert_type(occlusion_removal(image), Image)
    pair = assert_type(occlusion_removal(image, return_mask=True), tuple[Image, Mask])
    either = assert_type(occlusion_removal(image, return_mask=flag), Image | tuple[Image, Mask])

    assert (clean == pair[0]).all()
    assert isinstance(either, tuple) == flag


@pytest.mark.parametrize("name", STEPS)
def test_each_step_from_image_to_image_works_as_a_lambda_of_albumentations(name: str) -> None:
    image, _ = hairy_image(70, 90)
    image[:20] = 0
    options = {"method": "luv"} if name == "occlusion_removal" else {}
    step = partial(STEPS[name], **options)

    made = A.Compose([A.Lambda(image=step)])(image=image)["image"]

    np.testing.assert_array_equal(made, step(image))
    assert (made.shape, made.sum()) != (image.shape, image.sum())


@pytest.mark.parametrize("name", STEPS)
def test_a_shape_that_is_not_that_of_the_image_is_an_unknown_keyword(name: str) -> None:
    image, _ = hairy_image(70, 90)

    with pytest.raises(TypeError, match="shape"):
        STEPS[name](image, shape=(70, 90))


def as_tensor(image: PillowImage.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


KINDS: dict[str, Callable[[PillowImage.Image], Any]] = {
    "an image of PIL": lambda image: image,
    "an image of torchvision": lambda image: tv_tensors.Image(as_tensor(image)),
    "a tensor of bytes": as_tensor,
    "a tensor of floats": lambda image: as_tensor(image) / 255,
}


@pytest.mark.parametrize("kind", KINDS)
def test_hair_is_removed_from_each_kind_of_image_in_a_pipeline_of_torchvision(kind: str) -> None:
    hairy = hairy_image(64, 80)[0]
    image = KINDS[kind](PillowImage.fromarray(hairy))
    remove = OcclusionRemoval("luv")

    alone = v2.Compose([remove])(image)
    before_a_label, label = v2.Compose([remove])(image, 3)
    sample = v2.Compose([remove])({"image": image, "label": 3})

    wanted, mask = occlusion_removal(hairy, method="luv", return_mask=True)
    assert torch.equal(remove.masks(image), torch.from_numpy(mask))
    assert (label, sample["label"]) == (3, 3)
    for made in (alone, before_a_label, sample["image"]):
        assert type(made) is type(PillowImage.new("RGB", (1, 1)) if "PIL" in kind else image)
        pixels = v2.functional.to_image(made)
        assert torch.equal(
            v2.functional.to_dtype(pixels, torch.uint8, scale=True),
            as_tensor(PillowImage.fromarray(wanted)),
        )


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_an_image_of_pil_of_another_mode_is_refused_with_what_to_do(mode: str) -> None:
    image = PillowImage.new(mode, (32, 32))

    with pytest.raises(ValueError, match=rf"mode RGB, but got one of mode {mode}\. .*convert\("):
        v2.Compose([OcclusionRemoval()])(image)


def channels_first(image: Any) -> torch.Tensor:
    if isinstance(image, torch.Tensor):
        return image.as_subclass(torch.Tensor)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


KINDS_OF_BYTES = {name: kind for name, kind in KINDS.items() if "floats" not in name}


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", [*KINDS_OF_BYTES, "an array"])
def test_a_preset_is_a_step_of_a_pipeline_of_torchvision(kind: str, normalize: bool) -> None:
    pixels, lesion = lesion_image(70, 90)
    image = pixels if kind == "an array" else KINDS_OF_BYTES[kind](PillowImage.fromarray(pixels))
    mask = tv_tensors.Mask(torch.from_numpy(lesion)[None])

    def made() -> Any:
        return v2.Compose([preset("strong", image_size=48, seed=1, normalize=normalize)])

    alone = made()(image)
    with_mask = made()(image, mask, 3)
    sample = made()({"image": image, "mask": lesion, "label": 3})

    by_name = preset("strong", image_size=48, seed=1, normalize=normalize)
    unmasked = by_name(image=pixels)["image"]
    by_name.set_random_seed(1)
    wanted = by_name(image=pixels, mask=lesion)
    for one, true in ((alone, unmasked), (with_mask[0], wanted["image"])):
        assert torch.equal(channels_first(one), channels_first(true))
        assert type(one) is type(image) or (normalize and "torchvision" not in kind)
    assert (type(with_mask[1]), with_mask[2], sample["label"]) == (tv_tensors.Mask, 3, 3)
    for moved in (with_mask[1][0], sample["mask"]):
        assert torch.equal(torch.as_tensor(moved), torch.as_tensor(wanted["mask"]))


def test_a_preset_is_the_transform_of_a_folder_of_torchvision(tmp_path: Path) -> None:
    image, _ = lesion_image(50, 60)
    for name in ("MEL", "NV"):
        write_image(tmp_path / name / "one.png", image)
    transform = preset("light", image_size=32, seed=0)

    (batch, labels) = next(iter(make_loader(datasets.ImageFolder(tmp_path, transform=transform))))

    assert (batch.shape, labels.tolist()) == ((2, 3, 32, 32), [0, 1])
    assert not torch.equal(batch[0], batch[1])


RGB = PillowImage.new("RGB", (32, 32))
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "gray": ((RGB.convert("L"),), r"RGB, but got one of mode L\. .*convert\("),
    "floats": ((torch.rand(3, 32, 32),), r"dtype torch\.float32\. Put the preset before"),
    "a batch": ((torch.zeros(2, 3, 32, 32, dtype=torch.uint8),), "`dermolib.BatchAugmentation`"),
    "two masks": ((RGB, tv_tensors.Mask(torch.ones(32, 32)), torch.ones(32, 32)), "followed by 2"),
    "a mask of PIL": ((RGB, RGB.convert("L")), r"`mask` to be .* Wrap it as `tv_tensors\.Mask`"),
    "a mask of another size": ((RGB, torch.ones(8, 8, dtype=torch.bool)), r"shape \(8, 8\)"),
    "boxes": ((RGB, torch.ones(3, 4)), "`mask` to be a mask .* but got dtype float32"),
    "a sample and more": (({"image": RGB}, 1), "dictionary alone, but got 1 more"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_preset_cannot_take_from_torchvision_is_refused(what: str) -> None:
    given, fragment = REFUSED[what]

    with pytest.raises((TypeError, ValueError), match=fragment):
        v2.Compose([preset("light", image_size=32)])(*given)


def test_an_image_by_place_beside_a_mask_by_name_is_refused() -> None:
    image, mask = lesion_image(32, 32)
    transform: Any = preset("light", image_size=32)

    with pytest.raises(TypeError, match=r"by name where others are, but got .* beside mask"):
        transform(image, mask=mask)


TENSOR = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
OF_TORCHVISION: dict[str, tuple[Any, bool]] = {
    "version 1": (transforms.Compose([transforms.Resize(8), transforms.ToTensor()]), False),
    "version 2": (v2.Compose([v2.Resize(8), *TENSOR]), False),
    "version 2 with masks": (v2.Compose([v2.RandomVerticalFlip(p=1), *TENSOR]), True),
    "a preset in version 2": (v2.Compose([preset("evaluation", image_size=16)]), True),
}


@pytest.mark.parametrize("what", OF_TORCHVISION)
def test_a_dataset_calls_transforms_of_torchvision_as_its_own_datasets_do(
    what: str, challenge: Path
) -> None:
    transform, masks = OF_TORCHVISION[what]
    data = ISICDataset.from_challenge(challenge, masks=masks)
    raw = data[0]

    (batch,) = make_loader(data.subset([0]).with_transform(transform))

    given: list[Any] = [PillowImage.fromarray(raw["image"])]
    if masks:
        given.append(tv_tensors.Mask(torch.from_numpy(raw["mask"])))
    wanted = transform(*given)
    image, *lesions = wanted if masks else [wanted]
    assert torch.equal(batch["image"][0], image.as_subclass(torch.Tensor))
    assert batch["mask"].dtype == torch.bool if masks else "mask" not in batch
    for lesion in lesions:
        assert torch.equal(batch["mask"][0], lesion.as_subclass(torch.Tensor))


class Alone(v2.Transform):  # type: ignore[misc] # torchvision has no types
    """Gives back the image alone."""

    def forward(self, *inputs: Any) -> Any:
        return inputs[0]


def test_a_transform_that_loses_the_mask_is_refused(challenge: Path) -> None:
    data = ISICDataset.from_challenge(challenge, masks=True, transform=Alone())

    with pytest.raises(TypeError, match="returns image and mask, of which it is given both"):
        data[0]


def linear() -> Any:
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis())


def test_grouped_folds_are_the_rounds_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = generator.normal(size=(90, 4)) + labels[:, None]
    lesions = np.array([f"L{row // 2}" for row in range(90)])
    folds = grouped_split(SimpleNamespace(labels=labels, groups=lesions), folds=3)
    fold_of_row = np.empty(90, int)
    for number, rows in enumerate(folds):
        fold_of_row[rows] = number

    scores = cross_val_score(linear(), features, labels, groups=lesions, cv=folds.rounds())
    grid = {"lineardiscriminantanalysis__tol": [1e-4, 1e-3]}
    search = GridSearchCV(linear(), grid, cv=folds.rounds()).fit(features, labels)

    wanted = cross_val_score(linear(), features, labels, cv=PredefinedSplit(fold_of_row))
    assert scores.tolist() == wanted.tolist()
    assert search.cv_results_["mean_test_score"] == pytest.approx([wanted.mean()] * 2)
    for train, test in folds.rounds():
        assert not {*lesions[train]} & {*lesions[test]}


TAKEN: dict[str, Callable[[ISICDataset], Any]] = {
    "a subset by a permutation": lambda data: Subset(data, torch.tensor([4, 0, 2])),  # type: ignore[arg-type] # as `randperm` is passed everywhere
    "rows by a tensor": lambda data: data.subset(torch.tensor([4, 0, 2])),  # type: ignore[arg-type] # one is taken as an array
    "rows by a list of integers of NumPy": lambda data: data.subset([*np.array([4, 0, 2])]),
    "a sum": lambda data: data.subset([4]) + data.subset([0, 2]),
    "a concatenation": lambda data: ConcatDataset([data.subset([4, 0]), data.subset([2])]),
}


@pytest.mark.parametrize("way", TAKEN)
def test_samples_come_through_what_torch_makes_of_a_dataset(way: str, challenge: Path) -> None:
    data = ISICDataset.from_challenge(challenge)

    (batch,) = make_loader(TAKEN[way](data))

    assert batch["id"] == ["IMG_4", "IMG_0", "IMG_2"]
    wanted = default_collate([data[4], data[0], data[2]])
    assert torch.equal(batch["image"], wanted["image"])
    assert batch["label"].tolist() == [1, 0, 2]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go through two epochs in each way, in two processes."""
    folder = tmp_path_factory.mktemp("rows")
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run(  # noqa: S603 - arguments of this test alone
        [sys.executable, *launch, sharing_rows.__file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow  # fresh processes import everything again
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_see_each_row_once_in_an_epoch(two_processes: Path, way: str) -> None:
    place = list(WAYS).index(way)
    first, second = (
        json.loads((two_processes / f"{place} {rank}.json").read_text()) for rank in range(2)
    )

    for epoch in range(EPOCHS):
        assert len(first[epoch]) == len(second[epoch])
        assert sorted(first[epoch] + second[epoch]) == list(range(ROWS))
    assert first[0] != first[1]


def test_batches_are_dealt_out_by_accelerate_or_by_the_loader_but_not_by_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    at_work: Any = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "accelerate.state", at_work)
    loader = make_loader(list(range(10)), batch_size=2)

    asked_by_itself = [row for batch in loader for row in batch.tolist()]
    batches: Any = loader.batch_sampler
    asked_by_accelerate = [row for batch in batches for row, _ in batch]

    assert (len(loader), asked_by_itself) == (3, [1, 3, 5, 7, 9])
    assert (len(batches), asked_by_accelerate) == (5, list(range(10)))
