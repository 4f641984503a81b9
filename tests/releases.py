"""Small folders in the layouts of the collections, for tests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dermolib.io import write_image, write_mask
from drawing import noise_image

ONEHOT_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
MILK10K = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
MONET = (
    "ulceration_crust",
    "hair",
    "vasculature_vessels",
    "erythema",
    "pigmented",
    "gel_water_drop_fluid_dermoscopy_liquid",
    "skin_markings_pen_ink_purple_pen",
)
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


def write_truth(
    path: Path, codes: Mapping[str, str], columns: Sequence[str], key: str = "image"
) -> None:
    """Write a ground truth with a column for each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {key: name, **{column: float(column == code) for column in columns}}
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
    write_truth(truth, codes, ONEHOT_2018)
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
    write_truth(root / "ISIC_2019_Training_GroundTruth.csv", codes, ONEHOT_2019)
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
    write_truth(root / "ISIC_2019_Test_GroundTruth.csv", test, ONEHOT_2019)
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


Row = tuple[str, ...]
"""Id, code, lesion, patient, age, sex and site of an image, as published; empty where unknown."""

_DRAWN: Mapping[str, str] = {
    "milk10k": """
        ISIC_8149219,SCCKA,IL_0000652,,70,male,head_neck_face
        ISIC_4671410,SCCKA,IL_0000652,,70,male,head_neck_face
        ISIC_3904045,MEL,IL_0003176,,5,female,trunk
        ISIC_5371928,MEL,IL_0003176,,5,female,trunk
        ISIC_2729538,BEN_OTH,IL_0002000,,,,
        ISIC_0000007,BEN_OTH,IL_0002000,,,,""",
    "padufes": """
        PAT_8_15_820,BCC,15,PAT_8,55,FEMALE,NECK
        PAT_8_15_9,BCC,15,PAT_8,55,FEMALE,NECK
        PAT_12_15_50,NEV,15,PAT_12,8,,ARM
        PAT_30_41_611,ACK,41,PAT_30,77,MALE,LIP""",
    "bcn20000": """
        BCN_0000000001,MEL,BCN_0003884,,55.0,male,anterior torso
        BCN_0000000003,AK,BCN_0000019,,,,
        BCN_0000000004,MEL,BCN_0003884,,80.0,male,head/neck""",
    "isic_archive": """
        ISIC_0000001,Malignant::Malignant melanocytic proliferations (Melanoma)::Melanoma in situ,IL_0,IP_0,65,male,lower extremity
        ISIC_0000002,Benign::Benign melanocytic proliferations::Nevus::Nevus Spitz,IL_1,IP_0,,,
        ISIC_0000003,Indeterminate::Indeterminate melanocytic proliferations,IL_2,,40,female,head/neck
        ISIC_0000004,Benign::Benign - Other,,IP_3,35,female,posterior torso""",  # noqa: E501 - levels as published
    "onehot": """
        b,melanoma,,P1,30,,
        a 1,nevus,,P2,,female,
        c,melanoma,,P1,1,male,back""",
    "ph2": """
        IMD003,common nevus,,,,,
        IMD009,common nevus,,,,,
        IMD058,melanoma,,,,,
        IMD002,atypical nevus,,,,,""",
    "isic2016": """
        ISIC_0000000,benign,,,,,
        ISIC_0000002,malignant,,,,,
        ISIC_0000004,malignant,,,,,""",
    "isic2017": """
        ISIC_0000000,nevus,,,55,female,
        ISIC_0000002,melanoma,,,30,female,
        ISIC_0000006,seborrheic_keratosis,,,,,
        ISIC_0000007,nevus,,,25,male,""",
    "derm7pt": """
        NEL025,basal cell carcinoma,case 1,,,male,abdomen
        FAL001,melanoma (less than 0.76 mm),case 3,,,female,head neck
        GDL123,reed or spitz nevus,case 4,,,male,lower limbs
        AAL012,lentigo,case 7,,,female,back""",
    "class_folders": """
        a,NotMelanoma,,,,,
        b,Melanoma,,,,,
        c,NotMelanoma,,,,,""",
}  # fmt: skip


def drawn_rows(name: str) -> list[Row]:
    """Return the rows of the small folder of a collection."""
    return [tuple(line.strip().split(",")) for line in _DRAWN[name].strip().splitlines()]


def _columns(rows: Sequence[Row]) -> list[list[str]]:
    return [list(column) for column in zip(*rows, strict=True)]


