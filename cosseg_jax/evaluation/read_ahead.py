"""Reads the images of the next groups while the network is busy."""

import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.types import Example


class ReadAhead:
    """The images of a source: what the network and the metrics need of them, read ahead."""

    def __init__(
        self,
        source: Source,
        size: int,
        load_inputs: Callable[[int], Any] | None,
        pool: concurrent.futures.Executor,
    ):
        self._source, self._size, self._load_inputs, self._pool = source, size, load_inputs, pool
        self._encoded: dict[int, EncodedImage] = {}
        self._inputs: dict[int, concurrent.futures.Future[Any]] = {}
        self._examples: dict[int, concurrent.futures.Future[Example]] = {}

    def encoded(self, index: int) -> EncodedImage:
        """The image for the network; it is read when the network has to encode it."""
        if index not in self._encoded:
            self._encoded[index] = EncodedImage(lambda: self._take_inputs(index))
        return self._encoded[index]

    def read_ahead(self, group: EvalGroup) -> None:
        """Begins to read what `group` needs of its images."""
        for index, counted in zip(group.indices, group.counted, strict=True):
            if counted and index not in self._examples:
                self._examples[index] = self._pool.submit(self._source.__getitem__, index)
            if self.encoded(index).arrays is None and index not in self._inputs:
                self._inputs[index] = self._pool.submit(self._read_inputs, index)

    def example(self, index: int) -> Example:
        """The decoded image of a group that was read ahead."""
        return self._examples[index].result()

    def forget(self, group: EvalGroup, upcoming: Sequence[EvalGroup]) -> None:
        """Drops what was read for `group`, unless an upcoming group needs it as well."""
        needed = {index for each in upcoming for index in each.indices}
        for index in set(group.indices) - needed:
            self._examples.pop(index, None)
            self._inputs.pop(index, None)

    def _read_inputs(self, index: int) -> Any:
        if self._load_inputs is not None:
            return self._load_inputs(index)
        waiting = self._examples.get(index)
        # A task must not wait for one that is queued behind it, so only a finished one is used.
        example = waiting.result() if waiting and waiting.done() else self._source[index]
        return resize_image(example.image, self._size)

    def _take_inputs(self, index: int) -> Any:
        waiting = self._inputs.pop(index, None)
        return self._read_inputs(index) if waiting is None else waiting.result()
