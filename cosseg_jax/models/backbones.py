"""The backbones by name (section 4.1), and the normalisation that all of them expect."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.hrnet import HRNet
from cosseg_jax.models.vgg import VGG16
from cosseg_jax.types import Ndarray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "vgg16": VGG16,
    "vgg16_bn": functools.partial(VGG16, batch_norm=True),
    "hrnet_w18": functools.partial(HRNet, width=18),
    "hrnet_w32": functools.partial(HRNet, width=32),
    "hrnet_w48": functools.partial(HRNet, width=48),
    # For tests and the quick start: trained from scratch, no published weights.
    "hrnet_tiny": functools.partial(
        HRNet, width=8, stem=16, bottlenecks=1, planes=8, modules=(1, 1, 1), blocks=1
    ),
}


def create_backbone(
    name: str,
    *,
    dtype: Any = jnp.float32,
    axis_name: str | None = None,
    module_name: str | None = None,
) -> nn.Module:
    """The backbone called `name`; its call takes normalised images and gives FeatureMaps.

    dtype: of the computation, float32 or bfloat16; parameters stay float32.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    module_name: the submodule's name, where a module's `__call__` creates it.
    Raises ValueError for a name that is not in BACKBONES.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone is {name!r}; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name](dtype=dtype, axis_name=axis_name, name=module_name)


def normalise(images: Float[Array | Ndarray, "*M H W 3"]) -> Float[Array, "*M H W 3"]:
    """Shifts and scales RGB in [0, 1] by ImageNet's mean and standard deviation."""
    images = jnp.asarray(images)
    shape = (1,) * (images.ndim - 1) + (3,)
    mean = jnp.asarray(IMAGENET_MEAN, images.dtype).reshape(shape)  # [1, ..., 1, 3]
    std = jnp.asarray(IMAGENET_STD, images.dtype).reshape(shape)  # [1, ..., 1, 3]
    return (images - mean) / std
