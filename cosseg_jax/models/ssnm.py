"""The whole network of the paper (figure 2): backbone, two modulators, segmentation head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.models.backbones import (
    BACKBONES,
    check_frozen_stages,
    create_backbone,
    normalise_images,
)
from cosseg_jax.models.category import CategoryHead
from cosseg_jax.models.fusion import Fusion, check_stride
from cosseg_jax.models.head import SegmentationHead
from cosseg_jax.models.semantic import SemanticModulator, SemanticOptions, mask_pooling_weights
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.models.traces import is_own, kept_shapes
from cosseg_jax.types import (
    Count,
    FeatureMaps,
    GroupContext,
    ImageEncoding,
    Iteration,
    Ndarray,
    PooledStatistics,
    Prediction,
    Semantics,
    SpatialPrior,
    flattened,
    in_groups,
)

INIT_SIZE = 64  # pixels, the side of the images with which variables are initialised
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class SSNM(nn.Module):
    """Spatial-semantic modulated network, for groups of any size with the same parameters.

    A call takes whole groups. Its steps may also be called one by one: `encode`, `project`, `pool`
    and `segment` take single images; `aggregate` takes a group, but little data of each image.

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
    group_size: N, where the weights know groups of that size only; None for any.
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
    group_size: int | None = None

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
        prompt_weights: Float[Array | Ndarray, "B N h w"] | None = None,
    ) -> Prediction:
        """Segments what the images of each group share.

        Args:
            images: RGB, 0..255. With `maps` given only its shape is used.
            train: whether batch norm uses and updates the batch's statistics.
            maps: feature maps [B, N, h, w, C] that the backbone computed before, instead of images.
            prompt_weights: as in `types.GroupBatch`.

        Raises:
            UserError: if the groups are empty.
        """
        groups, count, height, width, _ = images.shape
        if count < 1:
            raise UserError("the groups are empty (N = 0); each needs at least one image")
        if maps is None:
            flat = self.encode(jnp.asarray(images).reshape(-1, height, width, 3), train=train)
        else:
            flat = flattened(maps)
        weights = None if prompt_weights is None else flattened(prompt_weights)
        encoding, size = self.project(flat), (height, width)
        fused, statistics = in_groups((encoding.fused, self.pool(encoding, weights)), groups, count)
        context = self.aggregate(fused, statistics, groups, count)
        masks = self.segment(encoding, context, size)
        earlier: list[Iteration] = []
        for _ in range(1, self.num_iterations):
            earlier.append(Iteration(masks, context.semantics.class_logits))
            statistics = in_groups(self.mask_pool(encoding, masks, weights), groups, count)
            context = self.reaggregate(context, statistics)
            masks = self.segment(encoding, context, size)
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
        """The backbone's feature maps of RGB images, 0..255."""
        train = train and not (self.freeze_backbone or self.fix_batch_stats)
        pixels = normalise_images(jnp.asarray(images).astype(jnp.float32) / 255, self.backbone)
        maps = self.network(pixels, train=train)
        return jax.lax.stop_gradient(maps) if self.freeze_backbone else maps

    def project(self, maps: FeatureMaps) -> ImageEncoding:
        """The encodings of images with feature maps [M, h, w, C]: all that depends on one image."""
        maps = self._cast(maps)
        return ImageEncoding(
            self.head.project(maps),
            jnp.asarray(maps.stride32) if self.use_semantic else None,
            self.fusion(maps) if self.use_spatial else None,
            jnp.asarray(maps.stride16, jnp.float16) if self.use_semantic else None,
        )

    def pool(
        self, encoding: ImageEncoding, weights: Float[Array | Ndarray, "M h w"] | None = None
    ) -> PooledStatistics | None:
        """The semantic modulator's statistics of images; None if it is off.

        weights: of the coarsest map's positions, with sum 1; None weighs all positions alike.
        """
        if encoding.coarsest is None:
            return None
        weights = None if weights is None else jnp.asarray(weights)
        return self.modulator.pool(jnp.asarray(encoding.coarsest), weights)

    def mask_pool(
        self,
        encoding: ImageEncoding,
        masks: Float[Array | Ndarray, "B N H W"],
        weights: Float[Array | Ndarray, "M h w"] | None,
    ) -> PooledStatistics | None:
        """The statistics for the next iteration, pooled under the mask logits, M = B N."""
        if encoding.coarsest is None:
            return None
        found = mask_pooling_weights(
            jax.nn.sigmoid(flattened(masks)),
            weights,
            *encoding.coarsest.shape[1:3],
            share=self.mask_pooling_weight,
        )  # [M, h, w]
        return self.pool(encoding, jax.lax.stop_gradient(found))

    def aggregate(
        self,
        fused: Float[Array | Ndarray, "B N h w d"] | None,
        statistics: PooledStatistics | None,
        groups: int,
        images: Count,
    ) -> GroupContext:
        """Both modulators' outputs for groups, from the fused maps and statistics [B, N, ...]."""
        if fused is None:
            prior = SpatialPrior(jnp.zeros((groups, images, 1, 1)), jnp.zeros(groups))
        else:
            prior = spatial_modulator(jnp.asarray(fused), self.spatial)
        if statistics is None:
            gamma = jnp.ones((groups, self.features))
            return GroupContext(prior, Semantics(gamma, jnp.zeros((groups, self.categories))))
        return GroupContext(prior, self.modulator.aggregate(statistics))

    def reaggregate(
        self, context: GroupContext, statistics: PooledStatistics | None
    ) -> GroupContext:
        """The context of the next iteration, whose gamma comes from other statistics."""
        if statistics is None:
            return context
        return context._replace(semantics=self.modulator.aggregate(statistics))

    def segment(
        self, encoding: ImageEncoding, context: GroupContext, size: tuple[int, int]
    ) -> Float[Array, "B N H W"]:
        """Mask logits at (height, width) = `size` of images with encodings [B*N, ...].

        The images may be a part of their groups; the context's prior is then that of the same part.
        """
        gamma, prior = context.semantics.gamma, context.prior.values
        return self.head(encoding.laterals, gamma, prior, size)

    def _cast(self, maps: FeatureMaps) -> FeatureMaps:
        return jax.tree.map(lambda x: jnp.asarray(x).astype(self.dtype), maps)

    def _category_logits(self, maps: FeatureMaps, groups: int) -> tuple[Array, ...] | None:
        if not self.category_head:
            return None
        levels = self.category(self._cast(maps))
        return tuple(x.reshape(groups, -1, *x.shape[1:]) for x in levels)  # [B, N, h, w, 1+L] each


