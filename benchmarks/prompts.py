"""What a prompt in one image of a group changes, in that image and in the others.

    python benchmarks/prompts.py --dataset voc --split val --data_dir DATA [--checkpoint DIR]

Groups of five, as in evaluation. The prompt in the first image of each group is its true mask, the
box of that mask, or the point deepest inside it. J is the mean over the prompted images and over
the others, at their own size, without a prompt and with each kind.

With --negative the groups are images that hold two categories, one of which is meant: what is shown
is a point on it, a point on the other one as a negative, or both. J is that of the category that is
meant; "other" is the share of the other one's pixels that the masks cover, and "emptied" counts the
prompted images in which more than half of them were covered without a prompt, and less than a tenth
are with it.
"""

import argparse
import collections
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from tqdm import tqdm

import cosseg_jax
from cosseg_jax import Prompt
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.types import Example

COVERED, EMPTIED = 50, 10  # percent of an object that a mask covers, at least and at most
LEAST_AREA = 0.03  # of an image, for each of two categories
FEWEST, MOST = 3, 5  # images in a group of two categories


class PromptedGroup(NamedTuple):
    """Images with the true masks of what is meant, and of the other category or None."""

    examples: list[Example]
    truths: list[np.ndarray]
    others: list[np.ndarray] | None


def deepest(mask: np.ndarray) -> tuple[float, float]:
    """(x, y) of the point that is farthest from the border of a mask [H, W]."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    return int(column) + 0.5, int(row) + 0.5


def prompts_of(group: PromptedGroup) -> dict[str, list[Prompt]]:
    """The prompts of each kind in the first image."""
    truth = group.truths[0]
    point = Prompt(0, point=deepest(truth))
    if group.others is not None:
        negative = Prompt(0, points=[deepest(group.others[0] & ~truth)], labels=[0])
        return {"none": [], "point": [point], "negative": [negative], "both": [point, negative]}
    rows, columns = np.nonzero(truth)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return {
        "none": [],
        "point": [point],
        "box": [Prompt(0, box=box)],
        "mask": [Prompt(0, mask=truth)],
    }


def groups_of_five(source: Source, every: int) -> Iterator[PromptedGroup]:
    """The groups of evaluation whose first image shows the object."""
    for group in tqdm(fives(source)[::every], unit="group"):
        examples = [
            source[index]
            for index, counted in zip(group.indices, group.counted, strict=True)
            if counted
        ]
        truths = [truth_of(example, group.category) for example in examples]
        if truths[0].any():
            yield PromptedGroup(examples, truths, None)


def groups_of_two(source: Source, every: int) -> Iterator[PromptedGroup]:
    """Images that hold the same two categories, once for each of the two."""
    holding = collections.defaultdict(list)
    for index in range(len(source)):
        example = source[index]
        large = [
            int(category)
            for category, mask in zip(example.categories, example.masks, strict=True)
            if mask.mean() > LEAST_AREA
        ]
        for meant in large:
            for other in large:
                if meant != other:
                    holding[meant, other].append(index)
    found = [pair for pair in sorted(holding) if len(holding[pair]) >= FEWEST]
    for meant, other in tqdm(found[::every], unit="group"):
        examples = [source[index] for index in holding[meant, other][:MOST]]
        yield PromptedGroup(
            examples,
            [truth_of(example, meant) for example in examples],
            [truth_of(example, other) for example in examples],
        )


def jaccard(mask: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """In percent; the truth is not empty."""
    return 100 * float((mask & truth & valid).sum() / ((mask | truth) & valid).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an exported network; default: the one that ships")
    parser.add_argument("--every", type=int, default=1, help="take every n-th group")
    parser.add_argument("--mode", default="network", help="network (default) or open")
    parser.add_argument("--refine", default="", help="'' (default), guided or sam")
    parser.add_argument("--sam_weights")
    parser.add_argument("--negative", action="store_true", help="images of two categories")
    options = parser.parse_args()

    predictor = cosseg_jax.load(
        options.checkpoint,
        mode=options.mode,
        refine=options.refine,
        sam_weights=options.sam_weights,
    )
    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    make_groups = groups_of_two if options.negative else groups_of_five
    found: dict[str, dict[str, list[float]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for group in make_groups(source, options.every):
        session = predictor.encode([example.image for example in group.examples])
        for kind, prompts in prompts_of(group).items():
            for place, image in enumerate(session.segment(prompt=prompts).images):
                truth, valid = group.truths[place], ~group.examples[place].void
                where, mask = "others" if place else "prompted", image.mask
                if truth.any():
                    found[kind][f"J {where}"].append(jaccard(mask, truth, valid))
                if group.others is not None:
                    other = group.others[place] & ~truth
                    found[kind][f"other {where}"].append(100 * float(mask[other].mean()))
    counts = {name: len(values) for name, values in found["none"].items()}
    print(f"{source.name} {split}: {counts}")
    before = np.array(found["none"].get("other prompted", []))
    for kind, values in found.items():
        if (covered := before > COVERED).any():
            after = np.array(values["other prompted"])[covered]
            print(f"{kind:8} emptied {(after < EMPTIED).sum()} of {covered.sum()}")
        print(f"{kind:8}", "  ".join(f"{name} {np.mean(v):.1f}" for name, v in values.items()))


if __name__ == "__main__":
    main()
