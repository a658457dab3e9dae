"""Makes resnet.npz with the ResNet of torchvision (needs torchvision, not this package).

    python tests/goldens/make_resnet.py  # torchvision 0.28.0 was used

It runs a network of 2, 1, 1 and 1 bottlenecks on random 70 x 58 images, with weights generated from
their names, and stores every 32nd channel of the feature maps: in evaluation, in training, and in
evaluation once more after conversion to Keras's variant. It also stores the names and shapes of
ResNet-50.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet, resnet50
from weights import images, make, pack_layout


def layout(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def maps(net: ResNet) -> list[np.ndarray]:
    """Every 32nd channel of the four stages' outputs, with weights generated from their names."""
    made = {name: torch.from_numpy(make(name, shape)) for name, shape in layout(net).items()}
    net.load_state_dict(made)
    found: list[np.ndarray] = []
    hooks = [
        stage.register_forward_hook(
            lambda _, __, output: found.append(output.numpy().transpose(0, 2, 3, 1)[..., ::32])
        )
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4)
    ]
    with torch.no_grad():
        net(torch.from_numpy(images(2, 70, 58, 3).transpose(0, 3, 1, 2).copy()))
    for hook in hooks:
        hook.remove()
    return found


def turn_into_keras(net: ResNet) -> None:
    """Biases for all convolutions, epsilon 1e-3, and the stride on the first 1x1 convolution."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        elif isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
        elif isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride


net = ResNet(Bottleneck, [2, 1, 1, 1])
golden = {"layout": pack_layout(layout(net))}
golden |= {f"eval{i}": values for i, values in enumerate(maps(net.eval()))}
golden |= {f"train{i}": values for i, values in enumerate(maps(net.train()))}
golden["bn1_mean"] = net.bn1.running_mean.numpy().copy()
turn_into_keras(net)
golden["layout_keras"] = pack_layout(layout(net))
golden |= {f"keras{i}": values for i, values in enumerate(maps(net.eval()))}
golden["layout_50"] = pack_layout(layout(resnet50()))
np.savez_compressed(Path(__file__).with_name("resnet.npz"), **golden)
