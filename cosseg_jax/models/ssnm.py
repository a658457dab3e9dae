"""The whole network of the paper (figure 2): backbone, two modulators, segmentation head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.errors import check_choice
from cosseg_jax.models.backbones import (
    BACKBONES,
    check_frozen_stages,
    create_backbone,
    normalise,
)
from cosseg_jax.models.category import CategoryHead
from cosseg_jax.models.fusion import Fusion, check_stride
from cosseg_jax.models.head import SegmentationHead
from cosseg_jax.models.semantic import SemanticModulator, SemanticOptions, mask_pooling_weights
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.types import (
    Count,
    FeatureMaps,
    GroupContext,
    ImageDescriptors,
    Iteration,
    Ndarray,
    PooledStatistics,
    Prediction,
    Semantics,
    SpatialPrior,
    flattened,
    in_groups,
)

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class SSNM(nn.Module):
    """Spatial-semantic modulated network, for groups of any size with the same parameters.

    A call takes whole groups. Its steps may also be called one by one: `encode`, `describe` and
    `segment` take single images; `aggregate` takes a group, but only a little data of each image.

    backbone: a name of `models.backbones.BACKBONES`.
    categories: L, classes of the class head.
    features: d, channels of the fused and of the modulated maps.
    spatial_stride: of S: 32 (the paper's figure), 16 or 8.
    use_spatial, use_semantic: the ablations of table 5. Off means S = 0 and gamma = 1.
    num_iterations: how often gamma and the masks are computed. From the second time on, gamma is
        pooled under the masks of the iteration before (`models.semantic.mask_pooling_weights`).
    mask_pooling_weight: the share of gamma's pooling weights that follows those masks, 0..1.
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
    num_iterations: int = 1
    mask_pooling_weight: float = 0.5
    category_head: bool = False
    freeze_backbone: bool = False
    frozen_stages: int = 0
    fix_batch_stats: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    def setup(self) -> None:
        self.network = create_backbone(
            self.backbone,
            dtype=self.dtype,
            frozen_stages=self.frozen_stages,
            axis_name=self.axis_name,
            module_name="backbone",
        )
        if self.use_spatial:
            self.fusion = Fusion(self.features, self.spatial_stride, dtype=self.dtype)
        if self.use_semantic:
            self.modulator = SemanticModulator(
                self.features, self.categories, self.semantic, dtype=self.dtype, name="semantic"
            )
        if self.category_head:
            self.category = CategoryHead(self.categories)
        self.head = SegmentationHead(self.features, dtype=self.dtype)

    def __call__(
        self,
        images: UInt8[Array | Ndarray, "B N H W 3"],
        *,
        train: bool,
        maps: FeatureMaps | None = None,
        marks: Float[Array | Ndarray, "B N h w"] | None = None,
    ) -> Prediction:
        """Segments what each group's photographs share.

        Args:
            images: RGB, 0..255. With `maps` given only its shape is used.
            train: batch norm uses and updates the batch's statistics.
            maps: the backbone's maps [B, N, h, w, C], computed before, instead of the images.
            marks: as in `types.GroupBatch`; the semantic modulator heeds them.

        Raises:
            ValueError: if the groups are empty.
        """
        groups, photos, height, width, _ = images.shape
        if photos < 1:
            raise ValueError("the groups are empty (N = 0); each takes at least one photograph")
        if maps is None:
            flat = self.encode(jnp.asarray(images).reshape(-1, height, width, 3), train=train)
        else:
            flat = flattened(maps)
        grouped, size = in_groups(flat, groups, photos), (height, width)
        marked = None if marks is None else flattened(marks)
        described = self.describe(flat, marked)
        context = self.aggregate(in_groups(described, groups, photos), groups, photos)
        masks = self.segment(grouped, context, size)
        earlier: list[Iteration] = []
        for _ in range(1, self.num_iterations):
            earlier.append(Iteration(masks, context.semantics.class_logits))
            heard = self.mask_pool(flat, masks, marked)
            context = self.reaggregate(context, in_groups(heard, groups, photos))
            masks = self.segment(grouped, context, size)
        prior, semantics = context
        return Prediction(
            masks,
            semantics.class_logits,
            semantics.gamma,
            prior,
            self._category_logits(flat, groups),
            tuple(earlier),
        )

    def encode(self, images: UInt8[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """The backbone's maps of each photograph, RGB of 0..255."""
        train = train and not (self.freeze_backbone or self.fix_batch_stats)
        pixels = normalise(jnp.asarray(images).astype(jnp.float32) / 255, self.backbone)
        maps = self.network(pixels, train=train)
        return jax.lax.stop_gradient(maps) if self.freeze_backbone else maps

    def describe(
        self, maps: FeatureMaps, weights: Float[Array | Ndarray, "M h w"] | None = None
    ) -> ImageDescriptors:
        """What the modulators have to know of each photograph, from its maps [M, h, w, C].

        weights: of the coarsest map's positions for the semantic one, of sum 1; by default equal.
        """
        return ImageDescriptors(
            self.fusion(self._cast(maps)) if self.use_spatial else None,
            self.pool(maps, weights) if self.use_semantic else None,
        )

    def pool(
        self, maps: FeatureMaps, weights: Float[Array | Ndarray, "M h w"] | None
    ) -> PooledStatistics:
        """The semantic modulator's share of `describe`."""
        weights = None if weights is None else jnp.asarray(weights)
        return self.modulator.describe(jnp.asarray(self._cast(maps).stride32), weights)

    def mask_pool(
        self,
        maps: FeatureMaps,
        masks: Float[Array | Ndarray, "B N H W"],
        weights: Float[Array | Ndarray, "M h w"] | None,
    ) -> PooledStatistics:
        """The same for a further round, from the logits `masks` of the round before, M = B N."""
        found = mask_pooling_weights(
            jax.nn.sigmoid(flattened(masks)),
            weights,
            *maps.stride32.shape[1:3],
            share=self.mask_pooling_weight,
        )  # [M, h, w]
        return self.pool(maps, jax.lax.stop_gradient(found))

    def aggregate(self, description: ImageDescriptors, groups: int, photos: Count) -> GroupContext:
        """What the photographs of each group share, from their descriptions [B, N, ...]."""
        if description.fused is None:
            prior = SpatialPrior(jnp.zeros((groups, photos, 1, 1)), jnp.zeros(groups))
        else:
            prior = spatial_modulator(jnp.asarray(description.fused), self.spatial)
        if description.statistics is None:
            gamma, logits = (
                jnp.ones((groups, self.features)),
                jnp.zeros((groups, self.categories)),
            )
            return GroupContext(prior, Semantics(gamma, logits))
        return GroupContext(prior, self.modulator.aggregate(description.statistics))

    def reaggregate(self, context: GroupContext, statistics: PooledStatistics) -> GroupContext:
        """A relation whose gamma is of other statistics, [B, N, ...]: that of a further round."""
        return context._replace(semantics=self.modulator.aggregate(statistics))

    def segment(
        self, maps: FeatureMaps, context: GroupContext, size: tuple[int, int]
    ) -> Float[Array, "B N H W"]:
        """Mask logits at (height, width) = `size` of photographs with maps [B, N, h, w, C].

        They may be some of their groups only; the relation's indicator is then of the same ones.
        """
        maps = self._cast(flattened(maps))
        return self.head(maps, context.semantics.gamma, context.prior.indicator, size)

    def _cast(self, maps: FeatureMaps) -> FeatureMaps:
        return jax.tree.map(lambda x: jnp.asarray(x).astype(self.dtype), maps)

    def _category_logits(self, maps: FeatureMaps, groups: int) -> tuple[Array, ...] | None:
        if not self.category_head:
            return None
        levels = self.category(self._cast(maps))
        return tuple(x.reshape(groups, -1, *x.shape[1:]) for x in levels)  # [B, N, h, w, 1+L] each


def from_config(model: ConfigDict, categories: int, axis_name: str | None = None) -> SSNM:
    """Builds the network that the `model` part of a config describes.

    Raises:
        ValueError: naming the field whose value is not valid.
    """
    check_choice("model.backbone", model.backbone, tuple(BACKBONES))
    check_choice("model.dtype", model.dtype, tuple(DTYPES))
    check_frozen_stages(model.backbone, model.frozen_stages)
    check_stride(model.spatial_stride)
    if model.num_iterations < 1:
        raise ValueError(f"model.num_iterations is {model.num_iterations}; it takes 1 or more")
    if model.num_iterations > 1 and not model.use_semantic:
        raise ValueError(
            f"model.num_iterations is {model.num_iterations}, but model.use_semantic is False, so "
            "that there is no gamma to compute again; set model.num_iterations=1"
        )
    if not 0 <= model.mask_pooling_weight <= 1:
        raise ValueError(
            f"model.mask_pooling_weight is {model.mask_pooling_weight}; it takes 0 to 1"
        )
    if model.features < 1:
        raise ValueError(f"model.features is {model.features}; it takes 1 or more")
    fields = dict(model)
    fields.pop("pretrained")
    fields["dtype"] = DTYPES[fields["dtype"]]
    fields["spatial"] = SpatialOptions(**fields["spatial"])
    fields["semantic"] = SemanticOptions(**fields["semantic"])
    return SSNM(categories=categories, axis_name=axis_name, **fields)
