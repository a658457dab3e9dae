"""What a fine-tuned network takes over from the one that it started from: its second head.

The head for unknown categories (`models.agnostic_head`) sees the backbone's maps and the lateral
map of stride 16. Where training has left both as they were, it finds the same things beside the
fine-tuned network, however much that has forgotten. Groups of the new categories are not among
those that look known, so that both heads find them together (`predict.agnostic`): after training
on few images that is far better than the network's own masks (docs/experiments.md, section 15).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.predict.agnostic import HEAD_FILE
from cosseg_jax.predict.exported import SHIPPED_FOLDER, load_exported
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, Familiarity
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.train.warm_start import SHIPPED

SEEN = "head/lateral_16"  # besides the backbone, what the second head's maps depend on


def take_over(folder: Path, config: ConfigDict, variables: Mapping[str, Any]) -> str:
    """Adds the second head to an export, if the network that its run started from has one.

    It is left out if what the head sees was trained.

    Args:
        folder: of the export.
        config: the run's, whose `start_from` names the other network.
        variables: those that are exported.

    Returns: what is to be said about it.
    """
    start_from = config.start_from
    before = SHIPPED_FOLDER if start_from == SHIPPED else Path(start_from).expanduser()
    if not start_from or not (before / HEAD_FILE).is_file():
        return ""
    old, start = load_exported(before)
    if not jax.tree.all(jax.tree.map(np.array_equal, _seen(start), _seen(variables))):
        return ", without the head for unknown categories: its maps were trained as well"
    channels, _ = Predictor(config, variables).network.feature_channels
    known = Familiarity.load(before / FAMILIARITY_FILE, channels)
    same = list(old.categories) == list(config.categories)
    known._replace(named=known.named and same).save(folder / FAMILIARITY_FILE)
    shutil.copyfile(before / HEAD_FILE, folder / HEAD_FILE)
    return ", with the head for unknown categories"


def _seen(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables on which the maps of the second head depend, in half precision."""
    module, name = SEEN.split("/")
    found = {part: tree["backbone"] for part, tree in variables.items() if "backbone" in tree}
    found["lateral"] = variables["params"][module][name]
    return jax.tree.map(lambda x: np.asarray(x, np.float16), found)
