"""The one legend of shapes and letters, and the few tuples that pass between rooms.

Letters, in every shape of this package:

    B      groups in a batch
    N      photographs in a group (any N >= 1)
    H W    pixels of the network's input; of a photograph, where the text says so
    h w    feature cells at the stride under discussion
    C      channels of a backbone map
    d      channels of the modulated maps
    c      channels inside a second-order pooling layer
    n      = N*h*w, descriptors of one group
    L      co-categories of the training set
    K      categories that occur in one photograph
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

Ndarray = np.ndarray
Count = Any  # an int; a symbolic dimension of `jax.export` where groups of any size are exported


class Example(NamedTuple):
    """One decoded photograph with the masks of the categories in it.

    image: RGB, 0..255, at the photograph's own size.
    masks: one binary mask a category, in the order of `categories`; they may overlap.
    void: pixels without a known label, ignored by losses and metrics.
    categories: indices into the source's `categories`, ascending.
    name: names the photograph within its source, without suffix (`2007_000032`, `cat/img_0001`).
    """

    image: UInt8[Ndarray, "H W 3"]
    masks: Bool[Ndarray, "K H W"]
    void: Bool[Ndarray, "H W"]
    categories: Int[Ndarray, " K"]
    name: str


class FeatureMaps(NamedTuple):
    """The four maps of a backbone, fine to coarse: strides 4, 8, 16 and 32 of the input."""

    stride4: Float[Array | Ndarray, "*M h4 w4 C4"]
    stride8: Float[Array | Ndarray, "*M h8 w8 C8"]
    stride16: Float[Array | Ndarray, "*M h16 w16 C16"]
    stride32: Float[Array | Ndarray, "*M h32 w32 C32"]


class GroupBatch(NamedTuple):
    """A batch of groups as the training step takes it.

    images: RGB 0..255, resized to the network's input; or None where `maps` stands in for them.
    masks: 1 where a category shared by the whole group lies, else 0.
    valid: False on void pixels.
    labels: multi-hot, 1 for every category that all N photographs share.
    maps: cached maps of a frozen backbone, or None.
    category_maps: 1 + the index of the category at each pixel, 0 for none; or None.
    marks: weights, of sum 1, of each photograph's cells at stride 32: where a user has marked the
        object, and alike in photographs without a mark; or None.
    """

    images: UInt8[Array | Ndarray, "*B N H W 3"] | None
    masks: Float[Array | Ndarray, "*B N H W"]
    valid: Bool[Array | Ndarray, "*B N H W"]
    labels: Float[Array | Ndarray, "*B L"]
    maps: FeatureMaps | None = None
    category_maps: UInt8[Array | Ndarray, "*B N H W"] | None = None
    marks: Float[Array | Ndarray, "*B N h w"] | None = None


class SpatialPrior(NamedTuple):
    """What the spatial modulator says of a group (section 3.2).

    indicator: S, the relaxed cluster indicator; positive on the foreground side.
    loss: eq. 9 divided by n, so that it depends neither on N nor on the resolution.
    """

    indicator: Float[Array, "B N h w"]
    loss: Float[Array, " B"]


class PooledStatistics(NamedTuple):
    """What the semantic modulator keeps of a photograph; None for the order that it does not use.

    second: of HSP's lower level; first: of the mean over positions.
    """

    second: Float[Array | Ndarray, "*B d"] | None
    first: Float[Array | Ndarray, "*B c"] | None


class ImageDescriptors(NamedTuple):
    """All that a group's modulators have to know of a photograph; None for one that is off.

    fused: phi(I), for the spatial modulator.
    statistics: for the semantic one.
    """

    fused: Float[Array | Ndarray, "*B h w d"] | None
    statistics: PooledStatistics | None


class Semantics(NamedTuple):
    """What the semantic modulator says of a group (section 3.3)."""

    gamma: Float[Array, "B d"]
    class_logits: Float[Array, "B L"]


class GroupContext(NamedTuple):
    """What the photographs of a group have in common: all that the head has to know of it."""

    prior: SpatialPrior
    semantics: Semantics


class GroupMasks(NamedTuple):
    """What a predictor gives for a batch of groups.

    probabilities: of the foreground, 0..1, at the size of the network's input.
    indicator: S, the spatial prior.
    """

    probabilities: Float[Array | Ndarray, "B N H W"]
    indicator: Float[Array | Ndarray, "B N h w"]


class Iteration(NamedTuple):
    """What a round before the last one said, for the losses: they judge every round."""

    mask_logits: Float[Array, "B N H W"]
    class_logits: Float[Array, "B L"]


class Prediction(NamedTuple):
    """Everything that the network computes for a batch of groups.

    category_logits: of every cell of the four levels, or None without the category head.
    earlier: the rounds before the last one, whose results are the fields above.
    """

    mask_logits: Float[Array, "B N H W"]
    class_logits: Float[Array, "B L"]
    gamma: Float[Array, "B d"]
    prior: SpatialPrior
    category_logits: tuple[Float[Array, "B N _ _ _"], ...] | None = None
    earlier: tuple[Iteration, ...] = ()


def in_groups(tree: Any, groups: int, photos: Count) -> Any:
    """Every array [B N, ...] of a tree as [B, N, ...]."""
    return jax.tree.map(lambda x: x.reshape(groups, photos, *x.shape[1:]), tree)


def flattened(tree: Any) -> Any:
    """Every array [B, N, ...] of a tree as [B N, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)
