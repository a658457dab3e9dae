"""Your own classes: fine-tunes the network that comes with the package on a folder with masks.

python train.py --config configs/finetune.py --config.data_dir=FOLDER --export my_network

FOLDER as docs/data.md says under `folder`; docs/training.md goes through it from start to end.
"""

from ml_collections import ConfigDict

from configs import resnet50_voc_tuned


def get_config() -> ConfigDict:
    """The shipped network's own recipe, shorter, and with its backbone as it is."""
    config = resnet50_voc_tuned.get_config()
    config.dataset = "folder"
    config.start_from = "shipped"
    config.cache_dir = "~/.cache/cosseg_jax/maps"  # 3 MB a photograph
    config.model.freeze_backbone = True
    config.model.frozen_stages = 0
    config.model.category_head = False  # it teaches the backbone
    config.model.num_iterations = 3
    config.model.mask_pooling_weight = 1.0

    config.augment.max_scale = 1.0  # cached maps are of whole photographs as they are
    config.augment.brightness = 0.0
    config.augment.contrast = 0.0
    config.augment.saturation = 0.0
    config.augment.copy_paste = 0.0
    config.augment.background_swap = 0.0

    config.optimizer.learning_rate = 2e-4
    config.optimizer.halve_every = 100
    config.optimizer.warmup_steps = 20

    config.steps = 300
    config.eval_every = 100
    config.checkpoint_every = 100
    return config
