"""Every recipe in configs/ is one that a run accepts, apart from its data."""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest
from fake_source import FakeSource

from cosseg_jax.data.augment import AugmentOptions
from cosseg_jax.data.groups import SamplingOptions
from cosseg_jax.data.pipeline import training_batches
from cosseg_jax.models.ssnm import from_config, initial_variables
from cosseg_jax.predict.exported import SHIPPED_FOLDER, load_config, stored_leaves
from cosseg_jax.train import setup
from cosseg_jax.train.second_head import SEEN
from cosseg_jax.types import FeatureMaps

RECIPES = sorted(path.stem for path in (Path(__file__).parents[1] / "configs").glob("*.py"))
CHOICES = {
    "ablation": ("neither", "no_semantic,resnet50_voc_tuned", "full,quickstart"),
    "folds": ("0", "3"),
}
SOURCE = FakeSource([(i % 2,) for i in range(12)], categories=2)


class NoMaps:
    """Replaces a cache of feature maps."""

    def maps(self, index: int, flipped: bool) -> FeatureMaps:
        return FeatureMaps(*(np.zeros((1, 1, 1), np.float16) for _ in FeatureMaps._fields))


def variants() -> list[tuple[str, str]]:
    return [(name, choice) for name in RECIPES for choice in CHOICES.get(name, ("",))]


def config_of(name: str, choice: str = ""):
    get_config = importlib.import_module(f"configs.{name}").get_config
    return get_config(choice) if choice else get_config()


def check_accepted(config) -> None:
    setup.check_config(config)
    stream = training_batches(
        SOURCE,
        seed=config.seed,
        group_size=config.group_size,
        groups_per_step=1,
        image_size=32,
        sampling=SamplingOptions(**config.sampling),
        augment=AugmentOptions(**config.augment),
        cache=NoMaps() if config.cache_dir else None,
        category_maps=config.model.category_head,
    )
    assert next(stream).masks.shape == (1, config.group_size, 32, 32)
    stream.close()


@pytest.mark.parametrize(("name", "choice"), variants())
def test_a_run_accepts_it(name, choice):
    check_accepted(config_of(name, choice))


def test_the_shipped_config_is_a_recipe():
    check_accepted(load_config(SHIPPED_FOLDER))


def test_folds_hold_out_every_category_once():
    held = [name for fold in "0123" for name in config_of("folds", fold).held_out]
    assert len(held) == len(set(held)) == 20


@pytest.mark.slow
def test_fine_tuning_has_the_network_that_it_starts_from():
    config = config_of("finetune")
    shipped = load_config(SHIPPED_FOLDER).model
    assert (config.model.num_iterations, config.model.mask_pooling_weight) == (
        shipped.num_iterations,
        shipped.mask_pooling_weight,
    )
    network = from_config(config.model, 20)
    shapes = jax.eval_shape(lambda: initial_variables(network, seed=0))
    wanted = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in jax.tree.leaves_with_path(shapes)
    }
    stored = {name: leaf.shape for name, leaf in stored_leaves(SHIPPED_FOLDER).items()}
    assert wanted == {name: x for name, x in stored.items() if "params/category/" not in name}
    assert tuple(config.optimizer.frozen_parts) == (SEEN,)
