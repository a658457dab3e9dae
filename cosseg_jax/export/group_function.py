"""The function that is exported: from the images of a whole group to its prediction."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, UInt8
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.predict.exported import described_network, prediction_options
from cosseg_jax.predict.programs import predict_group

OUTPUTS = ("probabilities", "prior", "presence", "categories")

GroupFunction = Callable[[UInt8[Array, "N S S 3"]], dict[str, Array]]


def with_solver(config: ConfigDict, solver: str) -> ConfigDict:
    """A copy of a config with another eigen-solver, which gives the same result."""
    config = copy.deepcopy(config)
    with config.unlocked():
        config.model.spatial.solver = solver
    return config


def group_function(
    config: ConfigDict, variables: Mapping[str, Any], group_size: int | None = None
) -> GroupFunction:
    """What the predictor computes for a group, as one function of the group's images alone.

    group_size: N; None for any.

    It takes RGB images, uint8 [N, S, S, 3], resized to S = `prediction.image_size` pixels a side,
    and returns by name, in float32:

        probabilities  [N, S, S]   of the shared object, 0..1
        prior          [N, h, w]   S, the spatial prior
        presence       [N]         the probability that the object is in the image at all, 0..1
        categories     [L]         the probability that the group shares each category, 0..1

    Where the config says `prediction.mirror`, probabilities are averaged with those of mirrored
    images. Refinement needs images at their own size and is left to the caller.

    Raises:
        UserError: for a network that takes groups of another size only.
    """
    network = described_network(config)
    if network.group_size not in (None, group_size):
        found = "any" if group_size is None else group_size
        raise UserError(
            f"--group_size is {found}; this network takes groups of {network.group_size} only"
        )
    mirror = prediction_options(config).mirror

    def group(images: UInt8[Array, "N S S 3"]) -> dict[str, Array]:
        found: Any = predict_group(network, variables, images, mirror=mirror)
        return dict(zip(OUTPUTS, found[: len(OUTPUTS)], strict=True))

    return group
