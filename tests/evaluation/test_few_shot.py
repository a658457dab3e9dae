"""Few-shot segmentation: folds, episodes, mIoU and FB-IoU."""

import json
from collections import Counter

import numpy as np
import pytest
from fake_source import SIDE, FakeSource

from cosseg_jax.data.builders.voc import VOC_CLASSES
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import few_shot
from cosseg_jax.evaluation.benchmark import Network
from cosseg_jax.evaluation.episodes import run_episodes
from cosseg_jax.evaluation.few_shot import Episode, Tally
from cosseg_jax.types import GroupPrediction

OF = [(0,), (0, 1), (0,), (1,), (2,), (1, 2)]


def test_folds_of_pascal_are_consecutive_and_those_of_coco_interleaved():
    names = [VOC_CLASSES[c] for c in few_shot.fold_categories("pascal5i", 1, 20)]
    assert names == ["bus", "car", "cat", "chair", "cow"]
    assert few_shot.fold_categories("coco20i", 3, 80) == list(range(3, 80, 4))
    assert few_shot.fold_categories("fss1000", 0, 7) == list(range(7))
    with pytest.raises(UserError, match="fold is 4; pascal5i has folds 0 to 3"):
        few_shot.fold_categories("pascal5i", 4, 20)


def test_images_are_those_with_enough_pixels():
    source = FakeSource(OF)  # the object has 64 pixels in even images, 128 in odd ones
    assert few_shot.images_by_category(source, [0, 1], 0) == {0: [0, 1, 2], 1: [1, 3, 5]}
    assert few_shot.images_by_category(source, [0, 1], 100) == {0: [1], 1: [1, 3, 5]}


@pytest.mark.parametrize("name", ["pascal5i", "coco20i"])
def test_episodes_hold_one_category_and_never_the_query_as_support(name):
    images = {0: [0, 1, 2], 1: [1, 3, 5], 2: [4]}
    found = few_shot.episodes(name, images, shots=3, count=60, seed=1)
    assert found == few_shot.episodes(name, images, shots=3, count=60, seed=1)
    assert found != few_shot.episodes(name, images, shots=3, count=60, seed=2)
    assert len(found) == 60
    for category, query, supports in found:
        assert category != 2  # it has no second image
        assert len(supports) == 3
        assert {query, *supports} <= set(images[category])
        assert query not in supports


def test_queries_of_pascal_are_taken_in_turn():
    found = few_shot.episodes("pascal5i", {0: [0, 1, 2], 1: [1, 3]}, shots=1, count=10, seed=0)
    assert set(Counter((each.category, each.query) for each in found).values()) == {2}


def test_episodes_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="no category of the fold has two images"):
        few_shot.episodes("coco20i", {0: [1]}, shots=1, count=1, seed=0)
    with pytest.raises(UserError, match="shots is 0"):
        few_shot.episodes("coco20i", {0: [1, 2]}, shots=0, count=1, seed=0)


def slow_scores(queries, names):
    """mIoU and FB-IoU pixel by pixel, from label maps in which 255 is void."""
    inter, union = Counter(), Counter()
    for category, mask, labels in queries:
        for row in range(labels.shape[0]):
            for column in range(labels.shape[1]):
                if labels[row, column] == 255:
                    continue
                true, found = int(labels[row, column]), int(mask[row, column])
                if true == found:
                    inter[category, true] += 1
                    union[category, true] += 1
                else:
                    union[category, 0] += 1
                    union[category, 1] += 1
    shown = sorted({category for category, _, _ in queries})
    of_object = {names[c]: 100 * inter[c, 1] / union[c, 1] for c in shown}
    pooled = [
        100 * sum(inter[c, side] for c in shown) / sum(union[c, side] for c in shown)
        for side in (0, 1)
    ]
    return sum(of_object.values()) / len(of_object), sum(pooled) / 2, of_object


def test_scores_are_those_of_a_slow_implementation():
    rng, names, tally, queries = np.random.default_rng(0), list("abcde"), Tally(5), []
    for _ in range(9):
        category = int(rng.integers(1, 4))
        shape = tuple(rng.integers(3, 9, 2))
        labels = rng.choice([0, 1, 255], shape, p=[0.5, 0.3, 0.2])
        mask = rng.random(shape) < 0.4
        tally.add(category, mask, labels == 1, labels == 255)
        queries.append((category, mask, labels))
    found = tally.scores(names)
    mean_iou, fb_iou, by_category = slow_scores(queries, names)
    assert found.by_category == pytest.approx(by_category)
    assert found.mean_iou == pytest.approx(mean_iou)
    assert found.fb_iou == pytest.approx(fb_iou)


class CopyingNetwork:
    """Finds in the query the share of the supports' pixels that the object has, everywhere."""

    image_size = SIDE

    def learn(self, group, masks):
        assert [image.load().shape for image in group] == [(SIDE, SIDE, 3)] * len(masks)
        return np.mean([mask.mean() for mask in masks])

    def apply(self, images, learnt):
        return np.full((len(images), SIDE, SIDE), learnt), None, np.zeros(1)

    def segment(self, group, prompted, *, wanted):
        assert [each.image for each in prompted] == list(range(len(group) - 1))
        assert wanted == [len(group) - 1]
        share = np.mean([each.marked.shown.mean() for each in prompted])
        maps = np.full((1, SIDE, SIDE), share, np.float32)
        return GroupPrediction(maps, maps[:, :1, :1], np.zeros(1, np.float32), np.zeros(0))


@pytest.mark.parametrize("way", ["concept", "prompt"])
@pytest.mark.parametrize(("gain", "mean_iou", "fb_iou"), [(1, 0.0, 25.0), (1.2, 50.0, 25.0)])
def test_the_query_is_scored_at_its_own_size(way, gain, mean_iou, fb_iou):
    """The object is half of every image; a map of one half is nowhere above it, or everywhere."""
    network = Network(
        "copying",
        None,  # type: ignore[arg-type]
        CopyingNetwork(),  # type: ignore[arg-type]
        refine=lambda values, image: np.asarray(gain * values, np.float32),
    )
    given = [Episode(0, 1, (0, 2, 2)), Episode(1, 3, (1, 5, 1))]
    found = run_episodes(network, FakeSource(OF), given, way)
    assert found.by_category.keys() == {"a", "b"}
    assert (found.mean_iou, found.fb_iou) == (mean_iou, fb_iou)


def test_the_program_prints_folds_and_writes_json(monkeypatch, tmp_path, capsys):
    from benchmarks import few_shot as program

    network = Network("n", {"categories": []}, CopyingNetwork())  # type: ignore[arg-type]
    monkeypatch.setattr(few_shot, "load_set", lambda name, folder: FakeSource(OF * 4))
    monkeypatch.setattr(few_shot, "fold_categories", lambda name, fold, count: [0, 1])
    monkeypatch.setattr(program, "load_network", lambda *_, **__: network)
    monkeypatch.setattr(program, "_note_seen", lambda *_: None)
    out = tmp_path / "found.json"
    arguments = ["pascal5i", "--data_dir", ".", "--folds", "0", "2", "--episodes", "3"]
    assert program.main([*arguments, "--min_pixels", "0", "--out", str(out)]) == 0
    assert "mean    mIoU   0.0  FB-IoU  25.0" in capsys.readouterr().out
    assert json.loads(out.read_text())["folds"].keys() == {"0", "2"}
    assert program.main([*arguments, "--out", str(out)]) == 2  # it exists
    assert "found.json exists already" in capsys.readouterr().err
