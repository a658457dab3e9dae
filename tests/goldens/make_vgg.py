"""Makes vgg16_bn.npz with VGG16-BN in torch.nn (needs torch, not this package).

    python tests/goldens/make_vgg.py

The layers are in one sequence `features`, as in torchvision, so that their names are the published
ones. Sides of 35 and 47 test odd remainders. It stores every eighth channel.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from weights import images, make, pack_layout

layers, channels = [], 3
for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
    for _ in range(count):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    layers.append(nn.MaxPool2d(2))
net = nn.Module()
net.features = nn.Sequential(*layers)
net.eval()

layout = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
net.load_state_dict({name: torch.from_numpy(make(name, shape)) for name, shape in layout.items()})
golden, x = {"layout": pack_layout(layout)}, torch.from_numpy(images(1, 35, 47, 3))
x = x.permute(0, 3, 1, 2)  # [M, 3, H, W]
pools = 0
with torch.no_grad():
    for layer in net.features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            golden[f"pool{(pools := pools + 1)}"] = x.permute(0, 2, 3, 1).numpy()[..., ::8]
np.savez_compressed(Path(__file__).with_name("vgg16_bn.npz"), **golden)
