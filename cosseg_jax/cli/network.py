"""The network of the options, and a group's way through it with a progress bar."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from PIL import Image
from tqdm import tqdm

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.predict.predictor import GroupResult, Predictor, load
from cosseg_jax.program import keep_compilations

MAX_PIXELS = 250_000_000  # pixels; phones take 200 million, of which Pillow is afraid


def load_network(options: argparse.Namespace) -> Predictor:
    """The predictor of --checkpoint; quiet, and with its compiled programs kept on disk.

    From here on photographs of LARGE_PHOTOGRAPH pixels are read, for they are the user's own.
    """
    logging.set_verbosity(logging.WARNING)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    keep_compilations()
    predictor = load(options.checkpoint)
    if options.refine is not None:
        predictor.options = predictor.options._replace(refine=options.refine)
    return predictor


def segment(
    predictor: Predictor,
    paths: Sequence[Path],
    options: argparse.Namespace,
    *,
    prompt: Prompt | None,
    title: str = "segmenting",
) -> GroupResult:
    """What the photographs share; progress goes to stderr."""
    with tqdm(total=len(paths), desc=title, unit="photo") as bar:

        def advance(done: int, _: int) -> None:
            bar.update(done - bar.n)

        return predictor(paths, chunk=options.chunk, progress=advance, prompt=prompt)
