"""Use dermolib with its core alone; `nox -s light` runs this in such an environment."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

import dermolib
from dermolib.io import read_image, write_image
from dermolib.reporting import write_submission

ABSENT = ("torch", "torchvision", "lightning", "albumentations", "timm", "skimage", "h5py")
EXTRAS = {
    "Trainer": "train",
    "build_model": "train",
    "preset": "train",
    "OcclusionRemoval": "train",
    "BatchAugmentation": "train",
    "WeightedAccuracy": "train",
    "make_loader": "train",
}


def run(*arguments: str, expected: int = 0) -> None:
    """Run the command line, and print the last line that it prints."""
    command = [sys.executable, "-m", "dermolib", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    print("$ dermolib", *arguments, f"-> {done.returncode}:", *done.stdout.splitlines()[-1:])
    assert done.returncode == expected, done.stderr


def main() -> None:
    """Run what the core promises, and read the errors of what it lacks."""
    assert not [name for name in ABSENT if importlib.util.find_spec(name)]
    root = dermolib.make_synthetic_challenge("challenge", images_per_class=2, image_size=96, seed=0)
    data = dermolib.ISICDataset.from_challenge(root)
    print(f"import dermolib {dermolib.__version__}: {len(data)} images, {data.class_counts()}")
    assert data[0]["image"].shape == (96, 96, 3)
    train, test = dermolib.grouped_split(data, fractions=(0.5, 0.5), seed=0)
    assert len(train) + len(test) == len(data)
    run("hair", f"{root}/Train", "clean")
    assert (Path("clean") / "hair.csv").exists()
    run("hair", "nowhere", "clean2", expected=2)
    run("audit", str(root))
    run("prepare", f"{root}/Train", "store", "--image-size", "32", "--step", "shades_of_gray")
    run("download", "ham10000", "--list")
    write_submission("answer.csv", ["a", "b"], [[0.25, 0.75], [1.0, 0.0]], form="isic2024")
    Path("truth.csv").write_text("isic_id,target\na,1\nb,0\n", encoding="utf-8")
    Path("lesions.csv").write_text("isic_id,lesion_id\na,1\nb,2\n", encoding="utf-8")
    run("score", "truth.csv", "answer.csv", "--groups", "lesions.csv", "--by", "lesion_id")
    run("compare", "answer.csv", "answer.csv", "--truth", "truth.csv", "--metric", "accuracy")
    image = np.full((64, 64, 3), 200, np.uint8)
    image[:, 30] = 40
    write_image("hair.png", image)
    clean = dermolib.occlusion_removal(read_image("hair.png"))
    assert clean.min() > 150, "the drawn hair is still there"
    for name, extra in EXTRAS.items():
        try:
            getattr(dermolib, name)
        except ImportError as error:
            print(f"dermolib.{name}: {error}")
            assert f"pip install 'dermolib[{extra}]'" in str(error)
        else:
            raise AssertionError(f"dermolib.{name} loaded without its extra")


if __name__ == "__main__":
    main()
