"""The optimizer's schedule, what a step updates, and that two devices make the step of one."""

import jax
import numpy as np
import optax
import pytest
from flax import jax_utils
from toy_runs import tiny_config

from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.errors import UserError
from cosseg_jax.models.ssnm import from_config, initial_variables
from cosseg_jax.train.setup import make_batches, with_categories
from cosseg_jax.train.step import (
    AXIS,
    Trainer,
    first_replica,
    initial_state,
    learning_rate,
    make_optimizer,
    make_update,
)


@pytest.fixture(scope="module")
def setting():
    source = Shapes("train", size=32)
    config = with_categories(tiny_config(), source)
    config.optimizer.ema_decay = 0.15
    network = from_config(config.model, 12, axis_name=AXIS)
    variables = initial_variables(network, seed=0)
    batches = make_batches(config, source, None)
    batch = next(batches)
    batches.close()
    return config, network, variables, batch


def trainer_of(network, config, variables) -> Trainer:
    optimizer = make_optimizer(config)
    state = initial_state(variables, optimizer, averaged=True)
    return Trainer(network, config, optimizer, state)


def test_the_rate_halves_every_so_many_steps_and_warms_up():
    options = tiny_config().optimizer
    options.update(learning_rate=1e-4, halve_every=25_000, warmup_steps=0)
    rate = learning_rate(options)
    for step, expected in [(0, 1e-4), (24_999, 1e-4), (25_000, 5e-5), (75_000, 1.25e-5)]:
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)
    options.warmup_steps = 10
    np.testing.assert_allclose(learning_rate(options)(5), 5e-5, rtol=1e-6)


def test_the_moments_are_kept_through_a_halving():
    """Two updates with the same gradient differ only by the rate, which is halved in between."""
    config = tiny_config()
    config.optimizer.update(learning_rate=0.1, halve_every=1, clip_norm=0.0)
    optimizer = make_optimizer(config)
    params = {"head": np.zeros(3, np.float32)}
    gradient = {"head": np.asarray([1.0, -2.0, 3.0], np.float32)}
    state = optimizer.init(params)
    first, state = optimizer.update(gradient, state, params)
    second, _ = optimizer.update(gradient, state, params)
    np.testing.assert_allclose(first["head"], -0.1 * np.sign(gradient["head"]), rtol=1e-4)
    np.testing.assert_allclose(second["head"], 0.5 * first["head"], rtol=1e-4)


def test_clipping_bounds_the_gradient():
    """Two gradients of other lengths, both above the bound, make the same update."""
    config = tiny_config()
    config.optimizer.update(learning_rate=1.0, clip_norm=1e-8, beta1=0.0, beta2=0.0)
    params = {"kernel": np.zeros((2, 2), np.float32)}
    optimizer = make_optimizer(config)
    updates = [
        optimizer.update(
            {"kernel": np.full((2, 2), size, np.float32)}, optimizer.init(params), params
        )[0]
        for size in (1.0, 7.0)
    ]
    np.testing.assert_allclose(updates[0]["kernel"], updates[1]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(updates[0]["kernel"], -1 / 3, rtol=1e-4)  # 5e-9 / (5e-9 + 1e-8)


def test_the_learning_rate_of_the_backbone_may_be_scaled():
    config = tiny_config()
    config.optimizer.update(learning_rate=1.0, clip_norm=0.0, backbone_lr_scale=0.1)
    params = {"backbone": {"kernel": np.zeros(3)}, "head": {"kernel": np.zeros(3)}}
    gradient = jax.tree.map(np.ones_like, params)
    optimizer = make_optimizer(config)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates["head"]["kernel"], -1.0, rtol=1e-4)
    np.testing.assert_allclose(updates["backbone"]["kernel"], -0.1, rtol=1e-4)


@pytest.mark.slow
def test_batch_statistics_may_stay_as_they_are_while_the_backbone_trains(setting):
    config, _, variables, batch = setting
    config = config.copy_and_resolve_references()
    config.model.fix_batch_stats = True
    network = from_config(config.model, 12, axis_name=AXIS)
    trainer = trainer_of(network, config, variables)
    trainer.step(batch)
    state = trainer.state
    before = jax.device_get(variables)
    jax.tree.map(np.testing.assert_array_equal, before["batch_stats"], state.batch_stats)
    moved = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), before["params"]["backbone"], state.params["backbone"]
    )
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_the_average_follows_the_parameters_and_is_what_predicts(setting):
    config, network, variables, batch = setting
    trainer = trainer_of(network, config, variables)
    average = jax.device_get(variables["params"])
    for decay in (0.1, 0.15):  # (1 + 0) / (10 + 0), then what the config says
        trainer.step(batch)
        params = trainer.state.params
        average = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, average, params)
    state = trainer.state
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        state.variables["params"],
        average,
    )
    without = initial_state(variables, make_optimizer(config))
    assert without.variables["params"] is variables["params"]


