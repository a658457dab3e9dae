"""Object co-segmentation in JAX/Flax: segments the object that a group of images shares.

import cosseg_jax
predictor = cosseg_jax.load()
result = predictor(["a.jpg", "b.jpg", "c.jpg"])
result.images[0].mask  # [H, W], at the image's own size
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosseg_jax.data.prompts import Prompt
    from cosseg_jax.predict.concept import Concept
    from cosseg_jax.predict.predictor import Predictor, load
    from cosseg_jax.predict.result import ConceptResult, GroupResult, ImageResult
    from cosseg_jax.predict.session import Session

    __version__: str

__all__ = [
    "Concept",
    "ConceptResult",
    "GroupResult",
    "ImageResult",
    "Predictor",
    "Prompt",
    "Session",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    """Imports JAX only when a name that needs it is used, so that `import cosseg_jax` is quick."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cosseg-jax")
    if name == "Prompt":
        from cosseg_jax.data.prompts import Prompt

        return Prompt
    if name in __all__:
        from cosseg_jax.predict import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
