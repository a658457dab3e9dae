"""What one could have instead of a trained network, each as a `Predict` of the evaluator.

    middle_box   half of each side, in the middle
    prior        the spatial modulator's S on ImageNet features, where S > 0 (section 3.2)
    kmeans       clusters of the same features over the whole group; one of them is the object
    saliency     a salient-object network of the family of U2-Net (Qin et al. 2020), as ONNX

`prior` and `kmeans` look at the group. The other two see one photograph at a time.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from cosseg_jax.evaluation.evaluator import Predict
from cosseg_jax.models.backbones import TORCHVISION, create_backbone, normalise_images
from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.types import FeatureMaps, GroupMasks, Ndarray

RANDOM = "random"  # instead of ImageNet weights, to try the programs
TOGETHER = 5  # photographs that the backbone sees at once, so that it is compiled once
RESTARTS = 4  # of k-means


class Method(NamedTuple):
    """A way to masks. sees_group: whether a photograph's mask depends on the others'."""

    predict: Predict
    image_size: int
    sees_group: bool


class Features:
    """Maps of a backbone, each descriptor of length 1; each photograph is computed once.

    They are kept in half precision: with ResNet-50 at stride 16 and 224 pixels 0.4 MB a photograph.

    backbone: a name of `models.backbones.BACKBONES`.
    pretrained, data_dir: as `models.pretrained.load_pretrained` takes them, or `RANDOM`.
    strides: of the maps that will be asked for.
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
            return {stride: _of_length_1(jnp.asarray(maps[i])) for stride, i in levels.items()}

        self._compute = lambda images: compute(variables, images)
        self._known: dict[bytes, dict[int, np.ndarray]] = {}

    def __call__(
        self, images: UInt8[Ndarray, "B N H W 3"], stride: int
    ) -> Float[Ndarray, "B N h w C"]:
        """The maps of one stride, float16."""
        flat = images.reshape(-1, *images.shape[2:])  # [B*N, H, W, 3]
        keys = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in flat]
        missing = {key: i for i, key in enumerate(keys) if key not in self._known}
        places = list(missing.values())
        for start in range(0, len(places), TOGETHER):
            chunk = places[start : start + TOGETHER]
            filled = np.resize(chunk, TOGETHER)  # repeated, to one shape
            maps = jax.device_get(self._compute(flat[filled]))
            for row, place in enumerate(chunk):
                self._known[keys[place]] = {s: maps[s][row] for s in maps}
        found = np.stack([self._known[key][stride] for key in keys])
        return found.reshape(*images.shape[:2], *found.shape[1:])  # [B, N, h, w, C]


def middle_box(image_size: int = 224) -> Method:
    """The box between the first and the last quarter of either side."""

    def predict(images: UInt8[Ndarray, "B N S S 3"]) -> GroupMasks:
        box = np.zeros(images.shape[:-1], np.float32)
        quarter = image_size // 4
        box[:, :, quarter:-quarter, quarter:-quarter] = 1
        return GroupMasks(box, _no_prior(images))

    return Method(predict, image_size, sees_group=False)


def prior(features: Features, stride: int, image_size: int = 224) -> Method:
    """S of the modulator's default options, nothing trained; the probability is sigmoid(S)."""

    @jax.jit
    def compute(maps: Array) -> GroupMasks:
        prior = spatial_modulator(maps, SpatialOptions()).values
        return GroupMasks(jax.nn.sigmoid(_enlarged(prior, image_size)), prior)

    return Method(lambda images: compute(features(images, stride)), image_size, sees_group=True)


