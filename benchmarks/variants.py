"""What single fields of a recipe are worth: short runs that differ in one field, scored on val.

    python benchmarks/variants.py --data_dir DATA --cache_dir DIR [--steps 300] [--seeds 0,1] \\
        [--out variants.jsonl] [NAME ...]

All start from configs/resnet50_voc.py: a frozen ResNet-50, whose maps are computed once (6 GB in
DIR), with half of its channels. Short runs are far from converged; a difference below the spread
of the base over seeds is none.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))  # configs

from benchmarks.starting import start_of
from configs import resnet50_voc
from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation.benchmark import Network, Settings, score
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.train import setup

PAPERS_HSP = {
    "model.semantic.pooling": "second",
    "model.semantic.reduced": 128,
    "model.semantic.covariance": "plain",
    "model.semantic.layer_norm": False,
}
NORMALISED_HSP = PAPERS_HSP | {
    "model.semantic.covariance": "sqrt_l2",
    "model.semantic.layer_norm": True,
}
OFF = {"model.use_spatial": False, "model.use_semantic": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "neither": OFF,
    "no_spatial": {"model.use_spatial": False},
    "no_semantic": {"model.use_semantic": False},
    "iterations_2": {"model.num_iterations": 2},
    "papers_hsp": PAPERS_HSP,
    "normalised_hsp": NORMALISED_HSP,
    "centred_hsp": NORMALISED_HSP | {"model.semantic.centred": True},
    "seg_paper": {"loss.seg_weighting": "paper"},
    "seg_balanced": {"loss.seg_weighting": "balanced"},
    "no_dice": {"loss.dice_weight": 0.0},
    "no_flip": {"augment.flip": False},
    "papers_groups": {
        "sampling.multi_category": 0.0,
        "sampling.contrast": 0.0,
        "sampling.distractors": 0.0,
    },
    "no_multi_category": {"sampling.multi_category": 0.0},
    "no_contrast": {"sampling.contrast": 0.0},
    "no_distractors": {"sampling.distractors": 0.0},
    "by_size": {"sampling.category": "by_size"},
    "by_root": {"sampling.category": "by_root"},
    "stride_16": {"model.spatial_stride": 16},
    "stride_8": {"model.spatial_stride": 8},
    "sign_majority": {"model.spatial.sign": "majority"},
    "sign_none": {"model.spatial.sign": "none"},
    "scale_unit": {"model.spatial.scale": "unit"},
    "gradient_implicit": {"model.spatial.gradient": "implicit"},
    "average": {"optimizer.ema_decay": 0.98},
    "groups_of_3": {"group_size": 3, "groups_per_step": 6},
    "groups_of_8": {"group_size": 8, "groups_per_step": 2},
}


def config_of(name: str, options: argparse.Namespace, seed: int) -> ConfigDict:
    config = resnet50_voc.get_config()
    config.seed = seed
    config.data_dir = options.data_dir
    config.cache_dir = options.cache_dir
    config.cache_mirror = True
    config.model.features = 64
    config.steps = options.steps
    config.optimizer.halve_every = max(1, options.steps // 3)
    for field, value in VARIANTS[name].items():
        config.update_from_flattened_dict({field: value})
    return config


def trained(config: ConfigDict) -> tuple[ConfigDict, dict[str, Any]]:
    """The config with its categories, and the variables after its last step."""
    start = start_of(config)
    config, source, trainer = start.config, start.source, start.trainer()
    batches = setup.make_batches(config, source, setup.open_cache(config, source, start.variables))
    for _ in tqdm(range(config.steps), unit="step"):
        trainer.step(next(batches))
    batches.close()
    return config, trainer.state.variables


def figures(config: ConfigDict, variables: dict[str, Any]) -> dict[str, float]:
    source = setup.open_source(config, config.val_split)
    cache = setup.open_cache(config, source, variables)
    assert cache is not None
    network = Network(
        "",
        config,
        Predictor(config, variables).network,
        load_inputs=lambda index: cache.maps(index, flipped=False),
    )
    result = score(network, source, Settings(Grouping(), ("original", "ssnm")))
    original, ssnm, group = result.protocols["original"], result.protocols["ssnm"], result.group
    found: dict[str, Any] = dict(
        J=original.J,
        P=original.P,
        ssnm_J=ssnm.J,
        shared_J=group["shared_J"],
        foreign_empty=group["foreign_empty"],
        gain_alone=group["gain_alone"],
    )
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(VARIANTS)}; default: all")
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--cache_dir", required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", default="0", help="numbers, by commas")
    parser.add_argument("--out", type=Path, help="a file to which a line of JSON is added a run")
    options = parser.parse_args()
    unknown = set(options.names) - set(VARIANTS)
    if unknown:
        parser.error(f"unknown variants {sorted(unknown)}; choose of {', '.join(VARIANTS)}")
    for name in options.names or VARIANTS:
        for seed in (int(seed) for seed in options.seeds.split(",")):
            start = time.time()
            found = figures(*trained(config_of(name, options, seed)))
            line = dict(variant=name, seed=seed, steps=options.steps, **found)
            print(json.dumps(line), f"{time.time() - start:.0f} s", flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
