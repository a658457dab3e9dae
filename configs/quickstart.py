"""The built-in data set and a tiny HRNet from scratch: the whole way, in minutes on two cores.

python train.py --config configs/quickstart.py
"""

from ml_collections import ConfigDict

from configs import hrnet


def get_config() -> ConfigDict:
    """The paper's network at the size of a demonstration."""
    config = hrnet.get_config()
    config.dataset = "shapes"
    config.test_split = "unseen"
    config.image_size = 96

    config.model.backbone = "hrnet_tiny"
    config.model.features = 32
    config.model.semantic.reduced = 32

    config.loss.seg_weighting = "balanced"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.halve_every = 500

    config.steps = 2_000
    config.eval_every = 500
    config.eval_groups = 0
    config.checkpoint_every = 500
    return config
