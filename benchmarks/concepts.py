"""Concepts: learnt from a few images of one half of each class, applied to the other half.

    python benchmarks/concepts.py --dataset pascal --data_dir DATA [--checkpoint DIR] [--every 1]

Each class is split in two halves by the order of its names. From the first k images of the first
half a concept is learnt, with their true masks or with a point in each. It is applied to the
second half, and to as many images that do not hold the class. J and P are means over the second
half, as in the protocol `original`; AUC is that of presence, of images with the class against those
without. "group" is the second half as groups of five, without any prompt.
"""

import argparse
import collections
import time

import numpy as np
from prompts import deepest, jaccard
from tqdm import tqdm

import cosseg_jax
from cosseg_jax import Concept, Prompt
from cosseg_jax.data.eval_groups import sorted_members
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.predict.concept import joined
from cosseg_jax.types import Example

COUNTS = (1, 3, 5, 10)
GROUP_SIZE = 5
Found = dict[str, dict[str, list[float]]]


def halves(source: Source, category: int, most: int) -> tuple[list[int], list[int]]:
    """The images of a class in two halves by name, each of `most` images at most."""
    members = sorted_members(source, category)
    middle = (len(members) + 1) // 2
    return members[:middle][: max(COUNTS)], members[middle:][:most]


def without_class(source: Source, category: int, count: int) -> list[int]:
    """As many images that do not hold the class, evenly spread over the source."""
    outside = sorted(set(range(len(source))) - {int(n) for n in source.members[category]})
    return [outside[n] for n in np.linspace(0, len(outside) - 1, count).astype(int)]


def auc(with_class: list[float], without: list[float]) -> float:
    """The share of pairs in which the image with the class has the higher value."""
    one, other = np.asarray(with_class)[:, None], np.asarray(without)[None, :]
    return 100 * float((one > other).mean() + (one == other).mean() / 2)


def score(found: dict[str, list[float]], mask: np.ndarray, example: Example, truth: np.ndarray):
    """Adds J and P of one image."""
    valid = ~example.void
    found["P"].append(100 * float((mask == truth)[valid].mean()))
    if truth[valid].any():
        found["J"].append(jaccard(mask, truth, valid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="pascal")
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an exported network; default: the one that ships")
    parser.add_argument("--every", type=int, default=1, help="take every n-th class")
    parser.add_argument("--most", type=int, default=1000, help="images of a second half")
    options = parser.parse_args()

    predictor = cosseg_jax.load(options.checkpoint)
    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    found: Found = collections.defaultdict(lambda: collections.defaultdict(list))
    for category in tqdm(range(0, len(source.categories), options.every), unit="class"):
        measure(predictor, source, category, options.most, found)
    classes = len(range(0, len(source.categories), options.every))
    print(f"{source.name} {split}: {classes} classes, {len(found['group']['P'])} images")
    for kind, values in sorted(found.items(), key=lambda item: item[0].split()[::-1]):
        print(f"{kind:16}", "  ".join(f"{name} {np.mean(v):.2f}" for name, v in values.items()))


def measure(predictor, source: Source, category: int, most: int, found: Found) -> None:
    """Adds the figures of one class. All concepts are applied in one pass over the images."""
    first, second = halves(source, category, most)
    outside = without_class(source, category, len(second))
    applied = [source[n] for n in [*second, *outside]]
    truths = [truth_of(each, category) for each in applied]
    concept = joined(learnt(predictor, [source[n] for n in first], category))
    begun = time.perf_counter()
    results = list(predictor.apply(concept, [each.image for each in applied]))
    seconds = (time.perf_counter() - begun) / len(applied)
    for name in concept.classes:
        images, values = [each.classes[name] for each in results], found[name]
        presence = [image.presence for image in images]
        values["AUC"].append(auc(presence[: len(second)], presence[len(second) :]))
        for place, image in enumerate(images):
            if place < len(second):
                score(values, image.mask, applied[place], truths[place])
            else:
                values["empty"].append(100.0 * (not image.mask.any()))
    found["all concepts"]["seconds"].append(seconds)
    for start in range(0, len(second), GROUP_SIZE):
        part = applied[: len(second)][start : start + GROUP_SIZE]
        begun = time.perf_counter()
        for place, image in enumerate(predictor([e.image for e in part]).images, start):
            score(found["group"], image.mask, applied[place], truths[place])
        found["group"]["seconds"].append((time.perf_counter() - begun) / len(part))


def learnt(predictor, examples: list[Example], category: int) -> list[Concept]:
    """A concept for each number of images, from their masks and from a point in each."""
    truths = [truth_of(each, category) for each in examples]
    found = []
    for count in [k for k in COUNTS if k <= len(examples)]:
        session = predictor.encode([each.image for each in examples[:count]])
        points = [Prompt(n, point=deepest(t)) for n, t in enumerate(truths[:count])]
        found.append(session.learn(f"{count} masks", masks=truths[:count]))
        found.append(session.learn(f"{count} points", prompt=points))
    return found


if __name__ == "__main__":
    main()
