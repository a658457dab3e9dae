"""What images without the object do to a group: J of the others, and whether they are left empty.

    python benchmarks/strangers.py --dataset voc --split val --data_dir DATA [--mode open]

Groups of five, as in evaluation, to which 0, 2 and 8 images of other categories are added. J is the
mean over the five, at their own size. "empty" is the share of the
strangers whose presence is below one half. The calibration of presence is measured on the groups
with strangers: ECE is the mean distance between presence and the share of images that show the
object, in ten bins weighted by their images. That of a group's confidence is measured on the groups
without strangers, against the share of their images whose J exceeds one half.
"""

import argparse
import functools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from prompts import jaccard
from tabulate import tabulate
from tqdm import tqdm

import cosseg_jax
from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.predict.binary_masks import binary_mask
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import confidence_of

BINS = 10
GOOD_J = 50.0
EXAMPLES_KEPT = 32  # decoded images


class Images:
    """The images of a source, resized and encoded once.

    example: an image with its masks, by index; those of the last groups are kept.
    """

    def __init__(self, source: Source, size: int):
        self.example, self._size = functools.lru_cache(EXAMPLES_KEPT)(source.__getitem__), size
        self._known: dict[int, EncodedImage] = {}

    def __call__(self, index: int) -> EncodedImage:
        if index not in self._known:
            small = resize_image(self.example(index).image, self._size)
            self._known[index] = EncodedImage(lambda: small)
        return self._known[index]


def strangers_to(source: Source, group: EvalGroup, most: int) -> list[int]:
    """Images that do not show the group's category, drawn by the group's first image."""
    own = set(source.members[group.category].tolist())
    others = [index for index in range(len(source)) if index not in own]
    return random.Random(group.indices[0]).sample(others, min(most, len(others)))


def measured(
    network: Any, images: Images, group: EvalGroup, added: Sequence[int]
) -> Iterator[dict[str, float]]:
    """Presence of each image of a group with strangers, and J of its own images."""
    indices = [*dict.fromkeys(group.indices), *added]
    found = network.segment([images(index) for index in indices])
    for place, index in enumerate(indices):
        example = images.example(index)
        truth, valid = truth_of(example, group.category), ~example.void
        presence = float(found.presence[place])
        row = {"strangers": len(added), "stranger": index in added, "presence": presence}
        if found.known is not None:
            row["confidence"] = confidence_of(found.known)
        if truth.any():
            size = truth.shape[1], truth.shape[0]
            probability = Image.fromarray(np.asarray(found.probability_maps[place]))
            probability = np.asarray(probability.resize(size, Image.Resampling.BILINEAR))
            mask = binary_mask(probability, presence)
            row["J"] = jaccard(mask, truth, valid)
        yield row


def bins_of(predicted: np.ndarray) -> list[np.ndarray]:
    """The positions of the predictions in each tenth of 0..1 that has any."""
    places = np.minimum((predicted * BINS).astype(int), BINS - 1)
    return [part for each in range(BINS) if len(part := np.flatnonzero(places == each))]


def report_calibration(what: str, predicted: np.ndarray, right: np.ndarray) -> None:
    """Prints the ECE, in percent, and the reliability diagram as a table."""
    if not len(predicted):
        return
    bins = bins_of(predicted)
    gaps = [len(part) * abs(predicted[part].mean() - right[part].mean()) for part in bins]
    print(f"{what}: ECE {100 * sum(gaps) / len(predicted):.1f} % of {len(predicted)} images")
    table = [(len(part), predicted[part].mean(), right[part].mean()) for part in bins]
    print(tabulate(table, headers=("images", "predicted", "right"), floatfmt=".2f"))


def values(rows: Sequence[dict[str, float]], name: str) -> np.ndarray:
    return np.asarray([row[name] for row in rows], float)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="voc", choices=list(SOURCES))
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument("--checkpoint")
    parser.add_argument("--mode", default="network", help="network (default) or open")
    parser.add_argument("--sam_weights")
    parser.add_argument("--every", type=int, default=1, help="take every n-th group")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 2, 8])
    parser.add_argument("--out", type=Path, help="a file for the figures of every image, JSON")
    options = parser.parse_args()
    source = load_source(
        options.dataset, options.split or SOURCES[options.dataset].splits[-1], options.data_dir
    )
    predictor = cosseg_jax.load(
        options.checkpoint, mode=options.mode, sam_weights=options.sam_weights
    )
    images = Images(source, predictor.network.image_size)
    rows = []
    for group in tqdm(fives(source)[:: options.every], unit="group"):
        strangers = strangers_to(source, group, max(options.counts))
        for count in options.counts:
            rows += measured(predictor.network, images, group, strangers[:count])
    for count in options.counts:
        own = [row for row in rows if row["strangers"] == count]
        J = np.mean([row["J"] for row in own if "J" in row])
        empty = np.mean([row["presence"] <= 0.5 for row in own if row["stranger"]] or [np.nan])
        print(f"{count} strangers: J {J:.1f}, strangers left empty {100 * empty:.1f} %")
    mixed = [row for row in rows if row["strangers"]]
    presence, shown = values(mixed, "presence"), np.asarray(["J" in row for row in mixed], float)
    report_calibration("presence", presence, shown)
    alone = [row for row in rows if not row["strangers"] and "J" in row and "confidence" in row]
    report_calibration("confidence", values(alone, "confidence"), values(alone, "J") > GOOD_J)
    if options.out:
        options.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
