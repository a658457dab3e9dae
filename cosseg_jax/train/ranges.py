"""The valid values of every field of a config (`configs/hrnet.py` explains the fields).

`FIELDS` is the whole list: a config with a field more or less is refused. Bounds are inclusive.
"""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cosseg_jax.data.groups import SAMPLINGS
from cosseg_jax.data.registry import SOURCES
from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.spatial import DESCRIPTORS, GRADIENTS, SCALES, SIGNS, SOLVERS
from cosseg_jax.models.ssnm import DTYPES
from cosseg_jax.predict.refinement import KINDS
from cosseg_jax.train.losses import SEG_WEIGHTINGS

MOST_STEPS = 2**31 - 2  # a step is an int32
ALMOST_1 = 0.999999  # the largest decay of a moving average
TINY = 1e-12


class Whole(NamedTuple):
    """A whole number, in steps of `step`; `also` is a further value outside the range."""

    low: int
    high: int
    step: int = 1
    also: int | None = None

    def holds(self, value: Any) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        inside = self.low <= value <= self.high and value % self.step == 0
        return inside or (value == self.also and self.also is not None)

    def __str__(self) -> str:
        kind = "a whole number" if self.step == 1 else f"a multiple of {self.step}"
        also = "" if self.also is None else f"{self.also} or "
        return f"{also}{kind} from {self.low} to {self.high}"


class Number(NamedTuple):
    """A finite number."""

    low: float
    high: float

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


class Choice(NamedTuple):
    """One of several texts or numbers."""

    values: Collection[Any]

    def holds(self, value: Any) -> bool:
        return any(value == choice and type(value) is type(choice) for choice in self.values)

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"


class Text(NamedTuple):
    """A text: a path or a name; "" for none."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and "\0" not in value

    def __str__(self) -> str:
        return "a text without NUL"


class Texts(NamedTuple):
    """A list of texts."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)

    def __str__(self) -> str:
        return "a list of texts"


Range = Whole | Number | Choice | Text | Texts

SWITCH = Choice((False, True))
SHARE = Number(0, 1)
WEIGHT = Number(0, 1e6)

FIELDS: dict[str, Range] = {
    "seed": Whole(0, 2**31 - 1),
    "start_from": Text(),
    "dataset": Choice(SOURCES),
    "data_dir": Text(),
    "train_split": Text(),
    "val_split": Text(),
    "test_split": Text(),
    "held_out": Texts(),
    "image_size": Whole(32, 4096, step=32),
    "group_size": Whole(1, 1000),
    "groups_per_step": Whole(1, 10_000),
    "sampling.category": Choice(SAMPLINGS),
    "sampling.multi_category": SHARE,
    "sampling.contrast": SHARE,
    "sampling.distractors": SHARE,
    "sampling.prompted": SHARE,
    "augment.flip": SWITCH,
    "augment.max_scale": Number(1, 10),
    "augment.brightness": SHARE,
    "augment.contrast": SHARE,
    "augment.saturation": SHARE,
    "augment.copy_paste": SHARE,
    "augment.background_swap": SHARE,
    "workers": Whole(0, 1024),
    "worker_processes": Whole(0, 1024),
    "model.backbone": Choice(BACKBONES),
    "model.pretrained": Text(),
    "model.freeze_backbone": SWITCH,
    "model.frozen_stages": Whole(0, 4),
    "model.fix_batch_stats": SWITCH,
    "model.features": Whole(1, 8192),
    "model.spatial_stride": Choice((8, 16, 32)),
    "model.use_spatial": SWITCH,
    "model.use_semantic": SWITCH,
    "model.num_iterations": Whole(1, 100),
    "model.mask_pooling_weight": SHARE,
    "model.category_head": SWITCH,
    "model.dtype": Choice(DTYPES),
    "model.spatial.descriptors": Choice(DESCRIPTORS),
    "model.spatial.solver": Choice(SOLVERS),
    "model.spatial.dense_max": Whole(0, 100_000),
    "model.spatial.block_size": Whole(3, 64),
    "model.spatial.iterations": Whole(1, 100_000),
    "model.spatial.sign": Choice(SIGNS),
    "model.spatial.scale": Choice(SCALES),
    "model.spatial.gradient": Choice(GRADIENTS),
    "model.spatial.damping": Number(TINY, 1e6),
    "model.spatial.epsilon": Number(TINY, 1),
    "model.semantic.pooling": Choice(("second", "first", "both")),
    "model.semantic.reduced": Whole(1, 8192),
    "model.semantic.centred": SWITCH,
    "model.semantic.covariance": Choice(("plain", "sqrt_l2")),
    "model.semantic.layer_norm": SWITCH,
    "model.semantic.gamma_bias": Number(-1e6, 1e6),
    "cache_dir": Text(),
    "cache_mirror": SWITCH,
    "prediction.image_size": Whole(32, 4096, step=32, also=0),
    "prediction.mirror": SWITCH,
    "prediction.refine": Choice(KINDS),
    "loss.seg_weighting": Choice(SEG_WEIGHTINGS),
    "loss.spatial_weight": WEIGHT,
    "loss.semantic_weight": WEIGHT,
    "loss.segmentation_weight": WEIGHT,
    "loss.dice_weight": WEIGHT,
    "loss.category_weight": WEIGHT,
    "optimizer.learning_rate": Number(TINY, 1e3),
    "optimizer.halve_every": Whole(1, MOST_STEPS),
    "optimizer.warmup_steps": Whole(0, MOST_STEPS),
    "optimizer.beta1": Number(0, ALMOST_1),
    "optimizer.beta2": Number(0, ALMOST_1),
    "optimizer.clip_norm": Number(0, 1e6),
    "optimizer.backbone_lr_scale": Number(0, 1e3),
    "optimizer.ema_decay": Number(0, ALMOST_1),
    "optimizer.frozen_parts": Texts(),
    "steps": Whole(1, MOST_STEPS),
    "log_every": Whole(1, MOST_STEPS),
    "eval_every": Whole(1, MOST_STEPS),
    "eval_groups": Whole(0, MOST_STEPS),
    "preview_groups": Whole(0, 1000),
    "checkpoint_every": Whole(1, MOST_STEPS),
}
ADDED = {"categories"}  # to the config of an export, from its data set


def check_fields(config: ConfigDict) -> None:
    """Raises a UserError unless the config has every field of `FIELDS` with a valid value."""
    found = flat_fields(config)
    if unknown := sorted(found.keys() - FIELDS.keys() - ADDED):
        raise UserError(f"the config has unknown fields: {', '.join(unknown)}")
    if missing := sorted(FIELDS.keys() - found.keys()):
        raise UserError(
            f"the config lacks {', '.join(missing)}; take all fields from configs/hrnet.py"
        )
    for name, valid in FIELDS.items():
        if not valid.holds(found[name]):
            raise UserError(f"{name} is {found[name]!r}; expected {valid}")


def flat_fields(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Every value by its field's name, with dots: `optimizer.learning_rate`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            flat.update(flat_fields(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat
