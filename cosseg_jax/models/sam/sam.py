"""SAM (Kirillov et al. 2023, "Segment anything", figure 4) as MobileSAM has it (Zhang et al. 2023).

An image is encoded once; each prompt then costs a run of the light decoder:

    sam = mobile_sam()
    variables = load_sam(sam_weights(), sam)
    frame = frame_of(image.shape[:2], sam.image_size)
    embedding = sam.apply(variables, to_input(image, frame)[None], method="encode")
    prompt = stack([prompt_of(positive=to_frame([(320, 200)], frame))])
    masks = sam.apply(variables, embedding, Prompts(*(x[None] for x in prompt)), method="decode")
    mask = to_image(masks.logits[0, 0, 0], frame) > 0
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.sam.mask_decoder import MaskDecoder, Masks
from cosseg_jax.models.sam.prompt_encoder import PromptEncoder
from cosseg_jax.models.sam.prompts import Prompts
from cosseg_jax.models.sam.tiny_vit import TinyViT
from cosseg_jax.models.sam.transformer import TwoWayTransformer
from cosseg_jax.models.traces import TracedFunction
from cosseg_jax.types import Ndarray

IMAGE_SIZE = 1024  # pixels of the long side, in training and by default


class Sam(nn.Module):
    """Image encoder, prompt encoder and mask decoder."""

    image_encoder: TinyViT
    prompt_encoder: PromptEncoder
    mask_decoder: MaskDecoder

    @property
    def image_size(self) -> int:
        """Side in pixels of the square in which images and points lie."""
        return self.prompt_encoder.image_size

    def __call__(self, images: Float[Array | Ndarray, "B H W 3"], prompts: Prompts) -> Masks:
        """The masks of P prompts for each of B images; see `encode` and `decode`."""
        return self.decode(self.encode(images), prompts)

    def encode(self, images: Float[Array | Ndarray, "B H W 3"]) -> Float[Array, "B h w C"]:
        """The embedding at stride 16 of images as `frame.to_input` prepares them.

        Raises ValueError for sides that are no multiples of 16 or are longer than `image_size`.
        """
        if max(images.shape[1:3]) > self.image_size:
            raise ValueError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels; this SAM is built for "
                f"sides up to image_size = {self.image_size}"
            )
        return self.image_encoder(images)

    def decode(self, embedding: Float[Array | Ndarray, "B h w C"], prompts: Prompts) -> Masks:
        """The four masks of each prompt, logits at stride 4, and their estimated IoU.

        Raises ValueError where masks among the prompts do not fit the embedding.
        """
        grid = embedding.shape[1], embedding.shape[2]
        return self.mask_decoder(embedding, self.prompt_encoder(prompts, grid))


def traced_encoder(sam: Sam) -> TracedFunction:
    """The compiled encoder, called with variables and images [B, H, W, 3]."""

    def encode(variables: Any, images: Any) -> Any:
        return sam.apply(variables, images, method="encode")

    return TracedFunction(encode, f"SAM encode {sam}")


def mobile_sam(image_size: int = IMAGE_SIZE, dtype: Any = jnp.float32) -> Sam:
    """MobileSAM; its weights fit every image size and dtype.

    image_size: pixels of the long side; smaller is faster and sees less detail.
    dtype: of the computation; parameters are float32, and so are the masks.
    """
    return Sam(
        TinyViT(dtype=dtype),
        PromptEncoder(image_size=image_size, dtype=dtype),
        MaskDecoder(TwoWayTransformer(dtype=dtype), dtype=dtype),
    )
