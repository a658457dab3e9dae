"""ResNet-50 on a VOC devkit with a frozen ImageNet backbone, whose feature maps are cached.

    python train.py --config configs/resnet50_voc.py --config.data_dir=DATA --export resnet50_voc

Two cores: 16 minutes for the feature maps (11 GB in cache_dir) and 83 for the steps, beside other
jobs. Seed 0, parameters of the last step, without validation in between: VOC val J 50.3, P 91.7;
PASCAL, protocol `original`, J 62.2, P 93.2, shared_J 42.8.
"""

from ml_collections import ConfigDict

from configs import vgg16_voc


def get_config() -> ConfigDict:
    """The differences from the recipe for VGG16; docs/experiments.md gives the reasons."""
    config = vgg16_voc.get_config()
    config.cache_dir = "~/.cache/cosseg_jax/maps"  # 11 GB
    config.model.backbone = "resnet50_keras"
    config.model.pretrained = "weights/resnet50_keras_imagenet.npz"  # in data_dir
    config.model.features = 128
    config.model.semantic.pooling = "first"
    config.model.semantic.reduced = 512

    config.sampling.multi_category = 0.5
    config.sampling.contrast = 0.5
    config.sampling.distractors = 0.3
    config.loss.dice_weight = 0.5

    config.optimizer.clip_norm = 1.0
    config.optimizer.halve_every = 600

    config.steps = 2_400
    config.eval_every = 600
    config.checkpoint_every = 600
    return config
