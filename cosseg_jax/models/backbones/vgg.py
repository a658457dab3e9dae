"""VGG16 (Simonyan and Zisserman 2015, configuration D), plain and with batch normalisation.

A backbone of section 4.1, with the feature maps after pool2, pool3, pool4 and pool5. Layers are
named as in the publication (`conv3_1` is the first convolution after pool2), so that the table in
`pretrained/names.py` is enough to convert weights.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import UserError
from cosseg_jax.models.layers import KERNEL_INIT
from cosseg_jax.types import FeatureMaps, Ndarray

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """The thirteen convolutions and five poolings of VGG16.

    batch_norm: whether every convolution is followed by batch norm, as in torchvision's `vgg16_bn`.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    """

    batch_norm: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """Maps after pool2..pool5: 128, 256, 512, 512 channels, each side a floored fraction.

        images: normalised with ImageNet's mean and standard deviation, M x H x W x 3.
        train: batch statistics if True, running ones if False; no effect without batch norm.
        Raises a UserError if a side is below 32 pixels, as a feature map would be empty.
        """
        if min(images.shape[1:3]) < 32:
            raise UserError(
                f"VGG16 needs images of at least 32 x 32 pixels, found {images.shape[1:3]}"
            )
        x = jnp.asarray(images)
        maps = []
        for i, stage in enumerate(STAGES, start=1):
            for j, channels in enumerate(stage, start=1):
                x = self._layer(x, channels, f"{i}_{j}", train)
            x = nn.max_pool(x, (2, 2), strides=(2, 2))
            maps.append(x)
        return FeatureMaps(*maps[1:])

    def _layer(self, x: jax.Array, channels: int, position: str, train: bool) -> jax.Array:
        x = nn.Conv(
            channels,
            (3, 3),
            padding=1,
            kernel_init=KERNEL_INIT,
            dtype=self.dtype,
            name=f"conv{position}",
        )(x)
        if self.batch_norm:
            x = nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name=f"bn{position}",
            )(x)
        return nn.relu(x)
