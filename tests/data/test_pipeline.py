"""The stream of training batches: contents, determinism, sharding, resuming, cached maps."""

import numpy as np
import pytest
from absl import flags
from toys import ToySource

from cosseg_jax.data.augment import AugmentOptions, View, flip_view, resize_view
from cosseg_jax.data.groups import GroupSampler, SamplingOptions, shared_categories
from cosseg_jax.data.pipeline import Batches, training_batches
from cosseg_jax.errors import UserError
from cosseg_jax.types import FeatureMaps, GroupBatch

# every third image has both categories, so that groups often share two
SOURCE = ToySource([[0, 1] if i % 3 == 0 else [i % 2] for i in range(24)], 2)
ALL_ON = AugmentOptions(flip=True, max_scale=2.0, brightness=0.3, contrast=0.3, saturation=0.3)


def stream(source=SOURCE, **changes) -> Batches:
    arguments = {"seed": 0, "group_size": 3, "groups_per_step": 4, "image_size": 16, **changes}
    return training_batches(source, **arguments)


def take(batches: Batches, count: int) -> list[GroupBatch]:
    taken = [next(batches) for _ in range(count)]
    batches.close()
    return taken


def assert_same(one: list[GroupBatch], other: list[GroupBatch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for field in ("images", "masks", "valid", "labels"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field), field)


def test_shapes_and_types():
    (batch,) = take(stream(), 1)
    assert (batch.images.shape, batch.images.dtype) == ((4, 3, 16, 16, 3), np.uint8)
    assert (batch.masks.shape, batch.masks.dtype) == ((4, 3, 16, 16), np.float32)
    assert (batch.valid.shape, batch.valid.dtype) == ((4, 3, 16, 16), np.bool_)
    assert (batch.labels.shape, batch.labels.dtype) == ((4, 2), np.float32)
    assert set(np.unique(batch.masks)) == {0.0, 1.0}
    assert batch.maps is None


def test_batches_hold_the_groups_of_the_sampler_in_order():
    sampler = GroupSampler(SOURCE, seed=0, group_size=3)
    for step, batch in enumerate(take(stream(), 5)):
        for position in range(4):
            group = sampler[4 * step + position]
            examples = [SOURCE[i] for i in group.indices]
            shared = shared_categories(examples)
            for n, example in enumerate(examples):
                mask = np.zeros(SOURCE.size, bool)
                for category, of_category in zip(example.categories, example.masks, strict=True):
                    if category in shared:
                        mask |= of_category
                expected = resize_view(View(example.image, mask, example.void), 16)
                np.testing.assert_array_equal(batch.images[position, n], expected.image)
                np.testing.assert_array_equal(batch.masks[position, n], expected.mask)
                np.testing.assert_array_equal(batch.valid[position, n], ~expected.void)
            np.testing.assert_array_equal(np.flatnonzero(batch.labels[position]), shared)


def test_some_groups_share_several_categories():
    assert max(batch.labels.sum(axis=1).max() for batch in take(stream(group_size=2), 5)) == 2


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_do_not_change_the_stream(threads):
    inline = take(stream(threads=0, augment=ALL_ON), 4)
    assert_same(take(stream(threads=threads, augment=ALL_ON), 4), inline)


@pytest.mark.slow
def test_worker_processes_do_not_change_the_stream():
    flags.FLAGS.unparse_flags()  # as in a notebook, where no program has read its command line
    inline = take(stream(threads=0, augment=ALL_ON), 4)
    assert_same(take(stream(threads=1, processes=2, augment=ALL_ON), 4), inline)


@pytest.mark.parametrize("process_count", [2, 4])
def test_hosts_together_have_the_batches_of_one_host(process_count):
    whole = take(stream(augment=ALL_ON), 3)
    shares = [
        take(stream(augment=ALL_ON, process_index=p, process_count=process_count), 3)
        for p in range(process_count)
    ]
    joined = [
        GroupBatch(*(np.concatenate(field) for field in zip(*(b[:4] for b in step), strict=True)))
        for step in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)


def test_a_resumed_stream_equals_an_uninterrupted_one():
    uninterrupted = take(stream(augment=ALL_ON), 7)
    first = stream(augment=ALL_ON)
    before = [next(first) for _ in range(3)]
    state = first.get_state()
    first.close()
    second = stream(augment=ALL_ON)
    next(second)  # a stream that has begun can be set back
    second.set_state(state)
    assert_same(before + take(second, 4), uninterrupted)


def test_a_state_fits_any_number_of_workers():
    one = stream(threads=4)
    next(one)
    other = stream(threads=0)
    other.set_state(one.get_state())
    assert_same(take(other, 1), [next(one)])
    one.close()


def test_a_stream_can_start_at_any_step():
    assert_same(take(stream(start_step=2), 2), take(stream(), 4)[2:])


def test_closing_keeps_the_position():
    batches = stream()
    first = next(batches)
    batches.close()
    assert_same([first, *take(batches, 2)], take(stream(), 3))


def test_grains_checkpoint_handler_accepts_the_state(tmp_path):
    from grain.checkpoint import CheckpointHandler

    saved, restored = stream(), stream()
    next(saved)
    CheckpointHandler().save(tmp_path, saved)
    CheckpointHandler().restore(tmp_path, restored)
    assert_same(take(restored, 1), take(saved, 1))


def test_augmentation_changes_images_not_groups():
    plain, changed = take(stream(), 2), take(stream(augment=ALL_ON), 2)
    np.testing.assert_array_equal(plain[0].labels, changed[0].labels)
    assert (plain[0].images != changed[0].images).any()


def test_a_group_of_one():
    (batch,) = take(stream(group_size=1, groups_per_step=1, image_size=1), 1)
    assert batch.images.shape == (1, 1, 1, 1, 3)


def test_a_distractor_has_an_empty_mask_and_does_not_change_the_label():
    source = ToySource([[0]] * 8 + [[1, 2]] * 8, 3)
    options = SamplingOptions(distractors=1.0)
    arguments = dict(group_size=3, groups_per_step=20, image_size=8, sampling=options)
    batch = next(training_batches(source, seed=0, threads=0, **arguments))
    sampler = GroupSampler(source, seed=0, group_size=3, options=options)
    assert {sampler[b].distractors for b in range(20)} == {1}
    assert (batch.masks[:, :2].sum(axis=(2, 3)) > 0).all()
    assert (batch.masks[:, 2] == 0).all()
    assert {tuple(label) for label in batch.labels.tolist()} == {(1, 0, 0), (0, 1, 1)}


class Maps:
    """Replaces a cache: the maps of an image hold its index and whether it is mirrored."""

    def maps(self, index: int, flipped: bool) -> FeatureMaps:
        levels = (np.full((s, s, 2), 2 * index + flipped, np.float16) for s in (4, 2, 1, 1))
        return FeatureMaps(*levels)


def test_cached_maps_replace_the_images():
    (batch,) = take(stream(cache=Maps()), 1)
    assert batch.images is None
    assert [level.shape for level in batch.maps] == [(4, 3, s, s, 2) for s in (4, 2, 1, 1)]
    expected = [GroupSampler(SOURCE, seed=0, group_size=3)[i].indices for i in range(4)]
    np.testing.assert_array_equal(batch.maps.stride32[..., 0, 0, 0] // 2, expected)


def test_masks_beside_cached_maps_are_flipped_with_them():
    mirrored = 0
    for batch, plain in zip(
        take(stream(cache=Maps(), augment=AugmentOptions(flip=True)), 3),
        take(stream(), 3),
        strict=True,
    ):
        for b, n in np.ndindex(4, 3):
            view = View(plain.images[b, n], plain.masks[b, n] > 0, ~plain.valid[b, n])
            if batch.maps.stride32[b, n, 0, 0, 0] % 2:
                view, mirrored = flip_view(view), mirrored + 1
            np.testing.assert_array_equal(batch.masks[b, n] > 0, view.mask)
            np.testing.assert_array_equal(batch.valid[b, n], ~view.void)
    assert 0 < mirrored < 36


def test_flips_are_the_same_with_and_without_a_cache():
    flip = AugmentOptions(flip=True)
    with_cache, without = (take(stream(augment=flip, cache=cache), 2) for cache in (Maps(), None))
    for one, other in zip(with_cache, without, strict=True):
        np.testing.assert_array_equal(one.masks, other.masks)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"group_size": 0}, "group_size is 0"),
        ({"groups_per_step": 0}, "groups_per_step is 0"),
        ({"image_size": 0}, "image_size is 0"),
        ({"process_count": 3}, "groups_per_step is 4, which 3 processes cannot share equally"),
        ({"process_index": 2, "process_count": 2}, "process_index is 2; expected 0 to 1"),
        ({"threads": -1}, "threads and processes are"),
        ({"start_step": -1}, "next step is -1"),
        ({"augment": AugmentOptions(max_scale=0.0)}, r"augment\.max_scale is 0"),
        ({"cache": Maps(), "augment": ALL_ON}, "only flip can be on"),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(UserError, match=message):
        stream(**bad)


@pytest.mark.parametrize("state", [b"", b"[]", b'{"step": 3}', b'{"next_step": -3}'])
def test_bad_state(state):
    with pytest.raises(UserError, match="expected"):
        stream().set_state(state)


def test_a_source_with_wrong_members_is_named():
    lying = ToySource([[0]] * 6, 2)
    lying.members = [np.arange(0), np.arange(6)]
    with pytest.raises(UserError, match="lists category 'category1' for images that lack it"):
        next(stream(lying, threads=0))
