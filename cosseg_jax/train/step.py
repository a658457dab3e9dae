"""One training step: the state, the optimizer of section 4.1 and the pmapped update.

Only this file uses `pmap`: the loop passes it a host batch and gets metrics back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import jax_utils
from jaxtyping import Array, Int
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.metrics import batch_scores
from cosseg_jax.models.backbones.resnet import in_first_stages
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.train.losses import total_loss
from cosseg_jax.types import GroupBatch, Ndarray

AXIS = "devices"


class TrainState(NamedTuple):
    """All that the rest of a run depends on, besides its data.

    step: the number of updates so far.
    average: the exponential moving average (EMA) of the parameters, or None without `ema_decay`.
    """

    step: Int[Array | Ndarray, ""]
    params: Any
    batch_stats: Any
    optimizer_state: optax.OptState
    average: Any = None

    @property
    def variables(self) -> dict[str, Any]:
        """The variables for prediction: the averaged parameters, if there are any."""
        params = self.params if self.average is None else self.average
        return {"params": params, "batch_stats": self.batch_stats}


def learning_rate(optimizer: ConfigDict) -> optax.Schedule:
    """Halves `learning_rate` every `halve_every` steps (section 4.1), after a linear warm-up."""
    halving = optax.exponential_decay(
        optimizer.learning_rate, optimizer.halve_every, 0.5, staircase=True
    )
    if not optimizer.warmup_steps:
        return halving
    ramp = optax.linear_schedule(0.0, 1.0, optimizer.warmup_steps)
    return lambda step: ramp(step) * halving(step)


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam as in section 4.1, with clipping and frozen parts where the config asks for them."""
    options, model = config.optimizer, config.model
    parts = []
    if options.clip_norm:
        parts.append(optax.clip_by_global_norm(options.clip_norm))
    parts.append(optax.scale_by_adam(b1=options.beta1, b2=options.beta2))
    if options.backbone_lr_scale != 1:
        parts.append(_scale_backbone(options.backbone_lr_scale))
    parts.append(optax.scale_by_learning_rate(learning_rate(options)))
    adam = optax.chain(*parts)
    frozen_parts = tuple(options.frozen_parts)
    if not (model.freeze_backbone or model.frozen_stages or frozen_parts):
        return adam

    def is_frozen(module: str) -> bool:
        return model.freeze_backbone or in_first_stages(module, model.frozen_stages)

    def labels(params: dict[str, Any]) -> dict[str, Any]:
        backbone = {name: "freeze" if is_frozen(name) else "train" for name in params["backbone"]}
        found = dict.fromkeys(params, "train") | {"backbone": backbone}
        return _with_frozen_parts(found, params, frozen_parts)

    return optax.multi_transform({"train": adam, "freeze": optax.set_to_zero()}, labels)


def _with_frozen_parts(
    labels: dict[str, Any], params: dict[str, Any], parts: tuple[str, ...]
) -> dict[str, Any]:
    """The labels with "freeze" for parts, named as `optimizer.frozen_parts` says."""
    for part in parts:
        module, _, name = part.partition("/")
        if name not in params.get(module, {}):
            raise UserError(
                f"optimizer.frozen_parts names {part!r}, which the network lacks; expected a "
                "module and a part of it, for example head/lateral_16"
            )
        inside = labels[module]
        if isinstance(inside, str):
            inside = dict.fromkeys(params[module], inside)
        labels = labels | {module: inside | {name: "freeze"}}
    return labels


def _scale_backbone(factor: float) -> optax.GradientTransformation:
    """Scales the learning rate of the backbone."""

    def scaled(updates: dict[str, Any], params: Any) -> dict[str, Any]:
        del params
        return updates | {"backbone": jax.tree.map(lambda x: factor * x, updates["backbone"])}

    return optax.stateless(scaled)


def initial_state(
    variables: dict[str, Any], optimizer: optax.GradientTransformation, *, averaged: bool = False
) -> TrainState:
    """The state before the first step; if `averaged`, with an EMA of the parameters."""
    params = variables["params"]
    return TrainState(
        jnp.zeros((), jnp.int32),
        params,
        variables["batch_stats"],
        optimizer.init(params),
        jax.tree.map(jnp.array, params) if averaged else None,
    )


def ema_update(average: Any, params: Any, step: Int[Array | Ndarray, ""], decay: float) -> Any:
    """decay * average + (1 - decay) * params; early on the decay is (1 + t) / (10 + t), if less."""
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: kept * a + (1 - kept) * p, average, params)


