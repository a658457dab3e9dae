"""The released network: VGG16 with batch norm, and the parts of this folder in place of ours.

Its code fixes images of 224 pixels and groups of five. Here any N is computed in the same way, but
the weights know groups of `GROUP_SIZE` only, into which `predict.fixed_groups` divides others.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import create_backbone
from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.head import modulate
from cosseg_jax.models.released.decoder import Increase, SharedDecoder
from cosseg_jax.models.released.pooling import OrderedPooling
from cosseg_jax.models.released.spatial_step import spatial_step
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import (
    Count,
    FeatureMaps,
    GroupContext,
    ImageEncoding,
    Ndarray,
    PooledStatistics,
)

BACKBONE = "vgg16_bn"
FEATURES = 512
CATEGORIES = 78
GROUP_SIZE = 5
IMAGE_SIZE = 224  # pixels


class ReleasedSSNM(SSNM):
    """The released network with the steps of an `SSNM`, for prediction."""

    backbone: str = BACKBONE
    categories: int = CATEGORIES
    features: int = FEATURES
    group_size: int | None = GROUP_SIZE

    def setup(self) -> None:
        self.network = create_backbone(self.backbone, module_name="backbone")
        self.increases = [Increase(self.features, name=f"increase_{each}") for each in STRIDES]
        self.pooling = OrderedPooling(self.features, self.categories, name="pooling")
        self.decoder = SharedDecoder(self.features, name="decoder")

    def project(self, maps: FeatureMaps) -> ImageEncoding:
        """The encodings of images with the backbone's maps [M, h, w, C]."""
        levels = FeatureMaps(
            *(increase(level) for increase, level in zip(self.increases, maps, strict=True))
        )
        return ImageEncoding(levels, levels.stride32, levels.stride32)

    def pool(self, encoding: ImageEncoding, weights: Any = None) -> PooledStatistics:
        """The lower level's statistics of images; raises UserError for pooling weights."""
        if weights is not None:
            raise UserError("the released network pools all cells alike; it takes no prompts")
        assert encoding.coarsest is not None
        return self.pooling.pool(encoding.coarsest)

    def aggregate(
        self,
        fused: Float[Array | Ndarray, "B N h w d"] | None,
        statistics: PooledStatistics | None,
        groups: int,
        images: Count,
    ) -> GroupContext:
        """Both modulators' outputs for groups."""
        del groups, images
        assert statistics is not None
        assert statistics.second is not None
        semantics = self.pooling.aggregate(statistics.second)
        return GroupContext(spatial_step(jnp.asarray(fused)), semantics)

    def segment(
        self, encoding: ImageEncoding, context: GroupContext, size: tuple[int, int]
    ) -> Float[Array, "B N H W"]:
        """Mask logits at (height, width) = `size`, that of the encoded images."""
        gamma, prior = context.semantics.gamma, context.prior.values
        groups, images = prior.shape[:2]
        levels = FeatureMaps(*(self._modulated(x, gamma, prior) for x in encoding.laterals))
        return self.decoder(levels).reshape(groups, images, *size)

    def _modulated(self, level: Any, gamma: Any, prior: Any) -> Float[Array, "M h w d"]:
        level = jnp.asarray(level)
        grouped = level.reshape(*prior.shape[:2], *level.shape[1:])  # [B, N, h, w, d]
        return modulate(grouped, gamma, prior).reshape(level.shape)  # [M, h, w, d]


def released_config() -> ConfigDict:
    """What `Predictor` needs of a config.

    Categories have numbers for names: the file of weights does not say which is which.
    """
    model = dict(
        released=True,
        backbone=BACKBONE,
        features=FEATURES,
        spatial={},
        use_spatial=True,
        use_semantic=True,
    )
    prediction = dict(image_size=0, mirror=False, refine="")
    categories = [f"category {number}" for number in range(1, CATEGORIES + 1)]
    return ConfigDict(
        dict(model=model, prediction=prediction, image_size=IMAGE_SIZE, categories=categories)
    )
