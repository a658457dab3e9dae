"""The public predictor: `load` gives a `Predictor`, and calling it segments a group of images.

The images pass through the network as `predict.chunked` says. Of each image, only a copy at the
network's size (under 0.5 MB) and what it can be read from again are kept, and encodings within a
budget.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.data.images import (
    ImageLike,
    Reopenable,
    check_list,
    read_image,
    reopenable,
    resize_image,
)
from cosseg_jax.data.prompts import Prompt, region
from cosseg_jax.errors import UserError, message_of
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.chunked import (
    CHUNK_SIZE,
    ChunkedNetwork,
    PromptedRegion,
)
from cosseg_jax.predict.encodings import ENCODING_BYTES, EncodedImage
from cosseg_jax.predict.exported import load_exported, prediction_options
from cosseg_jax.predict.refinement import kind_of, refine_by
from cosseg_jax.predict.result import GroupResult, ImageResult
from cosseg_jax.types import GroupPrediction

READERS = 2  # images that are decoded at once
COLD_DENSE_MAX = 1440  # descriptors up to which the dense solver, which compiles sooner, is used
WARM_DENSE_MAX = 128  # ... where the network is called often

Progress = Callable[[int, int], None]  # called with the number of images done, and of all
OnUnreadable = Callable[[int, str], None]  # called with an image's position and what is wrong


class _ReadImage(NamedTuple):
    """What is kept of an image that was read."""

    name: str
    height: int
    width: int
    source: Reopenable
    encoded: EncodedImage


class Session:
    """A group of images that were read and encoded, to be segmented once or with several prompts.

    `Predictor.encode` makes one. Encodings are freed with the session.
    """

    def __init__(self, predictor: "Predictor", images: Sequence[_ReadImage]):
        self._predictor, self._images = predictor, images

    def __len__(self) -> int:
        return len(self._images)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images."""
        return tuple(image.name for image in self._images)

    def segment(
        self, *, prompt: Prompt | None = None, progress: Progress | None = None
    ) -> GroupResult:
        """Segments the object that the images share.

        Args:
            prompt: the object, shown in one of the images; the others follow.
            progress: called after every chunk.

        Raises:
            UserError: for a prompt that does not fit its image.
        """
        network = self._predictor.network
        found = network.segment(
            [image.encoded for image in self._images],
            None if prompt is None else self._region(prompt),
            report=_in_images(progress, len(self._images), network.steps),
        )
        return self._result(found, prompt)

    def _region(self, prompt: Prompt) -> PromptedRegion:
        if not 0 <= prompt.image < len(self):
            raise UserError(
                f"the prompt is for image {prompt.image}; the group has images 0 to {len(self) - 1}"
            )
        image = self._images[prompt.image]
        return PromptedRegion(prompt.image, region(prompt, image.height, image.width))

    def _result(self, found: GroupPrediction, prompt: Prompt | None) -> GroupResult:
        refine = [self._predictor.refiner()] * len(self)
        presence = [float(value) for value in found.presence]
        if prompt is not None and self._predictor.options.refine == "sam":
            # The prompted image shows what the prompt means, whatever the group shares.
            refine[prompt.image] = functools.partial(refine[prompt.image].prompted, prompt)
            presence[prompt.image] = 1.0
        images = tuple(
            ImageResult(
                image.name,
                image.height,
                image.width,
                probability_map=np.asarray(probability_map),
                prior=np.asarray(prior),
                presence=presence[number],
                refine=refine[number],
                source=image.source,
            )
            for number, (image, probability_map, prior) in enumerate(
                zip(self._images, *found[:2], strict=True)
            )
        )
        probabilities = (float(p) for p in found.class_probabilities)
        categories = dict(zip(self._predictor.categories, probabilities, strict=True))
        return GroupResult(images, categories)