def kmeans(features: Features, stride: int, clusters: int = 2, image_size: int = 224) -> Method:
    """k-means over the group's descriptors; see `object_cells` for which cluster is the object.

    Raises ImportError without scikit-learn.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    def cells(maps: Float[Ndarray, "N h w C"]) -> np.ndarray:
        solver = KMeans(clusters, n_init=RESTARTS, random_state=0)
        x = maps.reshape(-1, maps.shape[-1]).astype(np.float32)  # [N*h*w, C]
        with threadpool_limits(1):  # threads that wait for each other take longer than the work
            labels = solver.fit_predict(x)
        return object_cells(labels.reshape(maps.shape[:-1]))  # [N, h, w]

    def predict(images: UInt8[Ndarray, "B N S S 3"]) -> GroupMasks:
        found = np.stack([cells(maps) for maps in features(images, stride)])  # [B, N, h, w]
        prior = found.astype(np.float32)
        return GroupMasks(_enlarged(jnp.asarray(prior), image_size), 2 * prior - 1)

    return Method(predict, image_size, sees_group=True)


def object_cells(labels: Int[Ndarray, "N h w"]) -> Ndarray:
    """True on the cluster with the least share of its own cells on the photographs' borders."""
    border = np.ones(labels.shape, bool)
    border[:, 1:-1, 1:-1] = False
    names = np.unique(labels)
    shares = [border[labels == name].mean() for name in names]
    return labels == names[int(np.argmin(shares))]


def saliency(onnx_file: str | Path) -> Method:
    """A network of U2-Net's inputs and outputs, by onnxruntime on the processors.

    Raises ImportError without onnxruntime, FileNotFoundError without the file, ValueError for a
    network of other inputs.
    """
    import onnxruntime

    if not Path(onnx_file).is_file():
        raise FileNotFoundError(f"--saliency_onnx names {onnx_file}, and there is no such file")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others decode
    session = onnxruntime.InferenceSession(
        os.fspath(onnx_file), options, providers=["CPUExecutionProvider"]
    )
    [entry] = session.get_inputs()
    *_, height, width = entry.shape
    if len(entry.shape) != 4 or height != width or not isinstance(height, int):
        raise ValueError(f"{onnx_file} takes {entry.shape}; expected [1, 3, S, S] as of U2-Net")
    first = session.get_outputs()[0].name
    return saliency_of(lambda x: session.run([first], {entry.name: x})[0], height)


def saliency_of(run: Callable[[np.ndarray], Any], image_size: int) -> Method:
    """The method of a network from [1, 3, S, S] to [1, 1, S, S], prepared as U2-Net documents it.

    A photograph is divided by its greatest value and normalised by ImageNet's mean and standard
    deviation; the map is stretched to 0..1.
    """

    mean = np.array(TORCHVISION.mean, np.float32)[None, None]  # [1, 1, 3]
    std = np.array(TORCHVISION.std, np.float32)[None, None]  # [1, 1, 3]

    def predict_one(image: UInt8[Ndarray, "S S 3"]) -> np.ndarray:
        x = image.astype(np.float32) / max(int(image.max()), 1)
        x = ((x - mean) / std).transpose(2, 0, 1)[None]  # [1, 3, S, S]
        found = np.asarray(run(x), np.float32)[0, 0]  # [S, S]
        return (found - found.min()) / max(float(np.ptp(found)), 1e-6)

    def predict(images: UInt8[Ndarray, "B N S S 3"]) -> GroupMasks:
        maps = [predict_one(image) for image in images.reshape(-1, *images.shape[2:])]
        return GroupMasks(np.stack(maps).reshape(images.shape[:-1]), _no_prior(images))

    return Method(predict, image_size, sees_group=False)


def _variables(network: Any, backbone: str, pretrained: str, data_dir: str | Path | None) -> Any:
    images = jnp.zeros((1, 64, 64, 3))
    if pretrained == RANDOM:
        return jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    return load_pretrained(pretrained, backbone, shapes, data_dir)


def _of_length_1(x: Float[Array, "M h w C"]) -> Float[Array, "M h w C"]:
    length = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return (x / jnp.maximum(length, 1e-6)).astype(jnp.float16)


def _enlarged(maps: Float[Array, "B N h w"], side: int) -> Float[Array, "B N S S"]:
    return jax.image.resize(maps, (*maps.shape[:2], side, side), "linear")


def _no_prior(images: UInt8[Ndarray, "B N S S 3"]) -> np.ndarray:
    return np.zeros((*images.shape[:2], 1, 1), np.float32)
