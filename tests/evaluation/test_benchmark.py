"""The evaluation of a network on a data set, with networks that need no training."""

from pathlib import Path

import numpy as np
import pytest
from fake_source import SIDE, FakeSource, Shuffled, perfect, segmenter
from ml_collections import ConfigDict

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import benchmark
from cosseg_jax.evaluation.benchmark import Network, Settings
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.results import Figure, Spread, Summary
from cosseg_jax.evaluation.tables import contents
from cosseg_jax.evaluation.tables.styles import draw
from cosseg_jax.types import Example

SOURCE = FakeSource([(0,)] * 6 + [(1,)] * 3, categories=2)
QUICK = Settings(group_metrics=False)


def network(predict, name: str = "some/dir") -> Network:
    return Network(name, ConfigDict({"image_size": SIDE}), segmenter(predict))


def nothing(images):
    return np.zeros(images.shape[:-1], np.float32)


def first_of_group(images):
    """Finds the object in the first image of a group only."""
    found = np.array(perfect(images))
    found[:, 1:] = 0
    return found


def J_of(result) -> Figure:
    return result.protocols["original"].J


def test_a_result_tells_what_was_evaluated():
    result = benchmark.score(network(perfect), SOURCE, QUICK)
    assert (result.dataset, result.checkpoint) == ("fake", "some/dir")
    assert (result.images, result.groups) == (9, 3)
    assert J_of(result) == 100.0
    assert result.differences == ()


def test_all_protocols_are_the_default_with_the_two_of_the_spec_first():
    result = benchmark.score(network(perfect), SOURCE, QUICK)
    assert list(result.protocols) == ["original", "ssnm", "ufo", "pooled"]
    only = QUICK._replace(protocols=benchmark.ordered(["pooled", "ssnm"]))
    found = benchmark.score(network(perfect), SOURCE, only)
    assert list(found.protocols) == ["original", "ssnm", "pooled"]


def test_group_dependence_metrics_are_the_default():
    result = benchmark.score(network(perfect), SOURCE, Settings())
    assert result.group == {
        "shared_J": None,
        "shared_entries": 0,
        "shared_images": 0,
        "foreign_empty": 0.0,
        "foreign_P": 50.0,
        "gain_alone": 0.0,
    }


def test_without_group_metrics_no_image_is_decoded_for_scoring_twice():
    source = FakeSource([(0,)] * 10)
    result = benchmark.score(network(perfect), source, QUICK)
    assert set(source.decoded) == set(range(10))
    assert len(source.decoded) <= 20
    assert result.group.keys() == {"shared_J", "shared_entries", "shared_images"}


def test_the_gain_over_a_network_without_modulators():
    other = network(nothing)
    result = benchmark.score(network(perfect), SOURCE, QUICK, unmodulated=other)
    assert result.group["gain_unmodulated"] == 100.0
    evaluation = benchmark.score(other, SOURCE, QUICK).first
    again = benchmark.score(network(perfect), SOURCE, QUICK, unmodulated=evaluation)
    assert again.group == result.group


def test_random_partitions_give_mean_and_deviation_of_each_figure():
    """In each group of five the network finds one image; alone it finds every one."""
    source = FakeSource([(0,)] * 5 + [(1,)] * 6, categories=2)
    random = Settings(grouping=Grouping("random", repeats=3))
    result = benchmark.score(network(first_of_group), source, random)
    J = J_of(result)
    assert isinstance(J, Spread)
    # a: one of five; b: two of six; whichever they are
    assert J.each == pytest.approx([100 * (1 / 5 + 2 / 6) / 2] * 3)
    gain = result.group["gain_alone"]
    assert isinstance(gain, Spread)
    assert gain.each == pytest.approx([J - 100 for J in J.each])
    assert isinstance(result.group["foreign_P"], float)


def test_listeners_hear_of_the_first_partition_once():
    seen: list[str] = []

    def listener(image: ScoredImage) -> None:
        seen.append(image.example.name)

    settings = Settings(grouping=Grouping("random", repeats=2))
    benchmark.score(network(perfect), SOURCE, settings, on_image=[listener])
    assert sorted(seen) == list(SOURCE.names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "grouping", [Grouping(), Grouping("whole"), Grouping("random", repeats=2)], ids=str
)
def test_scores_do_not_depend_on_the_order_of_the_source(grouping: Grouping):
    source = FakeSource([(0,)] * 7 + [(1,)] * 6 + [(0, 2)] * 4)
    settings = Settings(grouping=grouping)
    expected = benchmark.score(network(group_dependent), source, settings)
    for seed in range(2):
        found = benchmark.score(network(group_dependent), Shuffled(source, seed), settings)
        assert each_of(found.group) == pytest.approx(each_of(expected.group))
        for name, summary in expected.protocols.items():
            assert found.protocols[name].per_class == summary.per_class


