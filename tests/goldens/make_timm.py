"""Makes timm.npz, the names and shapes in timm's files of VGG16, HRNet and ResNet-50 (needs timm).

pip install timm   # 1.0.31 was used
python tests/goldens/make_timm.py
"""

from pathlib import Path

import numpy as np
import timm
from weights import pack_layout

NAMES = ("vgg16", "vgg16_bn", "hrnet_w18", "hrnet_w32", "hrnet_w48", "resnet50")

golden = {}
for name in NAMES:
    tensors = timm.create_model(name).state_dict()
    golden[name] = pack_layout({key: tuple(tensor.shape) for key, tensor in tensors.items()})
np.savez_compressed(Path(__file__).with_name("timm.npz"), **golden)
