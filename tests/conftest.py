"""What several test modules share: small images, a small challenge, the real data."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from dermolib.io import write_image, write_mask
from drawing import noise_image
from fetch_server import Server, serving

# A job in the background ignores Ctrl-C, and so would the tests that send it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_DATA = Path(os.environ.get("DERMOLIB_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    if not (_DATA / "isic_challenge" / "metadataTrain.csv").exists():
        pytest.skip("the real images may not be copied into the repository; set DERMOLIB_DATA")
    return _DATA


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    """Write a challenge of six training and two test images of 12 x 16 px."""
    root = tmp_path / "challenge"
    train = pd.DataFrame(
        {
            "ID": [f"IMG_{number}" for number in range(6)],
            "CLASS": [1, 2, 3, 8, 2, 2],
            "SEX": ["male", "female", "nan", "male", "female", "male"],
            "AGE": ["30.0", "nan", "55.0", "85.0", "5.0", "0.0"],
            "POSITION": ["nan", "head/neck", "palms/soles", "head/neck", "nan", "lateral torso"],
        }
    )
    test = train.iloc[:2].drop(columns="CLASS").assign(ID=["TEST_0", "TEST_1"])
    lesions = pd.DataFrame(
        {"ID": train["ID"], "LESION_ID": ["L0", "L1", "", "L1", "L2", ""]},
    )
    for side, table in (("Train", train), ("Test", test)):
        (root / side).mkdir(parents=True)
        table.to_csv(root / f"metadata{side}.csv", index=False)
        for seed, name in enumerate(table["ID"]):
            write_image(root / side / f"{name}.jpg", noise_image(12, 16, seed))
    for name in train["ID"]:
        mask = np.zeros((12, 16), dtype=np.bool_)
        mask[3:9, 4:12] = True
        write_mask(root / "Train" / f"{name}_seg.png", mask)
    lesions.to_csv(root / "lesion_ids.csv", index=False)
    return root


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """Give a file server on this machine, without files."""
    shared_server.places.clear()
    shared_server.asked.clear()
    return shared_server


@pytest.fixture
def opencv_threads() -> Iterator[None]:
    """Give OpenCV its threads back after a benchmark that takes them from it."""
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)
