"""Goes on from configs/resnet50_voc_longer.py: gamma of the second round listens to the masks.

python train.py --config configs/resnet50_voc_attentive.py --config.data_dir=DATA \
    --config.start_from=EXPORT --export resnet50_voc_attentive --half

EXPORT is the mean of what configs/resnet50_voc_tuned.py and configs/resnet50_voc_longer.py have
trained. Two cores: 8 s a step where AVX-512 is missing, 70 minutes. Seed 1. Its mean with EXPORT,
used with three rounds and all attention where the masks are, comes with the package
(docs/model_card.md): VOC val J 58.3, P 93.5, shared_J 53.0.
"""

from ml_collections import ConfigDict

from configs import resnet50_voc_longer


def get_config() -> ConfigDict:
    """What differs from the run before."""
    config = resnet50_voc_longer.get_config()
    config.start_from = "resnet50_voc_longer"
    config.seed = 1
    config.model.mask_pooling_weight = 0.8
    config.augment.copy_paste = 0.15
    config.augment.background_swap = 0.15
    config.sampling.prompted = 0.15
    config.optimizer.warmup_steps = 40
    config.optimizer.halve_every = 150
    config.steps = 500
    config.eval_every = 500
    config.checkpoint_every = 40
    return config
