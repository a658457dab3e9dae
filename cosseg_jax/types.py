"""The legend of shapes and letters, and the tuples that pass between the stages.

Letters, in every shape of this package:

    B      groups in a batch
    N      images in a group (any N >= 1)
    M      images that are processed independently of their groups, often M = B N
    H W    pixels of the network's input, or of an image at its own size where the text says so
    S      side of the network's square input in pixels; also the spatial prior, in prose
    h w    cells of a feature map at the stride under discussion
    C      channels of a backbone's feature map
    d      channels of the modulated feature maps
    c      channels inside a second-order pooling layer
    n      N*h*w, the descriptors of one group
    L      co-categories of the training set
    K      categories that occur in one image
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Float16, Int, UInt8, UInt16

Ndarray = np.ndarray
Count = Any  # an int, or a symbolic dimension of `jax.export` where groups of any size are exported


class Example(NamedTuple):
    """One decoded image with the masks of the categories in it.

    image: RGB, 0..255, at the image's own size.
    masks: one binary mask per category, in the order of `categories`; masks may overlap.
    void: pixels without a known label, which losses and metrics ignore.
    categories: indices into the source's `categories`, ascending.
    name: names the image within its source, without suffix (`2007_000032`, `cat/img_0001`).
    """

    image: UInt8[Ndarray, "H W 3"]
    masks: Bool[Ndarray, "K H W"]
    void: Bool[Ndarray, "H W"]
    categories: Int[Ndarray, " K"]
    name: str


class FeatureMaps(NamedTuple):
    """Four feature maps, fine to coarse, at strides 4, 8, 16 and 32 of the input."""

    stride4: Float[Array | Ndarray, "*M h4 w4 C4"]
    stride8: Float[Array | Ndarray, "*M h8 w8 C8"]
    stride16: Float[Array | Ndarray, "*M h16 w16 C16"]
    stride32: Float[Array | Ndarray, "*M h32 w32 C32"]


class GroupBatch(NamedTuple):
    """A batch of groups as the training step takes it.

    images: RGB, 0..255, resized to the network's input; None where `maps` stands in for them.
    masks: 1 where a category lies that the whole group shares, else 0.
    valid: False on void pixels.
    labels: multi-hot, 1 for every category that all N images share.
    maps: cached feature maps of a frozen backbone, or None.
    category_maps: 1 + the index of the category at each pixel, 0 for none; or None.
    prompt_weights: pooling weights, with sum 1, of each image's cells at stride 32: the prompted
        region where the image carries a prompt, equal weights elsewhere; or None.
    """

    images: UInt8[Array | Ndarray, "*B N H W 3"] | None
    masks: Float[Array | Ndarray, "*B N H W"]
    valid: Bool[Array | Ndarray, "*B N H W"]
    labels: Float[Array | Ndarray, "*B L"]
    maps: FeatureMaps | None = None
    category_maps: (
        UInt8[Array | Ndarray, "*B N H W"] | UInt16[Array | Ndarray, "*B N H W"] | None
    ) = None
    prompt_weights: Float[Array | Ndarray, "*B N h w"] | None = None


class SpatialPrior(NamedTuple):
    """The output of the spatial modulator for a group (section 3.2).

    values: S, the relaxed cluster assignment; positive on the foreground side.
    loss: eq. 9 divided by n, so that it depends neither on N nor on the resolution.
    """

    values: Float[Array, "B N h w"]
    loss: Float[Array, " B"]


class PooledStatistics(NamedTuple):
    """The semantic modulator's statistics of each image; None for an order that it does not use.

    second: the output of HSP's lower level; first: the hidden layer above the mean over positions.
    """

    second: Float[Array | Ndarray, "*B d"] | None
    first: Float[Array | Ndarray, "*B c"] | None


class ImageEncoding(NamedTuple):
    """All that the rest of the network needs of an image after its backbone has seen it.

    laterals: the head's lateral maps, before modulation; all have d channels.
    coarsest: the backbone's map at stride 32, for the semantic modulator; None if that is off.
    fused: phi(I), for the spatial modulator; None if that is off.
    stride16: the backbone's map at stride 16 in half precision, by which `models.likeness` compares
        cells; None for networks that keep none.
    """

    laterals: FeatureMaps
    coarsest: Float[Array | Ndarray, "*M h w C"] | None
    fused: Float[Array | Ndarray, "*M h2 w2 d"] | None
    stride16: Float16[Array | Ndarray, "*M h3 w3 C2"] | None = None


class Semantics(NamedTuple):
    """The output of the semantic modulator for a group (section 3.3)."""

    gamma: Float[Array, "B d"]
    class_logits: Float[Array, "B L"]


class GroupContext(NamedTuple):
    """All that the head needs to know of a group: the output of both modulators."""

    prior: SpatialPrior
    semantics: Semantics


class GroupPrediction(NamedTuple):
    """What a trained network predicts for one group.

    probability_maps: of the shared object, 0..1, at the size of the network's input.
    prior: S, the spatial prior.
    presence: the probability that the object is in the image at all, 0..1.
    class_probabilities: the probability that the group shares each training category, 0..1.
    known: the probability that it shares any of them; None where nothing is known about that.
    """

    probability_maps: Float[Array | Ndarray, "N S S"]
    prior: Float[Array | Ndarray, "N h w"]
    presence: Float[Array | Ndarray, " N"]
    class_probabilities: Float[Array | Ndarray, " L"]
    known: float | None = None


class Iteration(NamedTuple):
    """The outputs of an iteration before the last one; the losses judge every iteration."""

    mask_logits: Float[Array, "B N H W"]
    class_logits: Float[Array, "B L"]


class Prediction(NamedTuple):
    """Everything that the network computes for a batch of groups.

    category_logits: of every cell of the four levels, or None without the category head.
    earlier: the iterations before the last one, whose outputs are the fields above.
    """

    mask_logits: Float[Array, "B N H W"]
    class_logits: Float[Array, "B L"]
    gamma: Float[Array, "B d"]
    prior: SpatialPrior
    category_logits: tuple[Float[Array, "B N _ _ _"], ...] | None = None
    earlier: tuple[Iteration, ...] = ()


def in_groups(tree: Any, groups: int, images: Count) -> Any:
    """Reshapes every array [B N, ...] of a tree to [B, N, ...]."""
    return jax.tree.map(lambda x: x.reshape(groups, images, *x.shape[1:]), tree)


def flattened(tree: Any) -> Any:
    """Reshapes every array [B, N, ...] of a tree to [B N, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)
