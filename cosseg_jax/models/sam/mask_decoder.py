"""The mask decoder of SAM (Kirillov et al. 2023, appendix A, figure 14).

Output tokens, one for the estimate of IoU and one for each mask, go through the two-way
transformer with the prompt. Every mask is the product of its token, after an MLP, with the
image's cells, upscaled four times.

Submodules carry the names of the published file, with `_` for the dot in front of a number.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.sam.layers import gelu, layer_norm
from cosseg_jax.models.sam.prompt_encoder import PromptEmbedding
from cosseg_jax.models.sam.transformer import TwoWayTransformer
from cosseg_jax.types import Ndarray

SINGLE = 0  # the mask for prompts that leave no doubt
MULTI = slice(1, 4)  # whole, part and subpart, for those that do


class Masks(NamedTuple):
    """Four masks for each prompt: the single one, then the three of an ambiguous prompt.

    logits: above 0 on the object, at stride 4 of the encoder's input.
    iou: the decoder's estimate of each mask's IoU with the object; about 0 to 1, not clipped.
    """

    logits: Float[Array | Ndarray, "B P 4 h4 w4"]
    iou: Float[Array | Ndarray, "B P 4"]


class MLP(nn.Module):
    """`depth` layers with ReLU between them."""

    inner: int
    features: int
    depth: int = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*M C"]) -> Float[Array, "*M F"]:
        for index in range(self.depth - 1):
            x = nn.relu(nn.Dense(self.inner, dtype=self.dtype, name=f"layers_{index}")(x))
        return nn.Dense(self.features, dtype=self.dtype, name=f"layers_{self.depth - 1}")(x)


class Upscale(nn.Module):
    """A transposed convolution of size and stride 2: four cells in place of one."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*M h w C"]) -> Float[Array, "*M h2 w2 F"]:
        shape = (2, 2, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.linear.default_kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        *batch, height, width, _ = x.shape
        x = jnp.einsum("...hwc,abcf->...hawbf", x, kernel.astype(self.dtype))
        x = x.reshape(*batch, 2 * height, 2 * width, self.features)  # [*M, 2h, 2w, F]
        return x + bias.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))  # [1..., F]


class MaskDecoder(nn.Module):
    """Masks and estimates of their IoU from an image's embedding and embedded prompts.

    transformer: between tokens and image.
    num_masks: one for clear prompts and those of an ambiguous one.
    """

    transformer: TwoWayTransformer
    num_masks: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, embedding: Float[Array | Ndarray, "B h w C"], prompts: PromptEmbedding
    ) -> Masks:
        """Logits B x P x num_masks x 4h x 4w and IoU B x P x num_masks, both float32."""
        features = embedding.shape[-1]
        image = jnp.asarray(embedding, self.dtype)[:, None] + prompts.dense  # [B, P or 1, h, w, C]
        _, _, height, width, _ = image.shape
        image = image.reshape(*image.shape[:2], -1, features)  # [B, P or 1, h*w, C]
        positions = prompts.positions.reshape(1, 1, -1, features)  # [1, 1, h*w, C]
        tokens, present = self._with_outputs(prompts)
        tokens, image = self.transformer(tokens, image, positions, present)

        image = image.reshape(*image.shape[:2], height, width, features)  # [B, P, h, w, C]
        cells = self._upscaled(image)  # [B, P, 4h, 4w, C/8]
        logits = jnp.einsum("bpmc,bphwc->bpmhw", self._weights(tokens), cells)
        iou = MLP(features, self.num_masks, dtype=self.dtype, name="iou_prediction_head")(
            tokens[..., 0, :]
        )
        return Masks(logits.astype(jnp.float32), iou.astype(jnp.float32))

    def _with_outputs(self, prompts: PromptEmbedding) -> tuple[jax.Array, jax.Array]:
        """The output tokens, the same for all prompts, in front of those of the prompts."""
        *batch, _, features = prompts.tokens.shape
        vectors = [
            nn.Embed(1, features, name="iou_token").embedding,
            nn.Embed(self.num_masks, features, name="mask_tokens").embedding,
        ]
        outputs = jnp.concatenate(vectors).astype(self.dtype)[None, None]  # [1, 1, 1 + masks, C]
        outputs = jnp.broadcast_to(outputs, (*batch, *outputs.shape[2:]))  # [B, P, 1 + masks, C]
        seen = jnp.ones(outputs.shape[:-1], bool)
        return (
            jnp.concatenate([outputs, prompts.tokens], axis=-2),
            jnp.concatenate([seen, prompts.present], axis=-1),
        )

    def _upscaled(self, image: Float[Array, "B P h w C"]) -> Float[Array, "B P h4 w4 c"]:
        norm = layer_norm(epsilon=1e-6, dtype=self.dtype, name="output_upscaling_1")
        features = image.shape[-1]
        x = Upscale(features // 4, dtype=self.dtype, name="output_upscaling_0")(image)
        x = gelu(norm(x))
        return gelu(Upscale(features // 8, dtype=self.dtype, name="output_upscaling_3")(x))

    def _weights(self, tokens: Float[Array, "B P T C"]) -> Float[Array, "B P masks c"]:
        """Of the upscaled channels in each mask: one MLP a mask."""
        features = tokens.shape[-1]
        found = [
            MLP(
                features, features // 8, dtype=self.dtype, name=f"output_hypernetworks_mlps_{index}"
            )(tokens[..., 1 + index, :])
            for index in range(self.num_masks)
        ]
        return jnp.stack(found, axis=-2)  # [B, P, masks, c]
