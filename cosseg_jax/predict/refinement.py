"""The ways to refine masks at an image's own size, by name; what is heavy is imported when used.

(empty)   the probability map is resized
guided    its edges move to those of the image (guided_filter.py)
sam       each part of the mask prompts MobileSAM, whose mask is taken (sam_refiner.py)
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cosseg_jax.errors import check_choice

KINDS = ("", "guided", "sam")
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]  # see `refine_by`


def kind_of(value: str | bool) -> str:
    """The name of a way to refine; earlier configs have False for none and True for guided.

    Raises a UserError for an unknown name.
    """
    kind = {False: "", True: "guided"}[value] if isinstance(value, bool) else value
    check_choice("refine", kind, KINDS)
    return kind


def refine_by(kind: str | bool, sam_weights: str | Path | None = None) -> Refine | None:
    """A function from a probability map [S, S] and its image [H, W, 3] to the probability [H, W].

    kind: one of KINDS. sam_weights: a file of MobileSAM's weights for "sam"; by default the
        published one, downloaded once.
    Returns None where nothing refines. Raises as `SamRefiner` does.
    """
    kind = kind_of(kind)
    if kind == "guided":
        from cosseg_jax.predict.guided_filter import refined

        return refined
    if kind == "sam":
        from cosseg_jax.predict.sam_refiner import SamRefiner

        return SamRefiner(sam_weights)
    return None
