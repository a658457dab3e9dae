"""A network as StableHLO, serialised by `jax.export`: JAX alone calls it, on CPU or GPU."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from ml_collections import ConfigDict

from cosseg_jax.export.group_function import group_function, with_solver
from cosseg_jax.predict.exported import prediction_options

PLATFORMS = ("cpu", "cuda")


def stablehlo(config: ConfigDict, variables: Mapping[str, Any], group_size: int | None) -> bytes:
    """The file's content: the function of `network.group_function`, weights included.

    Args:
        group_size: N; None for groups of any size. Their eigen-solver is "subspace", as "auto"
            chooses by a number that is then unknown.

    Raises:
        ImportError: if flatbuffers, which writes the file, is not installed.
    """
    try:
        import flatbuffers  # noqa: F401
    except ModuleNotFoundError as error:
        raise ImportError(
            "export as StableHLO needs flatbuffers, which is not installed; "
            "pip install 'cosseg_jax[export]'"
        ) from error
    side = prediction_options(config).image_size
    photos: Any = group_size
    if group_size is None:
        config = with_solver(config, "subspace")
        (photos,) = export.symbolic_shape("N", constraints=["N >= 1"])
    function = jax.jit(group_function(config, variables, group_size))
    images = jax.ShapeDtypeStruct((photos, side, side, 3), jnp.uint8)
    return bytes(export.export(function, platforms=PLATFORMS)(images).serialize())
