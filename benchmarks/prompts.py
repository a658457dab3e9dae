"""What a prompt in one image of a group changes in the masks of the others.

    python benchmarks/prompts.py --dataset pascal --data_dir DATA [--checkpoint DIR] [--every 1]

Groups of five, as in evaluation. The prompt in the first image of each group is its true mask, the
box of that mask, or the point deepest inside it. J is the mean over the other images of the groups,
at their own size, without a prompt and with each kind.
"""

import argparse

import numpy as np
from scipy.ndimage import distance_transform_edt
from tqdm import tqdm

import cosseg_jax
from cosseg_jax import Prompt
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.evaluation.evaluator import truth_of

KINDS = ("none", "point", "box", "mask")


def prompts_of(mask: np.ndarray) -> dict[str, Prompt | None]:
    """A prompt of each kind for the first image, from its true mask [H, W]."""
    rows, columns = np.nonzero(mask)
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(np.argmax(depth), depth.shape)
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return {
        "none": None,
        "point": Prompt(0, point=(int(column) + 0.5, int(row) + 0.5)),
        "box": Prompt(0, box=box),
        "mask": Prompt(0, mask=mask),
    }


def jaccard(mask: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """In percent; the truth is not empty."""
    return 100 * float((mask & truth & valid).sum() / ((mask | truth) & valid).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="pascal")
    parser.add_argument("--split", help="default: the last split of the data set")
    parser.add_argument("--data_dir")
    parser.add_argument("--checkpoint", help="an exported network; default: the one that ships")
    parser.add_argument("--every", type=int, default=1, help="take every n-th group")
    options = parser.parse_args()

    predictor = cosseg_jax.load(options.checkpoint)
    split = options.split or SOURCES[options.dataset].splits[-1]
    source = load_source(options.dataset, split, options.data_dir)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for group in tqdm(fives(source)[:: options.every], unit="group"):
        examples = [source[index] for index in group.indices]
        truths = [truth_of(example, group.category) for example in examples]
        if not truths[0].any():
            continue
        for kind, prompt in prompts_of(truths[0]).items():
            results = predictor([example.image for example in examples], prompt=prompt).images
            for place in range(1, len(examples)):
                if group.counted[place] and truths[place].any():
                    valid = ~examples[place].void
                    found[kind].append(jaccard(results[place].mask, truths[place], valid))
    print(f"{source.name} {split}: {len(found['none'])} images besides the prompted ones")
    for kind, values in found.items():
        print(
            f"{kind:6} J {np.mean(values):.1f}  ({np.mean(values) - np.mean(found['none']):+.1f})"
        )


if __name__ == "__main__":
    main()
