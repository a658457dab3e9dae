"""A head for categories that no training has shown: it marks what the images share, unnamed.

The segmentation head learns twenty categories and, by heart, that everything else is background.
This one is trained on a hundred further ones (`train.agnostic_head`), on maps that the network has
anyway: the backbone's at stride 32 and the lateral one at stride 16. It is built like the network:
S and gamma modulate maps of two resolutions. S is the principal direction of the group's centred
descriptors. Gamma is pooled over the group, first over whole images or over what prompts show, then
under the masks of the iteration before.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from cosseg_jax.files import write_whole
from cosseg_jax.models.layers import convolved_3x3, resize
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.fit import check_finite, check_fit
from cosseg_jax.models.semantic import mask_pooling_weights
from cosseg_jax.models.spatial import (
    SMALL,
    SpatialOptions,
    centred_directions,
    spatial_modulator,
    unit_rows,
)
from cosseg_jax.models.traces import kept_shapes
from cosseg_jax.types import Ndarray, flattened, in_groups

SPATIAL = SpatialOptions(
    descriptors="centred", sign="activation", solver="subspace", iterations=24, dense_max=0
)


class Marks(NamedTuple):
    """What prompts show of a group: weights of cells, of sum 1 in a prompted image and else 0.

    shown: of the cells on the object.
    excluded: of the cells beside it.
    """

    shown: Float[Array | Ndarray, "B N h w"]
    excluded: Float[Array | Ndarray, "B N h w"]


class AgnosticHead(nn.Module):
    """Mask logits of groups, from maps of a frozen network.

    features: channels of its own maps.
    reduced: width of the hidden layer between pooled descriptors and gamma.
    num_iterations: how often gamma and the masks are computed.
    dropout: of the channels of the maps, while training.
    """

    features: int = 64
    reduced: int = 256
    num_iterations: int = 2
    dropout: float = 0.4

    def setup(self) -> None:
        self.norms = nn.LayerNorm(), nn.LayerNorm()
        self.laterals = nn.Dense(self.features), nn.Dense(self.features)
        self.priors = [nn.Dense(self.features, use_bias=False) for _ in range(2)]
        self.hidden, self.gamma = nn.Dense(self.reduced), nn.Dense(2 * self.features)
        self.convs = [
            nn.Conv(self.features, (3, 3), conv_general_dilated=convolved_3x3) for _ in range(3)
        ]
        self.predict = nn.Dense(1)
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))

    def __call__(
        self,
        coarse: Float[Array | Ndarray, "B N h w C"],
        fine: Float[Array | Ndarray, "B N h2 w2 D"],
        marks: Marks | None = None,
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "B N h2 w2"], ...]:
        """The logits of each iteration; the last are the result.

        Args:
            coarse, fine: as `predict.chunked.ChunkedNetwork.feature_maps` has them.
            marks: of prompts; None without any.
            train: whether channels are dropped, which needs the random key "dropout".
        """
        coarse, fine = jnp.asarray(coarse, jnp.float32), jnp.asarray(fine, jnp.float32)
        groups, images, *grid = coarse.shape[:4]
        if marks is None:
            nothing = jnp.zeros(coarse.shape[:4])
            marks = Marks(nothing, nothing)
        marks = Marks(*map(jnp.asarray, marks))
        priors = flattened(jax.lax.stop_gradient(_priors(coarse, marks)))  # [B*N, h, w, K]
        finer = resize(priors, *fine.shape[2:4])
        normed = self.norms[0](flattened(coarse))
        laterals = [
            lateral(self.drop(x, deterministic=not train))
            for lateral, x in zip(
                self.laterals, (normed, self.norms[1](flattened(fine))), strict=True
            )
        ]
        unmasked, counted = _pooled_first(marks)
        weights, found = unmasked, list[Array]()
        for number in range(self.num_iterations):
            if number:
                masks = flattened(jax.lax.stop_gradient(nn.sigmoid(found[-1])))
                weights = mask_pooling_weights(masks, unmasked, *grid, share=1.0)
                counted = jnp.ones((groups, images))
            gammas = self._gammas(normed, weights, counted)
            x = gammas[0] * laterals[0] + self.priors[0](priors)
            x = nn.relu(self.convs[0](x))
            x = gammas[1] * laterals[1] + self.priors[1](finer) + resize(x, *finer.shape[1:3])
            for conv in self.convs[1:]:
                x = nn.relu(conv(x))
            found.append(in_groups(self.predict(x)[..., 0], groups, images))
        return tuple(found)

    def _gammas(
        self,
        normed: Float[Array, "M h w C"],
        weights: Float[Array, "M h w"],
        counted: Float[Array, "B N"],
    ) -> list[Float[Array, "M 1 1 d"]]:
        """The factors of both laterals' channels: the same for all images of a group."""
        groups, images = counted.shape
        pooled = jnp.einsum("mhw,mhwc->mc", weights, normed)
        hidden = in_groups(nn.relu(self.hidden(pooled)), groups, images)  # [B, N, c]
        share = counted / jnp.sum(counted, axis=1, keepdims=True)
        gamma = 1 + self.gamma(jnp.einsum("bn,bnc->bc", share, hidden))
        return [jnp.repeat(x, images, 0)[:, None, None] for x in jnp.split(gamma, 2, axis=-1)]


