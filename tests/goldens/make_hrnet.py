"""Makes hrnet.npz with the network of HRNet's authors (needs torch, not this package).

    git clone https://github.com/HRNet/HRNet-Image-Classification  # f760c988 was used
    python tests/goldens/make_hrnet.py HRNet-Image-Classification/lib/models

It runs a narrow variant (widths 8..64, stage 1 with two bottlenecks of 8 planes, 1, 2 and 1
modules, 2 blocks per branch) on random images, with weights generated from their names. It also
stores the names and shapes of the published W18 and W48.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from weights import images, make, pack_layout

sys.path.insert(0, sys.argv[1])
from cls_hrnet import HighResolutionNet


def config(width: int, planes: int, bottlenecks: int, modules: tuple[int, ...], blocks: int):
    extra = {"STAGE1": {"BLOCK": "BOTTLENECK", "NUM_CHANNELS": [planes]}}
    extra["STAGE1"]["NUM_BLOCKS"] = [bottlenecks]
    for stage, count in enumerate(modules, start=2):
        extra[f"STAGE{stage}"] = {
            "NUM_MODULES": count,
            "NUM_BRANCHES": stage,
            "BLOCK": "BASIC",
            "NUM_BLOCKS": [blocks] * stage,
            "NUM_CHANNELS": [width * 2**branch for branch in range(stage)],
            "FUSE_METHOD": "SUM",
        }
    return {"MODEL": {"EXTRA": extra}}


def layout(net: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def branches(net: torch.nn.Module, pixels: np.ndarray) -> list[np.ndarray]:
    """The inputs of the classification head's first layers: the outputs of stage 4."""
    maps: dict[int, np.ndarray] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda _, args, i=i: maps.update({i: args[0].numpy().transpose(0, 2, 3, 1).copy()})
        )
        for i, module in enumerate(net.incre_modules)
    ]
    with torch.no_grad():
        net(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
    for hook in hooks:
        hook.remove()
    return [maps[i] for i in range(4)]


torch.manual_seed(0)
golden = {}
net = HighResolutionNet(config(8, 8, 2, (1, 2, 1), 2))
small = layout(net)
golden["layout"] = pack_layout(small)
net.load_state_dict({name: torch.from_numpy(make(name, shape)) for name, shape in small.items()})
net.eval()
for i, values in enumerate(branches(net, images(2, 64, 64, 3))):
    golden[f"eval{i}"] = values
net.train()
for i, values in enumerate(branches(net, images(2, 64, 64, 3))):
    golden[f"train{i}"] = values
golden["bn1_mean"] = net.bn1.running_mean.numpy()
golden["bn1_var"] = net.bn1.running_var.numpy()
for width in (18, 48):
    net = HighResolutionNet(config(width, 64, 4, (1, 4, 3), 4))
    golden[f"layout_w{width}"] = pack_layout(layout(net))
np.savez_compressed(Path(__file__).with_name("hrnet.npz"), **golden)
