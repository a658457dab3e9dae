"""How a trained network is best used: size of its input, mirrored images, iterations, pooling.

    python benchmarks/prediction.py --dataset voc --data_dir DATA [--checkpoint DIR] \\
        --sizes 224,320 --num_iterations 1,2 --mask_pooling_weights 0.5,0.8 --mirror

Prints P, J and shared_J of every combination, and the time relative to the first. Choose on a
validation split.
"""

import argparse
import itertools
import time

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.evaluation.benchmark import Network, Settings, score
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.predictor import Predictor


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def shares(text: str) -> list[float]:
    return [float(share) for share in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an exported network; default: the one that ships")
    parser.add_argument("--sizes", type=numbers, default=[224, 320], help="sides in pixels")
    parser.add_argument("--num_iterations", type=numbers, default=[1, 2])
    parser.add_argument("--mask_pooling_weights", type=shares, help="default: the network's own")
    parser.add_argument("--mirror", action="store_true", help="also with mirrored images")
    options = parser.parse_args()

    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    config, variables = load_exported(options.checkpoint)
    settings = Settings(Grouping(), ("original", "ssnm"), group_metrics=False)
    weights = options.mask_pooling_weights or [config.model.mask_pooling_weight]
    mirrors = (False, True) if options.mirror else (False,)
    first = None
    for size, iterations, weight, mirror in itertools.product(
        options.sizes, options.num_iterations, weights, mirrors
    ):
        with config.unlocked():
            config.model.num_iterations = iterations
            config.model.mask_pooling_weight = weight
            config.prediction = dict(image_size=size, mirror=mirror, refine="")
        start = time.perf_counter()
        predictor = Predictor(config, variables)
        result = score(Network("", config, predictor.network), source, settings)
        taken = time.perf_counter() - start
        first = first or taken
        original, ssnm = result.protocols["original"], result.protocols["ssnm"]
        print(
            f"size {size} iterations {iterations} pooling {weight} mirror {mirror!s:5}  "
            f"original J {original.J:.1f} P {original.P:.1f}  ssnm J {ssnm.J:.1f} P {ssnm.P:.1f}  "
            f"shared_J {result.group['shared_J']:.1f}  time {taken / first:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
