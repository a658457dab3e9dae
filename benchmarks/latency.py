"""Times five photos on disk until their masks are on disk, as a user waits for them.

    python -m benchmarks.latency [--checkpoint DIR] [--json FILE]

`first` is the command `cosseg segment` with nothing compiled before, `second` the same command
again, and `warm` a loaded predictor in Python, from files to PNG files. Operations are those that
XLA counts in the network for such a group before it is optimised; the peak is the rate of one large
matrix product. Compare only within one run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import cosseg_jax
from benchmarks.drawn_photos import drawn_photo
from benchmarks.ratio import Ratio, write_ratios
from benchmarks.timing import REPEATS, peak_tflops, shares_of_peak
from cosseg_jax.predict.exported import described_network, load_exported

PHOTOS, HEIGHT, WIDTH = 5, 1200, 1600


def draw_photos(folder: Path) -> list[Path]:
    """JPEG files with some noise, as cameras make them."""
    rng, paths = np.random.default_rng(0), list[Path]()
    for number in range(PHOTOS):
        image, _ = drawn_photo(rng, HEIGHT, WIDTH, (200, 60, 40))
        noisy = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(noisy).save(paths[-1], quality=90)
    return paths


def command_seconds(photos: Path, out: Path, compilations: Path, checkpoint: list[str]) -> float:
    """The time of one `cosseg segment`."""
    line = [str(Path(sys.executable).with_name("cosseg")), "segment", str(photos), *checkpoint]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(compilations)}
    start = time.perf_counter()
    subprocess.run([*line, "--out", str(out)], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def warm_seconds(predictor: cosseg_jax.Predictor, photos: list[Path], out: Path) -> list[float]:
    """The times of a loaded predictor, after one that compiles."""
    out.mkdir()
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        for photo, image in zip(photos, predictor(photos).images, strict=True):
            Image.fromarray(image.mask).save(out / f"{photo.stem}.png")
        times.append(time.perf_counter() - start)
    return times[1:]


def operations(config: Any, variables: Any) -> float:
    """Those of the network for the group."""
    network = described_network(config)
    side = config.prediction.image_size or config.image_size
    images = jnp.zeros((1, PHOTOS, side, side, 3), jnp.uint8)
    lowered = jax.jit(lambda v, x: network.apply(v, x, train=False)).lower(variables, images)
    return (lowered.cost_analysis() or {})["flops"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", help="an exported network; default: the one that ships")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    checkpoint = ["--checkpoint", options.checkpoint] if options.checkpoint else []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "photos").mkdir()
        photos = draw_photos(folder / "photos")
        first, second = (
            command_seconds(folder / "photos", folder / f"out{n}", folder / "kept", checkpoint)
            for n in (1, 2)
        )
        predictor = cosseg_jax.load(options.checkpoint)
        warm = warm_seconds(predictor, photos, folder / "warm")
    config, variables = load_exported(options.checkpoint)
    count, peak = operations(config, variables), peak_tflops("float32")
    shares = shares_of_peak(count, [1e3 * seconds for seconds in warm], peak)
    print(
        f"first {first:.1f} s, second {second:.1f} s, warm {min(warm):.2f} s; "
        f"{count / 1e9:.0f} GFLOP, which matrix products do in {count / peak / 1e12:.2f} s"
    )
    ratios = [
        Ratio("first command / second command", (first / second,)),
        Ratio("second command / warm call", tuple(second / seconds for seconds in warm)),
        Ratio("warm call, share of the rate of matrix products", shares),
    ]
    if options.json:
        write_ratios(options.json, ratios)


if __name__ == "__main__":
    main()
