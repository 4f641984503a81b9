"""The picture network as a torch module, with the weights of the one file in the package."""

import functools
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from dermolib.preprocessing.artifacts import ARTIFACTS
from dermolib.preprocessing.picture_torch import PictureNetwork

__all__ = ["load_picture_network", "network_on"]


def load_picture_network() -> PictureNetwork:
    """Build the network with the weights that OpenCV runs, on the CPU.

    Normalizations are folded into the convolutions before them there, as in this network then.
    """
    network = PictureNetwork()
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    parameters = dict(network.named_parameters())
    constants = []
    for name, blobs in _layers():
        if f"{name}.weight" in parameters:
            for which, blob in zip(("weight", "bias"), blobs, strict=False):
                _fill(parameters[f"{name}.{which}"], blob)
        else:
            constants += blobs
    scale, shift = (one for one in constants if one.size == len(ARTIFACTS) + 1)
    (power,) = (one for one in constants if one.size == len(ARTIFACTS))
    _fill(network.scale, scale)
    _fill(network.shift, shift)
    _fill(network.sharpness, np.log(np.expm1(power - 0.1)))
    return network.eval().requires_grad_(False)


@functools.cache
def network_on(device: torch.device) -> PictureNetwork:
    """Load the network once for each device."""
    with torch.inference_mode(False):  # or other modes could not use it
        return load_picture_network().to(device)


def _fold(layers: nn.Sequential) -> None:
    """Give convolutions the bias of the normalizations after them, and take these away."""
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[number] = nn.Identity()
            layers[number - 1].bias = nn.Parameter(torch.zeros(layer.num_features))


def _fill(parameter: Any, values: npt.NDArray[np.float32]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.copy()).reshape(parameter.shape))


def _layers() -> list[tuple[str, list[npt.NDArray[np.float32]]]]:
    """List what OpenCV reads of each layer with weights, by the name of the module."""
    file = resources.files("dermolib.preprocessing") / "picture.onnx"
    # The newer engine does not hand out weights; versions before 5 have no other, under any name
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    with resources.as_file(file) as path:
        options = {} if classic is None else {"engine": classic}
        net: cv2.dnn.Net = cv2.dnn.readNetFromONNX(str(path), **options)
    layers = [net.getLayer(net.getLayerId(name)) for name in net.getLayerNames()]
    return [
        (_module_of(layer.name), [np.asarray(blob, np.float32) for blob in layer.blobs])
        for layer in layers
        if layer.blobs
    ]


def _module_of(node: str) -> str:
    """Find the module that made a node such as ``/stages.0/stages.0.1/layers/layers.2/Conv``."""
    parts = list[str]()
    for part in node.removeprefix("onnx_node!").strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)