class Trainer:
    """Makes updates on all local devices, over which the groups of a batch are spread.

    optimizer: the one with which `state` was made.

    Raises:
        UserError: if the devices cannot share `groups_per_step` equally.
    """

    def __init__(
        self,
        network: SSNM,
        config: ConfigDict,
        optimizer: optax.GradientTransformation,
        state: TrainState,
    ):
        check_shares(config.groups_per_step)
        self.device_count = jax.local_device_count()
        update = make_update(network, config, optimizer)
        self._update = jax.pmap(update, axis_name=AXIS, donate_argnums=0)
        # Through pmap, so that the state lies as updates will leave it: one compilation, not two.
        self._state = jax.pmap(lambda replica: replica, axis_name=AXIS)(jax_utils.replicate(state))

    @property
    def state(self) -> TrainState:
        """A host copy of the current state."""
        return first_replica(self._state)

    def step(self, batch: GroupBatch) -> dict[str, jax.Array]:
        """Makes one update with this process's groups of a step.

        Returns the step's metrics, still on the devices and equal on all of them: [devices];
        `first_replica` copies them to the host.
        """
        shards = jax.tree.map(self._shard, batch)
        self._state, metrics = self._update(self._state, shards)
        return metrics

    def _shard(self, x: Any) -> Any:
        return x.reshape(self.device_count, -1, *x.shape[1:])  # [devices, B / devices, ...]


def check_shares(groups_per_step: int) -> None:
    """Raises a UserError unless all devices of all processes can share a step's groups equally."""
    devices = jax.local_device_count() * jax.process_count()
    if groups_per_step % devices:
        raise UserError(
            f"groups_per_step is {groups_per_step}; it must be a multiple of the {devices} devices "
            "that share a step's groups"
        )


def first_replica(tree: Any) -> Any:
    """A host copy of what is equal on all devices, from a device of this process.

    On CPU the host shares the device's buffers, which the next update overwrites; hence the copy.
    """
    return jax.tree.map(lambda x: np.array(x.addressable_data(0)[0]), tree)


def make_update(
    network: SSNM, config: ConfigDict, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, GroupBatch], tuple[TrainState, dict[str, jax.Array]]]:
    """The update of every device with its share of the batch; to be mapped over `AXIS`."""
    rate = learning_rate(config.optimizer)
    loss_options = config.loss.to_dict()
    if not config.model.use_semantic:
        loss_options["semantic_weight"] = 0.0

    def loss_fn(params: Any, batch_stats: Any, batch: GroupBatch) -> tuple[jax.Array, Any]:
        images = batch.images
        if images is None:  # cached feature maps replace them; only their shape is used
            images = jnp.zeros((*batch.masks.shape, 3), jnp.uint8)
        prediction, updated = network.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            maps=batch.maps,
            prompt_weights=batch.prompt_weights,
            mutable=["batch_stats"],
        )
        losses = total_loss(prediction, batch, **loss_options)
        batch_stats = batch_stats | dict(updated).get("batch_stats", {})
        return losses.total, (losses, prediction, batch_stats)

    def update(state: TrainState, batch: GroupBatch) -> tuple[TrainState, dict[str, jax.Array]]:
        gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (_, aux), gradients = gradient_fn(state.params, state.batch_stats, batch)
        losses, prediction, batch_stats = aux
        gradients, batch_stats = jax.lax.pmean((gradients, batch_stats), AXIS)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, state.params)
        metrics = {
            "loss": losses.total,
            "loss_spatial": losses.spatial,
            "loss_semantic": losses.semantic,
            "loss_segmentation": losses.segmentation,
            "loss_dice": losses.dice,
            "loss_category": losses.category,
            **batch_scores(prediction.mask_logits, batch.masks, batch.valid),
        }
        metrics = jax.lax.pmean(metrics, AXIS)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        metrics["learning_rate"] = jnp.asarray(rate(state.step))
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None:
            average = ema_update(average, params, state.step, config.optimizer.ema_decay)
        state = TrainState(state.step + 1, params, batch_stats, optimizer_state, average)
        return state, metrics

    return update


def parameter_count(variables: dict[str, Any]) -> int:
    """The number of trainable and frozen parameters, without batch statistics."""
    return sum(x.size for x in jax.tree.leaves(variables["params"]))
