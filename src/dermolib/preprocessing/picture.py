"""What a picture shows, found by one small network that OpenCV runs: no torch is loaded.

The weights lie beside this module as ONNX, in half precision.
"""

import threading
from importlib import resources
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from dermolib._validation import Image
from dermolib.io import resize_image

__all__ = ["OUTPUTS", "SIDE", "Picture", "look"]

SIDE = 224
"""Side in px of the square that an image is brought to for the network."""

OUTPUTS = ("lesion", "presence", "artifacts", "where")
"""Outputs of the network, all in logits."""

_nets = threading.local()


class Picture(NamedTuple):
    """What the network sees in an image, squeezed into a square; all are probabilities.

    Attributes:
        lesion: That a pixel belongs to the lesion (SIDE / 2, SIDE / 2), float32.
        presence: That there is a lesion.
        artifacts: Of each of `ARTIFACTS`, calibrated (7,), float32.
        where: Of each of them, by place (7, SIDE / 8, SIDE / 8), float32; not calibrated.
    """

    lesion: npt.NDArray[np.float32]
    presence: float
    artifacts: npt.NDArray[np.float32]
    where: npt.NDArray[np.float32]


def look(image: Image) -> Picture:
    """Let the network look at an image (H, W, 3), uint8."""
    small = np.ascontiguousarray(resize_image(image, (SIDE, SIDE)))
    net = _net()
    net.setInput(cv2.dnn.blobFromImage(small))
    lesion, presence, artifacts, where = (
        _probabilities(np.asarray(logits, np.float32)) for logits in net.forward(OUTPUTS)
    )
    return Picture(lesion[0, 0], presence.item(), artifacts[0], where[0])


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)


def _net() -> cv2.dnn.Net:
    """Give this thread its own network: OpenCV's are not made for several threads at once."""
    if not hasattr(_nets, "net"):
        file = resources.files("dermolib.preprocessing") / "picture.onnx"
        data = np.frombuffer(file.read_bytes(), np.uint8)
        _nets.net = cv2.dnn.readNetFromONNX(data)
    net: cv2.dnn.Net = _nets.net
    return net
