"""Table 5: another recipe with modulators turned off.

    for variant in full no_spatial no_semantic neither; do
        python train.py --config configs/ablation.py:$variant --config.data_dir=DATA \
            --workdir runs/ablation/$variant --export ablation/$variant
    done
    python evaluate.py --ablation ablation --dataset pascal --data_dir DATA

The recipe is configs/vgg16_voc.py: about an hour on two cores for the first network, less for the
others, which find the feature maps in the cache. A comma names another recipe:
`configs/ablation.py:no_spatial,hrnet`.
"""

from ml_collections import ConfigDict

from configs import hrnet, quickstart, resnet50_voc, resnet50_voc_tuned, vgg16, vgg16_voc
from cosseg_jax.errors import check_choice
from cosseg_jax.evaluation.ablation import set_variant

RECIPES = {
    "vgg16_voc": vgg16_voc.get_config,
    "resnet50_voc": resnet50_voc.get_config,
    "resnet50_voc_tuned": resnet50_voc_tuned.get_config,
    "quickstart": quickstart.get_config,
    "vgg16": vgg16.get_config,
    "hrnet": hrnet.get_config,
}


def get_config(choice: str = "full") -> ConfigDict:
    """The recipe of a variant. choice: `variant` or `variant,recipe`."""
    variant, _, recipe = choice.partition(",")
    recipe = recipe or "vgg16_voc"
    check_choice("recipe", recipe, RECIPES)
    return set_variant(RECIPES[recipe](), variant)
