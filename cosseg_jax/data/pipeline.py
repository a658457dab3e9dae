"""Batches of groups for the training loop, read ahead by Grain.

The batch of step t depends on the seed and t alone. It depends neither on the number of threads or
processes that prepare it nor on the number of hosts: process p of P takes the p-th of P equal parts
of the step's groups. The state of the stream is therefore the number of the next step.
"""

import json

import grain
import jax
import numpy as np
from absl import flags

from cosseg_jax.data.augment import AugmentOptions, check_options
from cosseg_jax.data.groups import GroupSampler, SamplingOptions
from cosseg_jax.data.source import Source
from cosseg_jax.data.step_batches import CachedFeatures, StepBatches
from cosseg_jax.errors import UserError
from cosseg_jax.types import GroupBatch

END_OF_STREAM = 2**40  # steps; no run gets there
NO_AUGMENT = AugmentOptions()
PAPER_SAMPLING = SamplingOptions()


class Batches:
    """An endless iterator of batches whose position in the stream can be saved and restored.

    Grain's checkpoint handler for Orbax accepts it: `get_state` returns a JSON object as bytes,
    which fits any number of threads, worker processes and hosts.
    """

    def __init__(
        self, steps: StepBatches, *, threads: int, processes: int, start_step: int
    ) -> None:
        self._steps = steps
        self._threads = threads
        self._processes = processes
        self._next_step = start_step
        self._iterator: grain.DatasetIterator | None = None

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> GroupBatch:
        batch = next(self._started())
        self._next_step += 1
        if self._processes:  # the arrays lie in shared memory that the workers use again
            batch = jax.tree.map(np.array, batch)
        return batch

    def get_state(self) -> bytes:
        """The position in the stream, as JSON."""
        return json.dumps({"next_step": self._next_step}).encode()

    def set_state(self, state: bytes) -> None:
        """Continues from a saved position. Raises UserError when `state` is not one."""
        try:
            next_step = json.loads(state)["next_step"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f'data state is {state!r}; expected JSON such as {{"next_step": 100}}'
            ) from error
        self.close()
        self._next_step = _checked_step(next_step)

    def start_prefetch(self) -> None:
        """Begins to read ahead now instead of at the first `next`."""
        self._started().start_prefetch()

    def close(self) -> None:
        """Ends the threads and worker processes; the position in the stream is kept."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None

    def _started(self) -> grain.DatasetIterator:
        if self._iterator is None:
            steps = grain.MapDataset.range(self._next_step, END_OF_STREAM).map(self._steps)
            reading = grain.ReadOptions(self._threads, self._threads)
            batches = steps.to_iter_dataset(reading)
            if self._processes:
                if not flags.FLAGS.is_parsed():  # Grain's workers read flags, in a notebook too
                    flags.FLAGS.mark_as_parsed()
                batches = batches.mp_prefetch(grain.MultiprocessingOptions(self._processes))
            self._iterator = iter(batches)
        return self._iterator


def training_batches(
    source: Source,
    *,
    seed: int,
    group_size: int,
    groups_per_step: int,
    image_size: int,
    sampling: SamplingOptions = PAPER_SAMPLING,
    augment: AugmentOptions = NO_AUGMENT,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 4,
    processes: int = 0,
    start_step: int = 0,
    cache: CachedFeatures | None = None,
    category_maps: bool = False,
) -> Batches:
    """An endless stream of training batches, each [B, N, ...] with B = groups_per_step / hosts.

    Args:
      source: the images.
      seed: determines, with the step, everything random; an integer from 0.
      group_size: N, from 1.
      groups_per_step: the number of groups of one step over all hosts, from 1.
      image_size: H = W, in pixels, from 1.
      sampling: which groups are drawn.
      augment: random changes of the images.
      process_index, process_count: the number of this host, from 0, and of all hosts.
      threads: how many read ahead, in this process or in each worker; 0 reads on demand.
      processes: the number of worker processes; 0 for none.
      start_step: the step of the first batch.
      cache: replaces the images, which then are None, by feature maps; of the augmentations only
        the flip can be used with it.
      category_maps: whether batches hold the category of every pixel.

    Raises UserError for an argument out of range.
    """
    _check_sizes(groups_per_step, image_size, process_index, process_count, (threads, processes))
    _check_augment(augment, cache)
    sampler = GroupSampler(source, seed=seed, group_size=group_size, options=sampling)
    steps = StepBatches(
        source,
        sampler,
        groups_per_step,
        image_size,
        augment,
        process_index,
        process_count,
        cache,
        category_maps,
        sampling.prompted,
    )
    start_step = _checked_step(start_step)
    return Batches(steps, threads=threads, processes=processes, start_step=start_step)


def _check_sizes(
    groups: int, image_size: int, process: int, process_count: int, workers: tuple[int, int]
) -> None:
    if groups < 1:
        raise UserError(f"groups_per_step is {groups}; a step takes at least one group")
    if image_size < 1:
        raise UserError(f"image_size is {image_size}; expected a number of pixels from 1")
    if not 0 <= process < process_count:
        raise UserError(f"process_index is {process}; expected 0 to {process_count - 1}")
    if groups % process_count:
        raise UserError(
            f"groups_per_step is {groups}, which {process_count} processes cannot share "
            f"equally; use a multiple of {process_count}"
        )
    if min(workers) < 0:
        raise UserError(f"threads and processes are {workers}; expected numbers from 0")


def _check_augment(augment: AugmentOptions, cache: CachedFeatures | None) -> None:
    check_options(augment)
    if cache is not None and augment != AugmentOptions(flip=augment.flip):
        raise UserError(
            f"augment is {augment}; a cache holds the maps of images and their mirror images, so "
            "that only flip can be on (freeze_backbone without cache_dir takes all augmentations)"
        )


def _checked_step(step: object) -> int:
    if not isinstance(step, int) or not 0 <= step < END_OF_STREAM:
        raise UserError(f"the stream's next step is {step!r}; expected an integer from 0")
    return step
