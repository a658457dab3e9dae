"""Unseen categories: VOC without five of its twenty categories, in four folds.

    for fold in 0 1 2 3; do
        python train.py --config configs/folds.py:$fold --config.data_dir=DATA \
            --workdir runs/folds/$fold --export folds/$fold
        python evaluate.py --dataset pascal --data_dir DATA --checkpoint folds/$fold \
            --categories held_out
    done

Training and validation leave out all images that show a category of the fold; the evaluation uses
those alone. The backbone is frozen and comes from ImageNet, whose thousand classes have relatives
of most of the categories. Fold k holds out the categories 5k to 5k + 4 in the order of VOC, as is
usual (Shaban et al. 2017, "One-shot learning for semantic segmentation"). All folds share one cache
of feature maps.
"""

from ml_collections import ConfigDict

from configs import resnet50_voc
from cosseg_jax.data.builders.voc import VOC_CLASSES
from cosseg_jax.errors import check_choice

FOLDS = ("0", "1", "2", "3")


def get_config(fold: str = "0") -> ConfigDict:
    """The recipe of configs/resnet50_voc.py without the categories of a fold."""
    check_choice("fold", fold, FOLDS)
    config = resnet50_voc.get_config()
    share = len(VOC_CLASSES) // len(FOLDS)
    config.held_out = VOC_CLASSES[int(fold) * share : (int(fold) + 1) * share]
    return config
