"""The semantic modulator f_sem: hierarchical second-order pooling and the class head (section 3.3).

SP turns a set of descriptors into one vector through the covariance of its channels. HSP applies SP
to the positions of each image, then to the images of the group. Both sum over their inputs, so
gamma depends neither on the order of the images nor on their number.

Beyond the paper, gamma can be computed again in further iterations. The paper pools every position
of an image alike, although most positions do not show the object. `mask_pooling_weights` turns the
masks of one iteration into the pooling weights of the next; it has no parameters.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.models.layers import resize
from cosseg_jax.types import Ndarray, PooledStatistics, Semantics, in_groups

FLOOR = 0.01  # added to every cell's probability, so that an empty mask pools all cells alike


@dataclasses.dataclass(frozen=True)
class SemanticOptions:
    """How gamma is computed. The defaults are the paper's.

    pooling: "second" (HSP), "first" (means over space and group) or "both", added.
    reduced: c, the channels whose covariance is taken; for "first", the width of the hidden layer.
    centred: whether the mean is subtracted before the covariance (the paper's figure does not).
    covariance: "plain", or "sqrt_l2": signed square root, then L2 norm 1, as is usual for
        second-order features.
    layer_norm: whether the input of each pooling is normalised, so that its scale does not drift.
    gamma_bias: the initial bias of gamma: 0, or 1, so that Y = X + S where the group says nothing.

    Raises:
        UserError: naming the field whose value is not valid.
    """

    pooling: str = "second"
    reduced: int = 128
    centred: bool = False
    covariance: str = "plain"
    layer_norm: bool = False
    gamma_bias: float = 0.0

    def __post_init__(self) -> None:
        check_choice("model.semantic.pooling", self.pooling, ("second", "first", "both"))
        check_choice("model.semantic.covariance", self.covariance, ("plain", "sqrt_l2"))
        if self.reduced < 1:
            raise UserError(f"model.semantic.reduced is {self.reduced}; it must be 1 or more")


def covariance(
    x: Float[Array, "M P c"], weights: Float[Array, "M P"] | None = None, *, centred: bool
) -> Float[Array, "M c c"]:
    """The covariance of channels over positions, in float32.

    weights: one per position, with sum 1; None weighs all positions alike.
    """
    x = x.astype(jnp.float32)
    if centred:
        x = x - position_mean(x, weights)[:, None, :]
    if weights is None:
        return jnp.einsum("mpc,mpk->mck", x, x) / x.shape[1]  # [M, c, c]
    return jnp.einsum("mp,mpc,mpk->mck", weights, x, x)


def position_mean(
    x: Float[Array, "M P c"], weights: Float[Array, "M P"] | None
) -> Float[Array, "M c"]:
    """The mean over positions, weighted alike or with weights of sum 1."""
    if weights is None:
        return jnp.mean(x, axis=1)
    return jnp.einsum("mp,mpc->mc", weights.astype(x.dtype), x)


def signed_sqrt_l2(x: Float[Array, "M k"]) -> Float[Array, "M k"]:
    """sign(x) sqrt(|x|), scaled to length 1; smooth at zero."""
    root = x / jnp.sqrt(jnp.abs(x) + 1e-6)
    return root / jnp.sqrt(jnp.sum(root**2, axis=-1, keepdims=True) + 1e-6)


class SecondOrderPooling(nn.Module):
    """SP: 1x1 convolution to c channels with ReLU, covariance, fully connected to d."""

    features: int
    options: SemanticOptions
    bias: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "M P C"], weights: Float[Array, "M P"] | None = None
    ) -> Float[Array, "M d"]:
        options = self.options
        if options.layer_norm:
            x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        x = nn.relu(nn.Dense(options.reduced, dtype=self.dtype, name="reduce")(x))
        pooled = covariance(x, weights, centred=options.centred)
        pooled = pooled.reshape(pooled.shape[0], -1)  # [M, c*c]
        if options.covariance == "sqrt_l2":
            pooled = signed_sqrt_l2(pooled)
        bias = nn.initializers.constant(self.bias)
        return nn.Dense(self.features, dtype=self.dtype, bias_init=bias, name="expand")(pooled)


class HierarchicalPooling(nn.Module):
    """HSP: SP over the positions of each image, then over the images of the group."""

    features: int
    options: SemanticOptions
    bias: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        pool: dict[str, Any] = dict(features=self.features, options=self.options, dtype=self.dtype)
        self.photo = SecondOrderPooling(**pool)
        self.group = SecondOrderPooling(**pool, bias=self.bias)

    def pool(
        self, x: Float[Array, "M P C"], weights: Float[Array, "M P"] | None
    ) -> Float[Array, "M d"]:
        """The lower level, for each image."""
        return self.photo(x, weights)

    def aggregate(self, statistics: Float[Array, "B N d"]) -> Float[Array, "B d"]:
        """The upper level, for each group."""
        return self.group(statistics)


class MeanPooling(nn.Module):
    """First-order counterpart of HSP: mean over space, layer norm, MLP, mean over the group."""

    features: int
    options: SemanticOptions
    bias: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.norm = nn.LayerNorm(dtype=self.dtype)
        self.hidden = nn.Dense(self.options.reduced, dtype=self.dtype)
        bias = nn.initializers.constant(self.bias)
        self.expand = nn.Dense(self.features, dtype=self.dtype, bias_init=bias)

    def pool(
        self, x: Float[Array, "M P C"], weights: Float[Array, "M P"] | None
    ) -> Float[Array, "M c"]:
        """The hidden layer of the MLP, for each image."""
        return nn.relu(self.hidden(self.norm(position_mean(x, weights))))

    def aggregate(self, statistics: Float[Array, "B N c"]) -> Float[Array, "B d"]:
        """The mean over each group, then the last layer of the MLP."""
        return self.expand(jnp.mean(statistics, axis=1))


class SemanticModulator(nn.Module):
    """gamma and the co-category logits of each group, from the coarsest feature map.

    It works in two steps, so that the images of a large group need not be in memory together:
    `pool` describes each image by itself, `aggregate` combines the statistics of a group.

    features: d, the channels that gamma scales.
    categories: L.
    """

    features: int
    categories: int
    options: SemanticOptions = SemanticOptions()
    dtype: Any = jnp.float32

    def setup(self) -> None:
        options: dict[str, Any] = dict(
            features=self.features, options=self.options, dtype=self.dtype
        )
        bias, pooling = self.options.gamma_bias, self.options.pooling
        if pooling in ("second", "both"):
            self.second_order = HierarchicalPooling(**options, bias=bias)
            bias = 0.0  # one bias is enough where both poolings are added
        if pooling in ("first", "both"):
            self.first_order = MeanPooling(**options, bias=bias)
        self.classify = nn.Dense(self.categories)

    def pool(
        self, coarsest: Float[Array, "M h w C"], weights: Float[Array, "M h w"] | None = None
    ) -> PooledStatistics:
        """The statistics of each image. weights: one per position, with sum 1 in each image."""
        if weights is not None:
            weights = weights.reshape(weights.shape[0], -1)  # [M, P]
        x = coarsest.reshape(coarsest.shape[0], -1, coarsest.shape[-1])  # [M, P, C]
        pooling = self.options.pooling
        return PooledStatistics(
            self.second_order.pool(x, weights) if pooling in ("second", "both") else None,
            self.first_order.pool(x, weights) if pooling in ("first", "both") else None,
        )

    def aggregate(self, statistics: PooledStatistics) -> Semantics:
        """gamma and class logits of each group, from the statistics [B, N, ...] of its images."""
        gammas = []
        if statistics.second is not None:
            gammas.append(self.second_order.aggregate(jnp.asarray(statistics.second)))
        if statistics.first is not None:
            gammas.append(self.first_order.aggregate(jnp.asarray(statistics.first)))
        gamma = sum(gammas[1:], start=gammas[0]).astype(jnp.float32)
        return Semantics(gamma, self.classify(gamma))  # eq. 11, before the sigmoid

    def __call__(self, coarsest: Float[Array, "B N h w C"]) -> Semantics:
        groups, images = coarsest.shape[:2]
        statistics = self.pool(coarsest.reshape(-1, *coarsest.shape[2:]))  # [B*N, ...]
        return self.aggregate(in_groups(statistics, groups, images))


def mask_pooling_weights(
    probabilities: Float[Array | Ndarray, "M H W"],
    weights: Float[Array | Ndarray, "M h w"] | None,
    height: int,
    width: int,
    *,
    share: float,
) -> Float[Array, "M h w"]:
    """The pooling weights of the coarsest map's cells for the next iteration; sum 1 per image.

    Args:
        probabilities: of the foreground, 0..1, from the iteration before.
        weights: those of the first iteration, with sum 1, such as a prompt; cells outside it stay
            without weight in every iteration. None weighs all cells alike.
        height, width: h and w.
        share: how much of the weight follows the masks, 0..1; the rest stays as in `weights`.
    """
    cells = resize(jnp.asarray(probabilities)[..., None], height, width)[..., 0]  # [M, h, w]
    before = 1 / (height * width) if weights is None else jnp.asarray(weights)
    cells = (jnp.maximum(cells, 0.0) + FLOOR) * before
    by_mask = cells / jnp.sum(cells, axis=(1, 2), keepdims=True)
    return share * by_mask + (1 - share) * before
