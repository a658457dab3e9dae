"""What a fine-tuned network takes over from the one that it started from: its second head.

The head for unknown categories (`models.agnostic_head`) sees the backbone's maps and the lateral
map of stride 16. Where training has left both as they were, it finds the same things beside the
fine-tuned network, however much that has forgotten. The network's own masks are then taken in
groups that look like its new categories, which are described here (`predict.familiarity`).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError, message_of
from cosseg_jax.predict.agnostic import HEAD_FILE
from cosseg_jax.predict.exported import SHIPPED_FOLDER, load_exported
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, Familiarity
from cosseg_jax.train.agnostic_pool import known_pictures, plain_network, pool_of
from cosseg_jax.train.known_categories import familiarity_of
from cosseg_jax.train.setup import open_source
from cosseg_jax.train.warm_start import SHIPPED

DESCRIBED = 40  # images of each category, beyond which more add little
SEEN = "head/lateral_16"  # besides the backbone, what the second head's maps depend on


def folder_of(start_from: str) -> Path:
    """The folder of the network that `start_from` names."""
    return SHIPPED_FOLDER if start_from == SHIPPED else Path(start_from).expanduser()


def take_over(folder: Path, config: ConfigDict) -> str:
    """Adds the second head to an export, if the network that its run started from has one.

    It is left out if what the head sees was trained, or a category cannot be described.

    Args:
        folder: of the export, of which the variables are written.
        config: the run's, whose `start_from` names the other network.

    Returns: what is to be said about it.
    """
    before = folder_of(config.start_from)
    if not config.start_from or not (before / HEAD_FILE).is_file():
        return ""
    seen = [_seen(load_exported(each)[1]) for each in (before, folder)]
    if not jax.tree.all(jax.tree.map(np.array_equal, *seen)):
        return ", without the head for unknown categories: its maps were trained as well"
    source, network = open_source(config, config.train_split), plain_network(folder)
    pictures = known_pictures(source, DESCRIBED)
    pool = pool_of(pictures, network, "descriptors of the categories")
    known = Familiarity.load(before / FAMILIARITY_FILE, network.feature_channels[0])
    try:
        found = familiarity_of(pool, list(source.categories), known.mean)
    except UserError as error:
        return f", without the head for unknown categories: {message_of(error)}"
    found.save(folder / FAMILIARITY_FILE)
    shutil.copyfile(before / HEAD_FILE, folder / HEAD_FILE)
    return ", with the head for unknown categories"


def _seen(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables on which the maps of the second head depend, in half precision."""
    module, name = SEEN.split("/")
    found = {part: tree["backbone"] for part, tree in variables.items() if "backbone" in tree}
    found["lateral"] = variables["params"][module][name]
    return jax.tree.map(lambda x: np.asarray(x, np.float16), found)
