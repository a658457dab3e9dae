"""Makes zip.pth and stream.pth, a state dict in both layouts of PyTorch (needs torch).

    python tests/goldens/make_torch_files.py

The tensors are views that share a storage, start inside it and are transposed, as in real files.
"""

from collections import OrderedDict
from pathlib import Path

import torch

base = torch.arange(24, dtype=torch.float32)
state = OrderedDict(
    {
        "module.whole": base.reshape(2, 3, 4),
        "module.crossed": base.reshape(4, 6).T[1:],
        "module.half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "module.double": torch.nn.Parameter(torch.tensor([[1e-9]], dtype=torch.float64)),
        "module.count": torch.tensor(7),
    }
)
here = Path(__file__)
torch.save(state, here.with_name("zip.pth"))
checkpoint = {"epoch": 3, "state_dict": state}
torch.save(checkpoint, here.with_name("stream.pth"), _use_new_zipfile_serialization=False)
