"""The batch of a step: its groups, decoded, augmented and resized.

A batch depends on the seed and the step alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.data.augment import (
    AugmentOptions,
    View,
    cut_object,
    draw_flip,
    flip_view,
    network_view,
    paste,
)
from cosseg_jax.data.groups import (
    GroupSampler,
    category_map,
    multi_hot,
    shared_categories,
    union_mask,
)
from cosseg_jax.data.prompts import coverage, draw_prompt, region
from cosseg_jax.data.resizing import resize_mask
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.types import Example, FeatureMaps, GroupBatch, Ndarray

PROMPT_STRIDE = 32  # of the feature maps that a prompt weights


@runtime_checkable
class CachedFeatures(Protocol):
    """Returns the maps of a frozen backbone, computed before, of an image or its mirror image."""

    def maps(self, index: int, flipped: bool) -> FeatureMaps: ...


class StepBatches(NamedTuple):
    """One process's share of each step's batch: called with a step's number, returns the batch."""

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
        groups = [self.group(index) for index in range(first, first + share)]
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

    def group(self, index: int) -> GroupBatch:
        """The group at a position of the sampler's sequence, without a batch axis."""
        group = self.sampler[index]
        examples = [self.source[i] for i in group.indices]
        shared = shared_categories(examples[: len(examples) - group.distractors])
        if group.category not in shared:
            raise UserError(
                f"{self.source.name!r} lists category {self.source.categories[group.category]!r} "
                f"for images that lack it, among {[example.name for example in examples]}"
            )
        views = [self._view(example, shared) for example in examples]
        if self.augment.copy_paste or self.augment.background_swap:
            views = self._with_pasted(views, shared, group.distractors, self._rng(index, 3))
        images, maps = None, None
        if self.cache is None:
            rng = self._rng(index, 1)
            views = [network_view(view, self.image_size, rng, self.augment) for view in views]
            images = np.stack([view.image for view in views])  # [N, H, W, 3]
        else:
            views, maps = self._cached(views, group.indices, self._rng(index, 1))
        masks = np.stack([view.mask for view in views])  # [N, H, W]
        return GroupBatch(
            images=images,
            masks=masks.astype(np.float32),
            valid=~np.stack([view.void for view in views]),  # [N, H, W]
            labels=multi_hot(shared, len(self.source.categories)),
            maps=maps,
            category_maps=_stacked([view.category_map for view in views]),
            prompt_weights=self._prompt_weights(masks, index) if self.prompted else None,
        )

    def _rng(self, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.sampler.seed, index, purpose])

    def _cached(
        self, views: Sequence[View], indices: Sequence[int], rng: np.random.Generator
    ) -> tuple[list[View], FeatureMaps | None]:
        """The views with resized masks, and the cached maps of their images, flipped alike."""
        assert self.cache is not None
        flips = [draw_flip(rng, self.augment) for _ in views]
        maps = [self.cache.maps(*key) for key in zip(indices, flips, strict=True)]
        resized = [_without_image(*vf, self.image_size) for vf in zip(views, flips, strict=True)]
        return resized, _stacked_maps(maps)

    def _prompt_weights(self, masks: Bool[Ndarray, "N S S"], index: int) -> Float[Ndarray, "N h w"]:
        """Equal weights, but those of a drawn prompt for the first image of some groups."""
        side = -(-self.image_size // PROMPT_STRIDE)
        weights = np.full((len(masks), side, side), side**-2, np.float32)
        rng = self._rng(index, 2)
        if masks[0].any() and rng.random() < self.prompted:
            prompted = region(draw_prompt(masks[0], rng), self.image_size, self.image_size)
            weights[0] = coverage(prompted, side, side)
        return weights

    def _with_pasted(
        self,
        views: Sequence[View],
        shared: Sequence[int],
        distractors: int,
        rng: np.random.Generator,
    ) -> list[View]:
        """The images after background swaps, for those with the object, and copy-paste."""
        changed = []
        for number, view in enumerate(views):
            has_object = number < len(views) - distractors
            if rng.random() < self.augment.background_swap and has_object:
                view = self._with_other_background(view, shared, rng)
            if rng.random() < self.augment.copy_paste:
                view = self._with_foreign_object(view, shared, rng)
            changed.append(view)
        return changed

    def _with_other_background(
        self, view: View, shared: Sequence[int], rng: np.random.Generator
    ) -> View:
        cutout = cut_object(view.image, view.mask, shared[0])
        foreign = self._foreign(shared, rng)
        if cutout is None or foreign is None:
            return view
        swapped = paste(self._view(foreign[0], shared), cutout, rng, shared=True)
        return swapped if swapped.mask.any() else view  # a thin object may shrink to nothing

    def _with_foreign_object(
        self, view: View, shared: Sequence[int], rng: np.random.Generator
    ) -> View:
        foreign = self._foreign(shared, rng)
        if foreign is None:
            return view
        example, category = foreign
        cutout = cut_object(example.image, union_mask(example, [category]), category)
        return view if cutout is None else paste(view, cutout, rng, shared=False)

    def _foreign(
        self, shared: Sequence[int], rng: np.random.Generator
    ) -> tuple[Example, int] | None:
        """An image with a category but none of the shared ones; None where the draw has those."""
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
        categories = category_map(example) if self.category_maps else None
        return View(example.image, union_mask(example, shared), example.void, categories)


def _without_image(view: View, flip: bool, size: int) -> View:
    """An image's masks at the network's size; the image, replaced by maps, is not resized."""
    small = view.map(lambda array: array if array is view.image else resize_mask(array, size))
    return flip_view(small) if flip else small


def _stacked_maps(maps: Sequence[FeatureMaps]) -> FeatureMaps | None:
    """Stacks every level along a new first axis."""
    return FeatureMaps(*map(np.stack, zip(*maps, strict=True))) if maps else None


def _stacked(arrays: Sequence[Any]) -> np.ndarray | None:
    present = [array for array in arrays if array is not None]
    return np.stack(present) if present else None
