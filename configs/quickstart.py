"""A tiny HRNet from scratch on the built-in data set: the whole way, in minutes on two cores.

python train.py --config configs/quickstart.py
"""

from ml_collections import ConfigDict

from configs import hrnet


def get_config() -> ConfigDict:
    """The paper's network, small enough for a demonstration."""
    config = hrnet.get_config()
    config.dataset = "shapes"
    config.test_split = "unseen"
    config.image_size = 96

    config.model.backbone = "hrnet_tiny"
    config.model.features = 32
    config.model.category_head = True
    config.model.semantic.reduced = 32
    config.model.semantic.pooling = "both"
    config.model.semantic.covariance = "sqrt_l2"
    config.model.semantic.layer_norm = True
    config.model.semantic.gamma_bias = 1.0

    config.loss.seg_weighting = "none"
    config.loss.spatial_weight = 0.1
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 50
    config.optimizer.clip_norm = 1.0
    config.optimizer.halve_every = 400

    config.steps = 1_600
    config.eval_every = 800
    config.eval_groups = 0
    config.checkpoint_every = 800
    return config