class Predictor:
    """A trained network that segments groups of images; `load` makes one.

    config: the config of the exported network.
    categories: the names of the categories that the network was trained on.
    options: how it predicts. Refinement may be changed at any time, by `options._replace`.
    network: the network itself.

    Args:
        config: of the exported network.
        variables: its `params` and `batch_stats`.
        cold: whether it is called once, so that compiling matters more than computing.
        chunk_size: how many images the network sees at once. More need more memory; results differ
            by rounding only.
        encoding_bytes: how many bytes of encodings are kept for further prompts and iterations.
        refine: "", "guided" or "sam", instead of what the config says (`predict.refinement`).
        sam_weights: a file of MobileSAM's weights; by default it is downloaded when needed.
    """

    def __init__(
        self,
        config: ConfigDict,
        variables: Mapping[str, Any],
        *,
        cold: bool = False,
        chunk_size: int = CHUNK_SIZE,
        encoding_bytes: int = ENCODING_BYTES,
        refine: str | None = None,
        sam_weights: str | Path | None = None,
    ):
        if chunk_size < 1:
            raise UserError(f"chunk_size is {chunk_size}; it must be 1 or more")
        self.config = config
        self.categories = tuple(config.categories)
        self.options = prediction_options(config)
        if refine is not None:
            self.options = self.options._replace(refine=kind_of(refine))
        self._refiners: dict[str | bool, Any] = {}
        self._sam_weights = sam_weights
        network = from_config(config.model, len(self.categories))
        dense_max = COLD_DENSE_MAX if cold else WARM_DENSE_MAX
        network = network.clone(spatial=dataclasses.replace(network.spatial, dense_max=dense_max))
        self.network = ChunkedNetwork(
            network,
            variables,
            self.options.image_size,
            chunk_size=chunk_size,
            encoding_bytes=encoding_bytes,
            mirror=self.options.mirror,
        )

    def refiner(self) -> Any:
        """What `options.refine` names, loaded when first asked for; see `refine_by`."""
        kind = self.options.refine
        if kind not in self._refiners:
            self._refiners[kind] = refine_by(kind, self._sam_weights)
        return self._refiners[kind]

    def __call__(
        self,
        images: Iterable[ImageLike],
        *,
        names: Sequence[str] | None = None,
        prompt: Prompt | None = None,
        on_unreadable: OnUnreadable | None = None,
        progress: Progress | None = None,
    ) -> GroupResult:
        """Segments the object that the images share.

        Args:
            images: one or more paths, contents of files (bytes), PIL images or uint8 arrays, of
                any sizes.
            names: of the images; by default files' names without suffix, or numbers from 1.
            prompt: the object, shown in one of the images; the others follow.
            on_unreadable: if given, images that cannot be read are left out and reported to it.
            progress: called after every chunk with the number of images done and of all.

        Raises:
            UserError: without any image, for one that cannot be read (the message names it), or for
                a prompt that does not fit its image.
        """
        session = self._read(images, names, on_unreadable)
        return session.segment(prompt=prompt, progress=progress)

    def encode(
        self,
        images: Iterable[ImageLike],
        *,
        names: Sequence[str] | None = None,
        on_unreadable: OnUnreadable | None = None,
        progress: Progress | None = None,
    ) -> Session:
        """Reads and encodes a group, to segment it with several prompts. Arguments as in a call."""
        session = self._read(images, names, on_unreadable)
        encoded = [image.encoded for image in session._images]
        self.network.encode(encoded, _in_images(progress, len(encoded), 1))
        return session

    def _read(
        self,
        images: Iterable[ImageLike],
        names: Sequence[str] | None,
        on_unreadable: OnUnreadable | None,
    ) -> Session:
        if isinstance(images, Iterator):
            images = list(images)
        check_list(images)
        return self._read_all(list(images), names, on_unreadable)

    def _read_all(
        self,
        images: Sequence[ImageLike],
        names: Sequence[str] | None,
        on_unreadable: OnUnreadable | None,
    ) -> Session:
        if names is not None and len(names) != len(images):
            raise UserError(f"there are {len(names)} names for {len(images)} images")
        found: list[_ReadImage] = []
        with ThreadPoolExecutor(READERS) as pool:
            reading = [
                pool.submit(self._read_one, position, image, names[position] if names else None)
                for position, image in enumerate(images)
            ]
            for position, future in enumerate(reading):
                try:
                    found.append(future.result())
                except UserError as error:
                    if on_unreadable is None:
                        for waiting in reading:
                            waiting.cancel()
                        raise
                    on_unreadable(position, message_of(error))
        if not found:
            raise UserError("none of the images can be read")
        return Session(self, found)

    def _read_one(self, position: int, image: ImageLike, name: str | None) -> _ReadImage:
        source = reopenable(image, name or f"{position + 1}")
        read = read_image(image, name or f"{position + 1}")
        height, width = read.image.shape[:2]
        small = resize_image(read.image, self.options.image_size)
        return _ReadImage(name or read.name, height, width, source, EncodedImage(lambda: small))


def load(checkpoint: str | Path | None = None, **options: Any) -> Predictor:
    """The predictor of an exported network; by default of the one that comes with the package.

    checkpoint: a folder that `train.py --export` wrote.
    options: keyword arguments of `Predictor`.

    Raises:
        UserError: if the folder is not an exported network.
    """
    return Predictor(*load_exported(checkpoint), **options)


def _in_images(progress: Progress | None, count: int, steps: int) -> Callable[[int], None]:
    """Turns numbers of images that passed one of several steps into shares of whole images."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done // steps, count)

    return report
