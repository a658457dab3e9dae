"""The semantic modulator f_sem: hierarchical second-order pooling and the class head (section 3.3).

SP turns a set of descriptors into one vector through the covariance of its channels; HSP applies it
to the positions of each photograph, then to the photographs of the group. Both are sums over their
inputs, so gamma depends neither on the order of the photographs nor on how many there are.

Further rounds, beyond the paper: gamma again, from where the masks of the round before lie.

The paper's gamma hears every position of a photograph alike, most of which show something else than
the object. A round's masks tell where to listen in the next one. Nothing in it is trained.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import check_choice
from cosseg_jax.models.fusion import resize
from cosseg_jax.types import Ndarray, PooledStatistics, Semantics, in_groups


@dataclasses.dataclass(frozen=True)
class SemanticOptions:
    """How gamma is computed. The defaults are the paper's.

    pooling: statistics that gamma rests on: "second" (HSP), "first" (means over space and group)
        or "both", added.
    reduced: c, channels whose covariance is taken; of "first", the width of its hidden layer.
    centred: subtract the mean before the covariance (the paper's figure does not).
    covariance: "plain", or "sqrt_l2": signed square root, then L2 norm 1, as is usual for
        second-order features.
    layer_norm: normalise what goes into each pooling, so that its scale does not drift.
    gamma_bias: initial bias of gamma: 0 as any layer's, or 1, so that Y = X + S where a group
        says nothing.
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
            raise ValueError(f"model.semantic.reduced is {self.reduced}; it takes 1 or more")


def covariance(
    x: Float[Array, "M P c"], weights: Float[Array, "M P"] | None = None, *, centred: bool
) -> Float[Array, "M c c"]:
    """Channel covariance over positions, weighted alike or with `weights` of sum 1; in float32."""
    x = x.astype(jnp.float32)
    if centred:
        x = x - position_mean(x, weights)[:, None, :]
    if weights is None:
        return jnp.einsum("mpc,mpk->mck", x, x) / x.shape[1]  # [M, c, c]
    return jnp.einsum("mp,mpc,mpk->mck", weights, x, x)


def position_mean(
    x: Float[Array, "M P c"], weights: Float[Array, "M P"] | None
) -> Float[Array, "M c"]:
    """The mean over positions, of equal weights or of those given, whose sum is 1."""
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
    """HSP: SP over each photograph's positions, then over the group's photographs."""

    features: int
    options: SemanticOptions
    bias: float = 0.0
    dtype: Any = jnp.float32

    def setup(self) -> None:
        pool: dict[str, Any] = dict(features=self.features, options=self.options, dtype=self.dtype)
        self.photo = SecondOrderPooling(**pool)
        self.group = SecondOrderPooling(**pool, bias=self.bias)

    def describe(
        self, x: Float[Array, "M P C"], weights: Float[Array, "M P"] | None
    ) -> Float[Array, "M d"]:
        """The lower level, of each photograph by itself."""
        return self.photo(x, weights)

    def aggregate(self, each: Float[Array, "B N d"]) -> Float[Array, "B d"]:
        """The upper level."""
        return self.group(each)


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

    def describe(
        self, x: Float[Array, "M P C"], weights: Float[Array, "M P"] | None
    ) -> Float[Array, "M c"]:
        """Up to the MLP's hidden layer, of each photograph by itself."""
        return nn.relu(self.hidden(self.norm(position_mean(x, weights))))

    def aggregate(self, each: Float[Array, "B N c"]) -> Float[Array, "B d"]:
        """The mean over the group, and the MLP's last layer."""
        return self.expand(jnp.mean(each, axis=1))


class SemanticModulator(nn.Module):
    """gamma and the co-category logits of each group, from the coarsest backbone map.

    In two steps, so that the photographs of a large group need not be in memory together:
    `describe` looks at each by itself, `aggregate` at what it said of all of them.

    features: d, channels that gamma scales.
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
            bias = 0.0  # once is enough where both are added
        if pooling in ("first", "both"):
            self.first_order = MeanPooling(**options, bias=bias)
        self.classify = nn.Dense(self.categories)

    def describe(
        self, coarsest: Float[Array, "M h w C"], weights: Float[Array, "M h w"] | None = None
    ) -> PooledStatistics:
        """The statistics of each photograph; `weights` of its positions have sum 1."""
        if weights is not None:
            weights = weights.reshape(weights.shape[0], -1)  # [M, P]
        x = coarsest.reshape(coarsest.shape[0], -1, coarsest.shape[-1])  # [M, P, C]
        pooling = self.options.pooling
        return PooledStatistics(
            self.second_order.describe(x, weights) if pooling in ("second", "both") else None,
            self.first_order.describe(x, weights) if pooling in ("first", "both") else None,
        )

    def aggregate(self, statistics: PooledStatistics) -> Semantics:
        """What the statistics of a group's photographs, [B, N, ...], say together."""
        gammas = []
        if statistics.second is not None:
            gammas.append(self.second_order.aggregate(jnp.asarray(statistics.second)))
        if statistics.first is not None:
            gammas.append(self.first_order.aggregate(jnp.asarray(statistics.first)))
        gamma = sum(gammas[1:], start=gammas[0]).astype(jnp.float32)
        return Semantics(gamma, self.classify(gamma))  # eq. 11, before the sigmoid

    def __call__(self, coarsest: Float[Array, "B N h w C"]) -> Semantics:
        groups, photos = coarsest.shape[:2]
        statistics = self.describe(coarsest.reshape(-1, *coarsest.shape[2:]))
        return self.aggregate(in_groups(statistics, groups, photos))


FLOOR = 0.01  # added to a cell's probability: where nothing was found all cells count alike


def mask_pooling_weights(
    probabilities: Float[Array | Ndarray, "M H W"],
    weights: Float[Array | Ndarray, "M h w"] | None,
    height: int,
    width: int,
    *,
    share: float,
) -> Float[Array, "M h w"]:
    """Weights of the coarsest map's cells for the next round: partly by the masks, else as before.

    Args:
        probabilities: of the foreground, 0..1.
        weights: those of the first round, of sum 1, such as a user's mark, beyond which no later
            round listens; by default equal.
        height, width: h and w.
        share: of a photograph's weights, how much lies by the masks: 0 as before .. 1.
    """
    cells = resize(jnp.asarray(probabilities)[..., None], height, width)[..., 0]  # [M, h, w]
    before = 1 / (height * width) if weights is None else jnp.asarray(weights)
    cells = (jnp.maximum(cells, 0.0) + FLOOR) * before
    found = cells / jnp.sum(cells, axis=(1, 2), keepdims=True)
    return share * found + (1 - share) * before