def write_milk10k(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write MILK10k: two images of each training lesion, and of a test lesion."""
    rows = rows or drawn_rows("milk10k")
    codes = {row[2]: row[1] for row in reversed(rows)}  # another order than that of the metadata
    write_truth(root / "MILK10k_Training_GroundTruth.csv", codes, MILK10K, "lesion_id")
    _write_pairs(root, "Training", rows)
    test = [(f"ISIC_{number}", "", "IL_9", "", "60", "male", "hand") for number in (91, 92)]
    _write_pairs(root, "Test", test)
    return root


def _write_pairs(root: Path, part: str, rows: Sequence[Row]) -> None:
    """Write images, each in the folder of its lesion, and their metadata."""
    ids, _, lesions, _, ages, sexes, sites = _columns(rows)
    for seed, (name, lesion) in enumerate(zip(ids, lesions, strict=True)):
        path = root / f"MILK10k_{part}_Input" / lesion / f"{name}.jpg"
        write_image(path, noise_image(12, 16, seed))
    count = len(rows) // 2
    columns: dict[str, Sequence[Any]] = {
        "lesion_id": lesions,
        "image_type": ["clinical: close-up", "dermoscopic"] * count,
        "isic_id": ids,
        "attribution": ["MILK study team"] * len(rows),
        "copyright_license": ["CC-BY-NC"] * len(rows),
        "image_manipulation": ["altered", "instrument only"] * count,
        "age_approx": ages,
        "sex": sexes,
        "skin_tone_class": [""] * 2 + ["5"] * (len(rows) - 2),
        "site": sites,
    }
    for number, name in enumerate(MONET):
        columns[f"MONET_{name}"] = [round(number / 10 + row / 1000, 3) for row in range(len(rows))]
    write_csv(root / f"MILK10k_{part}_Metadata.csv", columns)


def write_padufes(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write PAD-UFES-20: photographs of patients whose lesions may have one number."""
    ids, codes, lesions, patients, ages, sexes, sites = _columns(rows or drawn_rows("padufes"))
    write_images(root / "imgs_part_1" / "imgs_part_1", ids[::3], ".png")  # as its zip unpacks
    write_images(root / "imgs_part_2", ids[1::3], ".png")
    write_images(root / "imgs_part_3", ids[2::3], ".png")
    columns = {
        "patient_id": patients,
        "lesion_id": lesions,
        "smoke": ["False"] * len(ids),
        "age": ages,
        "gender": sexes,
        "fitspatrick": ["2.0", *[""] * (len(ids) - 1)],
        "region": sites,
        "diameter_1": ["6.0"] * len(ids),
        "diagnostic": codes,
        "img_id": [f"{name}.png" for name in ids],
        "biopsed": ["True"] * len(ids),
    }
    write_csv(root / "metadata.csv", columns)
    return root


def write_bcn20000(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write BCN20000: training images, and a test image without a diagnosis."""
    test = [("BCN_0000000042", "", "", "", "60.0", "female", "palms/soles")]
    for split, some in (("train", rows or drawn_rows("bcn20000")), ("test", test)):
        ids, codes, lesions, _, ages, sexes, sites = _columns(some)
        write_images(root / f"BCN_20k_{split}" / f"bcn_20k_{split}", ids)
        columns = {
            "bcn_filename": [f"{name}.jpg" for name in ids],
            "age_approx": ages,
            "anatom_site_general": sites,
            "diagnosis": codes,
            "lesion_id": lesions,
            "capture_date": ["2012-05-16"] * len(ids),
            "sex": sexes,
            "split": [split] * len(ids),
        }
        kept = {name: values for name, values in columns.items() if any(values)}
        write_csv(root / f"bcn_20k_{split}.csv", kept)
    return root


def write_isic_archive(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write what the archive's tool leaves: images of any kind, and the columns that any has."""
    rows = rows or drawn_rows("isic_archive")
    ids, codes, lesions, patients, ages, sexes, sites = _columns(rows)
    write_images(root, ids)
    (root / "licenses").mkdir()
    (root / "attribution.txt").write_text("Hospital Italiano de Buenos Aires")
    levels = [[*code.split("::"), "", "", "", "", ""] for code in codes]
    columns = {
        "isic_id": ids,
        "attribution": ["Hospital Italiano de Buenos Aires"] * len(ids),
        "copyright_license": ["CC-BY"] * len(ids),
        "age_approx": ages,
        "anatom_site_general": sites,
        **{f"diagnosis_{level + 1}": [row[level] for row in levels] for level in range(5)},
        "image_type": ["dermoscopic", *["clinical: close-up"] * (len(ids) - 1)],
        "lesion_id": lesions,
        "patient_id": patients,
        "sex": sexes,
    }
    write_csv(root / "metadata.csv", {key: some for key, some in columns.items() if any(some)})
    return root


def write_onehot(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write a table of one's own: three classes, of which one has no image."""
    ids, codes, _, patients, ages, sexes, sites = _columns(rows or drawn_rows("onehot"))
    write_images(root / "images", ids, ".png")
    columns: dict[str, Sequence[Any]] = {
        "filename": [f"{name}.png" for name in ids],
        **{one: [float(code == one) for code in codes] for one in ("nevus", "melanoma", "wart")},
        **{"age": ages, "sex": sexes, "site": sites, "patient_id": patients},
    }
    write_csv(root / "clinic.csv", columns)
    return root


def write_ph2(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write PH2: a folder for each image, with its mask and the mask of a color."""
    rows = rows or drawn_rows("ph2")
    numbers = {"common nevus": 0, "atypical nevus": 1, "melanoma": 2}
    text = (
        "|| Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | ... || Colors||\n"
    )
    for name, diagnosis, *_ in rows:
        folder = root / "PH2 Dataset images" / name
        (folder / f"{name}_Dermoscopic_Image").mkdir(parents=True)
        image = Image.fromarray(noise_image(12, 16, len(text)))
        image.save(folder / f"{name}_Dermoscopic_Image" / f"{name}.bmp")
        for part, file in (("lesion", "lesion"), ("roi", "R1_Label3")):
            mask = np.zeros((12, 16), np.uint8)
            mask[3:9, 4:12] = 255
            (folder / f"{name}_{part}").mkdir()
            Image.fromarray(mask).save(folder / f"{name}_{part}" / f"{name}_{file}.bmp")
        text += f"|| {name} ||                        ||                  {numbers[diagnosis]} ||"
        text += "         0 |               T |  A |       A ||   4 ||\n"
    text += "\nLegends:\n\nHistological Diagnosis: Common Nevus, Atypical Nevus, Melanoma\n"
    (root / "PH2_dataset.txt").write_text(text)
    return root


def write_isic2016(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write ISIC 2016: words to train with and numbers to test with, neither with a header."""
    test = [("ISIC_0000003", "benign"), ("ISIC_0000012", "malignant")]
    for part, some in (("Training", rows or drawn_rows("isic2016")), ("Test", test)):
        names, codes = [row[0] for row in some], [row[1] for row in some]
        write_images(root / f"ISBI2016_ISIC_Part3_{part}_Data", names)
        write_masks(root / f"ISBI2016_ISIC_Part1_{part}_GroundTruth", names, "_Segmentation")
        if part == "Test":
            codes = [str(float(code == "malignant")) for code in codes]
        lines = [f"{name},{code}\n" for name, code in zip(names, codes, strict=True)]
        (root / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv").write_text("".join(lines))
    return root


def write_isic2017(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write ISIC 2017: superpixels and metadata lie among the images."""
    other = [("ISIC_0001769", "nevus", "", "", "35", "male", "")]
    parts = {"Training": rows or drawn_rows("isic2017"), "Validation": other, "Test_v2": other}
    for part, some in parts.items():
        names, codes, _, _, ages, sexes, _ = _columns(some)
        write_images(root / f"ISIC-2017_{part}_Data", names)
        write_masks(root / f"ISIC-2017_{part}_Data", names, "_superpixels")
        write_masks(root / f"ISIC-2017_{part}_Part1_GroundTruth", names)
        write_csv(
            root / f"ISIC-2017_{part}_Data" / f"ISIC-2017_{part}_Data_metadata.csv",
            {
                "image_id": names,
                "age_approximate": [age or "unknown" for age in ages],
                "sex": [sex or "unknown" for sex in sexes],
            },
        )
        kinds = ("melanoma", "seborrheic_keratosis")
        columns = {kind: [float(code == kind) for code in codes] for kind in kinds}
        write_csv(root / f"ISIC-2017_{part}_Part3_GroundTruth.csv", {"image_id": names, **columns})
    return root


def write_derm7pt(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write Derm7pt: two images of each case, the last one to validate, no case to test."""
    rows = rows or drawn_rows("derm7pt")
    names, codes, lesions, _, _, sexes, sites = _columns(rows)
    paths = {}
    for kind, letter in (("derm", "l"), ("clinic", "p")):
        ids = [name.replace("L", letter.upper()) for name in names]
        paths[kind] = [f"{one[:3]}/{one}.JPG" for one in ids]
        for one in ids:
            write_images(root / "images" / one[:3], [one], ".jpg")
            (root / "images" / one[:3] / f"{one}.jpg").rename(
                root / "images" / f"{one[:3]}/{one}.JPG"
            )
    columns: dict[str, Sequence[Any]] = {
        "case_num": [lesion.removeprefix("case ") for lesion in lesions],
        "diagnosis": codes,
        "seven_point_score": [number % 8 for number in range(len(names))],
        "pigment_network": ["absent"] * len(names),
        "location": sites,
        "sex": sexes,
        **paths,
        "case_id": [""] * len(names),
    }
    write_csv(root / "meta" / "meta.csv", columns)
    numbers = range(len(names))
    for split, some in (("train", numbers), ("valid", numbers[-1:]), ("test", numbers[:0])):
        write_csv(root / "meta" / f"{split}_indexes.csv", {"indexes": list(some)})
    return root


def write_class_folders(root: Path, rows: Sequence[Row] | None = None) -> Path:
    """Write a folder for each class, in folders of splits as others name them."""
    rows = rows or drawn_rows("class_folders")
    for split, some in (("train", rows), ("Valid", rows[:1]), ("testing", [("z", "Wart")])):
        for name, code, *_ in some:
            write_images(root / split / code, [name])
    (root / "train" / "logs").mkdir()
    return root
