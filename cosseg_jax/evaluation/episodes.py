"""Runs a network on the episodes of a few-shot benchmark, in one of two ways.

    concept  a concept is learnt from the supports and their masks, and applied to the query alone
    prompt   supports and query are one group, in which the supports are prompted by their masks

The query shows the category, so its mask is never emptied for a low presence.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from cosseg_jax.data.prompts import Prompt, marked
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.errors import check_choice
from cosseg_jax.evaluation.benchmark import Network
from cosseg_jax.evaluation.evaluator import truth_of
from cosseg_jax.evaluation.few_shot import Episode, FewShotScores, Tally
from cosseg_jax.evaluation.metrics import resize_map
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import Example, Ndarray

EXAMPLES_KEPT = 64  # decoded images

# From a network, the supports, their masks and the query to the query's probability map.
Way = Callable[
    [Any, Sequence[EncodedImage], Sequence[Bool[Ndarray, "_ _"]], EncodedImage],
    Float[Ndarray, "S S"],
]


def by_concept(
    network: Any,
    supports: Sequence[EncodedImage],
    masks: Sequence[Bool[Ndarray, "_ _"]],
    query: EncodedImage,
) -> Float[Ndarray, "S S"]:
    """A concept of the supports, applied to the query."""
    return network.apply([query], network.learn(supports, masks))[0][0]


def by_prompt(
    network: Any,
    supports: Sequence[EncodedImage],
    masks: Sequence[Bool[Ndarray, "_ _"]],
    query: EncodedImage,
) -> Float[Ndarray, "S S"]:
    """The query in a group with the supports, whose masks are prompts."""
    prompted = [
        PromptedImage(n, marked([Prompt(n, mask=mask)], *mask.shape))
        for n, mask in enumerate(masks)
    ]
    found = network.segment([*supports, query], prompted, wanted=[len(supports)])
    return np.asarray(found.probability_maps)[0]


WAYS: dict[str, Way] = {"concept": by_concept, "prompt": by_prompt}


def run_episodes(
    network: Network, source: Source, given: Sequence[Episode], way: str, label: str = ""
) -> FewShotScores:
    """Segments the query of every episode and scores it.

    way: a key of WAYS.
    label: of the progress bar.
    Raises UserError for an unknown way, or a network that takes no prompts or concepts.
    """
    check_choice("way", way, WAYS)
    example = functools.lru_cache(EXAMPLES_KEPT)(source.__getitem__)
    encoded = _encoded_images(network.segmenter.image_size, example)
    tally = Tally(len(source.categories))
    for category, query, supports in tqdm(given, label, unit=" episodes"):
        # A support that is drawn twice is one image with its mask.
        shown = list(dict.fromkeys(supports))
        masks = [truth_of(example(index), category) for index in shown]
        images = [encoded(index) for index in shown]
        values = WAYS[way](network.segmenter, images, masks, encoded(query))
        seen = example(query)
        if network.refine is not None:
            values = network.refine(values, seen.image)
        mask = resize_map(values, seen.void.shape) > THRESHOLD
        tally.add(category, mask, truth_of(seen, category), seen.void)
    return tally.scores(source.categories)


def _encoded_images(size: int, example: Callable[[int], Example]) -> Callable[[int], EncodedImage]:
    """The images for the network, one for each index, so that encodings can be used again."""

    @functools.cache
    def encoded(index: int) -> EncodedImage:
        return EncodedImage(lambda: resize_image(example(index).image, size))

    return encoded
