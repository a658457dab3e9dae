"""The evaluation loop on small made-up sources: nothing dropped, nothing counted twice."""

from pathlib import Path

import numpy as np
import pytest
from fake_source import SIDE, FakeSource, perfect, segmenter

from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.registry import load_source
from cosseg_jax.evaluation.evaluator import GroupList, evaluate, truth_of
from cosseg_jax.evaluation.group_metrics import SharedImages
from cosseg_jax.evaluation.segmenter import FunctionSegmenter
from cosseg_jax.types import Example


def run(predict, source, groups, *, on_image=None, **options):
    lists = {"own": GroupList(groups, on_image=on_image)}
    return evaluate(segmenter(predict), source, lists, **options)["own"]


def test_scores_of_a_perfect_prediction_by_hand():
    source = FakeSource([(0,)] * 7 + [(1,)] * 2)
    found = run(perfect, source, fives(source))
    assert (found.images, found.groups) == (9, 3)
    assert list(found.protocols) == ["original", "ssnm"]
    original, ssnm = found.protocols.values()
    assert (original.P, original.J) == (100.0, 100.0)
    assert list(original.per_class) == ["a", "b"]
    # At 224 pixels the ramp from 8 is above 0.8 on 104 columns; the truth has 112 of the 224.
    assert ssnm[:2] == pytest.approx((100 * 216 / 224, 100 * 104 / 112))


def test_every_counted_image_is_scored_once_and_in_order():
    source = FakeSource([(0,)] * 12 + [(1,)] * 3 + [(2,)])
    seen = []
    run(
        perfect,
        source,
        fives(source),
        on_image=lambda image: seen.append((image.category, image.example.name)),
    )
    names = source.names
    assert seen == [*zip("a" * 12 + "b" * 3 + "c", names, strict=True)]


def test_lists_are_evaluated_category_by_category():
    source = FakeSource([(0,)] * 5 + [(1,)] * 5)
    groups, seen = fives(source), []

    def predict(images):
        seen.append(np.asarray(images)[0, :, 0, 0, 1].tolist())
        return perfect(images)

    single = [EvalGroup(group.category, group.indices[:1], (True,)) for group in groups]
    found = evaluate(
        segmenter(predict), source, {"own": GroupList(groups), "alone": GroupList(single)}
    )
    assert seen == [[0, 1, 2, 3, 4], [0], [5, 6, 7, 8, 9], [5]]
    assert (found["own"].images, found["alone"].images) == (10, 2)


def test_members_that_only_complete_a_group_reach_the_network():
    source = FakeSource([(0,)] * 6)
    groups = []

    def predict(images):
        groups.extend(np.asarray(images)[:, :, 0, 0, 1].tolist())
        return perfect(images)

    run(predict, source, fives(source))
    assert groups == [[0, 1, 2, 3, 4], [5, 0, 1, 2, 3]]


def test_an_image_without_the_object_present_has_an_empty_mask():
    class Absent(FunctionSegmenter):
        def segment(self, group, *, wanted=None):
            return super().segment(group, wanted=wanted)._replace(presence=np.zeros(len(group)))

    masks = []
    lists = {"own": GroupList([EvalGroup(0, (0,), (True,))], on_image=masks.append)}
    absent = Absent(lambda images: (np.ones((1, SIDE, SIDE)), np.zeros((1, 1, 1))), SIDE)
    found = evaluate(absent, FakeSource([(0,)]), lists)["own"]
    assert not masks[0].mask.any()
    assert found.protocols["original"].J == 0.0
    assert found.protocols["ssnm"].J == 50.0  # it has a threshold of its own: all of the image


def test_probabilities_reach_the_callback_at_the_images_own_size():
    source = FakeSource([(0,)] * 2)
    shapes = []
    run(
        perfect,
        source,
        fives(source),
        on_image=lambda image: shapes.append(
            (image.probability.shape, image.example.image.shape[:2])
        ),
    )
    assert shapes == [((8, 16), (8, 16)), ((16, 16), (16, 16))]


def test_inputs_of_the_callers_own_are_stacked_as_a_tree():
    source = FakeSource([(0,)] * 6)

    def load_inputs(index: int):
        red = (source[index].image[:1, ::2, 0] > 100).astype(np.float32)  # [1, 8]
        return {"map": red, "index": np.int32(index)}

    def predict(inputs):
        assert inputs["index"].shape == (1, 5)
        return np.broadcast_to(inputs["map"], (1, 5, SIDE, SIDE))

    found = run(predict, source, fives(source), load_inputs=load_inputs)
    assert found.protocols["original"].J == 100.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_names_its_group(bad: float):
    source = FakeSource([(0,)] * 5 + [(1,)] * 5)

    def predict(images):
        probability = np.array(perfect(images))
        probability[np.asarray(images)[..., 1] == 7] = bad
        return probability

    with pytest.raises(FloatingPointError, match=r"'b'.*photo005, photo006, photo007"):
        run(predict, source, fives(source))


def test_an_image_that_does_not_decode_stops_the_evaluation():
    class Broken(FakeSource):
        def __getitem__(self, index: int) -> Example:
            if index == 3:
                raise ValueError("photo003 does not decode")
            return super().__getitem__(index)

    source = Broken([(0,)] * 5)
    with pytest.raises(ValueError, match="photo003 does not decode"):
        run(perfect, source, fives(source))


def test_few_images_are_alive_at_once():
    """At most three groups are decoded ahead of the network, for it and for the scores."""
    source = FakeSource([(0,)] * 100)
    lead = []

    def predict(images):
        lead.append(len(set(source.decoded)) - 5 * len(lead))
        return perfect(images)

    run(predict, source, fives(source))
    assert max(lead) <= 20


def test_the_truth_is_the_mask_of_the_groups_category():
    masks = np.zeros((2, 1, 3), bool)
    masks[0, 0, 0], masks[1, 0, 1] = True, True
    example = Example(
        np.zeros((1, 3, 3), np.uint8), masks, np.zeros((1, 3), bool), np.array([1, 4]), "x"
    )
    assert truth_of(example, 1).tolist() == [[True, False, False]]
    assert truth_of(example, 4).tolist() == [[False, True, False]]
    assert truth_of(example, 2).tolist() == [[False, False, False]]


@pytest.mark.slow
def test_a_box_in_the_middle_of_every_pascal_image(data_dir: Path):
    """Known from outside this package: J 28.9; 1,037 entries, of which 107 images are shared."""
    source = load_source("pascal", "test", data_dir)
    box = np.zeros((64, 64), np.float32)
    box[16:48, 16:48] = 1.0
    shared = SharedImages()

    def middle(images):
        return np.broadcast_to(box, (len(images), 64, 64)), np.zeros((len(images), 1, 1))

    lists = {"own": GroupList(fives(source), ("original",), shared)}
    found = evaluate(FunctionSegmenter(middle, 64), source, lists)["own"]
    original = found.protocols["original"]
    assert (found.images, len(original.per_class)) == (1037, 20)
    assert round(original.J or 0.0, 1) == 28.9
    assert shared.result()[1:3] == (220, 107)


@pytest.mark.parametrize("groups", [[], [EvalGroup(0, (), ())], [EvalGroup(0, (0,), ())]])
def test_groups_without_images_or_flags_are_refused(groups):
    with pytest.raises(ValueError, match="group"):
        run(perfect, FakeSource([(0,)]), groups)
