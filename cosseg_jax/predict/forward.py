"""A trained network as a function from groups of photographs to masks and spatial priors."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from cosseg_jax.models.ssnm import from_config
from cosseg_jax.types import FeatureMaps, GroupMasks, Prediction

Predictor = Callable[[Any], GroupMasks]
Forward = Callable[[Mapping[str, Any], Any], tuple[Float[Array, "B N S S"], Prediction]]


def make_forward(config: ConfigDict) -> Forward:
    """The compiled network, from variables and inputs to probabilities and all behind them.

    Args:
        config: of the run, with `categories`.

    The inputs are uint8 RGB [B, N, S, S, 3], or FeatureMaps [B, N, h, w, C] of images of the
    config's `image_size`; any B and N, each compiled once.
    """
    network = from_config(config.model, len(config.categories))
    size = config.image_size

    @jax.jit
    def forward(variables: Mapping[str, Any], inputs: Any) -> tuple[jax.Array, Prediction]:
        maps = inputs if isinstance(inputs, FeatureMaps) else None
        images = inputs
        if maps is not None:  # only the shape of the images is used beside their maps
            images = jnp.zeros((*maps.stride4.shape[:2], size, size, 3), jnp.uint8)
        prediction = cast(Prediction, network.apply(variables, images, train=False, maps=maps))
        return jax.nn.sigmoid(prediction.mask_logits), prediction

    return forward


class PredictionOptions(NamedTuple):
    """How a trained network is used, as `config.prediction` says.

    image_size: the side, in pixels, to which photographs are resized.
    mirror: the probabilities are the mean of a photograph's and its mirror image's.
    refine: masks at a photograph's own size go through `refinement.refined`.
    """

    image_size: int
    mirror: bool
    refine: bool


def prediction_options(config: ConfigDict) -> PredictionOptions:
    """The options of a config; exports of versions that had none are used as they were trained."""
    given = config.get("prediction", {})
    size = given.get("image_size") or config.image_size
    return PredictionOptions(size, bool(given.get("mirror")), bool(given.get("refine")))


def make_predictor(config: ConfigDict, variables: Mapping[str, Any]) -> Predictor:
    """A function from images or maps to probabilities and S, as of `make_forward`.

    Where the config's `prediction.mirror` is set, the probabilities of images (not of maps) are the
    mean of theirs and of their mirror images'.
    """
    predict = with_variables(make_forward(config), variables)
    if not prediction_options(config).mirror:
        return predict

    def with_mirror_images(inputs: Any) -> GroupMasks:
        masks = predict(inputs)
        if isinstance(inputs, FeatureMaps):
            return masks
        mirrored = predict(inputs[..., ::-1, :]).probabilities[..., ::-1]
        return masks._replace(probabilities=(masks.probabilities + mirrored) / 2)

    return with_mirror_images


def with_variables(forward: Forward, variables: Mapping[str, Any]) -> Predictor:
    """The compiled network with its variables, which lie on the device from then on."""
    on_device = jax.device_put(variables)

    def predict(inputs: Any) -> GroupMasks:
        probabilities, prediction = forward(on_device, inputs)
        return GroupMasks(probabilities, prediction.prior.values)

    return predict
