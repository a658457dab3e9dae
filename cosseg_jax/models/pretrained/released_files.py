"""The file of weights that the paper's authors released, as the variables of `models.released`.

Their three coarser decoder levels are one module under three names. A file in which these differ
holds another network.
"""

from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.errors import UserError
from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.pretrained.dino_names import NamedArrays
from cosseg_jax.models.pretrained.fit import check_finite, check_fit
from cosseg_jax.models.pretrained.names import SKIPPED_NAMES, TORCH_LEAVES, TORCH_MODULES
from cosseg_jax.models.pretrained.torch_files import read_state_dict
from cosseg_jax.models.released.network import BACKBONE, ReleasedSSNM
from cosseg_jax.models.ssnm import initial_shapes

SHARED = "concat4."  # the shared decoder level, of which the names of COPIES are other names
COPIES = ("concat3.", "concat2.")
MODULES = {
    **{
        f"backbone/{ours}": theirs.replace("features", "base")
        for ours, theirs in TORCH_MODULES[BACKBONE].items()
    },
    **{
        f"increase_{stride}/{part}": f"incr_channel{number}.{level}"
        for level, stride in enumerate(STRIDES)
        for number, part in enumerate(("first", "second"), start=1)
    },
    "pooling/reduce_image": "sp1.0",
    "pooling/reduce_group": "sp2.0",
    "pooling/gamma": "cls_m.0",
    "pooling/classify": "cls.0",
    "decoder/shared/lateral": "concat4.0",
    "decoder/shared/conv": "concat4.2",
    "decoder/shared/enlarge": "concat4.4",
    "decoder/finest/lateral": "concat1.0",
    "decoder/finest/conv": "concat1.2",
    "decoder/predict": "mask.0",
    "decoder/enlarge": "mask.1",
}


def released_variables(path: Path) -> dict[str, Any]:
    """The variables of a `ReleasedSSNM` from the authors' .pth file, which is not executed.

    Raises:
        UserError: for a file that cannot be read, or whose names, shapes or shared weights are not
            those of the released network.
        NotFiniteError: if a weight is NaN or infinite.
    """
    arrays = _without_copies(path, read_state_dict(path))
    shapes: Any = initial_shapes(ReleasedSSNM())
    wanted: dict[str, Any] = flatten_dict(shapes, sep="/")
    names = {torch_name(name): name for name in wanted}
    found = {
        names.get(theirs, theirs): _in_our_layout(names.get(theirs, ""), array)
        for theirs, array in arrays.items()
        if not SKIPPED_NAMES.fullmatch(theirs)
    }
    check_fit(str(path), "the authors' released network", found, wanted)
    check_finite(str(path), found)
    ours = {name: found.pop(name).astype(like.dtype, copy=False) for name, like in wanted.items()}
    return unflatten_dict(ours, sep="/")


def torch_name(name: str) -> str:
    """The name in the authors' file for ours, `params/decoder/shared/conv/kernel`."""
    module, _, leaf = name.partition("/")[2].rpartition("/")
    return f"{MODULES[module]}.{TORCH_LEAVES[leaf]}"


def _without_copies(path: Path, arrays: NamedArrays) -> NamedArrays:
    """The arrays without those that other names repeat; raises UserError where they differ."""
    kept = {name: array for name, array in arrays.items() if not name.startswith(COPIES)}
    for name in sorted(arrays.keys() - kept.keys()):
        shared = SHARED + name.partition(".")[2]
        if shared not in kept or not np.array_equal(arrays[name], kept[shared], equal_nan=True):
            raise UserError(
                f"{path} is not the authors' released network: {name} is not equal to {shared}, "
                "which is one weight there"
            )
    return kept


def _in_our_layout(name: str, array: np.ndarray) -> np.ndarray:
    """A kernel as Flax has it; a transposed convolution's window is also turned by 180 degrees."""
    if name.endswith("enlarge/kernel") and array.ndim == 4:
        return array.transpose(2, 3, 0, 1)[::-1, ::-1]  # [kh, kw, in, out]
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)  # [kh, kw, in, out]
    return array.T  # [in, out] of a dense layer
