"""Describes a network's categories: python -m cosseg_jax.train.known_categories --help

The result, `known_categories.npz`, belongs into the folder of the exported network. By it,
prediction tells groups of these categories from groups of others (`predict.familiarity`). Nothing
is trained: the descriptors on the objects of the training images are averaged.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from cosseg_jax import program
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.errors import UserError
from cosseg_jax.files import check_writable
from cosseg_jax.predict.familiarity import Familiarity, marked_descriptors
from cosseg_jax.predict.prompting import unit_length
from cosseg_jax.train.agnostic_pool import (
    Pool,
    encoded,
    known_cache,
    known_pictures,
    plain_network,
)


def familiarity_of(pool: Pool, names: list[str]) -> Familiarity:
    """The means over a pool in which each named category is the label of its place, from 1.

    Raises UserError for a category that no image shows.
    """
    mean = pool.coarse.mean(axis=(0, 1, 2), dtype=np.float32)
    prototypes = []
    for number, name in enumerate(names, start=1):
        shown = np.flatnonzero((pool.labels == number).any(axis=(1, 2)))
        masks = (pool.labels[shown] == number).astype(np.float32)
        found = marked_descriptors(pool.coarse[shown], masks) if len(shown) else np.zeros((0, 0))
        if not len(found):
            raise UserError(f"no training image shows a {name} large enough to be described")
        prototypes.append(unit_length((found - mean).mean(axis=0)))
    return Familiarity(mean, np.stack(prototypes))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="voc", choices=list(SOURCES), help="with masks")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument("--checkpoint", help="an exported network; default: the one we ship")
    parser.add_argument("--cache_dir", type=Path, required=True, help="for the network's maps")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--force", action="store_true", help="overwrite --out")
    options = parser.parse_args()
    check_writable(options.out, force=options.force)
    source = load_source(options.dataset, "train", options.data_dir)
    network = plain_network(options.checkpoint)
    pool = encoded(known_pictures(source), network, known_cache(options.cache_dir, network, source))
    familiarity_of(pool, list(source.categories)).save(options.out)


if __name__ == "__main__":
    sys.exit(program.exit_code_of(main))
