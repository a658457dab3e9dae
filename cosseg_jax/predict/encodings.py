"""Images with their encodings, which are kept within a budget of bytes."""

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from cosseg_jax.models.proposal_features import Proposals
from cosseg_jax.types import ImageEncoding, Ndarray

ENCODING_BYTES = 2**30  # the default budget; it holds 120 images of the shipped network

Encodings = tuple[ImageEncoding, ...]  # of the images that the network sees at once


class EncodedImage:
    """An image on its way through a network: what it is loaded from, and its encoding while kept.

    load: returns the network's input: uint8 RGB [S, S, 3], or the FeatureMaps [h, w, C] that its
        backbone gave. It is called once, and again if the encoding had to make room, or where
        masks follow the edges of the image.
    """

    def __init__(self, load: Callable[[], Any]):
        self.load = load
        self.arrays: ImageEncoding | None = None
        self.proposals: Proposals | None = None  # of the open mode
        self._flipped: EncodedImage | None = None

    @property
    def flipped(self) -> "EncodedImage":
        """The image mirrored left to right."""
        if self._flipped is None:
            self._flipped = EncodedImage(lambda: np.ascontiguousarray(self.load()[:, ::-1]))
        return self._flipped


class KeptEncodings:
    """Keeps encodings within a budget; those of other groups, longest unused, make room first."""

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self.room = most_bytes > 0  # whether the encoding offered last was kept
        self._order: dict[int, weakref.ref[EncodedImage]] = {}
        self._lock = threading.Lock()  # a predictor may be called from several threads

    def offer(
        self, image: EncodedImage, arrays: ImageEncoding, group: Sequence[EncodedImage]
    ) -> None:
        """Keeps an encoding if there is room, or if images outside `group` can make room."""
        size = _bytes_of(arrays)
        with self._lock:
            alive = {key: held for key, ref in self._order.items() if (held := ref()) is not None}
            self._order = {key: self._order[key] for key in alive}
            kept = {key: _bytes_of(held.arrays) for key, held in alive.items()}
            members = {id(each) for each in group}
            total = sum(kept.values())
            for key in [key for key in kept if key not in members]:
                if total + size <= self.most_bytes:
                    break
                total -= kept[key]
                alive[key].arrays = None
                del self._order[key]
            self.room = total + size <= self.most_bytes
            if self.room:
                image.arrays = arrays
                self._order[id(image)] = weakref.ref(image)

    def used(self, images: Sequence[EncodedImage]) -> None:
        """Moves the images to the end of the order in which encodings make room."""
        with self._lock:
            for image in images:
                if id(image) in self._order:
                    self._order[id(image)] = self._order.pop(id(image))


def _bytes_of(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def stacked_maps(maps: Sequence[Any]) -> Float[Ndarray, "M h w C"] | None:
    """One kind of maps of M encodings, as float32 on the host; None where they are None."""
    if maps[0] is None:
        return None
    return np.stack([np.asarray(each, np.float32) for each in maps])
