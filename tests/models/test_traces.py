"""The traces kept on disk: found again in place of tracing, and never where they do not belong."""

import json
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from cosseg_jax.errors import UserError
from cosseg_jax.models import traces
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.ssnm import SSNM, description_of, initial_shapes, initial_variables
from cosseg_jax.models.traces import TracedFunction, kept_shapes
from cosseg_jax.types import SpatialPrior


@pytest.fixture
def folder(tmp_path):
    """Where traces are kept during a test."""
    setting = "jax_compilation_cache_dir"
    before = getattr(jax.config, setting)
    jax.config.update(setting, str(tmp_path))
    compilation_cache.reset_cache()  # JAX looks for the folder only once
    yield tmp_path / traces.FOLDER
    jax.config.update(setting, before)
    compilation_cache.reset_cache()


def files(folder):
    return sorted(folder.glob("*/*"))


class Counted:
    """A function of a tree that counts how often it is traced; it uses one of its arguments."""

    def __init__(self):
        self.traced = 0

    def __call__(self, given, unused):
        self.traced += 1
        return SpatialPrior(given["x"] * 2, given["y"])


GIVEN = {"x": np.arange(3, dtype=np.float32), "y": jnp.ones(2)}


def check(found):
    assert isinstance(found, SpatialPrior)
    np.testing.assert_array_equal(found.values, [0, 2, 4])
    np.testing.assert_array_equal(found.loss, [1, 1])


def test_a_trace_is_found_again(folder):
    first, second = Counted(), Counted()
    check(TracedFunction(first, "double")(GIVEN, jnp.zeros((50, 50))))
    assert first.traced > 0
    again = TracedFunction(second, "double")
    check(again(GIVEN, jnp.zeros((50, 50))))
    check(again(GIVEN, jnp.zeros((50, 50))))
    assert second.traced == 0
    assert len(files(folder)) == 1


def test_other_shapes_and_descriptions_have_traces_of_their_own(folder):
    TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1))
    TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(2))
    TracedFunction(Counted(), "another")(GIVEN, jnp.zeros(1))
    with jax.default_matmul_precision("float32"):
        TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1))
    assert len(files(folder)) == 4


def test_nothing_is_kept_without_a_description_or_a_folder(folder):
    check(TracedFunction(Counted(), None)(GIVEN, jnp.zeros(1)))
    jax.config.update("jax_compilation_cache_dir", None)
    check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1)))
    jax.config.update("jax_compilation_cache_dir", "gs://bucket/programs")
    check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1)))
    assert not folder.exists()


@pytest.mark.parametrize("damaged", [b"", b"[0]\n", b"[0, 1]\nno program", b"\x00" * 100])
def test_a_damaged_file_is_made_again(folder, damaged):
    TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1))
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(damaged)
    check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1)))
    assert len(path.read_bytes()) == len(whole)


@pytest.mark.parametrize("used", [[0], [1, 0], [0, 9], [0, 2]])
def test_a_file_of_other_arguments_is_made_again(folder, used):
    TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1))
    (path,) = files(folder)
    program = path.read_bytes().partition(b"\n")[2]
    path.write_bytes(json.dumps(used).encode() + b"\n" + program)
    check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1)))


def test_what_cannot_be_written_is_computed(folder):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file in the place of the folder")
    check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1)))


def test_what_cannot_be_exported_is_computed(folder):
    """A callback into Python cannot be kept."""

    def called(x):
        return jax.pure_callback(lambda x: np.asarray(x) + 1, x, x)

    assert TracedFunction(called, "callback")(jnp.zeros(()), *()) == 1
    assert not files(folder)


def test_errors_are_those_of_the_function(folder):
    def refuse(x):
        raise UserError(f"no arrays of shape {x.shape}")

    with pytest.raises(UserError, match=r"no arrays of shape \(2,\)"):
        TracedFunction(refuse, "refuse")(jnp.zeros(2))


def test_traces_of_other_sources_are_removed_after_a_while(folder):
    for name, age in (("old", traces.UNUSED_KEPT + 60), ("recent", 60)):
        (folder / name).mkdir(parents=True)
        (folder / name / "program-0").touch()
        os.utime(folder / name, (time.time() - age, time.time() - age))
    TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(1))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["recent", traces.sources_digest()]
    )


def test_no_more_than_so_many_are_kept(folder, monkeypatch):
    monkeypatch.setattr(traces, "MOST_KEPT", 2)
    for size in (1, 2, 3):
        check(TracedFunction(Counted(), "double")(GIVEN, jnp.zeros(size)))
    assert len(files(folder)) == 2


def test_kept_shapes_are_those_of_the_function(folder):
    def initial():
        return {"params": {"a": {"kernel": jnp.zeros((3, 4), jnp.float16)}}, "batch_stats": {}}

    def never():
        raise AssertionError

    found = kept_shapes(initial, "toy")
    assert kept_shapes(never, "toy") == found == jax.eval_shape(initial)
    (path,) = files(folder)
    path.write_text(json.dumps({"params/a": 3}))
    assert kept_shapes(initial, "toy") == found


def test_the_shapes_of_a_network(folder):
    network = SSNM("hrnet_tiny", 3, features=8)
    expected = jax.eval_shape(lambda: initial_variables(network, seed=0))
    assert initial_shapes(network) == expected
    assert initial_shapes(network) == expected
    assert len(files(folder)) == 1


def test_networks_are_told_apart_by_every_field():
    described = {
        description_of(SSNM("hrnet_tiny", 3)),
        description_of(SSNM("hrnet_tiny", 4)),
        description_of(SSNM("hrnet_tiny", 3, dtype=jnp.bfloat16)),
        description_of(SSNM("vgg16", 3)),
    }
    assert len(described) == 4
    assert None not in described


def test_networks_with_parts_from_elsewhere_are_not_kept(monkeypatch):
    class Mine(SSNM):
        pass

    class MyBackbone:
        pass

    monkeypatch.setitem(BACKBONES, "mine", MyBackbone)
    assert description_of(Mine("hrnet_tiny", 3)) is None
    assert description_of(SSNM("mine", 3)) is None
