"""Masks as they are, through the guided filter, and through MobileSAM: J, P, boundary F, time.

    python benchmarks/refinement.py --dataset pascal --data_dir DATA --sam_weights mobile_sam.pt

Means over the images of a class, then over classes, in percent, at the images' own size (protocol
`original`). --first 5 takes the first five images of each class. With --log FILE a run that was
stopped goes on where it was. --prompts measures the prompted image instead: in the first image of
each group the object is prompted by the point deepest inside its true mask, and by its box.
"""

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import distance_transform_edt
from tqdm import tqdm

import cosseg_jax
from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.prompts import Prompt
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.boundary import boundary_f
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.predict.result import ImageResult
from cosseg_jax.types import Example, Ndarray

WAYS = ("none", "guided", "sam")
Row = dict[str, Any]  # of one image and one way


def main() -> None:
    options = parse_options()
    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    predictor = cosseg_jax.load(options.checkpoint, sam_weights=options.sam_weights)
    measure = prompted_rows if options.prompts else refined_rows
    rows = read_log(options.log)
    done = {(row["class"], row["group"]) for row in rows}
    for group in tqdm(in_turns(source, options.first), unit="group"):
        name = source.categories[group.category]
        if (name, group.indices[0]) in done:
            continue
        found = [
            {"class": name, "group": group.indices[0], **row}
            for row in measure(predictor, source, group)
        ]
        rows += found
        append_log(options.log, found)
    print(f"{source.name} {split}, {len({(r['class'], r['image']) for r in rows})} entries")
    print("\n".join(table(rows)))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="pascal")
    parser.add_argument("--split", help="by default the last of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an export; by default the network we ship")
    parser.add_argument("--sam_weights", help="mobile_sam.pt; by default it is downloaded")
    parser.add_argument("--first", type=int, help="so many images of each class; by default all")
    parser.add_argument("--log", type=Path, help="lines of JSON, from which a run goes on")
    parser.add_argument("--prompts", action="store_true", help="measure the prompted image")
    return parser.parse_args()


def in_turns(source: Source, first: int | None) -> list[EvalGroup]:
    """The groups of five: the first one of every class, then the second ones, and so on."""
    classes: dict[int, list[EvalGroup]] = {}
    for group in fives(source):
        classes.setdefault(group.category, []).append(group)
    most = None if first is None else -(-first // 5)
    turns = zip_longest(*(groups[:most] for groups in classes.values()))
    return [group for turn in turns for group in turn if group is not None]


def refined_rows(predictor: Predictor, source: Source, group: EvalGroup) -> Iterator[Row]:
    """The scores of each counted image, each way."""
    examples = [source[index] for index in group.indices]
    images = predictor([example.image for example in examples]).images
    refiners = refiners_of(predictor)
    for image, index, example, counted in zip(
        images, group.indices, examples, group.counted, strict=True
    ):
        truth = truth_of(example, group.category)
        if counted and truth.any():
            for way, refine in refiners.items():
                found = dataclasses.replace(image, refine=refine)
                yield {"image": index, "way": way, **scores(found, truth, example)}


def prompted_rows(predictor: Predictor, source: Source, group: EvalGroup) -> Iterator[Row]:
    """The scores of the group's first image, prompted in it, without MobileSAM and with it."""
    examples = [source[index] for index in group.indices]
    truth = truth_of(examples[0], group.category)
    if not truth.any():
        return
    session = predictor.encode([example.image for example in examples])
    sam = refiners_of(predictor)["sam"]
    for kind, prompt in prompts_of(truth).items():
        image = session.segment(prompt=prompt).images[0]
        by_sam = functools.partial(sam.prompted, prompt)
        ways = {"none": image, "sam": dataclasses.replace(image, refine=by_sam, presence=1.0)}
        for way, found in ways.items():
            figures = scores(found, truth, examples[0])
            yield {"image": group.indices[0], "way": f"{kind}, {way}", **figures}


def refiners_of(predictor: Predictor) -> dict[str, Any]:
    """The refiner of each way, loaded once; the predictor itself keeps refining nothing."""
    found = {}
    for way in WAYS:
        predictor.options = predictor.options._replace(refine="" if way == "none" else way)
        found[way] = predictor.refiner()
    predictor.options = predictor.options._replace(refine="")
    return found


def prompts_of(truth: Bool[Ndarray, "H W"]) -> dict[str, Prompt]:
    """A point and a box for image 0, as an ideal user gives them."""
    rows, columns = np.nonzero(truth)
    depth = distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return {
        "point": Prompt(0, point=(int(column) + 0.5, int(row) + 0.5)),
        "box": Prompt(0, box=box),
    }


def scores(image: ImageResult, truth: Bool[Ndarray, "H W"], example: Example) -> dict[str, float]:
    """J, P and boundary F of an image's mask, 0..1, and the time that the mask took."""
    start = time.perf_counter()
    mask = image.mask
    seconds = time.perf_counter() - start
    valid = ~example.void
    union = ((mask | truth) & valid).sum()
    return {
        "J": float((mask & truth & valid).sum() / union),
        "P": float(((mask == truth) & valid).sum() / valid.sum()),
        "F": boundary_f(mask, truth, valid),
        "seconds": seconds,
    }


def table(rows: list[Row]) -> Iterator[str]:
    """Lines of Markdown: each way's figures, then J and F of each class."""
    classes = sorted({row["class"] for row in rows})
    ways = list(dict.fromkeys(row["way"] for row in rows))
    yield "| | J | P | boundary F | median seconds |\n| --- | --- | --- | --- | --- |"
    for way in ways:
        J, P, F = (np.mean([mean(rows, way, name, figure) for name in classes]) for figure in "JPF")
        seconds = np.median([row["seconds"] for row in rows if row["way"] == way])
        yield f"| {way} | {100 * J:.1f} | {100 * P:.1f} | {100 * F:.1f} | {seconds:.2f} |"
    yield f"\n| J, F of a class | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}"
    for name in classes:
        pairs = [
            f"{100 * mean(rows, way, name, 'J'):.1f}, {100 * mean(rows, way, name, 'F'):.1f}"
            for way in ways
        ]
        yield f"| {name} | {' | '.join(pairs)} |"


def mean(rows: list[Row], way: str, name: str, figure: str) -> float:
    return float(
        np.mean([row[figure] for row in rows if row["way"] == way and row["class"] == name])
    )


def read_log(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def append_log(path: Path | None, rows: list[Row]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
