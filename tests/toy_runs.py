"""A run small enough for tests: the real code on images of 32 pixels."""

import os

from ml_collections import ConfigDict
from toy_networks import ToyBackbone

from configs import quickstart
from cosseg_jax.models.backbones import BACKBONES


def one_device() -> dict[str, str]:
    """The environment of a process that is to have one device, not the two of the tests."""
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=1")
    return {**os.environ, "XLA_FLAGS": flags}


def add_toy_backbone() -> None:
    """Makes `tiny_config` valid in this process; tests/train/conftest.py does it for the tests."""
    BACKBONES["toy"] = ToyBackbone


def tiny_config() -> ConfigDict:
    """The quick start, smaller still, with a backbone that compiles soon."""
    config = quickstart.get_config()
    config.model.backbone = "toy"
    config.image_size = 32
    config.group_size = 2
    config.groups_per_step = 4
    config.workers = 2
    config.model.features = 8
    config.model.semantic.reduced = 4
    config.optimizer.warmup_steps = 0
    config.optimizer.ema_decay = 0.5  # part of what a resumed run has to restore
    config.steps = 6
    config.log_every = 2
    config.eval_every = 4
    config.eval_groups = 4
    config.preview_groups = 1
    config.checkpoint_every = 2
    config.test_split = ""
    return config
