"""The whole network of the paper (figure 2): backbone, two modulators, segmentation head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.models.backbones import (
    BACKBONES,
    check_frozen_stages,
    create_backbone,
    normalise,
)
from cosseg_jax.models.category import CategoryHead
from cosseg_jax.models.fusion import Fusion, check_stride
from cosseg_jax.models.head import SegmentationHead
from cosseg_jax.models.semantic import SemanticModulator, SemanticOptions
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.options import check_choice
from cosseg_jax.types import FeatureMaps, Ndarray, Prediction, Semantics, SpatialPrior

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class SSNM(nn.Module):
    """Spatial-semantic modulated network, for groups of any size with the same parameters.

    backbone: a name of `models.backbones.BACKBONES`.
    categories: L, classes of the class head.
    features: d, channels of the fused and of the modulated maps.
    spatial_stride: of S: 32 (the paper's figure), 16 or 8.
    use_spatial, use_semantic: the ablations of table 5. Off means S = 0 and gamma = 1.
    category_head: the training aid of `models.category`.
    freeze_backbone: its parameters get no gradient and its batch norm keeps its statistics.
    frozen_stages: the same for a ResNet's first stages only.
    fix_batch_stats: the backbone's batch norm keeps its statistics, but the parameters train.
    dtype: of the convolutions; the eigenproblem and all logits are always float32.
    axis_name: the pmap axis over which batch norm shares its statistics.
    """

    backbone: str
    categories: int
    features: int = 512
    spatial_stride: int = 32
    spatial: SpatialOptions = SpatialOptions()
    semantic: SemanticOptions = SemanticOptions()
    use_spatial: bool = True
    use_semantic: bool = True
    category_head: bool = False
    freeze_backbone: bool = False
    frozen_stages: int = 0
    fix_batch_stats: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: UInt8[Array | Ndarray, "B N H W 3"],
        *,
        train: bool,
        maps: FeatureMaps | None = None,
    ) -> Prediction:
        """Segments what each group's photographs share.

        Args:
            images: RGB, 0..255. With `maps` given only its shape is used.
            train: batch norm uses and updates the batch's statistics.
            maps: the backbone's maps [B, N, h, w, C], computed before, instead of the images.

        Raises:
            ValueError: if the groups are empty.
        """
        groups, photos, *size, _ = images.shape
        if photos < 1:
            raise ValueError("the groups are empty (N = 0); each takes at least one photograph")
        if maps is None:
            maps = self._backbone_maps(images, train=train)
        maps = FeatureMaps(*(x.reshape(-1, *x.shape[-3:]).astype(self.dtype) for x in maps))

        prior = self._spatial_prior(maps, groups, photos)
        semantics = self._semantics(maps.stride32, groups, photos)
        head = SegmentationHead(self.features, (size[0], size[1]), dtype=self.dtype, name="head")
        mask_logits = head(maps, semantics.gamma, prior.indicator)
        category_logits = self._category_logits(maps, groups)
        return Prediction(
            mask_logits, semantics.class_logits, semantics.gamma, prior, category_logits
        )

    def _backbone_maps(
        self, images: UInt8[Array | Ndarray, "B N H W 3"], *, train: bool
    ) -> FeatureMaps:
        flat = images.reshape(-1, *images.shape[2:]).astype(jnp.float32) / 255  # [B*N, H, W, 3]
        network = create_backbone(
            self.backbone,
            dtype=self.dtype,
            frozen_stages=self.frozen_stages,
            axis_name=self.axis_name,
            module_name="backbone",
        )
        train = train and not (self.freeze_backbone or self.fix_batch_stats)
        maps = network(normalise(flat, self.backbone), train=train)
        return jax.lax.stop_gradient(maps) if self.freeze_backbone else maps

    def _spatial_prior(self, maps: FeatureMaps, groups: int, photos: int) -> SpatialPrior:
        if not self.use_spatial:
            return SpatialPrior(jnp.zeros((groups, photos, 1, 1)), jnp.zeros(groups))
        fused = Fusion(self.features, self.spatial_stride, dtype=self.dtype, name="fusion")(maps)
        fused = fused.reshape(groups, photos, *fused.shape[1:])  # [B, N, h, w, d]
        return spatial_modulator(fused, self.spatial)

    def _semantics(
        self, coarsest: Float[Array | Ndarray, "M h w C"], groups: int, photos: int
    ) -> Semantics:
        if not self.use_semantic:
            gamma = jnp.ones((groups, self.features))
            return Semantics(gamma, jnp.zeros((groups, self.categories)))
        x = jnp.asarray(coarsest).reshape(groups, photos, *coarsest.shape[1:])  # [B, N, h, w, C]
        modulator = SemanticModulator(
            self.features, self.categories, self.semantic, dtype=self.dtype, name="semantic"
        )
        return modulator(x)

    def _category_logits(self, maps: FeatureMaps, groups: int) -> tuple[Array, ...] | None:
        if not self.category_head:
            return None
        levels = CategoryHead(self.categories, name="category")(maps)
        return tuple(x.reshape(groups, -1, *x.shape[1:]) for x in levels)  # [B, N, h, w, 1+L] each


def from_config(model: ConfigDict, categories: int, axis_name: str | None = None) -> SSNM:
    """Builds the network that the `model` part of a config describes.

    Raises:
        ValueError: naming the field whose value is not valid.
    """
    check_choice("model.backbone", model.backbone, tuple(BACKBONES))
    check_choice("model.dtype", model.dtype, tuple(DTYPES))
    check_frozen_stages(model.backbone, model.get("frozen_stages", 0))
    check_stride(model.spatial_stride)
    if model.features < 1:
        raise ValueError(f"model.features is {model.features}; it takes 1 or more")
    fields = dict(model)
    fields.pop("pretrained")
    fields["dtype"] = DTYPES[fields["dtype"]]
    fields["spatial"] = SpatialOptions(**fields["spatial"])
    fields["semantic"] = SemanticOptions(**fields["semantic"])
    return SSNM(categories=categories, axis_name=axis_name, **fields)
