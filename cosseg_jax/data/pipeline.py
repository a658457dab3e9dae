"""Batches of groups for the training loop, read ahead by Grain.

The batch of step t is a function of the seed and t alone. It does not depend on how many threads
or processes prepare it, nor on over how many hosts it is spread: process p of P takes the p-th of
P equal parts of the step's groups. The state of the stream is therefore the next step's number.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.data.augment import (
    AugmentOptions,
    View,
    check_options,
    cut_out,
    drawn_flip,
    flipped,
    network_view,
    pasted,
)
from cosseg_jax.data.groups import (
    GroupSampler,
    SamplingOptions,
    category_map,
    multi_hot,
    shared_categories,
    union_mask,
)
from cosseg_jax.data.images import resize_mask
from cosseg_jax.data.prompts import coverage, drawn_prompt, region
from cosseg_jax.data.source import Source
from cosseg_jax.types import Example, FeatureMaps, GroupBatch, Ndarray

END_OF_STREAM = 2**40  # steps; no run gets there
COARSEST = 32  # stride of the maps whose cells are marked
NO_AUGMENT = AugmentOptions()
PAPER_SAMPLING = SamplingOptions()


@runtime_checkable
class CachedFeatures(Protocol):
    """Gives the maps of a frozen backbone, computed before, of a photograph or its mirror image."""

    def maps(self, index: int, flipped: bool) -> FeatureMaps: ...


class StepBatches(NamedTuple):
    """One process's share of each step's batch; called with a step's number, gives the batch."""

    source: Source
    sampler: GroupSampler
    groups_per_step: int
    image_size: int
    augment: AugmentOptions
    process_index: int
    process_count: int
    cache: CachedFeatures | None
    category_maps: bool = False
    prompted: float = 0.0

    def __call__(self, step: int) -> GroupBatch:
        share = self.groups_per_step // self.process_count
        first = step * self.groups_per_step + self.process_index * share
        size = self.sampler.size_at(step)
        groups = [self.group(index, size) for index in range(first, first + share)]
        images = [group.images for group in groups if group.images is not None]
        return GroupBatch(
            images=np.stack(images) if images else None,  # [B, N, H, W, 3]
            masks=np.stack([group.masks for group in groups]),  # [B, N, H, W]
            valid=np.stack([group.valid for group in groups]),  # [B, N, H, W]
            labels=np.stack([group.labels for group in groups]),  # [B, L]
            maps=_stacked_maps([group.maps for group in groups if group.maps is not None]),
            category_maps=_stacked([group.category_maps for group in groups]),
            prompt_weights=_stacked([group.prompt_weights for group in groups]),  # [B, N, h, w]
        )

    def group(self, index: int, size: int) -> GroupBatch:
        """The group of a size at a position of the sampler's sequence, without a batch axis."""
        category, indices, distractors = self.sampler.group(index, size)
        examples = [self.source[i] for i in indices]
        shared = shared_categories(examples[: len(examples) - distractors])
        if category not in shared:
            raise ValueError(
                f"{self.source.name!r} lists category {self.source.categories[category]!r} for "
                f"photographs that lack it, among {[example.name for example in examples]}"
            )
        rng = np.random.default_rng([self.sampler.seed, index, 1])
        views = [self._view(example, shared) for example in examples]
        images, maps = None, None
        if self.augment.copy_paste or self.augment.background_swap:
            drawn = np.random.default_rng([self.sampler.seed, index, 3])
            views = [
                self._with_pasted(view, shared, drawn, has_object=n < len(views) - distractors)
                for n, view in enumerate(views)
            ]
        if self.cache is None:
            views = [network_view(view, self.image_size, rng, self.augment) for view in views]
            images = np.stack([view.image for view in views])  # [N, H, W, 3]
        else:
            flips = [drawn_flip(rng, self.augment) for _ in views]
            maps = _stacked_maps(
                [self.cache.maps(*key) for key in zip(indices, flips, strict=True)]
            )
            views = [_without_image(*vf, self.image_size) for vf in zip(views, flips, strict=True)]
        return GroupBatch(
            images=images,
            masks=np.stack([view.mask for view in views]).astype(np.float32),  # [N, H, W]
            valid=~np.stack([view.void for view in views]),  # [N, H, W]
            labels=multi_hot(shared, len(self.source.categories)),
            maps=maps,
            category_maps=_stacked([view.category_map for view in views]),
            prompt_weights=self._prompt_weights([view.mask for view in views], index) if self.prompted else None,
        )

    def _prompt_weights(self, masks: Sequence[Bool[Ndarray, "S S"]], index: int) -> Float[Ndarray, "N h w"]:
        """The first photograph's mark, in the share of the groups that has one."""
        side = -(-self.image_size // COARSEST)
        marks = np.full((len(masks), side, side), side**-2, np.float32)
        rng = np.random.default_rng([self.sampler.seed, index, 2])
        if masks[0].any() and rng.random() < self.prompted:
            marked = region(drawn_prompt(masks[0], rng), self.image_size, self.image_size)
            marks[0] = coverage(marked, side, side)
        return marks

    def _with_pasted(
        self, view: View, shared: Sequence[int], rng: np.random.Generator, *, has_object: bool
    ) -> View:
        """The object before another background, or beside a foreign one, or both, or neither."""
        if rng.random() < self.augment.background_swap and has_object:
            cutout = cut_out(view.image, view.mask, shared[0])
            background = self._foreign(shared, rng)
            if cutout is not None and background is not None:
                moved = pasted(self._view(background[0], shared), cutout, rng, shared=True)
                view = moved if moved.mask.any() else view  # what is thin may shrink to nothing
        if rng.random() < self.augment.copy_paste:
            foreign = self._foreign(shared, rng)
            if foreign is not None:
                example, category = foreign
                mask = union_mask(example, [category])
                cutout = cut_out(example.image, mask, category)
                if cutout is not None:
                    view = pasted(view, cutout, rng, shared=False)
        return view

    def _foreign(
        self, shared: Sequence[int], rng: np.random.Generator
    ) -> tuple[Example, int] | None:
        """A photograph without the shared categories, and one that it has; None if luck is out."""
        members = self.source.members
        others = [c for c in range(len(members)) if c not in shared and len(members[c])]
        if not others:
            return None
        category = others[int(rng.integers(len(others)))]
        example = self.source[int(rng.choice(members[category]))]
        if np.isin(example.categories, shared).any():
            return None
        return example, category

    def _view(self, example: Example, shared: Sequence[int]) -> View:
        found = category_map(example) if self.category_maps else None
        return View(example.image, union_mask(example, shared), example.void, found)


class Batches:
    """An endless iterator of batches whose place in the stream can be saved and restored.

    Grain's own checkpoint handler for orbax accepts it: `get_state` gives the bytes of a JSON
    object, which fits any number of threads, worker processes and hosts.
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
        if self._processes:  # out of the workers' shared memory, which is not ours to keep
            batch = jax.tree.map(np.array, batch)
        return batch

    def get_state(self) -> bytes:
        """The place in the stream, as JSON."""
        return json.dumps({"next_step": self._next_step}).encode()

    def set_state(self, state: bytes) -> None:
        """Goes on from a saved place. Raises ValueError when `state` is not one."""
        try:
            next_step = json.loads(state)["next_step"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'data state is {state!r}; expected JSON such as {{"next_step": 100}}'
            ) from error
        self.close()
        self._next_step = _checked_step(next_step)

    def start_prefetch(self) -> None:
        """Begins to read ahead now, not at the first `next`."""
        self._started().start_prefetch()

    def close(self) -> None:
        """Ends the threads and worker processes; the place in the stream is kept."""
        if self._iterator is not None:
            self._iterator.close()
            self._iterator = None

    def _started(self) -> grain.DatasetIterator:
        if self._iterator is None:
            steps = grain.MapDataset.range(self._next_step, END_OF_STREAM).map(self._steps)
            reading = grain.ReadOptions(self._threads, self._threads)
            batches = steps.to_iter_dataset(reading)
            if self._processes:
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
      source: the photographs.
      seed: with the step, decides everything random.
      group_size: N, from 1; the largest where `sampling.smallest` lets it vary.
      groups_per_step: groups of one step over all hosts together.
      image_size: H = W, in pixels.
      sampling: which groups are drawn.
      augment: random changes of the photographs.
      process_index, process_count: this host and how many there are.
      threads: that read ahead, in this process or in each worker; 0 reads when asked.
      processes: worker processes; 0 is none.
      start_step: the first batch's step.
      cache: maps that stand in for the images, which then are None; admits no augmentation but the
        flip.
      category_maps: whether batches say of every pixel which category it is of.

    Raises ValueError for an argument out of range.
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


def _without_image(view: View, flip: bool, size: int) -> View:
    """A photograph's masks at the network's size; its image, which maps replace, stays as it is."""
    small = view.with_each(lambda x: x if x is view.image else resize_mask(x, size))
    return flipped(small) if flip else small


def _stacked_maps(maps: Sequence[FeatureMaps]) -> FeatureMaps | None:
    """Stacks every level along a new first axis."""
    return FeatureMaps(*map(np.stack, zip(*maps, strict=True))) if maps else None


def _stacked(arrays: Sequence[Any]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.stack(present) if present else None


def _check_sizes(
    groups: int, image_size: int, process: int, process_count: int, workers: tuple[int, int]
) -> None:
    if groups < 1:
        raise ValueError(f"groups_per_step is {groups}; a step takes at least one group")
    if image_size < 1:
        raise ValueError(f"image_size is {image_size}; expected a number of pixels from 1")
    if not 0 <= process < process_count:
        raise ValueError(f"process_index is {process}; expected 0 to {process_count - 1}")
    if groups % process_count:
        raise ValueError(
            f"groups_per_step is {groups}, which {process_count} processes cannot share "
            f"equally; use a multiple of {process_count}"
        )
    if min(workers) < 0:
        raise ValueError(f"threads and processes are {workers}; expected numbers from 0")


def _check_augment(augment: AugmentOptions, cache: CachedFeatures | None) -> None:
    check_options(augment)
    if cache is not None and augment != AugmentOptions(flip=augment.flip):
        raise ValueError(
            f"augment is {augment}; maps from a cache exist of a photograph and its mirror image "
            "only, so that only flip may be on (freeze_backbone without a cache takes all)"
        )


def _checked_step(step: object) -> int:
    if not isinstance(step, int) or not 0 <= step < END_OF_STREAM:
        raise ValueError(f"the stream's next step is {step!r}; expected an integer from 0")
    return step
