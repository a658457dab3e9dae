"""The semantic modulator f_sem: hierarchical second-order pooling and the class head (section 3.3).

SP turns a set of descriptors into one vector through the covariance of its channels; HSP applies it
to the positions of each photograph, then to the photographs of the group. Both are sums over their
inputs, so gamma depends neither on the order of the photographs nor on how many there are.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.options import check_choice
from cosseg_jax.types import Semantics


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


def covariance(x: Float[Array, "M P c"], *, centred: bool) -> Float[Array, "M c c"]:
    """Channel covariance over positions, divided by their number P; in float32."""
    x = x.astype(jnp.float32)
    if centred:
        x = x - jnp.mean(x, axis=1, keepdims=True)
    return jnp.einsum("mpc,mpk->mck", x, x) / x.shape[1]  # [M, c, c]


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
    def __call__(self, x: Float[Array, "M P C"]) -> Float[Array, "M d"]:
        options = self.options
        if options.layer_norm:
            x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        x = nn.relu(nn.Dense(options.reduced, dtype=self.dtype, name="reduce")(x))
        pooled = covariance(x, centred=options.centred)
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

    @nn.compact
    def __call__(self, x: Float[Array, "B N P C"]) -> Float[Array, "B d"]:
        groups, photos, positions, channels = x.shape
        pool: dict[str, Any] = dict(features=self.features, options=self.options, dtype=self.dtype)
        flat = x.reshape(groups * photos, positions, channels)  # [B*N, P, C]
        each = SecondOrderPooling(**pool, name="photo")(flat)
        each = each.reshape(groups, photos, self.features)  # [B, N, d]
        return SecondOrderPooling(**pool, bias=self.bias, name="group")(each)


class MeanPooling(nn.Module):
    """First-order counterpart of HSP: mean over space, layer norm, MLP, mean over the group."""

    features: int
    options: SemanticOptions
    bias: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B N P C"]) -> Float[Array, "B d"]:
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(jnp.mean(x, axis=2))  # [B, N, C]
        x = nn.relu(nn.Dense(self.options.reduced, dtype=self.dtype, name="hidden")(x))
        x = jnp.mean(x, axis=1)  # [B, c]
        bias = nn.initializers.constant(self.bias)
        return nn.Dense(self.features, dtype=self.dtype, bias_init=bias, name="expand")(x)


class SemanticModulator(nn.Module):
    """gamma and the co-category logits of each group, from the coarsest backbone map.

    features: d, channels that gamma scales.
    categories: L.
    """

    features: int
    categories: int
    options: SemanticOptions = SemanticOptions()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, coarsest: Float[Array, "B N h w C"]) -> Semantics:
        groups, photos, height, width, channels = coarsest.shape
        x = coarsest.reshape(groups, photos, height * width, channels)  # [B, N, P, C]
        settings: dict[str, Any] = dict(
            features=self.features, options=self.options, dtype=self.dtype
        )
        bias = self.options.gamma_bias
        gammas = []
        if self.options.pooling in ("second", "both"):
            gammas.append(HierarchicalPooling(**settings, bias=bias, name="second_order")(x))
            bias = 0.0  # once is enough where both are added
        if self.options.pooling in ("first", "both"):
            gammas.append(MeanPooling(**settings, bias=bias, name="first_order")(x))
        gamma = sum(gammas[1:], start=gammas[0]).astype(jnp.float32)
        logits = nn.Dense(self.categories, name="classify")(gamma)  # eq. 11, before the sigmoid
        return Semantics(gamma, logits)
