"""Scores a network on groups of a split during training, and draws some of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.images import resize_image
from cosseg_jax.data.pipeline import CachedFeatures
from cosseg_jax.data.source import Source
from cosseg_jax.drawing import Row, sheet
from cosseg_jax.evaluation.evaluator import evaluate, truth_of
from cosseg_jax.predict.forward import make_forward, with_variables
from cosseg_jax.types import FeatureMaps, Ndarray


class Validation:
    """The validation of one run: always the same groups, spread over the categories.

    Args:
        config: of the run, with `categories`.
        source: the validation photographs.
        cache: their backbone maps, where the run keeps them.
        groups: how many groups are scored; 0 is all of them.
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
        self._forward = make_forward(config)

    def scores(self, variables: Mapping[str, Any]) -> dict[str, float]:
        """P and J in percent, by the protocol `original`."""
        found = evaluate(
            with_variables(self._forward, variables),
            self._source,
            self._groups,
            image_size=self._config.image_size,
            groups_per_batch=self._config.groups_per_step,
            protocols=("original",),
            load_inputs=self._inputs,
        ).protocols["original"]
        return {"P": found.P or 0.0, "J": found.J or 0.0}

    def pictures(self, variables: Mapping[str, Any]) -> np.ndarray:
        """Some of the groups, one below the other: photographs, S, probabilities, truth."""
        chosen = spread(self._groups, self._config.preview_groups)
        sheets = [self._sheet(variables, group) for group in chosen]
        width = max(image.shape[1] for image in sheets)
        return np.concatenate([_widened(image, width) for image in sheets])

    def _sheet(self, variables: Mapping[str, Any], group: EvalGroup) -> np.ndarray:
        inputs = [self._inputs(index) for index in group.indices]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves)[None], *inputs)  # [1, N, ...]
        probabilities, prediction = self._forward(variables, stacked)
        rows = []
        for place, index in enumerate(group.indices):
            example = self._source[index]
            rows.append(
                Row(
                    example.image,
                    np.asarray(prediction.prior.values[0, place]),
                    np.asarray(probabilities[0, place]),
                    truth_of(example, group.category),
                )
            )
        return sheet(rows)

    def _inputs(self, index: int) -> Ndarray | FeatureMaps:
        if self._cache is not None:
            return self._cache.maps(index, flipped=False)
        return resize_image(self._source[index].image, self._config.image_size)


def spread(groups: Sequence[EvalGroup], count: int) -> list[EvalGroup]:
    """At most `count` of the groups, evenly spaced, so that every part of the list has a share."""
    count = min(count, len(groups))
    return [groups[int((i + 0.5) * len(groups) / count)] for i in range(count)]


def _widened(image: np.ndarray, width: int) -> np.ndarray:
    margin = width - image.shape[1]
    return np.pad(image, ((0, 6), (0, margin), (0, 0)), constant_values=255)
