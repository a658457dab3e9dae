"""Draws groups of a data set: images, spatial prior, probability and truth.

    python docs/draw_groups.py --checkpoint quickstart --dataset shapes --split unseen \
        --groups 4 --only 2 --out docs/quickstart.png

drew the figure of the README.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from cosseg_jax.data.registry import load_source
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.train.validation import Validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="folder that train.py --export wrote")
    parser.add_argument("--dataset", default="shapes")
    parser.add_argument("--split", default="unseen")
    parser.add_argument("--data_dir", default=None)
    parser.add_argument(
        "--groups", type=int, default=4, help="number of groups, evenly spread over the categories"
    )
    parser.add_argument(
        "--only", type=int, default=None, help="draw only this one of them, counted from 0"
    )
    parser.add_argument("--out", required=True, type=Path, help="an image file")
    options = parser.parse_args()
    config, variables = load_exported(options.checkpoint)
    config.preview_groups = options.groups
    source = load_source(options.dataset, options.split, options.data_dir)
    drawn = Validation(config, source).pictures(variables)
    if options.only is not None:
        drawn = np.split(drawn, options.groups)[options.only]
    Image.fromarray(drawn).save(options.out)


if __name__ == "__main__":
    main()
