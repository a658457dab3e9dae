"""Your own classes: fine-tunes the network that comes with the package on a folder with masks.

    python train.py --config configs/finetune.py --config.data_dir=FOLDER --export my_network

docs/data.md describes FOLDER under `folder`; docs/training.md goes through it from start to end.
"""

from ml_collections import ConfigDict

from configs import resnet50_voc_tuned


def get_config() -> ConfigDict:
    """A short recipe that keeps the backbone of the shipped network as it is."""
    config = resnet50_voc_tuned.get_config()
    config.dataset = "folder"
    config.start_from = "shipped"
    config.cache_dir = "~/.cache/cosseg_jax/maps"  # 3 MB an image
    config.model.freeze_backbone = True
    config.model.frozen_stages = 0
    config.model.category_head = False  # it would train the backbone
    config.model.num_iterations = 3
    config.model.mask_pooling_weight = 1.0

    config.augment.max_scale = 1.0  # cached feature maps are those of whole images
    config.augment.brightness = 0.0
    config.augment.contrast = 0.0
    config.augment.saturation = 0.0
    config.augment.copy_paste = 0.0
    config.augment.background_swap = 0.0

    config.groups_per_step = 2  # 4 take 5.5 GB instead of 4
    config.optimizer.learning_rate = 2e-4
    config.optimizer.halve_every = 40
    config.optimizer.warmup_steps = 20
    config.optimizer.frozen_parts = ("head/lateral_16",)  # which the second head sees

    config.steps = 120
    config.eval_every = 60
    config.checkpoint_every = 60
    return config
