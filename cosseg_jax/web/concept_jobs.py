"""Jobs that learn concepts and apply them, in the queue of those that segment groups."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxtyping import Bool

from cosseg_jax.data.masks import decode_mask, turned_like
from cosseg_jax.predict.concept import Concept
from cosseg_jax.predict.result import ConceptResult
from cosseg_jax.types import Ndarray
from cosseg_jax.web.uploads import Upload
from cosseg_jax.web.work import GroupJob


@dataclasses.dataclass(eq=False)
class LearnJob(GroupJob):
    """Learns a class from images; its result is a `Concept`.

    name: of the class. masks: one for each image, or none; then prompts say what is meant.
    """

    name: str = "object"
    masks: tuple[Upload, ...] = ()

    def compute(self, predictor: Any, progress: Callable[[float], None]) -> Concept:
        session = self.encode(predictor, progress)
        if not self.masks:
            return session.learn(self.name, prompt=self.prompts_in_job())
        pairs = zip(self.images, self.masks, strict=True)
        return session.learn(self.name, masks=[mask_of(image, mask) for image, mask in pairs])


@dataclasses.dataclass(eq=False)
class ApplyJob(GroupJob):
    """Finds a concept in images; its result is a list of `ConceptResult`."""

    concept: Concept | None = None

    def compute(self, predictor: Any, progress: Callable[[float], None]) -> list[ConceptResult]:
        contents, names = zip(*((image.content, image.name) for image in self.images), strict=True)
        found = []
        for result in predictor.apply(self.concept, contents, names=names):
            found.append(result)
            progress(len(found) / len(contents))
        return found


def mask_of(image: Upload, mask: Upload) -> Bool[Ndarray, "H W"]:
    """An uploaded mask; turned like its image where it was drawn on that as it is stored."""
    decoded = decode_mask(mask.content, mask.name)
    size = image.height, image.width
    turned = decoded if decoded.shape == size else turned_like(decoded, image.content)
    return turned if turned.shape == size else decoded