def _priors(coarse: Float[Array, "B N h w C"], marks: Marks) -> Float[Array, "B N h w 6"]:
    """What speaks for the object in each cell, whatever its category.

    S, the logarithm of the descriptor's length, the cosines with what prompts show and exclude, and
    the marks themselves. The last four are 0 without prompts.
    """
    prior = spatial_modulator(coarse, SPATIAL).values
    length = jnp.log(jnp.linalg.norm(coarse, axis=-1) + SMALL)
    length = length - jnp.mean(length, axis=(2, 3), keepdims=True)
    x = centred_directions(coarse)
    channels = [prior, length]
    for weights in marks:
        prototype = unit_rows(jnp.einsum("bnhw,bnhwc->bc", weights, x), SMALL)
        channels.append(jnp.einsum("bnhwc,bc->bnhw", x, prototype))
        largest = jnp.max(jnp.asarray(weights), axis=(2, 3), keepdims=True)
        channels.append(jnp.asarray(weights) / jnp.maximum(largest, SMALL))
    return jnp.stack(channels, axis=-1)


def _pooled_first(marks: Marks) -> tuple[Float[Array, "M h w"], Float[Array, "B N"]]:
    """The weights of cells before there are masks, with sum 1, and which images count.

    They are the shown cells of the images that show the object; without such, all of all images.
    """
    height, width = marks.shown.shape[2:]
    shows = jnp.sum(marks.shown, axis=(2, 3)) > 0  # [B, N]
    weights = jnp.where(shows[..., None, None], marks.shown, 1 / (height * width))
    counted = jnp.where(jnp.any(shows, axis=1, keepdims=True), shows, True)
    return flattened(weights), counted.astype(jnp.float32)


def load_agnostic_head(path: Path, coarse: int, fine: int) -> Any:
    """Reads what `save_agnostic_head` wrote, for maps of so many channels.

    Raises UserError for a file that is not whole or of another kind, NotFiniteError for one with a
    value that is NaN or infinite.
    """
    found = read_npz(path)

    def initial() -> Any:
        maps = jnp.zeros((1, 1, 2, 2, coarse)), jnp.zeros((1, 1, 4, 4, fine))
        return AgnosticHead().init(jax.random.key(0), *maps)

    shapes = kept_shapes(initial, f"class-agnostic head {coarse} {fine}")
    check_fit(str(path), "the class-agnostic head", found, flatten_dict(shapes, sep="/"))
    check_finite(str(path), found)
    return jax.tree.map(lambda x: x.astype(np.float32), unflatten_dict(found, sep="/"))


def save_agnostic_head(path: Path, variables: Any) -> None:
    """Writes the variables as one .npz file, in half precision."""
    half = jax.tree.map(lambda x: np.asarray(x, np.float16), variables)
    arrays: Any = flatten_dict(half, sep="/")
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(path, content.getvalue())
