"""A config file as users write them, for `train.py --config`: the run of `toy_runs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ml_collections import ConfigDict
from toy_runs import add_toy_backbone, tiny_config


def get_config() -> ConfigDict:
    add_toy_backbone()
    return tiny_config()
