"""Every field of a config is checked before the first step, against a range in one table."""

import math

import pytest
from ml_collections import ConfigDict
from toy_runs import tiny_config

from configs import hrnet
from cosseg_jax.errors import UserError
from cosseg_jax.train.ranges import FIELDS, Number, Whole, check_fields, flat_fields
from cosseg_jax.train.setup import check_config

NUMBERS = [name for name, valid in FIELDS.items() if isinstance(valid, Number)]
WHOLES = [name for name, valid in FIELDS.items() if isinstance(valid, Whole)]


def tiny_with(name: str, value: object) -> ConfigDict:
    config = tiny_config()
    parts = name.split(".")
    inner = config
    for part in parts[:-1]:
        inner = inner[part]
    with inner.ignore_type():
        inner[parts[-1]] = value
    return config


def test_every_field_has_a_range():
    assert flat_fields(hrnet.get_config()).keys() == FIELDS.keys()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e7, "1", None])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_cannot_be_meant_is_named_with_its_range(name, value):
    with pytest.raises(UserError, match=rf"^{name} is .*; expected a number from ") as error:
        check_fields(tiny_with(name, value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [-1, 2**31, 1.5, "4", None, True])
@pytest.mark.parametrize("name", WHOLES)
def test_a_whole_number_that_cannot_be_meant_is_named_with_its_range(name, value):
    with pytest.raises(UserError, match=rf"^{name} is .*; expected .*(whole number|multiple of)"):
        check_fields(tiny_with(name, value))


@pytest.mark.parametrize("name", [*NUMBERS, *WHOLES])
def test_the_bounds_themselves_are_valid(name):
    valid = FIELDS[name]
    assert isinstance(valid, Number | Whole)
    for value in (valid.low, valid.high):
        check_fields(tiny_with(name, value))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer.beta1", 1.5, "optimizer.beta1 is 1.5; expected a number from 0 to 0.999999"),
        ("eval_groups", -1, "eval_groups is -1; expected a whole number from 0 to"),
        ("prediction.image_size", -1, "expected 0 or a multiple of 32 from 32 to 4096"),
        ("image_size", 100, "image_size is 100; expected a multiple of 32 from 32 to 4096"),
        ("model.features", 2**31, "model.features is 2147483648; expected a whole number from 1"),
        ("test_split", "tests", "test_split is 'tests'; choose one of: train, val, unseen"),
        ("val_split", "", "val_split is ''; choose one of: train, val, unseen"),
        ("dataset", "cifar", "dataset is 'cifar'; expected one of shapes, voc"),
        ("data_dir", "a\0b", r"expected a text without NUL"),
        ("augment.flip", 1, "augment.flip is 1; expected one of False, True"),
        ("held_out", "cat", "held_out is 'cat'; expected a list of texts"),
        ("groups_per_step", 3, "groups_per_step is 3; it must be a multiple of the 2 devices"),
        ("model.spatial.solver", "qr", "model.spatial.solver is 'qr'; expected one of auto, eigh"),
        ("model.freeze_backbone", True, "neither model.pretrained nor start_from names weights"),
        ("cache_dir", "maps", "cache_dir is set, but the backbone is trained"),
    ],
)
def test_values_that_do_not_go_are_refused_before_data_are_loaded(name, value, message):
    with pytest.raises(UserError) as error:
        check_config(tiny_with(name, value))
    assert message in str(error.value)


def test_further_and_missing_fields_are_named():
    config = tiny_config()
    with config.unlocked():
        config.loss.boundary_weight = 0.5
    with pytest.raises(UserError, match=r"unknown fields: loss\.boundary_weight"):
        check_fields(config)
    config = tiny_config()
    with config.unlocked():
        del config.model.features
    with pytest.raises(UserError, match=r"the config lacks model\.features; .*configs/hrnet\.py"):
        check_fields(config)
