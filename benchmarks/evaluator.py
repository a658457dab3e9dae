"""The evaluator's cost besides the network: its wall time over that of prediction alone.

    python benchmarks/evaluator.py --data_dir DATA --images 60
    python benchmarks/evaluator.py --data_dir DATA --checkpoint vgg16_voc

In each repetition the same groups are predicted twice: from images that are decoded and resized
already, and through the evaluator, which decodes, resizes and scores them under all four protocols.
Prints both times and their ratio, and the median ratio; only ratios of one run compare, and only on
an idle machine. Without a checkpoint the network is configs/vgg16.py, untrained: its time does not
depend on its parameters.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # configs

from configs import vgg16
from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import GroupList, evaluate
from cosseg_jax.evaluation.group_metrics import SharedImages
from cosseg_jax.evaluation.metrics import PROTOCOLS
from cosseg_jax.models.ssnm import from_config, initial_variables
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.exported import load_exported, prediction_options


def network_of(checkpoint: str | None) -> ChunkedNetwork:
    """The network, which keeps no encodings, so that every repetition does the same work."""
    if checkpoint:
        config, variables = load_exported(checkpoint)
        network = from_config(config.model, len(config.categories))
    else:
        config = vgg16.get_config()
        network = from_config(config.model, 78)
        variables = initial_variables(network, seed=0)
    size = prediction_options(config).image_size
    return ChunkedNetwork(network, variables, size, encoding_bytes=0)


def first_groups(source: Source, images: int) -> list[EvalGroup]:
    """Groups with at least this many counted images, or all groups for 0."""
    groups = fives(source)
    counts = np.cumsum([sum(group.counted) for group in groups])
    return groups[: int(np.searchsorted(counts, images)) + 1] if images else groups


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the evaluator's overhead.")
    parser.add_argument("--dataset", default="pascal", choices=list(SOURCES))
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument("--checkpoint", help="a folder that train.py --export wrote")
    parser.add_argument("--images", type=int, default=0, help="about how many; 0: all")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()

    source = load_source(options.dataset, SOURCES[options.dataset].splits[-1], options.data_dir)
    network = network_of(options.checkpoint)
    groups = first_groups(source, options.images)
    indices = {index for group in groups for index in group.indices}
    small = {index: resize_image(source[index].image, network.image_size) for index in indices}

    def predict() -> None:
        for group in groups:
            network.segment([EncodedImage(lambda i=i: small[i]) for i in group.indices])

    def evaluated() -> None:
        evaluate(network, source, {"own": GroupList(groups, tuple(PROTOCOLS), SharedImages())})

    first = groups[0].indices
    network.segment([EncodedImage(lambda i=i: small[i]) for i in first])  # compiles
    images = sum(sum(group.counted) for group in groups)
    print(f"{images} images in {len(groups)} groups")
    ratios = []
    for number in range(options.repetitions):
        alone, together = seconds(predict), seconds(evaluated)
        ratios.append(together / alone)
        print(
            f"{number + 1}: predicted {alone:.2f} s, evaluated {together:.2f} s, {ratios[-1]:.3f}"
        )
    print(f"overhead: {100 * (float(np.median(ratios)) - 1):.1f}% (median)")


if __name__ == "__main__":
    main()
