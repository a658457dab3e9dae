"""Networks that need no training on masks: a backbone's name in place of an exported network.

    dinov3-small                          the weights are downloaded once (`pretrained.hub`)
    dinov3-small:FILE                     they are read from a file
    resnet50-keras:weights/resnet50.npz   any other backbone with weights

They segment what a group shares, of whatever category (`models.training_free`).
"""

import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.networks import network_of
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.pretrained.hub import HUB
from cosseg_jax.models.ssnm import initial_shapes

SCRATCH = "hrnet_tiny"  # has no weights
NAMES = {name.replace("_", "-"): name for name in BACKBONES if name != SCRATCH}
TOKENS = "dino"  # begins the names of backbones whose maps come from one grid of tokens


def named_network(checkpoint: str | Path) -> tuple[str, str] | None:
    """The backbone and the weights that a checkpoint names; None where it is a path."""
    name, _, weights = os.fspath(checkpoint).partition(":")
    if name not in NAMES or Path(checkpoint).exists():
        return None
    return NAMES[name], weights or HUB


def load_untrained(backbone: str, weights: str = HUB) -> tuple[ConfigDict, dict[str, Any]]:
    """The config and the variables of a network without training.

    weights: as `model.pretrained`; raises as `load_pretrained` does.
    """
    config = untrained_config(backbone, weights)
    network = network_of(config.model, categories=0)
    shapes: Any = initial_shapes(network)
    wanted = {part: tree["backbone"] for part, tree in shapes.items() if tree}
    loaded = load_pretrained(weights, backbone, wanted)
    return config, {"batch_stats": {}} | {k: {"backbone": tree} for k, tree in loaded.items()}


def untrained_config(backbone: str, weights: str = HUB) -> ConfigDict:
    """What `Predictor` needs of a config; docs/baselines.md has what was compared."""
    tokens = backbone.startswith(TOKENS)
    model = dict(
        training_free=True,
        backbone=backbone,
        pretrained=weights,
        features=1,
        spatial_stride=16 if tokens else 32,
        spatial=dict(descriptors="centred", sign="border"),
    )
    prediction = dict(image_size=0, mirror=False, refine="guided")
    side = 448 if tokens else 320
    return ConfigDict(dict(model=model, prediction=prediction, image_size=side, categories=[]))
