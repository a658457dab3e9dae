"""Groups into batches, their photographs decoded while the network is busy.

Groups of one size N are batched together and the last batch is filled up with repetitions that are
not scored: no photograph is dropped, and the network is compiled once for each N. The groups of a
batch become fewer where they are large; the largest group has to fit into memory.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cosseg_jax.data.partition import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.data.transforms import resized_image
from cosseg_jax.types import Example

IMAGES_PER_BATCH = 40  # a batch holds more only where a single group does
_BATCHES_AHEAD = 2


class Loaded(NamedTuple):
    """One member of a group. example: None where the member is not scored nor decoded."""

    example: Example | None
    inputs: Any


def batched_by_size(
    groups: Iterable[EvalGroup], groups_per_batch: int, images_per_batch: int = IMAGES_PER_BATCH
) -> Iterator[list[EvalGroup]]:
    """Yields the groups in lists of one size N each, of at most `groups_per_batch` groups, fewer
    where these would have more than `images_per_batch` photographs, but at least one.

    All lists of one N have the same length, the last one completed by repetitions of its last
    group that count no image: one shape, so one compilation, for each N.
    """
    by_size: dict[int, list[EvalGroup]] = collections.defaultdict(list)
    for group in groups:
        by_size[len(group.indices)].append(group)
    for size, same_size in by_size.items():
        length = min(groups_per_batch, len(same_size), max(1, images_per_batch // size))
        for first in range(0, len(same_size), length):
            batch = same_size[first : first + length]
            filler = batch[-1]._replace(counted=(False,) * len(batch[-1].indices))
            yield batch + [filler] * (length - len(batch))


def load_ahead(
    pool: concurrent.futures.Executor,
    source: Source,
    batches: Sequence[list[EvalGroup]],
    image_size: int,
    load_inputs: Callable[[int], Any] | None,
) -> Iterator[list[list[Loaded]]]:
    """Yields the members of each batch's groups, decoded while the network is busy."""

    def load(index: int, decode: bool) -> Loaded:
        if load_inputs is not None:
            return Loaded(source[index] if decode else None, load_inputs(index))
        example = source[index]
        return Loaded(example if decode else None, resized_image(example.image, image_size))

    waiting: collections.deque[list[list[concurrent.futures.Future[Loaded]]]] = collections.deque()
    for batch in batches:
        distinct = list(dict.fromkeys(batch))  # a filler is not loaded twice
        futures = {
            group: [
                pool.submit(load, *member)
                for member in zip(group.indices, group.counted, strict=True)
            ]
            for group in distinct
        }
        waiting.append([futures[group] for group in batch])
        if len(waiting) > _BATCHES_AHEAD:
            yield [[future.result() for future in group] for group in waiting.popleft()]
    for ready in waiting:
        yield [[future.result() for future in group] for group in ready]
