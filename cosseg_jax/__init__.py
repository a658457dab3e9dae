"""Object co-segmentation in JAX/Flax: segments the object that a group of photographs shares.

import cosseg_jax
predictor = cosseg_jax.load()
result = predictor(["a.jpg", "b.jpg", "c.jpg"])
result.photos[0].mask  # [H, W], at the photograph's own size
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosseg_jax.data.prompts import Prompt
    from cosseg_jax.predict.predictor import GroupResult, ImageResult, Predictor, load

__all__ = ["GroupResult", "ImageResult", "Predictor", "Prompt", "load"]


def __getattr__(name: str) -> Any:
    """Imports JAX only when it is needed, so that parts without it start at once."""
    if name in __all__:
        from cosseg_jax.data import prompts
        from cosseg_jax.predict import predictor

        return getattr(prompts if name == "Prompt" else predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
