"""A network whose weights know groups of one size only, for groups of any size.

A larger group is divided in its order, as the paper's evaluation does: consecutive groups of that
size, the last one completed by the first images. A smaller group repeats its images.
"""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float

from cosseg_jax.errors import UserError
from cosseg_jax.predict.chunked import ChunkedNetwork, Reporter
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import GroupPrediction, Ndarray


class Part(NamedTuple):
    """A group of the network's size within a group of any size.

    members: positions of its images; those from `own` on only complete it.
    """

    members: list[int]
    own: int


def parts_of(count: int, size: int) -> list[Part]:
    """The parts, of `size` members each, of a group of `count` images."""
    found = []
    for start in range(0, count, size):
        own = list(range(start, min(start + size, count)))
        filled = islice(cycle(range(count)), size - len(own))
        found.append(Part([*own, *filled], len(own)))
    return found


class FixedGroups:
    """A network that predicts groups of `size` images, called as `ChunkedNetwork` is.

    Everything but `segment`, `learn` and `apply` is that of the network. It takes neither prompts
    nor concepts, whose gamma is that of other numbers of images.
    """

    def __init__(self, network: ChunkedNetwork, size: int):
        self._network, self.size = network, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def segment(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage] = (),
        *,
        wanted: Sequence[int] | None = None,
        report: Reporter = lambda count: None,
    ) -> GroupPrediction:
        """Predicts one group; see `ChunkedNetwork.segment`.

        Class probabilities are the means over its parts. Raises UserError for prompts.
        """
        if prompted:
            self._refuse("prompts")
        rows = list(range(len(group)) if wanted is None else wanted)
        found: dict[int, tuple[Any, ...]] = {}
        classes = []
        for part in parts_of(len(group), self.size):
            own = part.members[: part.own]
            if any(place in rows for place in own):
                predicted = self._network.segment([group[place] for place in part.members])
                found |= dict(zip(own, zip(*predicted[:3], strict=True), strict=False))
                classes.append(predicted.class_probabilities)
            report(part.own * self.steps)
        columns = zip(*(found[place] for place in rows), strict=True)
        maps, priors, presence = (np.stack(column) for column in columns)
        return GroupPrediction(maps, priors, presence, _mean(classes))

    def learn(self, *_: Any) -> NoReturn:
        """Raises UserError."""
        self._refuse("concepts")

    def apply(self, *_: Any) -> NoReturn:
        """Raises UserError."""
        self._refuse("concepts")

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(
            f"this network takes no {what}: its weights know groups of {self.size} images only; "
            "choose another --checkpoint, or none for the network that comes with the package"
        )


def _mean(classes: Sequence[Any]) -> Float[Ndarray, " L"]:
    return np.mean(np.asarray(classes), axis=0)
