"""The released network's channel increase and decoder.

Four levels go through two 3x3 convolutions each, with no activation between them, to d channels.
The decoder's three coarser levels use one set of weights; the finest has its own. A level adds the
coarser one after its 1x1 convolution. Two output channels, of the object and of the background, are
enlarged by a transposed convolution.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.layers import PointwiseConv
from cosseg_jax.types import FeatureMaps, Ndarray


class Increase(nn.Module):
    """Two 3x3 convolutions and a ReLU, to d = `features` channels."""

    features: int

    @nn.compact
    def __call__(self, x: Float[Array | Ndarray, "M h w C"]) -> Float[Array, "M h w d"]:
        x = nn.Conv(self.features, (3, 3), name="first")(x)
        return nn.relu(nn.Conv(self.features, (3, 3), name="second")(x))


class Level(nn.Module):
    """A level of the decoder.

    features: d.
    enlarge: whether its result has twice the height and width, as the next finer level.
    """

    features: int
    enlarge: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "M h w d"], coarser: Float[Array, "M h w d"] | None
    ) -> Float[Array, "M h2 w2 d"]:
        x = nn.relu(PointwiseConv(self.features, name="lateral")(x))
        if coarser is not None:
            x = x + coarser
        x = nn.relu(nn.Conv(self.features, (3, 3), name="conv")(x))
        if not self.enlarge:
            return x
        return nn.ConvTranspose(self.features, (4, 4), strides=(2, 2), name="enlarge")(x)


class SharedDecoder(nn.Module):
    """Modulated maps of four resolutions to one logit per pixel.

    features: d.
    """

    features: int

    def setup(self) -> None:
        self.shared = Level(self.features, enlarge=True, name="shared")
        self.finest = Level(self.features, enlarge=False, name="finest")
        self.predict = nn.Conv(2, (3, 3), name="predict")
        self.enlarge = nn.ConvTranspose(2, (8, 8), strides=(4, 4), name="enlarge")

    def __call__(self, levels: FeatureMaps) -> Float[Array, "M H W"]:
        """Logits at four times the finest level's size; each level has half the finer one's."""
        finest, *coarser = (jnp.asarray(level) for level in levels)
        top = None
        for level in reversed(coarser):
            top = self.shared(level, top)
        scores = self.enlarge(self.predict(self.finest(finest, top)))  # [M, H, W, 2]
        return scores[..., 0] - scores[..., 1]  # the softmax of two is the sigmoid of this