def each_of(group: dict[str, Figure]) -> list[float | None]:
    """All figures of all partitions, by name."""
    return [
        value
        for _, figure in sorted(group.items())
        for value in (figure.each if isinstance(figure, Spread) else (figure,))
    ]


def group_dependent(images):
    """Finds less of the object the further back in its group, and the fewer are before it."""
    rank = np.arange(images.shape[1])[None, :, None, None]  # [1, N, 1, 1]
    columns = np.arange(SIDE)[None, None, None, :]
    green = np.asarray(images)[..., 1].astype(np.int64)
    before = np.cumsum(green[:, :, :1, :1], axis=1)  # [B, N, 1, 1]
    return np.asarray(perfect(images)) * (columns >= (rank + before) % 4)


def test_how_the_data_differ_is_part_of_the_result():
    source = FakeSource([(0,)])
    source.differences = ("1 entry, the paper has 2",)  # pyright: ignore
    result = benchmark.score(network(perfect), source, QUICK)
    assert result.differences == ("1 entry, the paper has 2",)


def test_images_without_any_truth_have_no_scores_but_are_seen():
    class Unlabelled(FakeSource):
        def __getitem__(self, index: int) -> Example:
            example = super().__getitem__(index)
            return example._replace(void=np.ones_like(example.void))

    seen = []
    source = Unlabelled([(0,)] * 3 + [(1,)] * 2)
    result = benchmark.score(network(perfect), source, Settings(), on_image=[seen.append])
    assert len(seen) == 5
    assert result.protocols["ssnm"] == Summary(None, None, {})
    assert {name: value for name, value in result.group.items() if value} == {}
    assert draw(contents.report(result))


def test_variants_are_compared_with_the_one_without_modulators(monkeypatch: pytest.MonkeyPatch):
    predictors = {
        "full": perfect,
        "no_spatial": perfect,
        "no_semantic": nothing,
        "neither": nothing,
    }

    def load_network(folder: Path) -> Network:
        return network(predictors[folder.name], str(folder))

    monkeypatch.setattr(benchmark, "load_network", load_network)
    exports = {name: Path("dir") / name for name in predictors}
    results = benchmark.score_variants(exports, SOURCE, QUICK)
    assert list(results) == list(predictors)
    gains = [result.group.get("gain_unmodulated") for result in results.values()]
    assert gains == [100.0, 100.0, 0.0, None]


def test_a_network_with_modulators_is_not_one_without(monkeypatch: pytest.MonkeyPatch):
    config = ConfigDict({"model": {"use_spatial": False, "use_semantic": True}})
    found = Network("dir", config, segmenter(perfect))
    monkeypatch.setattr(benchmark, "load_network", lambda folder: found)
    with pytest.raises(ValueError, match=r"dir has model\.use_semantic; .*ablation\.py:neither"):
        benchmark.load_unmodulated("dir")
    config.model.use_semantic = False
    assert benchmark.load_unmodulated("dir") is found


def put_there(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def load_source(name: str, split: str, data_dir):
        assert split == "test"
        if name in names:
            return SOURCE
        raise FileNotFoundError(f"no {name} in {data_dir}")

    monkeypatch.setattr(benchmark, "load_source", load_source)


def test_benchmarks_that_are_there_are_found(monkeypatch: pytest.MonkeyPatch):
    put_there(monkeypatch, "coca", "pascal", "internet")
    found, missing = benchmark.find_benchmarks("data")
    assert list(found) == ["internet", "pascal", "coca"]
    absent = ("msrc", "icoseg", "cosal2015", "cosod3k")
    assert missing == {name: f"no {name} in data" for name in absent}


def test_no_benchmark_at_all_says_how_to_prepare_one(monkeypatch: pytest.MonkeyPatch):
    put_there(monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"msrc, internet, icoseg, pascal.*data\.prepare"):
        benchmark.find_benchmarks("data")


def test_a_broken_benchmark_is_not_taken_for_a_missing_one(monkeypatch: pytest.MonkeyPatch):
    def load_source(name: str, split: str, data_dir):
        raise UserError("mask of cow_1 is missing")

    monkeypatch.setattr(benchmark, "load_source", load_source)
    with pytest.raises(UserError, match="cow_1"):
        benchmark.find_benchmarks("data")
