"""Scores a network on groups of a split during training, and draws some of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.pipeline import CachedFeatures
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import GroupList, evaluate, truth_of
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.drawing import Row, sheet
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.types import FeatureMaps, Ndarray

MARGIN = 6  # pixels between the previews of two groups


class Validation:
    """The validation of one run, always on the same groups, spread over the categories.

    Args:
        config: the run's config, with `categories`.
        source: the validation images.
        cache: their feature maps, if the run keeps them.
        groups: how many groups are scored; 0 for all of them.
    """

    def __init__(
        self,
        config: ConfigDict,
        source: Source,
        cache: CachedFeatures | None = None,
        *,
        groups: int = 0,
    ):
        self._config = config
        self._source = source
        self._cache = cache
        all_groups = fives(source, config.group_size)
        self._groups = spread(all_groups, groups or len(all_groups))
        network = from_config(config.model, len(config.categories))
        self._network = ChunkedNetwork(network, {}, config.image_size, chunk_size=config.group_size)

    def scores(self, variables: Mapping[str, Any]) -> dict[str, float]:
        """P and J in percent, by the protocol `original`."""
        found = evaluate(
            self._network.with_variables(variables),
            self._source,
            {"val": GroupList(self._groups, ("original",))},
            load_inputs=self._inputs,
        )["val"].protocols["original"]
        return {"P": found.P or 0.0, "J": found.J or 0.0}

    def pictures(self, variables: Mapping[str, Any]) -> np.ndarray:
        """A picture of some groups, one below the other: images, S, probabilities, truth."""
        network = self._network.with_variables(variables)
        chosen = spread(self._groups, self._config.preview_groups)
        sheets = [self._sheet(network, group) for group in chosen]
        width = max(image.shape[1] for image in sheets)
        return np.concatenate([_padded(image, width) for image in sheets])

    def _sheet(self, network: ChunkedNetwork, group: EvalGroup) -> np.ndarray:
        encoded = [EncodedImage(lambda index=index: self._inputs(index)) for index in group.indices]
        found = network.segment(encoded)
        examples = [self._source[index] for index in group.indices]
        return sheet(
            [
                Row(example.image, prior, probability_map, truth_of(example, group.category))
                for example, prior, probability_map in zip(
                    examples, np.asarray(found.prior), found.probability_maps, strict=True
                )
            ]
        )

    def _inputs(self, index: int) -> Ndarray | FeatureMaps:
        if self._cache is not None:
            return self._cache.maps(index, flipped=False)
        return resize_image(self._source[index].image, self._config.image_size)


def spread(groups: Sequence[EvalGroup], count: int) -> list[EvalGroup]:
    """At most `count` of the groups, evenly spaced, so that every part of the list has a share."""
    count = min(count, len(groups))
    return [groups[int((i + 0.5) * len(groups) / count)] for i in range(count)]


def _padded(image: np.ndarray, width: int) -> np.ndarray:
    right = width - image.shape[1]
    return np.pad(image, ((0, MARGIN), (0, right), (0, 0)), constant_values=255)
