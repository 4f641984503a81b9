"""Small folders in the layouts of the collections, for tests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermolib.io import write_image, write_mask
from drawing import noise_image

ONEHOT_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
ONEHOT_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def write_images(folder: Path, names: Sequence[str], ending: str = ".jpg") -> None:
    """Write an image of 12 x 16 px for each name."""
    for seed, name in enumerate(names):
        write_image(folder / f"{name}{ending}", noise_image(12, 16, seed))


def write_masks(folder: Path, names: Sequence[str], tail: str = "_segmentation") -> None:
    """Write a mask for each name."""
    for name in names:
        mask = np.zeros((12, 16), np.bool_)
        mask[3:9, 4:12] = True
        write_mask(folder / f"{name}{tail}.png", mask)


def write_onehot(path: Path, codes: Mapping[str, str], columns: Sequence[str]) -> None:
    """Write a ground truth with a column for each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"image": name, **{column: float(column == code) for column in columns}}
        for name, code in codes.items()
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)


def write(name: str, root: Path) -> Path:
    """Write the small folder of a collection by its name."""
    writer: Callable[[Path], Path] = globals()[f"write_{name}"]
    return writer(root)


def write_ham10000(root: Path) -> Path:
    """Write HAM10000: four images in two folders, with masks."""
    names = [f"ISIC_{number}" for number in range(4)]
    write_images(root / "HAM10000_images_part_1", names[:2])
    write_images(root / "HAM10000_images_part_2", names[2:])
    write_masks(root / "HAM10000_segmentations_lesion_tschandl", names)
    write_csv(
        root / "HAM10000_metadata.csv",
        {
            "lesion_id": ["HAM_0", "HAM_0", "HAM_1", "HAM_2"],
            "image_id": names,
            "dx": ["bkl", "bkl", "akiec", "nv"],
            "dx_type": ["histo", "histo", "histo", "follow_up"],
            "age": ["80.0", "80.0", "", "0.0"],
            "sex": ["male", "male", "unknown", "female"],
            "localization": ["scalp", "scalp", "trunk", "unknown"],
            "dataset": ["vidir_modern"] * 4,
        },
    )
    return root


def write_isic2018(root: Path) -> Path:
    """Write task 3 of 2018: three training images and a test image without truth."""
    codes = {"ISIC_1": "NV", "ISIC_2": "AKIEC", "ISIC_3": "MEL"}
    prefix = "ISIC2018_Task3_Training"
    write_images(root / f"{prefix}_Input", list(codes))
    truth = root / f"{prefix}_GroundTruth" / f"{prefix}_GroundTruth.csv"
    write_onehot(truth, codes, ONEHOT_2018)
    write_csv(
        root / f"{prefix}_LesionGroupings.csv",
        {
            "image": list(codes),
            "lesion_id": ["HAM_1", "HAM_2", "HAM_1"],
            "diagnosis_confirm_type": ["histopathology"] * 3,
        },
    )
    write_images(root / "ISIC2018_Task3_Test_Input", ["ISIC_9"])
    write_images(root / "ISIC2018_Task1-2_Training_Input", ["ISIC_5", "ISIC_4"])
    write_masks(root / "ISIC2018_Task1_Training_GroundTruth", ["ISIC_4", "ISIC_5"])
    return root


def write_isic2019(root: Path) -> Path:
    """Write 2019: four training images, one of them shrunk, and three test images, one unknown."""
    codes = {"ISIC_1_downsampled": "MEL", "ISIC_2": "SCC", "ISIC_3": "AK", "ISIC_4": "NV"}
    write_images(root / "ISIC_2019_Training_Input", list(codes))
    write_onehot(root / "ISIC_2019_Training_GroundTruth.csv", codes, ONEHOT_2019)
    write_csv(
        root / "ISIC_2019_Training_Metadata.csv",
        {
            "image": ["ISIC_4", "ISIC_3", "ISIC_2", "ISIC_1_downsampled"],  # another order
            "age_approx": ["40", "", "85", "5"],
            "anatom_site_general": ["anterior torso", "", "head/neck", "upper extremity"],
            "lesion_id": ["HAM_7", "BCN_1", "BCN_1", ""],
            "sex": ["female", "", "male", "male"],
        },
    )
    test = {"ISIC_7": "UNK", "ISIC_8": "NV", "ISIC_9": "DF"}
    write_images(root / "ISIC_2019_Test_Input", list(test))
    write_onehot(root / "ISIC_2019_Test_GroundTruth.csv", test, ONEHOT_2019)
    write_csv(
        root / "ISIC_2019_Test_Metadata.csv",
        {
            "image": list(test),
            "age_approx": ["40", "", "85"],
            "anatom_site_general": ["anterior torso", "", "head/neck"],
            "sex": ["female", "", "male"],
        },
    )
    return root


def write_isic2020(root: Path) -> Path:
    """Write 2020: four training images of three patients, and a test image."""
    names = [f"ISIC_{number}" for number in range(4)]
    write_images(root / "train", names)
    write_csv(
        root / "ISIC_2020_Training_GroundTruth_v2.csv",
        {
            "image_name": names,
            "patient_id": ["IP_0", "IP_0", "IP_1", "IP_2"],
            "lesion_id": ["IL_0", "IL_1", "IL_2", "IL_3"],
            "sex": ["male", "male", "female", ""],
            "age_approx": ["45", "45", "50", ""],
            "anatom_site_general_challenge": ["torso", "head/neck", "palms/soles", ""],
            "diagnosis": ["unknown", "melanoma", "solar lentigo", "lentigo NOS"],
            "benign_malignant": ["benign", "malignant", "benign", "benign"],
            "target": [0, 1, 0, 0],
        },
    )
    write_images(root / "test", ["ISIC_8"])
    write_csv(
        root / "ISIC_2020_Test_Metadata.csv",
        {"image": ["ISIC_8"], "patient": ["IP_9"], "age_approx": [60], "sex": ["male"]},
    )
    return root


def write_isic2024(root: Path) -> Path:
    """Write 2024: four training images in an HDF5 file."""
    import h5py

    names = [f"ISIC_{number}" for number in range(4)]
    write_images(root / "single", names)
    with h5py.File(root / "train-image.hdf5", "w") as file:
        for name in names:
            file[name] = np.void((root / "single" / f"{name}.jpg").read_bytes())
    write_csv(
        root / "train-metadata.csv",
        {
            "isic_id": names,
            "target": [0, 1, 1, 0],
            "patient_id": ["IP_0", "IP_0", "IP_1", "IP_2"],
            "age_approx": ["60.0", "60.0", "", "45.0"],
            "sex": ["male", "male", "", "female"],
            "anatom_site_general": ["lower extremity", "", "head/neck", "posterior torso"],
            "lesion_id": ["", "IL_1", "IL_2", ""],
            "iddx_full": [
                "Benign",
                "Malignant::Malignant epidermal proliferations::Squamous cell carcinoma, Invasive",
                "Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma in situ"
                "::Melanoma in situ, Superficial spreading",
                "Benign::Cysts",
            ],
        },
    )
    return root
