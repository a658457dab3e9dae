"""The backbones by name (section 4.1, ResNet-50, DINO), and the input that each expects."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.models.backbones.hrnet import HRNet
from cosseg_jax.models.backbones.resnet import ResNet
from cosseg_jax.models.backbones.vgg import VGG16
from cosseg_jax.models.backbones.vit import ViT
from cosseg_jax.types import Ndarray

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "vgg16": VGG16,
    "vgg16_bn": functools.partial(VGG16, batch_norm=True),
    "hrnet_w18": functools.partial(HRNet, width=18),
    "hrnet_w32": functools.partial(HRNet, width=32),
    "hrnet_w48": functools.partial(HRNet, width=48),
    "resnet50": ResNet,
    "resnet50_keras": functools.partial(ResNet, variant="keras"),
    "dinov2_small": functools.partial(ViT, variant="dinov2"),
    "dinov2_base": functools.partial(ViT, variant="dinov2", width=768, heads=12),
    "dinov2_reg_small": functools.partial(ViT, variant="dinov2_reg"),
    "dinov2_reg_base": functools.partial(ViT, variant="dinov2_reg", width=768, heads=12),
    "dinov3_small": functools.partial(ViT, variant="dinov3"),
    "dinov3_base": functools.partial(ViT, variant="dinov3", width=768, heads=12),
    # for tests and the quick start; it is trained from scratch
    "hrnet_tiny": functools.partial(
        HRNet, width=8, stem=16, bottlenecks=1, planes=8, modules=(1, 1, 1), blocks=1
    ),
}
RESNET_STAGES = 4


class Normalisation(NamedTuple):
    """How the images of a network's training were normalised.

    mean, std: of red, green and blue in [0, 1].
    bgr: whether the order of the channels is blue, green, red.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False


TORCHVISION = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Normalisation(
    (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), bgr=True
)
NORMALISATIONS = {"resnet50_keras": CAFFE}  # all others use torchvision's


def create_backbone(
    name: str,
    *,
    dtype: Any = jnp.float32,
    frozen_stages: int = 0,
    axis_name: str | None = None,
    module_name: str | None = None,
) -> nn.Module:
    """The backbone called `name`, a module from normalised images to `FeatureMaps`.

    dtype: of the computation, float32 or bfloat16; parameters are float32.
    frozen_stages: how many stages of a ResNet are not trained.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    module_name: the name of the submodule, where another module creates it.

    Raises:
        UserError: for a name that is not in BACKBONES, or stages that it cannot freeze.
    """
    check_choice("backbone", name, BACKBONES)
    check_frozen_stages(name, frozen_stages)
    options = {"frozen_stages": frozen_stages} if frozen_stages else {}
    return BACKBONES[name](dtype=dtype, axis_name=axis_name, name=module_name, **options)


def check_frozen_stages(name: str, stages: int) -> None:
    """Raises a UserError unless the backbone has that many stages to freeze."""
    most = RESNET_STAGES if name.startswith("resnet") else 0
    if not 0 <= stages <= most:
        wanted = f"0 to {most}" if most else "0; to freeze it whole, set model.freeze_backbone"
        raise UserError(f"model.frozen_stages is {stages}; {name} takes {wanted}")


def normalise_images(
    images: Float[Array | Ndarray, "*M H W 3"], backbone_name: str
) -> Float[Array, "*M H W 3"]:
    """RGB images in [0, 1] as the backbone of that name expects them.

    It subtracts ImageNet's mean and divides by its standard deviation; for `resnet50_keras` the
    result is BGR in 0..255 less the mean.
    """
    mean, std, bgr = NORMALISATIONS.get(backbone_name, TORCHVISION)
    images = jnp.asarray(images)
    shape = (1,) * (images.ndim - 1) + (3,)
    centre = jnp.asarray(mean, images.dtype).reshape(shape)  # [1, ..., 1, 3]
    scale = jnp.asarray(std, images.dtype).reshape(shape)  # [1, ..., 1, 3]
    normalised = (images - centre) / scale
    return jnp.flip(normalised, axis=-1) if bgr else normalised
