"""Times the batches that training waits for: decoding, drawing groups, augmentation.

    python -m benchmarks.input_pipeline [--image_size 320] [--json FILE]

A folder of JPEG files of 500 x 375 pixels, drawn on the spot; the sampling and augmentation of
configs/resnet50_voc_tuned.py; 40 images a step. Prints images a second with threads and with worker
processes, as many as cores. The ratio says how many cores do what 16 are to do: 50 steps a second,
which is 125 images a second a core.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.drawn_photos import drawn_photo
from benchmarks.ratio import Ratio, write_ratios
from configs import resnet50_voc_tuned
from cosseg_jax.data.augment import AugmentOptions
from cosseg_jax.data.groups import SamplingOptions
from cosseg_jax.data.pipeline import training_batches
from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Source
from cosseg_jax.train.setup import cores

CATEGORIES, PHOTOS, HEIGHT, WIDTH = 4, 12, 375, 500
GROUPS, GROUP_SIZE = 8, 5
STEPS, REPEATS = 4, 3
WANTED = 50 * GROUPS * GROUP_SIZE / 16  # images a second a core


def draw_folder(root: Path) -> None:
    """Images with a disc each and their masks, in the layout `folder`."""
    rng = np.random.default_rng(0)
    for category in range(CATEGORIES):
        for kind in ("image", "groundtruth"):
            (root / kind / f"category_{category}").mkdir(parents=True)
        for number in range(PHOTOS):
            image, disc = drawn_photo(rng, HEIGHT, WIDTH, (60 * category,) * 3)
            Image.fromarray(image).save(root / f"image/category_{category}/{number}.jpg")
            Image.fromarray(disc).save(root / f"groundtruth/category_{category}/{number}.png")


def images_a_second(source: Source, image_size: int, *, processes: int) -> list[float]:
    """The rates of several runs of steps, after one."""
    config = resnet50_voc_tuned.get_config()
    batches = training_batches(
        source,
        seed=0,
        group_size=GROUP_SIZE,
        groups_per_step=GROUPS,
        image_size=image_size,
        sampling=SamplingOptions(**config.sampling),
        augment=AugmentOptions(**config.augment),
        threads=1 if processes else cores(),
        processes=processes,
    )
    next(batches)
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(STEPS):
            next(batches)
        rates.append(STEPS * GROUPS * GROUP_SIZE / (time.perf_counter() - start))
    batches.close()
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image_size", type=int, default=320, help="side in pixels")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as root:
        draw_folder(Path(root))
        source = load_source("folder", "test", root)
        for name, processes in (("threads", 0), ("processes", cores())):
            rates = images_a_second(source, options.image_size, processes=processes)
            print(
                f"{cores()} {name}: {max(rates):.0f} images/s at {options.image_size} pixels, "
                f"{max(rates) / GROUPS / GROUP_SIZE:.2f} steps of {GROUPS * GROUP_SIZE} a second",
                flush=True,
            )
            shares = tuple(rate / cores() / WANTED for rate in rates)
            ratios.append(Ratio(f"{name}, rate of a core / 125 images a second", shares))
    if options.json:
        write_ratios(options.json, ratios)


if __name__ == "__main__":
    main()
