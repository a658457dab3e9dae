"""Few-shot segmentation: mIoU and FB-IoU on PASCAL-5i, COCO-20i and FSS-1000.

    python benchmarks/few_shot.py pascal5i --data_dir DATA --checkpoint folds/{fold} --shots 1
    python benchmarks/few_shot.py coco20i --data_dir DATA --way prompt --folds 0 2 --out coco.json

`cosseg_jax/evaluation/few_shot.py` has the protocol, docs/evaluation.md the commands. In the name
of a checkpoint, {fold} stands for the number of the fold, whose categories its training must not
have shown; a note says where it did. A folder DATA holds what `evaluate.py` reads: for PASCAL-5i a
VOC devkit, for COCO-20i val2017 and its annotations.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosseg_jax import files
from cosseg_jax.errors import UserError, is_user_error, message_of
from cosseg_jax.evaluation import few_shot
from cosseg_jax.evaluation.benchmark import Network, load_network
from cosseg_jax.evaluation.episodes import WAYS, run_episodes
from cosseg_jax.predict.predictor import MODES


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a row for each fold and their mean; returns the exit status."""
    try:
        _run(_parser().parse_args(argv))
    except Exception as error:
        if not is_user_error(error):
            raise
        print(f"error: {message_of(error)}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> None:
    if not options.data_dir:
        raise UserError("--data_dir is missing; give it or set COSSEG_DATA_DIR")
    if options.out:
        files.check_writable(options.out, force=options.force)
    source = few_shot.load_set(options.benchmark, options.data_dir)
    folds = options.folds or list(range(few_shot.SETS[options.benchmark].folds))
    categories = {
        fold: few_shot.fold_categories(options.benchmark, fold, len(source.categories))
        for fold in folds
    }
    rows: dict[int, few_shot.FewShotScores] = {}
    print(f"{options.benchmark}, {options.shots} shots, {options.way}")
    for fold in folds:
        names = [source.categories[category] for category in categories[fold]]
        images = few_shot.images_by_category(source, categories[fold], options.min_pixels)
        given = few_shot.episodes(
            options.benchmark,
            images,
            shots=options.shots,
            count=options.episodes,
            seed=options.seed,
        )
        network = _network(options, fold)
        _note_seen(network, names, fold)
        rows[fold] = run_episodes(network, source, given, options.way, f"fold {fold}")
        print(f"fold {fold}  mIoU {rows[fold].mean_iou:5.1f}  FB-IoU {rows[fold].fb_iou:5.1f}")
    means = np.mean([row[:2] for row in rows.values()], axis=0)
    print(f"mean    mIoU {means[0]:5.1f}  FB-IoU {means[1]:5.1f}")
    if options.out:
        files.write_whole(options.out, f"{json.dumps(_content(options, rows))}\n".encode())


def _network(options: argparse.Namespace, fold: int) -> Network:
    """The network of a fold; its refinement is that of its config."""
    folder = options.checkpoint
    return load_network(
        None if folder is None else folder.replace("{fold}", str(fold)),
        mode=options.mode,
        refine="" if options.refine == "none" else options.refine,
        sam_weights=options.sam_weights,
    )


def _note_seen(network: Network, names: Sequence[str], fold: int) -> None:
    """Says how many of a fold's categories the network was trained on."""
    held_out = network.config.get("held_out", ())
    seen = set(names) & set(network.config.categories) - set(held_out)
    if seen:
        print(
            f"note: fold {fold}: the network was trained on {len(seen)} of these {len(names)} "
            "categories, so that its score does not compare with those of few-shot methods",
            file=sys.stderr,
        )


def _content(
    options: argparse.Namespace, rows: dict[int, few_shot.FewShotScores]
) -> dict[str, Any]:
    settings = ("benchmark", "checkpoint", "way", "shots", "episodes", "seed", "min_pixels", "mode")
    return {name: getattr(options, name) for name in settings} | {
        "folds": {fold: row._asdict() for fold, row in rows.items()}
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("benchmark", choices=few_shot.SETS)
    parser.add_argument("--data_dir", default=os.environ.get("COSSEG_DATA_DIR"))
    parser.add_argument("--checkpoint", help="an exported network; {fold}: its number")
    parser.add_argument("--way", choices=WAYS, default="concept")
    parser.add_argument("--shots", type=int, default=1)
    parser.add_argument("--folds", type=int, nargs="+", help="default: all")
    parser.add_argument("--episodes", type=int, default=few_shot.EPISODES, help="of each fold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--min_pixels",
        type=int,
        default=few_shot.MIN_PIXELS,
        help="of a category in an image that is used for it",
    )
    parser.add_argument("--mode", choices=MODES, default="network")
    parser.add_argument("--refine", choices=("guided", "sam", "none"))
    parser.add_argument("--sam_weights")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--force", action="store_true", help="overwrite the file of --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
