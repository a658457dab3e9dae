"""Makes dino.npz with the networks of transformers and timm (needs both, not this package).

    pip install torch transformers timm   # 2.13.0, 5.24.0 and 1.0.31 were used
    python tests/goldens/make_dino.py

It runs narrow variants (32 channels, 2 heads, 4 blocks) of DINOv2, DINOv2 with registers and DINOv3
on a random image, with weights generated from their names. Images are resized as the backbone does;
the maps are resized by PyTorch. timm resizes DINOv2's table of positions in a way of its own, so
its two networks see the number of patches for which the table was made.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from dino_weights import BLOCKS, HEADS, SHOWN, WIDTH, make_dino
from timm.layers import LayerNorm
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import interpolate
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)
from weights import images, pack_layout

SIZE = (40, 72)  # 3 x 5 tokens
NATIVE = (592, 592)  # 37 x 37 tokens
SIZES = dict(hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=BLOCKS)
ROTARY = dict(
    rope_type="dinov3",
    rope_temperature=100,
    rope_rotate_half=True,
    use_rot_pos_emb=True,
    use_abs_pos_emb=False,
    norm_layer=partial(LayerNorm, eps=1e-5),
)


def timm_dinov2(**options) -> VisionTransformer:
    sizes = dict(embed_dim=WIDTH, num_heads=HEADS, depth=BLOCKS, num_classes=0)
    return VisionTransformer(img_size=518, patch_size=14, init_values=1.0, **sizes, **options)


def timm_dinov3(**options) -> Eva:
    sizes = dict(embed_dim=WIDTH, num_heads=HEADS, depth=BLOCKS, num_classes=0)
    sizes |= dict(img_size=256, patch_size=16, dynamic_img_size=True, num_reg_tokens=4)
    return Eva(init_values=1.0, use_fc_norm=False, **sizes, **ROTARY, **options)


NETWORKS = {  # by name: the network, the side of a patch, the size of its image
    "transformers_dinov2": (Dinov2Model(Dinov2Config(image_size=518, **SIZES)), 14, SIZE),
    "transformers_dinov2_reg": (
        Dinov2WithRegistersModel(Dinov2WithRegistersConfig(image_size=518, patch_size=14, **SIZES)),
        14,
        SIZE,
    ),
    "transformers_dinov3": (
        DINOv3ViTModel(
            DINOv3ViTConfig(num_register_tokens=4, intermediate_size=4 * WIDTH, **SIZES)
        ),
        16,
        SIZE,
    ),
    "timm_dinov2": (timm_dinov2(), 14, NATIVE),
    "timm_dinov2_reg": (timm_dinov2(reg_tokens=4, no_embed_class=True), 14, NATIVE),
    "timm_dinov3": (timm_dinov3(qkv_bias=False), 16, SIZE),
    "timm_dinov3_qkvb": (timm_dinov3(qkv_bias=True), 16, SIZE),
}


def resized(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    return interpolate(x, (rows, columns), mode="bilinear", antialias=True)


def block_outputs(net: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The normalised tokens after the last three blocks."""
    if hasattr(net, "blocks"):
        blocks, norm = net.blocks, net.norm
    else:
        blocks = net.encoder.layer if hasattr(net, "encoder") else net.model.layer
        norm = net.layernorm if hasattr(net, "layernorm") else net.norm
    found: list[torch.Tensor] = []

    def keep(module, args, output):
        found.append(output[0] if isinstance(output, tuple) else output)

    hooks = [block.register_forward_hook(keep) for block in blocks]
    with torch.no_grad():
        net(x)
        for hook in hooks:
            hook.remove()
        return [norm(tokens) for tokens in found[-3:]]


def maps(net: torch.nn.Module, patch: int, size: tuple[int, int]) -> list[np.ndarray]:
    """The four maps, channels last."""
    height, width = size
    rows, columns = -(-height // 16), -(-width // 16)
    x = torch.from_numpy(images(1, height, width, 3)).permute(0, 3, 1, 2)
    outputs = block_outputs(net, resized(x, rows * patch, columns * patch))
    grids = [
        t[:, -rows * columns :].transpose(1, 2).reshape(1, WIDTH, rows, columns) for t in outputs
    ]
    levels = zip((4, 8, 16, 32), (*grids, grids[-1]), strict=True)
    return [
        resized(grid, -(-height // stride), -(-width // stride)).permute(0, 2, 3, 1).numpy()
        for stride, grid in levels
    ]


golden = {}
for name, (net, patch, size) in NETWORKS.items():
    tensors = net.state_dict()
    names = {key: key.removeprefix("model.") for key in tensors}  # as files have them
    layout = {names[key]: tuple(tensor.shape) for key, tensor in tensors.items()}
    net.load_state_dict(
        {
            key: torch.from_numpy(make_dino(file_name, layout[file_name]))
            for key, file_name in names.items()
        }
    )
    net.eval()
    golden[f"{name}_layout"] = pack_layout(layout)
    step = 7 if size == NATIVE else 1  # of the rows and columns, kept
    for level, values in enumerate(maps(net, patch, size)):
        golden[f"{name}_{level}"] = values[:, ::step, ::step, SHOWN]
np.savez_compressed(Path(__file__).with_name("dino.npz"), **golden)
