"""The normalisation and the non-linearity of SAM's parts, as PyTorch computes them."""

import functools

import flax.linen as nn

layer_norm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)
gelu = functools.partial(nn.gelu, approximate=False)
