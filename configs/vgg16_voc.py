"""VGG16 on a VOC devkit with a frozen ImageNet backbone, whose feature maps are cached.

    python train.py --config configs/vgg16_voc.py --config.data_dir=DATA --export vgg16_voc

Two cores: 44 minutes for the feature maps (6 GB in cache_dir) and 23 for the steps. Seed 0: VOC val
J 39.5, P 91.0; PASCAL, protocol `original`, J 51.1, P 91.8, shared_J 22.0.
configs/resnet50_voc.py scores higher.
"""

from ml_collections import ConfigDict

from configs import vgg16


def get_config() -> ConfigDict:
    """The paper's network with fewer channels, adapted to the smaller training set."""
    config = vgg16.get_config()
    config.dataset = "voc"
    config.augment.flip = True
    config.cache_dir = "~/.cache/cosseg_jax/maps"  # 6 GB
    config.cache_mirror = True

    config.model.freeze_backbone = True
    config.model.features = 64
    config.model.semantic.reduced = 64
    config.model.semantic.pooling = "both"
    config.model.semantic.covariance = "sqrt_l2"
    config.model.semantic.layer_norm = True
    config.model.semantic.gamma_bias = 1.0

    config.loss.seg_weighting = "none"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.halve_every = 350

    config.steps = 1_400
    config.eval_every = 350
    config.eval_groups = 60
    config.checkpoint_every = 350
    return config
