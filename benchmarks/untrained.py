"""Methods without training that stand in for a network, each as a function from a group to masks.

    middle_box   a centred box with half of the image's height and width
    prior        the spatial modulator's S on ImageNet features (section 3.2); S > 0 is the object
    kmeans       clusters of the same features over the whole group; one of them is the object
    saliency     a salient-object network of the U2-Net family (Qin et al. 2020), as ONNX

`prior` and `kmeans` use the group. The other two see one image at a time.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from cosseg_jax.data.pseudo_masks import SaliencyNetwork
from cosseg_jax.models.backbones import create_backbone, normalise_images
from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.types import FeatureMaps, Ndarray

RANDOM = "random"  # instead of ImageNet weights, for trying the programs
CHUNK = 5  # images that the backbone sees at once, so that it is compiled once
RESTARTS = 4  # of k-means
PRIORS = {
    "prior": SpatialOptions(),
    "principal direction": SpatialOptions(descriptors="centred", sign="activation"),
}

Maps = tuple[Float[Array | Ndarray, "N S S"], Float[Array | Ndarray, "N h w"]]


class Method(NamedTuple):
    """A way to segment groups.

    predict: from the images [N, S, S, 3] of a group to probability maps and a spatial prior.
    image_size: S.
    uses_group: whether the mask of an image depends on the other images.
    """

    predict: Callable[[UInt8[Ndarray, "N S S 3"]], Maps]
    image_size: int
    uses_group: bool


class Features:
    """The feature maps of a backbone; every image is computed once.

    They are kept in half precision: 0.4 MB per image with ResNet-50 at stride 16 and 224 pixels.

    backbone: a name in `models.backbones.BACKBONES`.
    pretrained, data_dir: as for `models.pretrained.load_pretrained`, or `RANDOM`.
    strides: those of the maps that will be used.
    """

    def __init__(
        self,
        backbone: str,
        pretrained: str,
        strides: Sequence[int],
        data_dir: str | Path | None = None,
    ):
        network = create_backbone(backbone)
        variables = _variables(network, backbone, pretrained, data_dir)
        levels = {stride: STRIDES.index(stride) for stride in strides}

        @jax.jit
        def compute(variables: Any, images: Array) -> dict[int, Array]:
            x = normalise_images(images.astype(jnp.float32) / 255, backbone)
            maps = cast(FeatureMaps, network.apply(variables, x, train=False))
            return {s: jnp.asarray(maps[i]).astype(jnp.float16) for s, i in levels.items()}

        self._compute = lambda images: compute(variables, images)
        self._known: dict[bytes, dict[int, np.ndarray]] = {}

    def __call__(self, images: UInt8[Ndarray, "N H W 3"], stride: int) -> Float[Ndarray, "N h w C"]:
        """The maps at one stride, in float16."""
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        missing = {key: i for i, key in enumerate(keys) if key not in self._known}
        places = list(missing.values())
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            filled = np.resize(chunk, CHUNK)  # repeats some, so that the shape is always the same
            maps = jax.device_get(self._compute(images[filled]))
            for row, place in enumerate(chunk):
                self._known[keys[place]] = {s: maps[s][row] for s in maps}
        return np.stack([self._known[key][stride] for key in keys])  # [N, h, w, C]


def middle_box(image_size: int = 224) -> Method:
    """The box between the first and the last quarter of both sides."""

    def predict(images: UInt8[Ndarray, "N S S 3"]) -> Maps:
        box = np.zeros(images.shape[:-1], np.float32)
        quarter = image_size // 4
        box[:, quarter:-quarter, quarter:-quarter] = 1
        return box, _no_prior(images)

    return Method(predict, image_size, uses_group=False)


def prior(
    features: Features,
    stride: int,
    image_size: int = 224,
    options: SpatialOptions = PRIORS["prior"],
) -> Method:
    """S of the spatial modulator without any training; the probability is sigmoid(S)."""

    @jax.jit
    def compute(maps: Array) -> Maps:
        [values] = spatial_modulator(maps[None], options).values  # [N, h, w]
        return jax.nn.sigmoid(_enlarged(values, image_size)), values

    return Method(lambda images: compute(features(images, stride)), image_size, uses_group=True)


def kmeans(features: Features, stride: int, clusters: int = 2, image_size: int = 224) -> Method:
    """k-means over the group's descriptors of length 1; `object_cells` chooses the object.

    Raises ImportError without scikit-learn.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    def cells(maps: Float[Ndarray, "N h w C"]) -> np.ndarray:
        solver = KMeans(clusters, n_init=RESTARTS, random_state=0)
        x = maps.reshape(-1, maps.shape[-1]).astype(np.float32)  # [N*h*w, C]
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
        with threadpool_limits(1):  # with more threads, waiting takes longer than the work
            labels = solver.fit_predict(x)
        return object_cells(labels.reshape(maps.shape[:-1]))  # [N, h, w]

    def predict(images: UInt8[Ndarray, "N S S 3"]) -> Maps:
        found = cells(features(images, stride)).astype(np.float32)  # [N, h, w]
        return _enlarged(jnp.asarray(found), image_size), 2 * found - 1

    return Method(predict, image_size, uses_group=True)


def object_cells(labels: Int[Ndarray, "N h w"]) -> Ndarray:
    """True on the cluster with the smallest share of its cells on the images' borders."""
    border = np.ones(labels.shape, bool)
    border[:, 1:-1, 1:-1] = False
    names = np.unique(labels)
    shares = [border[labels == name].mean() for name in names]
    return labels == names[int(np.argmin(shares))]


def saliency(onnx_file: str | Path) -> Method:
    """A salient-object network of the U2-Net family; raises as `SaliencyNetwork` does."""
    network = SaliencyNetwork(onnx_file)

    def predict(images: UInt8[Ndarray, "N S S 3"]) -> Maps:
        return np.stack([network(image) for image in images]), _no_prior(images)

    return Method(predict, network.image_size, uses_group=False)


def _variables(network: Any, backbone: str, pretrained: str, data_dir: str | Path | None) -> Any:
    images = jnp.zeros((1, 64, 64, 3))
    if pretrained == RANDOM:
        return jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    return load_pretrained(pretrained, backbone, shapes, data_dir)


def _enlarged(maps: Float[Array, "N h w"], side: int) -> Float[Array, "N S S"]:
    return jax.image.resize(maps, (maps.shape[0], side, side), "linear")


def _no_prior(images: UInt8[Ndarray, "N S S 3"]) -> np.ndarray:
    return np.zeros((len(images), 1, 1), np.float32)
