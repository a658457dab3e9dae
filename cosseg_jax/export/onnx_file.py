"""A network as an ONNX file, for the run times that read it.

ONNX has no eigenvalues, and its loops are poorly supported: the eigenvector is found by a fixed
number of matrix products (`models.eigen.squared_eigenvector`).
"""

import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from ml_collections import ConfigDict

from cosseg_jax.export.group_function import OUTPUTS, group_function, with_solver
from cosseg_jax.predict.exported import prediction_options

INPUT = "images"
SOLVER = "squaring"


def onnx_file(config: ConfigDict, variables: Mapping[str, Any], group_size: int | None) -> bytes:
    """The file's content: the function of `network.group_function`, weights included.

    All computation is in float32. The names of the categories, as JSON, and S are among the model's
    properties.

    Args:
        group_size: N; None for groups of any size.

    Raises:
        ImportError: if onnx is not installed.
        NotImplementedError: for a network with an operation that `lowering` does not know.
    """
    try:
        from cosseg_jax.export.lowering import lower
        from cosseg_jax.export.onnx_graph import Graph, Tensor
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise ImportError(
            "export as ONNX needs onnx, which is not installed; pip install 'cosseg_jax[onnx]'"
        ) from error
    config = with_solver(config, SOLVER)
    with config.unlocked():
        config.model.dtype = "float32"
    side = prediction_options(config).image_size
    photos: Any = export.symbolic_shape("N")[0] if group_size is None else group_size
    shape = (photos, side, side, 3)
    traced = jax.jit(group_function(config, variables, group_size)).trace(
        jax.ShapeDtypeStruct(shape, jnp.uint8)
    )
    graph = Graph(INPUT, photos)
    found = lower(graph, traced.jaxpr, [Tensor(INPUT, shape)])
    names = sorted(OUTPUTS)  # as JAX flattens a dict
    outputs = {
        name: (graph.full(tensor, info.shape), info.shape)
        for name, tensor, info in zip(names, found, traced.jaxpr.out_avals, strict=True)
    }
    model = graph.model({INPUT: (np.uint8, shape)}, {name: outputs[name] for name in OUTPUTS})
    for key, value in dict(categories=list(config.categories), image_size=side).items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    return model.SerializeToString()