def initial_variables(network: SSNM, seed: int) -> dict[str, Any]:
    """The network's `params` and `batch_stats` before training.

    Parameters do not depend on the input's size or on the number of iterations, so the smallest
    that works is used, which compiles sooner.
    """
    images = jnp.zeros((1, 2, INIT_SIZE, INIT_SIZE, 3), jnp.uint8)
    network = network.clone(axis_name=None, num_iterations=1)
    init = jax.jit(lambda key: network.init(key, images, train=False))
    variables = init(jax.random.key(seed))
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def initial_shapes(network: SSNM) -> dict[str, Any]:
    """The shapes and types of the `initial_variables`, which are not computed."""
    return kept_shapes(lambda: initial_variables(network, seed=0), description_of(network))


def description_of(network: SSNM) -> str | None:
    """All that tells a network's programs from those of others (`models.traces`).

    None for a network with a part that this package does not have.
    """
    described = repr(network)
    own = is_own(type(network), BACKBONES[network.backbone]) and " at 0x" not in described
    return f"{type(network).__module__} {described}" if own else None


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
        raise UserError(f"model.num_iterations is {model.num_iterations}; it takes 1 or more")
    if model.num_iterations > 1 and not model.use_semantic:
        raise UserError(
            f"model.num_iterations is {model.num_iterations}, but model.use_semantic is False, so "
            "that there is no gamma to compute again; set model.num_iterations=1"
        )
    if not 0 <= model.mask_pooling_weight <= 1:
        raise UserError(
            f"model.mask_pooling_weight is {model.mask_pooling_weight}; it takes 0 to 1"
        )
    if model.features < 1:
        raise UserError(f"model.features is {model.features}; it takes 1 or more")
    fields = dict(model)
    fields.pop("pretrained")
    fields["dtype"] = DTYPES[fields["dtype"]]
    fields["spatial"] = SpatialOptions(**fields["spatial"])
    fields["semantic"] = SemanticOptions(**fields["semantic"])
    return SSNM(categories=categories, axis_name=axis_name, **fields)
