"""Masks with and without refinement at the photographs' own size: J, boundary F, time.

    python benchmarks/refinement.py --dataset pascal --data_dir DATA [--checkpoint DIR] [--every 1]

Means over images, in percent, and the median time that a photograph's refinement takes.
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

import cosseg_jax
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.drawing import resized
from cosseg_jax.evaluation.boundary import boundary_f
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.predict.guided_filter import refined


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="pascal")
    parser.add_argument("--split", help="by default the last of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an export; by default the network we ship")
    parser.add_argument("--every", type=int, default=1, help="take every so many of the groups")
    options = parser.parse_args()

    predictor = cosseg_jax.load(options.checkpoint)
    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    found: dict[str, list[tuple[float, float]]] = {"plain": [], "refined": []}
    times = []
    for group in tqdm(fives(source)[:: options.every], unit="group"):
        examples = [source[index] for index in group.indices]
        photos = predictor([example.image for example in examples]).images
        for example, photo, counted in zip(examples, photos, group.counted, strict=True):
            truth, valid = truth_of(example, group.category), ~example.void
            if not counted or not truth.any():
                continue
            start = time.perf_counter()
            sharp = refined(photo.probability_map, example.image)
            times.append(time.perf_counter() - start)
            for name, probability in (
                ("plain", resized(photo.probability_map, truth.shape)),
                ("refined", sharp),
            ):
                mask = probability > 0.5
                union = ((mask | truth) & valid).sum()
                score = (mask & truth & valid).sum() / union
                found[name].append((float(score), boundary_f(mask, truth, valid)))
    print(f"{source.name} {split}: {len(times)} photographs, {1e3 * np.median(times):.0f} ms each")
    for name, values in found.items():
        score, outline = 100 * np.mean(values, axis=0)
        print(f"{name:8} J {score:.1f}  boundary F {outline:.1f}")


if __name__ == "__main__":
    main()
