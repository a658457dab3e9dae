"""Masks of single objects by a salient-object network, for photographs that have none.

Photographs of one clear object each, such as those of Caltech-101, show many categories, but
without masks. A network of the U2-Net family (Qin et al. 2020) finds the object in most of them. A
photograph is left out where the map is not confident, or the object is tiny or fills the image.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.resizing import resize_image
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.backbones import TORCHVISION
from cosseg_jax.types import Ndarray

MIN_CONFIDENCE = 0.85  # the mean of |2p - 1| over an image
MIN_SHARE, MAX_SHARE = 0.04, 0.75  # of an image that its object covers
DOUBT = 0.15  # around 0.5, where a pixel is void


@runtime_checkable
class Saliency(Protocol):
    """Finds the salient object in an image of S x S pixels; see `SaliencyNetwork`."""

    image_size: int

    def __call__(self, image: UInt8[Ndarray, "S S 3"]) -> Float[Ndarray, "S S"]: ...


class SaliencyNetwork:
    """A network with the inputs and outputs of U2-Net, run by onnxruntime on the CPU.

    image_size: S, the side of its input.

    Raises:
        ImportError: without onnxruntime.
        MissingFileError: if the file does not exist.
        UserError: for a network with other inputs.
    """

    def __init__(self, onnx_file: str | Path):
        import onnxruntime

        if not Path(onnx_file).is_file():
            raise MissingFileError(f"--saliency_onnx is {onnx_file}, which does not exist")
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # threads that decode need the cores
        session = onnxruntime.InferenceSession(
            os.fspath(onnx_file), options, providers=["CPUExecutionProvider"]
        )
        [network_input] = session.get_inputs()
        *_, height, width = network_input.shape
        if len(network_input.shape) != 4 or height != width or not isinstance(height, int):
            raise UserError(
                f"{onnx_file} takes inputs of shape {network_input.shape}; give a network that "
                "takes [1, 3, S, S], as U2-Net does"
            )
        first = session.get_outputs()[0].name
        self.image_size = height
        self._run = lambda x: session.run([first], {network_input.name: x})[0]

    def __call__(self, image: UInt8[Ndarray, "S S 3"]) -> Float[Ndarray, "S S"]:
        """The probability of every pixel, 0..1."""
        return saliency_map(self._run, image)


def saliency_map(run: Callable[[np.ndarray], Any], image: UInt8[Ndarray, "S S 3"]) -> np.ndarray:
    """The map of a network from [1, 3, S, S] to [1, 1, S, S], as U2-Net documents it.

    The image is divided by its largest value and normalised by ImageNet's mean and standard
    deviation; the map is stretched to 0..1.
    """
    mean = np.array(TORCHVISION.mean, np.float32)
    std = np.array(TORCHVISION.std, np.float32)
    x = image.astype(np.float32) / max(int(image.max()), 1)
    x = ((x - mean) / std).transpose(2, 0, 1)[None]  # [1, 3, S, S]
    found = np.asarray(run(x), np.float32)[0, 0]  # [S, S]
    return (found - found.min()) / max(float(np.ptp(found)), 1e-6)


def pseudo_mask(network: Saliency, image: UInt8[Ndarray, "H W 3"]) -> Float[Ndarray, "S S"] | None:
    """The map of an image whose object the network is sure of; None for another image."""
    found = network(resize_image(image, network.image_size))
    sure = np.abs(2 * found - 1).mean() > MIN_CONFIDENCE
    share = (found > 0.5).mean()
    return found if sure and MIN_SHARE < share < MAX_SHARE else None


def object_and_void(
    probability: Float[Ndarray, "H W"],
) -> tuple[Bool[Ndarray, "H W"], Bool[Ndarray, "H W"]]:
    """The object's pixels, and those that may or may not belong to it."""
    return probability > 0.5, np.abs(probability - 0.5) < DOUBT
