"""Large maps a few rows at a time, so that what lies between two layers stays in the cache.

At 1024 pixels TinyViT's first stage holds 67 MB between any two of its layers, and a CPU spends
most of its time on moving them; in strips an inverted bottleneck takes a third of the time.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

CELLS = 4096  # of a map in a strip, about
FEWEST = 8  # rows of a strip where maps are wide; two more are computed twice
Layers = Callable[[Any, jax.Array, jax.Array], jax.Array]


def in_strips(
    layers: Layers, module: nn.Module, x: Float[Array, "B h w C"], halo: int = 0
) -> Float[Array, "B h2 w2 F"]:
    """What `layers(module, x, inside)` gives for the whole map, computed strip by strip.

    layers: gets a strip with `halo` more rows above and below, B x rows + 2*halo x w x C, and
        which of these rows lie inside the map; it returns the strip's own rows. Submodules that it
        makes belong to `module`.
    """
    batch, height = x.shape[:2]
    rows = rows_of(height, batch * x.shape[2])
    padded = jnp.pad(x, ((0, 0), (halo, halo), (0, 0), (0, 0)))
    starts = range(0, height, rows)
    strips = jnp.stack([padded[:, start : start + rows + 2 * halo] for start in starts])
    at = jnp.arange(rows + 2 * halo)[None, :] + jnp.asarray(starts)[:, None] - halo
    inside = (at >= 0) & (at < height)  # [strips, rows + 2*halo]
    if len(starts) == 1:
        return layers(module, strips[0], inside[0])

    scan = nn.scan(
        lambda module, carry, strip: (carry, layers(module, *strip)),
        variable_broadcast=("params", "batch_stats"),
        split_rngs={"params": False},
    )
    _, found = scan(module, None, (strips, inside))  # [strips, B, rows2, w2, F]
    found = jnp.moveaxis(found, 0, 1)  # [B, strips, rows2, w2, F]
    return found.reshape(batch, -1, *found.shape[3:])  # [B, h2, w2, F]


def only(inside: Bool[Array, " r"], x: Float[Array, "B r w C"]) -> Float[Array, "B r w C"]:
    """The map with zeros in rows beyond its borders, as a convolution's padding has them."""
    return jnp.where(inside[None, :, None, None], x, 0)


def rows_of(height: int, width: int) -> int:
    """The most rows of a strip of about CELLS cells, even, of which `height` is a multiple.

    An odd height, and one of few rows, is one strip.
    """
    wanted = max(CELLS // width, FEWEST)
    fitting = [rows for rows in range(2, min(wanted, height) + 1, 2) if height % rows == 0]
    return fitting[-1] if fitting and height > wanted else height
