"""Makes released.npz with the authors' own model.py (needs torch, not this package).

    python tests/goldens/make_released.py MODEL_PY

It keeps class probabilities, S, and every seventeenth row and column of the masks, of a group of
five images; and S of descriptors with and without clusters, by the same code.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from released_weights import GRID, group, tensor
from weights import pack_layout

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

sys.path.insert(0, str(Path(sys.argv[1]).parent))
model: Any = importlib.import_module(Path(sys.argv[1]).stem)
net = model.build_model(torch.device("cpu")).eval()
layout = {name: tuple(x.shape) for name, x in net.state_dict().items()}
net.load_state_dict({name: torch.from_numpy(tensor(name, shape)) for name, shape in layout.items()})

found, optimise = {}, model.spatial_optimize


def remembering(features, size):
    found["prior"] = optimise(features, size)
    return found["prior"]


model.spatial_optimize = remembering
pixels = (group().astype(np.float32) / 255 - MEAN) / STD
with torch.no_grad():
    classes, masks = net(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())

rng = np.random.default_rng(0)
noise = rng.standard_normal((5, 7, 7, 64)).astype(np.float32)
clusters = noise.copy()
clusters[:, 2:5, 2:5] += 2 * rng.standard_normal(64).astype(np.float32)
priors = {
    name: optimise(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), 5).numpy()[:, 0]
    for name, x in (("noise", noise), ("clusters", clusters))
}
np.savez_compressed(
    Path(__file__).with_name("released.npz"),
    layout=pack_layout(layout),
    classes=classes[0].numpy(),
    masks=masks[:, GRID, GRID].numpy(),
    prior=found["prior"].numpy()[:, 0],
    **{f"prior_of_{name}": prior for name, prior in priors.items()},
)
print("classes", classes.min().item(), classes.max().item())
print("masks", masks.min().item(), masks.max().item(), masks.std().item())
