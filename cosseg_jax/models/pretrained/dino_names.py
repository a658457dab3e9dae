"""Arrays of DINOv2 and DINOv3 by our names, from the three ways in which they are published.

They are those of Hugging Face's transformers, of timm, and of the authors' own files, which are
named as timm's. A file is recognised by its names, which agree nowhere but where they mean the
same. Tokens that only training needs, and heads, are skipped.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

NamedArrays = dict[str, np.ndarray]

IN_BLOCK = re.compile(r"(?:encoder\.)?(?:layer|blocks)\.(\d+)\.(.+)")
SKIPPED = re.compile(r"(.*\.)?mask_token|head\..*|rope_embed\.periods|.*\.bias_mask")
ENDINGS = re.compile(r"\.(weight|bias)$")

MODULES = {  # outside the blocks: theirs to ours
    "cls_token": "class_token",
    "embeddings.cls_token": "class_token",
    "reg_token": "registers",
    "register_tokens": "registers",
    "storage_tokens": "registers",
    "embeddings.register_tokens": "registers",
    "pos_embed": "positions",
    "embeddings.position_embeddings": "positions",
    "patch_embed.proj": "patch_embed",
    "embeddings.patch_embeddings": "patch_embed",
    "embeddings.patch_embeddings.projection": "patch_embed",
    "norm": "norm",
    "layernorm": "norm",
}
BLOCK_MODULES = {  # inside a block
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.attention.query": "attention/query",
    "attention.attention.key": "attention/key",
    "attention.attention.value": "attention/value",
    "attention.output.dense": "attention/proj",
    "attention.q_proj": "attention/query",
    "attention.k_proj": "attention/key",
    "attention.v_proj": "attention/value",
    "attention.o_proj": "attention/proj",
    "attn.proj": "attention/proj",
    "layer_scale1.lambda1": "scale1",
    "layer_scale2.lambda1": "scale2",
    "ls1.gamma": "scale1",
    "ls2.gamma": "scale2",
    "gamma_1": "scale1",
    "gamma_2": "scale2",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
    "mlp.up_proj": "fc1",
    "mlp.down_proj": "fc2",
}
BIASES = {"attn.q_bias": "attention/query/bias", "attn.v_bias": "attention/value/bias"}
KEY_BIAS = re.compile(r"params/blocks_\d+/attention/key/bias")
LEFT_OUT_BIAS = re.compile(r"params/blocks_\d+/attention/(query|value)/bias")
FUSED = ("query", "key", "value")  # the order in which timm and the authors stack them


def from_dino(arrays: Mapping[str, np.ndarray], wanted: Iterable[str]) -> NamedArrays:
    """Arrays by our names and in our layout; what has no name of ours keeps its own.

    wanted: the names of the network's variables.

    Two differences between the files are resolved here. Some have the class token's position before
    the table of positions, others have added it to the class token. And biases that are zero
    throughout are left out in some files, those of DINOv3's keys in ours.
    """
    found: NamedArrays = {}
    for name, array in arrays.items():
        if not SKIPPED.fullmatch(name):
            found |= _separated(name, array)
    laid_out = {name: _in_our_layout(name, array) for name, array in found.items()}
    return _with_zero_biases(_with_class_position(laid_out), set(wanted))


def _separated(name: str, array: np.ndarray) -> NamedArrays:
    """The arrays that one of the file holds, by our names."""
    block = IN_BLOCK.fullmatch(name)
    if block is None:
        return {_renamed(name, MODULES, "params/") or name: array}
    number, inside = block.groups()
    prefix = f"params/blocks_{number}/"
    if inside in BIASES:
        return {prefix + BIASES[inside]: array}
    if inside in ("attn.qkv.weight", "attn.qkv.bias") and len(array) % len(FUSED) == 0:
        leaf = "kernel" if inside.endswith("weight") else "bias"
        parts = zip(FUSED, np.split(array, len(FUSED)), strict=True)
        return {f"{prefix}attention/{part}/{leaf}": values for part, values in parts}
    return {_renamed(inside, BLOCK_MODULES, prefix) or name: array}


def _renamed(name: str, modules: Mapping[str, str], prefix: str) -> str | None:
    """Our name of an array; None where the table does not have it."""
    module, ending = ENDINGS.sub("", name), ENDINGS.search(name)
    if module not in modules:
        return None
    ours = modules[module]
    if ending is None:
        return prefix + ours
    of_weight = "scale" if "norm" in ours else "kernel"
    return f"{prefix}{ours}/{of_weight if ending.group(1) == 'weight' else 'bias'}"


def _in_our_layout(name: str, array: np.ndarray) -> np.ndarray:
    layout = LAYOUT_OF_LEAF.get(name.rpartition("/")[2])
    return array if layout is None else layout(array)


def _kernel(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T  # [kh, kw, in, out]


def _unbatched(array: np.ndarray) -> np.ndarray:
    return array[0] if array.ndim == 3 and len(array) == 1 else array  # [1, T, C] to [T, C]


LAYOUT_OF_LEAF: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "kernel": _kernel,
    "class_token": _unbatched,
    "registers": _unbatched,
    "positions": _unbatched,
}


def _with_class_position(arrays: NamedArrays) -> NamedArrays:
    """The table of positions as a square, and the class token's own position added to it."""
    table, token = arrays.get("params/positions"), arrays.get("params/class_token")
    if table is None or token is None or table.ndim != 2:
        return arrays
    side = round(len(table) ** 0.5)
    if len(table) == side**2 + 1:
        token = np.asarray(token, np.float32) + np.asarray(table[:1], np.float32)
        table = table[1:]
    if len(table) == side**2:
        table = table.reshape(side, side, -1)
    return arrays | {"params/positions": table, "params/class_token": token}


def _with_zero_biases(arrays: NamedArrays, wanted: set[str]) -> NamedArrays:
    """The arrays without zero biases of keys, with the zero biases that a whole file leaves out."""
    kept = {
        name: array
        for name, array in arrays.items()
        if name in wanted or not KEY_BIAS.fullmatch(name) or array.any()
    }
    left_out = {name for name in wanted if LEFT_OUT_BIAS.fullmatch(name)}
    if left_out & kept.keys():
        return kept
    kernels = {name: kept.get(f"{name.removesuffix('bias')}kernel") for name in left_out}
    return kept | {
        name: np.zeros(kernel.shape[-1], np.float32)
        for name, kernel in kernels.items()
        if kernel is not None
    }