@pytest.mark.slow
def test_a_frozen_backbone_stays_as_it_is(setting):
    config, _, variables, batch = setting
    config = config.copy_and_resolve_references()
    config.model.freeze_backbone = True
    network = from_config(config.model, 12, axis_name=AXIS)
    trainer = trainer_of(network, config, variables)
    trainer.step(batch)
    state = trainer.state
    for part in ("params", "batch_stats"):
        before, after = variables[part]["backbone"], getattr(state, part)["backbone"]
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(before), after)
    moved = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), variables["params"]["head"], state.params["head"]
    )
    assert all(jax.tree.leaves(moved))


def test_frozen_stages_stay_as_they_are():
    config = tiny_config()
    config.model.frozen_stages = 1
    part = {"kernel": np.ones((2, 2), np.float32)}
    params = {"backbone": {"conv1": part, "layer1_0": part, "layer2_0": part}, "head": part}
    optimizer = make_optimizer(config)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    moved = {name: bool(np.any(x["kernel"])) for name, x in updates["backbone"].items()}
    assert moved == {"conv1": False, "layer1_0": False, "layer2_0": True}
    assert np.any(updates["head"]["kernel"])


def test_frozen_parts_stay_as_they_are():
    config = tiny_config()
    config.optimizer.frozen_parts = ("head/lateral_16", "backbone/conv1")
    part = {"kernel": np.ones((2, 2), np.float32)}
    params = {"backbone": {"conv1": part, "conv2": part}, "head": {"lateral_16": part, "x": part}}
    optimizer = make_optimizer(config)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    moved = {
        (module, name): bool(np.any(x["kernel"]))
        for module, parts in updates.items()
        for name, x in parts.items()
    }
    assert [part for part, is_moved in moved.items() if not is_moved] == [
        ("backbone", "conv1"),
        ("head", "lateral_16"),
    ]
    assert sum(moved.values()) == 2


@pytest.mark.parametrize("part", ["head", "head/lateral_3", "tail/lateral_16"])
def test_a_frozen_part_that_is_not_there_is_named(part):
    config = tiny_config()
    config.optimizer.frozen_parts = (part,)
    params = {"backbone": {}, "head": {"lateral_16": {"kernel": np.ones((2, 2), np.float32)}}}
    with pytest.raises(UserError, match=f"optimizer.frozen_parts names '{part}'"):
        make_optimizer(config).init(params)


@pytest.mark.slow
def test_two_devices_make_the_step_of_one(setting):
    """pmap over two devices, two groups each, against one device with all four groups."""
    config, network, variables, batch = setting
    optimizer = make_optimizer(config)
    state = initial_state(variables, optimizer, averaged=True)
    trainer = Trainer(network, config, optimizer, state)
    assert trainer.device_count == 2
    shared = {name: float(x[0]) for name, x in trainer.step(batch).items()}

    alone = jax.pmap(
        make_update(network, config, optimizer), axis_name=AXIS, devices=jax.devices()[:1]
    )
    one = jax_utils.replicate(state, devices=jax.devices()[:1])
    updated, metrics = alone(one, jax.tree.map(lambda x: x[None], batch))
    for name, value in metrics.items():
        np.testing.assert_allclose(shared[name], float(value[0]), rtol=2e-3, atol=1e-4)
    expected = first_replica(updated)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        trainer.state.batch_stats,
        expected.batch_stats,
    )
    assert int(trainer.state.step) == int(expected.step) == 1


@pytest.mark.slow
def test_training_on_one_batch_drives_its_loss_down(setting):
    config, network, variables, batch = setting
    trainer = trainer_of(network, config, variables)
    losses = [float(trainer.step(batch)["loss"][0]) for _ in range(30)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


def test_optimizer_is_optax_adam():
    """Without options the chain makes optax.adam's updates, bit for bit."""
    config = tiny_config()
    config.optimizer.update(clip_norm=0.0)
    params = {"head": np.arange(4, dtype=np.float32)}
    gradient = {"head": np.asarray([0.3, -1.0, 2.0, 1e-5], np.float32)}
    ours, reference = make_optimizer(config), optax.adam(learning_rate(config.optimizer))
    a, _ = ours.update(gradient, ours.init(params), params)
    b, _ = reference.update(gradient, reference.init(params), params)
    np.testing.assert_array_equal(a["head"], b["head"])
