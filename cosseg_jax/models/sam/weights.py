"""The published weights of MobileSAM in our variables: all of them, or an error that lists names.

Two kinds of files, in the naming of the authors:

    *.pt, *.pth    a state dict of PyTorch, as the published mobile_sam.pt; no code in its pickle is
                   ever run
    *.npz          the same tensors as numpy arrays; kernels may be float16

Names on both sides correspond: `params/mask_decoder/transformer/layers_0/mlp/lin1/kernel` is
`mask_decoder.transformer.layers.0.mlp.lin1.weight` there.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.fit import check_fit
from cosseg_jax.models.pretrained.torch_files import read_state_dict
from cosseg_jax.models.sam.prompts import Prompts
from cosseg_jax.models.sam.sam import Sam
from cosseg_jax.models.traces import kept_shapes

Weights = dict[str, np.ndarray]

LEAVES = {  # the last parts of our names and of the file's
    "kernel": ".weight",
    "scale": ".weight",
    "embedding": ".weight",
    "bias": ".bias",
    "mean": ".running_mean",
    "var": ".running_var",
    "attention_biases": ".attention_biases",
    "positional_encoding_gaussian_matrix": ".positional_encoding_gaussian_matrix",
}
# What the file holds beside the network: TinyViT's head for ImageNet, and a counter.
LEFT_OUT = re.compile(r"image_encoder\.(norm_head|head)\..*|.*\.num_batches_tracked")
UPSCALING = re.compile(r"/output_upscaling_\d/")  # transposed convolutions

# Axes of the file's kernels in the order of ours.
CONVOLUTION = (2, 3, 1, 0)  # [out, in, kh, kw] as [kh, kw, in, out]
TRANSPOSED_CONVOLUTION = (2, 3, 0, 1)  # [in, out, kh, kw] likewise
PRODUCT = (1, 0)  # [out, in] as [in, out]


def load_sam(path: str | Path, sam: Sam) -> dict[str, Any]:
    """The variables of `sam`, "params" and "batch_stats", from a .pt, .pth or .npz file.

    Raises UserError where names or shapes do not agree or a file cannot be read, MissingFileError
    for a missing file.
    """
    return from_torch(read_weights(Path(path)), shapes_of(sam), str(path))


def shapes_of(sam: Sam) -> dict[str, Any]:
    """The variables of `sam` as shapes, without computing any."""

    def initial() -> Any:
        prompts = Prompts(np.zeros((1, 1, 1, 2), np.float32), np.zeros((1, 1, 1), np.int32))
        return sam.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), prompts)

    return kept_shapes(initial, f"SAM {sam}")


def read_weights(path: Path) -> Weights:
    """The arrays of a file by the names in it, in PyTorch's layout.

    Raises UserError for a file that cannot be read or is of another kind, MissingFileError for a
    missing one.
    """
    path = path.expanduser()
    if path.suffix not in (".pt", ".pth", ".npz"):
        raise UserError(f"{path} is no file of SAM's weights; give a .pt, .pth or .npz file")
    if not path.is_file():
        raise MissingFileError(f"there is no file of SAM's weights at {path}")
    return read_npz(path) if path.suffix == ".npz" else read_state_dict(path)


def from_torch(arrays: Weights, like: Mapping[str, Any], source: str = "file") -> dict[str, Any]:
    """Variables of the shapes and dtypes of `like` from arrays by the names of the published file.

    Raises UserError with the names and shapes on which the two sides disagree.
    """
    wanted: dict[str, Any] = flatten_dict(dict(like), sep="/")
    ours = {published_name(name): name for name in wanted}
    found = {
        ours.get(name, name): _permuted(array, _axes(ours.get(name, ""), array.ndim))
        for name, array in arrays.items()
        if not LEFT_OUT.fullmatch(name)
    }
    check_fit(source, "MobileSAM", found, wanted)
    return unflatten_dict(
        {name: jnp.asarray(found[name], leaf.dtype) for name, leaf in wanted.items()}, sep="/"
    )


def to_torch(variables: Mapping[str, Any]) -> Weights:
    """The inverse of `from_torch`, without what is left out there."""
    flat: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    return {
        published_name(name): _permuted(np.asarray(array), np.argsort(_axes(name, array.ndim)))
        for name, array in flat.items()
    }


def published_name(name: str) -> str:
    """The published file's name of our `params/image_encoder/layers_1/blocks_0/mlp/fc1/kernel`."""
    _, *modules, leaf = name.split("/")
    return re.sub(r"_(?=\d)", ".", ".".join(modules)) + LEAVES[leaf]


def _axes(name: str, ndim: int) -> Sequence[int]:
    """Of the file's array for our `name`, in the order of ours."""
    if not name.endswith("/kernel"):
        return range(ndim)
    if ndim == 4:
        return TRANSPOSED_CONVOLUTION if UPSCALING.search(name) else CONVOLUTION
    return PRODUCT if ndim == 2 else range(ndim)


def _permuted(array: np.ndarray, axes: Sequence[int] | np.ndarray) -> np.ndarray:
    return array.transpose(*axes) if array.ndim else array
