"""The tables from our names of weights to those in the published files.

Ours are paths of variables, such as `params/layer3_0/conv1/kernel`. The files use the names of
PyTorch (`layer3.0.conv1.weight`) or of Keras (`res4a_branch2a__kernel`, where "__" replaces "/").
"""

import re

from cosseg_jax.models.backbones import vgg

# The layers of VGG16 in order, and their places in torchvision's `features`.
VGG_LAYERS = tuple(
    f"{i}_{j}" for i, stage in enumerate(vgg.STAGES, 1) for j in range(1, len(stage) + 1)
)
VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_BN_PLACES = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)

TORCH_MODULES: dict[str, dict[str, str]] = {
    "vgg16": {
        f"conv{layer}": f"features.{place}"
        for layer, place in zip(VGG_LAYERS, VGG16_PLACES, strict=True)
    },
    "vgg16_bn": {
        f"{kind}{layer}": f"features.{place + after}"
        for layer, place in zip(VGG_LAYERS, VGG16_BN_PLACES, strict=True)
        for kind, after in (("conv", 0), ("bn", 1))
    },
}
TORCH_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}

# Variables in the files that the backbone lacks: classification heads and a counter.
SKIPPED_NAMES = re.compile(
    r"(classifier|fc|incre_modules|downsamp_modules|final_layer|pre_logits|head)\..*"
    r"|.*\.num_batches_tracked"
    r"|fc1000__.*"
)

# In block {} of ResNet-50, branch2 are the three convolutions and branch1 is the projection.
KERAS_PARTS = {
    "conv1": "res{}_branch2a",
    "bn1": "bn{}_branch2a",
    "conv2": "res{}_branch2b",
    "bn2": "bn{}_branch2b",
    "conv3": "res{}_branch2c",
    "bn3": "bn{}_branch2c",
    "downsample_0": "res{}_branch1",
    "downsample_1": "bn{}_branch1",
}
KERAS_MODULES = {
    "conv1": "conv1",
    "bn1": "bn_conv1",
    **{
        f"layer{stage - 1}_{number}/{ours}": theirs.format(f"{stage}{letter}")
        for stage in (2, 3, 4, 5)
        for number, letter in enumerate("abcdef")  # a stage has at most six blocks
        for ours, theirs in KERAS_PARTS.items()
    },
}
KERAS_LEAVES = {
    "convolution": {"kernel": "kernel", "bias": "bias"},
    "normalisation": {
        "scale": "gamma",
        "bias": "beta",
        "mean": "moving_mean",
        "var": "moving_variance",
    },
}


def torch_name(name: str, backbone_name: str) -> str:
    """The name in a state dict of PyTorch for ours, `params/stage2_0/branches_0_1/bn1/scale`."""
    _, *modules, leaf = name.split("/")
    module = "/".join(modules)
    if backbone_name in TORCH_MODULES:
        module = TORCH_MODULES[backbone_name][module]
    else:  # HRNet, ResNet: the official name has a dot for "_" before a number
        module = re.sub(r"_(?=\d)", ".", module).replace("/", ".")
    return f"{module}.{TORCH_LEAVES[leaf]}"


def keras_name(name: str) -> str:
    """The name in an archive of Keras's ResNet-50 for ours, `params/layer1_0/bn1/scale`."""
    _, *modules, leaf = name.split("/")
    module = KERAS_MODULES["/".join(modules)]
    kind = "normalisation" if module.startswith("bn") else "convolution"
    return f"{module}__{KERAS_LEAVES[kind][leaf]}"
