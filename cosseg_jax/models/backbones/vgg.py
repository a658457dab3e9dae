"""VGG16 (Simonyan and Zisserman 2015, configuration D), plain and with batch normalisation.

The backbone of section 4.1: the maps after pool2, pool3, pool4 and pool5. Layers are named as in
the publication (`conv3_1` is the first convolution behind pool2), so that converting weights is
the table in `pretrained.py`.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.types import FeatureMaps, Ndarray

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class VGG16(nn.Module):
    """The thirteen convolutions of VGG16 and their five poolings.

    batch_norm: normalises behind every convolution, as torchvision's `vgg16_bn` does.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    """

    batch_norm: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """Maps after pool2..pool5: 128, 256, 512, 512 channels, each side a floored fraction.

        images: normalised with ImageNet's mean and standard deviation, M x H x W x 3.
        train: batch statistics if True, the running ones if False; no effect on the plain net.
        Raises ValueError where a side is below 32 pixels, which would leave an empty map.
        """
        if min(images.shape[1:3]) < 32:
            raise ValueError(f"VGG16 needs images of at least 32 x 32, found {images.shape[1:3]}")
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
