"""The public predictor: `load` gives a `Predictor`, and calling it segments a group of images.

The images pass through the network as `predict.chunked` says. Of each image, only a copy at the
network's size (under 0.5 MB) and what it can be read from again are kept, and encodings within a
budget.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from cosseg_jax.data.images import ImageLike, check_list, read_image, reopenable
from cosseg_jax.data.prompts import Prompt
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.errors import UserError, check_choice, message_of
from cosseg_jax.predict.agnostic import agnostic_network
from cosseg_jax.predict.chunked import CHUNK_SIZE, ChunkedNetwork
from cosseg_jax.predict.concept import Concept, check_network
from cosseg_jax.predict.encodings import ENCODING_BYTES, EncodedImage
from cosseg_jax.predict.exported import (
    SHIPPED_FOLDER,
    described_network,
    load_exported,
    prediction_options,
)
from cosseg_jax.predict.fixed_groups import FixedGroups
from cosseg_jax.predict.refinement import kind_of, refine_by
from cosseg_jax.predict.result import ConceptResult, GroupResult, ImageResult
from cosseg_jax.predict.session import Progress, ReadImage, Session, in_images
from cosseg_jax.types import Ndarray

MODES = ("network", "open")
READERS = 2  # images that are decoded at once
CHUNKS_AHEAD = 2  # that are decoded while the network is busy, where images are many
COLD_DENSE_MAX = 1440  # descriptors up to which the dense solver, which compiles sooner, is used
WARM_DENSE_MAX = 128  # ... where the network is called often

OnUnreadable = Callable[[int, str], None]  # called with an image's position and what is wrong


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
        network = described_network(config)
        dense_max = COLD_DENSE_MAX if cold else WARM_DENSE_MAX
        network = network.clone(spatial=dataclasses.replace(network.spatial, dense_max=dense_max))
        chunked = ChunkedNetwork(
            network,
            variables,
            self.options.image_size,
            chunk_size=chunk_size,
            encoding_bytes=encoding_bytes,
            mirror=self.options.mirror,
        )
        size = network.group_size
        self.network: Any = chunked if size is None else FixedGroups(chunked, size)

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
        prompt: Prompt | Sequence[Prompt] | None = None,
        on_unreadable: OnUnreadable | None = None,
        progress: Progress | None = None,
    ) -> GroupResult:
        """Segments the object that the images share.

        Args:
            images: one or more paths, contents of files (bytes), PIL images or uint8 arrays, of
                any sizes.
            names: of the images; by default files' names without suffix, or numbers from 1.
            prompt: what is meant, shown in one of the images or, by a list of prompts, in several;
                the others follow.
            on_unreadable: if given, images that cannot be read are left out and reported to it.
            progress: called after every chunk with the number of images done and of all.

        Raises:
            UserError: without any image, for one that cannot be read (the message names it), or for
                a prompt that does not fit its image.
        """
        session = self._read(images, names, on_unreadable)
        return session.segment(prompt=prompt, progress=progress)

    def learn(
        self,
        images: Iterable[ImageLike],
        *,
        name: str = "object",
        masks: Sequence[Bool[Ndarray, "H W"]] | None = None,
        prompt: Prompt | Sequence[Prompt] | None = None,
        progress: Progress | None = None,
    ) -> Concept:
        """Learns what some images show, by their masks or prompts; see `Session.learn`."""
        session = self.encode(images, progress=progress)
        return session.learn(name, masks=masks, prompt=prompt)

    def apply(
        self,
        concept: Concept,
        images: Iterable[ImageLike],
        *,
        names: Iterable[str] | None = None,
        on_unreadable: OnUnreadable | None = None,
    ) -> Iterator[ConceptResult]:
        """Finds a concept in images, each by itself; gives the results one after the other.

        Only a few images are in memory at a time, however many there are.

        Args:
            concept: learnt with this network.
            images: paths, contents of files, PIL images or uint8 arrays.
            names, on_unreadable: as in a call.

        Raises:
            UserError: for a concept of another network, and for an image that cannot be read unless
                `on_unreadable` is given.
        """
        check_network(concept, self.network.digest)
        return self._applied(concept, enumerate(images), names, on_unreadable)

    def _applied(
        self,
        concept: Concept,
        images: Iterator[tuple[int, ImageLike]],
        names: Iterable[str] | None,
        on_unreadable: OnUnreadable | None,
    ) -> Iterator[ConceptResult]:
        named = iter(names) if names is not None else None
        size = self.network.chunk_size
        with ThreadPoolExecutor(READERS) as pool:
            ahead: deque[list[tuple[int, Future[ReadImage]]]] = deque()
            while True:
                while len(ahead) < CHUNKS_AHEAD and (taken := list(islice(images, size))):
                    ahead.append(
                        [(n, pool.submit(self._read_one, n, x, _next(named))) for n, x in taken]
                    )
                if not ahead:
                    return
                read = []
                for position, future in ahead.popleft():
                    try:
                        read.append(future.result())
                    except UserError as error:
                        if on_unreadable is None:
                            raise
                        on_unreadable(position, message_of(error))
                yield from self._applied_to(concept, read) if read else ()

    def _applied_to(self, concept: Concept, images: Sequence[ReadImage]) -> Iterator[ConceptResult]:
        found = {
            name: self.network.apply([image.encoded for image in images], learnt)
            for name, learnt in concept.classes.items()
        }
        for row, image in enumerate(images):
            classes = {
                name: self.image_result(image, maps[row], priors[row], presence[row])
                for name, (maps, priors, presence) in found.items()
            }
            yield ConceptResult(image.name, classes)

    def image_result(
        self, image: ReadImage, probability_map: Any, prior: Any, presence: Any, *prompts: Prompt
    ) -> ImageResult:
        return ImageResult(
            image.name,
            image.height,
            image.width,
            probability_map=np.asarray(probability_map),
            prior=np.asarray(prior),
            presence=float(presence),
            refine=self.refiner(),
            source=image.source,
            prompts=prompts,
        )

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
        self.network.encode(encoded, in_images(progress, len(encoded), 1))
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
        found: list[ReadImage] = []
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

    def _read_one(self, position: int, image: ImageLike, name: str | None) -> ReadImage:
        source = reopenable(image, name or f"{position + 1}")
        read = read_image(image, name or f"{position + 1}")
        height, width = read.image.shape[:2]
        small = resize_image(read.image, self.options.image_size)
        return ReadImage(name or read.name, height, width, source, EncodedImage(lambda: small))


def load(
    checkpoint: str | Path | None = None, *, mode: str = "network", **options: Any
) -> Predictor:
    """The predictor of an exported network; by default of the one that comes with the package.

    checkpoint: a folder that `train.py --export` wrote.
    mode: "network", or "open" for categories that the network was not trained on: its masks are
        chosen among the proposals of MobileSAM (`predict.open_network`).
    options: keyword arguments of `Predictor`.

    Raises:
        UserError: if the folder is not an exported network, or without what the open mode needs.
    """
    check_choice("mode", mode, MODES)
    predictor = Predictor(*load_exported(checkpoint), **options)
    folder = SHIPPED_FOLDER if checkpoint is None else Path(checkpoint)
    if mode == "open":
        from cosseg_jax.predict.open_network import open_network

        weights = options.get("sam_weights")
        predictor.network = open_network(predictor.network, folder, weights)
    elif isinstance(predictor.network, ChunkedNetwork):  # others have no second head
        predictor.network = agnostic_network(predictor.network, folder)
    return predictor


def _next(names: Iterator[str] | None) -> str | None:
    return None if names is None else next(names)
