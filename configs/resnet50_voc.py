"""ResNet-50 on a VOC devkit, its ImageNet backbone frozen and its maps cached: for two cores.

python train.py --config configs/resnet50_voc.py --config.data_dir=DATA --export resnet50_voc
"""

from ml_collections import ConfigDict

from configs import vgg16_voc


def get_config() -> ConfigDict:
    """What differs from the recipe for VGG16; docs/experiments.md has the reasons."""
    config = vgg16_voc.get_config()
    config.model.backbone = "resnet50_keras"
    config.model.pretrained = "resnet50_keras_imagenet.npz"  # below data_dir, or any path
    config.model.features = 128
    config.model.semantic.pooling = "first"
    config.model.semantic.reduced = 512

    config.sampling.several = 0.5
    config.sampling.contrast = 0.5
    config.sampling.distractors = 0.3
    config.loss.dice_weight = 0.5

    config.optimizer.clip_norm = 1.0
    config.optimizer.halve_every = 600

    config.steps = 1_600
    config.eval_every = 400
    config.checkpoint_every = 400
    return config
