"""How a trained network is best used: size of its input, mirror images, rounds and their attention.

    python benchmarks/prediction.py --dataset voc --data_dir DATA [--checkpoint DIR] \\
        --sizes 224,320 --rounds 1,2 --attention 0.5,0.8 --mirror

P, J and shared_J of every combination, and the time it took in relation to the first. To be
chosen on a validation split.
"""

import argparse
import itertools
import time

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.evaluation.benchmark import Network, Settings, score
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.forward import make_predictor


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def shares(text: str) -> list[float]:
    return [float(share) for share in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--split", help="by default the last of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an export; by default the network we ship")
    parser.add_argument("--sizes", type=numbers, default=[224, 320], help="sides in pixels")
    parser.add_argument("--rounds", type=numbers, default=[1, 2])
    parser.add_argument("--attention", type=shares, help="0 to 1; by default the network's own")
    parser.add_argument("--mirror", action="store_true", help="each with mirror images as well")
    options = parser.parse_args()

    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    config, variables = load_exported(options.checkpoint)
    settings = Settings(Grouping(), ("original", "ssnm"), group_figures=False)
    attentions = options.mask_pooling_weight or [
        config.model.get("mask_pooling_weight", SSNM.mask_pooling_weight)
    ]
    mirrors = (False, True) if options.mirror else (False,)
    first = None
    for size, num_iterations, mask_pooling_weight, mirror in itertools.product(
        options.sizes, options.num_iterations, attentions, mirrors
    ):
        with config.unlocked():
            config.model.num_iterations = num_iterations
            config.model.mask_pooling_weight = mask_pooling_weight
            config.prediction = dict(image_size=size, mirror=mirror, refine="")
        start = time.perf_counter()
        network = Network("", config, make_predictor(config, variables))
        result = score(network, source, settings)
        taken = time.perf_counter() - start
        first = first or taken
        original, ssnm = result.protocols["original"], result.protocols["ssnm"]
        print(
            f"size {size} rounds {rounds} attention {attention} mirror {mirror!s:5}  "
            f"original J {original.J:.1f} P {original.P:.1f}  ssnm J {ssnm.J:.1f} P {ssnm.P:.1f}  "
            f"shared_J {result.group['shared_J']:.1f}  time {taken / first:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
