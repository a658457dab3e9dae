"""A group of images that were read and encoded, to be segmented once or with several prompts."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool

from cosseg_jax.data.images import Reopenable
from cosseg_jax.data.prompts import Prompt, by_image, marked
from cosseg_jax.errors import UserError
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.concept import Concept, is_text
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import confidence_of
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.predict.result import GroupResult, ImageResult
from cosseg_jax.types import GroupPrediction, Ndarray

Progress = Callable[[int, int], None]  # called with the number of images done, and of all


class ReadImage(NamedTuple):
    """What is kept of an image that was read."""

    name: str
    height: int
    width: int
    source: Reopenable
    encoded: EncodedImage


@runtime_checkable
class SessionPredictor(Protocol):
    """What a session needs of the predictor that made it."""

    network: Any
    categories: tuple[str, ...]

    def image_result(self, image: ReadImage, *found: Any) -> ImageResult: ...


class Session:
    """A group of images that were read and encoded, to be segmented once or with several prompts.

    `Predictor.encode` makes one. Encodings are freed with the session.
    """

    def __init__(self, predictor: SessionPredictor, images: Sequence[ReadImage]):
        self._predictor, self._images = predictor, images

    def __len__(self) -> int:
        return len(self._images)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images."""
        return tuple(image.name for image in self._images)

    def segment(
        self,
        *,
        prompt: Prompt | Sequence[Prompt] | None = None,
        progress: Progress | None = None,
    ) -> GroupResult:
        """Segments the object that the images share.

        Args:
            prompt: what is meant, shown in one image or in several by a list of prompts; the other
                images follow. An image may have several prompts, which add up.
            progress: called after every chunk.

        Raises:
            UserError: for a prompt that does not fit its image, or contradicts another one.
        """
        network, prompts = self._predictor.network, _listed(prompt)
        found = network.segment(
            [image.encoded for image in self._images],
            self._marked(prompts),
            report=in_images(progress, len(self._images), network.steps),
        )
        return self._result(found, prompts)

    def learn(
        self,
        name: str = "object",
        *,
        masks: Sequence[Bool[Ndarray, "H W"]] | None = None,
        prompt: Prompt | Sequence[Prompt] | None = None,
    ) -> Concept:
        """A concept of one class, to be found in other images by `Predictor.apply`.

        Args:
            name: of the class.
            masks: the object in each image, True on it; all False where it is absent.
            prompt: instead of masks; the masks are then those of `segment`.

        Raises:
            UserError: for masks that do not fit their images, or in which nothing is marked.
        """
        if not is_text(name):
            raise UserError(f"the class's name {name!r} is no text; give another one")
        if masks is None:
            result = self.segment(prompt=prompt)
            masks = [each.probability_map > THRESHOLD for each in result.images]
            masks = [
                m & (each.presence > THRESHOLD)
                for m, each in zip(masks, result.images, strict=True)
            ]
        else:
            self._check_masks(masks)
        if not any(mask.any() for mask in masks):
            raise UserError("the object is in none of the images: every mask is empty")
        network = self._predictor.network
        learnt = network.learn([image.encoded for image in self._images], masks)
        return Concept({name: learnt}, network.digest)

    def _check_masks(self, masks: Sequence[Bool[Ndarray, "H W"]]) -> None:
        if len(masks) != len(self):
            raise UserError(f"there are {len(masks)} masks for {len(self)} images")
        for image, mask in zip(self._images, masks, strict=True):
            if mask.dtype != bool or mask.shape != (image.height, image.width):
                raise UserError(
                    f"the mask of {image.name} is an array of {mask.dtype} and shape {mask.shape}; "
                    f"expected bool and {(image.height, image.width)}"
                )

    def _marked(self, prompts: Sequence[Prompt]) -> list[PromptedImage]:
        found = []
        for number, given in by_image(prompts).items():
            if not 0 <= number < len(self):
                raise UserError(
                    f"the prompt is for image {number}; the group has images 0 to {len(self) - 1}"
                )
            image = self._images[number]
            found.append(PromptedImage(number, marked(given, image.height, image.width)))
        return found

    def _result(self, found: GroupPrediction, prompts: Sequence[Prompt]) -> GroupResult:
        given = by_image(prompts)
        images = tuple(
            self._predictor.image_result(
                image, probability_map, prior, presence, *given.get(number, ())
            )
            for number, (image, probability_map, prior, presence) in enumerate(
                zip(self._images, *found[:3], strict=True)
            )
        )
        probabilities = (float(p) for p in found.class_probabilities)
        categories = dict(zip(self._predictor.categories, probabilities, strict=True))
        confidence = None if found.known is None else confidence_of(found.known)
        return GroupResult(images, categories, confidence)


def _listed(prompt: Prompt | Sequence[Prompt] | None) -> list[Prompt]:
    if prompt is None:
        return []
    return [prompt] if isinstance(prompt, Prompt) else list(prompt)


def in_images(progress: Progress | None, count: int, steps: int) -> Callable[[int], None]:
    """Turns numbers of images that passed one of several steps into shares of whole images."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done // steps, count)

    return report
