"""What the evaluator costs beside the network: its wall time over that of the bare forward passes.

    python benchmarks/evaluator.py --data_dir DATA --images 60
    python benchmarks/evaluator.py --data_dir DATA --checkpoint vgg16_voc

In each round the same batches run twice: bare, on photographs that are decoded and resized already,
then through the evaluator, which decodes, resizes and scores under all four protocols beside the
network. Prints both times and their ratio, by round and its median; only ratios of one run compare,
and only on an idle machine. Without a checkpoint the network is configs/vgg16.py, untrained: how
long it takes does not depend on its parameters.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # configs

from cosseg_jax.predict.forward import Predictor, make_predictor

from configs import vgg16
from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.images import resize_image
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import batched_by_size, evaluate
from cosseg_jax.evaluation.group_metrics import SharedImages
from cosseg_jax.evaluation.metrics import PROTOCOLS
from cosseg_jax.models.ssnm import from_config, initial_variables
from cosseg_jax.predict.exported import load_exported


def restored(checkpoint: str | None) -> tuple[Predictor, int]:
    """A network and its image size."""
    if checkpoint:
        config, variables = load_exported(checkpoint)
    else:
        config = vgg16.get_config()
        config.unlock()
        config.categories = tuple(f"category{i}" for i in range(78))
        variables = initial_variables(from_config(config.model, len(config.categories)), seed=0)
    return make_predictor(config, variables), config.image_size


def first_groups(source: Source, images: int) -> list[EvalGroup]:
    """Groups with at least so many counted photographs, or all of them for 0."""
    groups = fives(source)
    counts = np.cumsum([sum(group.counted) for group in groups])
    return groups[: int(np.searchsorted(counts, images)) + 1] if images else groups


def bare_batches(source: Source, groups: Sequence[EvalGroup], size: int) -> list[np.ndarray]:
    """What the evaluator gives to the network, uint8 [B, N, S, S, 3] each."""
    return [
        np.stack(
            [
                np.stack([resize_image(source[index].image, size) for index in group.indices])
                for group in batch
            ]
        )
        for batch in batched_by_size(groups, groups_per_batch=4)
    ]


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
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()

    source = load_source(
        arguments.dataset, SOURCES[arguments.dataset].splits[-1], arguments.data_dir
    )
    predict, size = restored(arguments.checkpoint)
    groups = first_groups(source, arguments.images)
    batches = bare_batches(source, groups, size)

    def bare() -> None:
        for batch in batches:
            jax.device_get(predict(batch))

    def whole() -> None:
        evaluate(
            predict,
            source,
            groups,
            image_size=size,
            protocols=tuple(PROTOCOLS),
            on_image=SharedImages(),
        )

    for shape in {batch.shape for batch in batches}:
        jax.block_until_ready(predict(np.zeros(shape, np.uint8)))  # compiles
    images = sum(sum(group.counted) for group in groups)
    print(f"{images} photographs in {len(groups)} groups, {len(batches)} batches")
    ratios = []
    for number in range(arguments.num_iterations):
        alone, together = seconds(bare), seconds(whole)
        ratios.append(together / alone)
        print(
            f"round {number + 1}: bare {alone:.2f} s, evaluated {together:.2f} s, {ratios[-1]:.3f}"
        )
    print(f"overhead: {100 * (float(np.median(ratios)) - 1):.1f}% (median)")


if __name__ == "__main__":
    main()
