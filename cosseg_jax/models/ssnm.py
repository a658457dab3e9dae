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
from cosseg_jax.models.rounds import attended
from cosseg_jax.models.semantic import SemanticModulator, SemanticOptions
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.options import check_choice
from cosseg_jax.types import (
    Count,
    Description,
    FeatureMaps,
    Ndarray,
    PhotoStatistics,
    Prediction,
    Relation,
    Round,
    Semantics,
    SpatialPrior,
    flattened,
    in_groups,
)

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class SSNM(nn.Module):
    """Spatial-semantic modulated network, for groups of any size with the same parameters.

    A call takes whole groups. Its steps may be called one by one: `encode`, `describe` and
    `segment` look at photographs one by one; `relate` takes a group, but little of each photograph.

    backbone: a name of `models.backbones.BACKBONES`.
    categories: L, classes of the class head.
    features: d, channels of the fused and of the modulated maps.
    spatial_stride: of S: 32 (the paper's figure), 16 or 8.
    use_spatial, use_semantic: the ablations of table 5. Off means S = 0 and gamma = 1.
    rounds: how often gamma and the masks are computed; more than once as `models.rounds` says.
    attention: how much of gamma's weights lies where the masks of the round before do, 0..1.
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
    rounds: int = 1
    attention: float = 0.5
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
        relation = self.relate(in_groups(described, groups, photos), groups, photos)
        masks = self.segment(grouped, relation, size)
        earlier: list[Round] = []
        for _ in range(1, self.rounds):
            earlier.append(Round(masks, relation.semantics.class_logits))
            heard = self.listen_again(flat, masks, marked)
            relation = self.reconsider(relation, in_groups(heard, groups, photos))
            masks = self.segment(grouped, relation, size)
        prior, semantics = relation
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
    ) -> Description:
        """What the modulators have to know of each photograph, from its maps [M, h, w, C].

        weights: of the coarsest map's positions for the semantic one, of sum 1; by default equal.
        """
        return Description(
            self.fusion(self._cast(maps)) if self.use_spatial else None,
            self.listen(maps, weights) if self.use_semantic else None,
        )

    def listen(
        self, maps: FeatureMaps, weights: Float[Array | Ndarray, "M h w"] | None
    ) -> PhotoStatistics:
        """The semantic modulator's share of `describe`."""
        weights = None if weights is None else jnp.asarray(weights)
        return self.modulator.describe(jnp.asarray(self._cast(maps).stride32), weights)

    def listen_again(
        self,
        maps: FeatureMaps,
        masks: Float[Array | Ndarray, "B N H W"],
        weights: Float[Array | Ndarray, "M h w"] | None,
    ) -> PhotoStatistics:
        """The same for a further round, from the logits `masks` of the round before, M = B N."""
        found = attended(
            jax.nn.sigmoid(flattened(masks)),
            weights,
            *maps.stride32.shape[1:3],
            share=self.attention,
        )  # [M, h, w]
        return self.listen(maps, jax.lax.stop_gradient(found))

    def relate(self, description: Description, groups: int, photos: Count) -> Relation:
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
            return Relation(prior, Semantics(gamma, logits))
        return Relation(prior, self.modulator.relate(description.statistics))

    def reconsider(self, relation: Relation, statistics: PhotoStatistics) -> Relation:
        """A relation whose gamma is of other statistics, [B, N, ...]: that of a further round."""
        return relation._replace(semantics=self.modulator.relate(statistics))

    def segment(
        self, maps: FeatureMaps, relation: Relation, size: tuple[int, int]
    ) -> Float[Array, "B N H W"]:
        """Mask logits at (height, width) = `size` of photographs with maps [B, N, h, w, C].

        They may be some of their groups only; the relation's indicator is then of the same ones.
        """
        maps = self._cast(flattened(maps))
        return self.head(maps, relation.semantics.gamma, relation.prior.indicator, size)

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
    check_frozen_stages(model.backbone, model.get("frozen_stages", 0))
    check_stride(model.spatial_stride)
    if model.get("rounds", 1) < 1:
        raise ValueError(f"model.rounds is {model.rounds}; it takes 1 or more")
    if model.get("rounds", 1) > 1 and not model.use_semantic:
        raise ValueError(
            f"model.rounds is {model.rounds}, but there is no gamma to compute anew without the "
            "semantic modulator; set model.rounds=1 beside model.use_semantic=False"
        )
    if not 0 <= model.get("attention", SSNM.attention) <= 1:
        raise ValueError(f"model.attention is {model.attention}; it takes 0 to 1")
    if model.features < 1:
        raise ValueError(f"model.features is {model.features}; it takes 1 or more")
    fields = dict(model)
    fields.pop("pretrained")
    fields["dtype"] = DTYPES[fields["dtype"]]
    fields["spatial"] = SpatialOptions(**fields["spatial"])
    fields["semantic"] = SemanticOptions(**fields["semantic"])
    return SSNM(categories=categories, axis_name=axis_name, **fields)
