"""The narrow MobileSAM of the goldens, its variables, and their prompts."""

import functools
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from goldens.sam_weights import PROMPTS, SIDE, make_sam, mask
from goldens.weights import unpack_layout

from cosseg_jax.models.sam.mask_decoder import MaskDecoder
from cosseg_jax.models.sam.prompt_encoder import PromptEncoder
from cosseg_jax.models.sam.prompts import Prompts, prompt_of, stack
from cosseg_jax.models.sam.sam import Sam
from cosseg_jax.models.sam.tiny_vit import TinyViT
from cosseg_jax.models.sam.transformer import TwoWayTransformer
from cosseg_jax.models.sam.weights import shapes_of

GOLDEN = Path(__file__).parents[2] / "goldens" / "sam.npz"


def narrow_sam(dtype: Any = jnp.float32) -> Sam:
    widths, depths, heads = (8, 16, 24, 320), (1, 1, 2, 1), (2, 3, 10)
    return Sam(
        TinyViT(widths, depths, heads, dtype=dtype),
        PromptEncoder(image_size=SIDE, dtype=dtype),
        MaskDecoder(TwoWayTransformer(mlp_width=64, dtype=dtype), dtype=dtype),
    )


@functools.cache
def narrow_shapes() -> Any:
    """The narrow network's variables as shapes; traced once for all tests."""
    return shapes_of(narrow_sam())


def published_layout(golden: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """A state dict of the reference: tensors drawn from their names."""
    layout = unpack_layout(golden[name])
    return {name: make_sam(name, shape) for name, shape in layout.items()}


def golden_prompts() -> Prompts:
    """All of PROMPTS for one image, filled up to six points."""
    points, labels = stack(
        [prompt_of(positive, negative, box) for positive, negative, box, _ in PROMPTS], 6
    )
    masks = [mask(seed or 0) for *_, seed in PROMPTS]
    has_mask = [seed is not None for *_, seed in PROMPTS]
    return Prompts(points[None], labels[None], np.stack(masks)[None], np.asarray(has_mask)[None])
