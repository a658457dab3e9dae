"""What a training run has before its first step, for benchmarks that make steps of their own."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cosseg_jax.data.source import Source
from cosseg_jax.train import setup
from cosseg_jax.train.step import Trainer, TrainState, initial_state, make_optimizer
from cosseg_jax.train.warm_start import starting_variables


class Start(NamedTuple):
    """The parts of a run before its first step.

    config: the given one, with the names of the categories.
    source: of its training split.
    """

    config: ConfigDict
    source: Source
    network: Any
    variables: dict[str, Any]
    optimizer: Any
    state: TrainState

    def trainer(self) -> Trainer:
        return Trainer(self.network, self.config, self.optimizer, self.state)


def start_of(config: ConfigDict) -> Start:
    """Raises as `train.run.start_run` does."""
    setup.check_config(config)
    source = setup.open_source(config, config.train_split)
    config = setup.with_categories(config, source)
    network = setup.training_network(config)
    variables = starting_variables(config, network)
    optimizer = make_optimizer(config)
    state = initial_state(variables, optimizer, averaged=config.optimizer.ema_decay > 0)
    return Start(config, source, network, variables, optimizer, state)
