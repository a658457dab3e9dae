"""Classes of concepts that the network does not know, as the second head finds them in images.

Seen alone, an image shows that head (`models.agnostic_head`) what stands out in it. Which cells are
meant is told by their likeness to a prototype: the mean descriptor of the object, of the backbone's
map at stride 16, in the images from which the class was learnt. The constants were chosen on images
of COCO (docs/experiments.md, section 15).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cosseg_jax.data.prompts import coverage
from cosseg_jax.errors import UserError
from cosseg_jax.models.agnostic_head import AgnosticHead
from cosseg_jax.models.layers import resize
from cosseg_jax.models.spatial import SMALL, unit_rows
from cosseg_jax.predict.calibration import calibrated
from cosseg_jax.predict.concept import LearntClass
from cosseg_jax.predict.programs import presence_of
from cosseg_jax.predict.prompting import unit_length
from cosseg_jax.types import Ndarray

WEIGHT, OFFSET = 32.0, -1.0  # logits per unit of cosine with the prototype, and at right angles
# The log-odds that an image shows the object: factors of those of the head's presence and of the
# cosine of all that is marked with the prototype, and a constant.
PRESENCE_WEIGHT, COSINE_WEIGHT, BIAS = 0.26, 6.6, -2.0


def prototype_of(
    maps: Float[Ndarray, "N h w C"], masks: Sequence[Bool[Ndarray, "_ _"]]
) -> tuple[Float[Ndarray, " C"], Float[Ndarray, " C"]]:
    """The mean descriptor of all cells, and that of the object less the former, of length 1.

    masks: of the images, of any sizes; one at least is not empty.
    """
    x = maps.astype(np.float32)
    centre = x.mean(axis=(0, 1, 2))
    x = unit_length(x - centre)
    weights = [coverage(mask, *x.shape[1:3]) if mask.any() else 0 * x[0, ..., 0] for mask in masks]
    return centre, unit_length(np.einsum("nhw,nhwc->c", np.stack(weights), x))


def head_alone(size: tuple[int, int]) -> Callable[..., Any]:
    """What finds a class in one image, without any other, at (height, width) = `size`."""

    def found(variables: Any, maps: Any, middle: Array, prototype: Array) -> tuple[Array, ...]:
        """The probability map [S, S], the cosine of each cell with the prototype [h, w], the head's
        presence, and the cosine of all that is marked.

        variables: of the head. maps: the three `UnmodulatedMaps` of the image.
        """
        coarse, fine, stride16 = maps
        alone: Any = AgnosticHead().apply(variables, coarse[None, None], fine[None, None])
        x = unit_rows(jnp.asarray(stride16, jnp.float32) - middle[None, None], SMALL)
        likeness = jnp.einsum("hwc,c->hw", x, prototype)
        logits = alone[-1][0, 0] + WEIGHT * likeness + OFFSET
        probability = jax.nn.sigmoid(resize(logits[None, ..., None], *size))[..., 0]
        marked = jnp.where(logits > 0, jax.nn.sigmoid(logits), 0)
        mean = unit_rows(jnp.einsum("hw,hwc->c", marked, x), SMALL)
        return probability[0], likeness, presence_of(probability)[0], mean @ prototype

    return found


def presence_in(
    presence: Float[Ndarray, " M"], cosine: Float[Ndarray, " M"]
) -> Float[Ndarray, " M"]:
    """The probability that images show the object, from the last two of what `head_alone` gives."""
    return calibrated(presence, PRESENCE_WEIGHT, COSINE_WEIGHT * cosine + BIAS)


def check_middle(maps: Float[Ndarray, "M h w C"], learnt: LearntClass) -> None:
    """Raises UserError for a class whose prototype is not of the channels of the maps."""
    if len(learnt.middle) != maps.shape[-1]:
        raise UserError(
            f"the concept is damaged: its prototype has {len(learnt.middle)} numbers; those of the "
            f"network with which it was learnt have {maps.shape[-1]}"
        )
