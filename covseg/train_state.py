"""What training carries from step to step, and how it starts."""

import functools
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

OPTIMIZERS = {"adam": optax.adam}


@flax.struct.dataclass
class TrainState:
  """The whole state of a run; data order and random keys follow from (seed, step).

  Attributes:
    step: int32 (), updates made so far.
    params: parameters of the network.
    batch_stats: running means and variances of batch norm.
    opt_state: state of the optimizer.
    ema_params: exponential moving average of `params`; None where it is not kept.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  ema_params: Any = None

  def variables(self) -> dict[str, Any]:
    """What `model.apply` takes to evaluate: the averaged parameters, if there are any."""
    params = self.params if self.ema_params is None else self.ema_params
    return {"params": params, "batch_stats": self.batch_stats}


def create_optimizer(config: ConfigDict) -> optax.GradientTransformation:
  """Optimizer of `config.optimizer`."""
  return OPTIMIZERS[config.name](config.learning_rate)


def create_train_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  seed: int,
  image_size: int,
  sharding: jax.sharding.Sharding | None = None,
) -> TrainState:
  """State before the first step, on the devices of a sharding, or on the default one."""

  @functools.partial(jax.jit, out_shardings=sharding)
  def create() -> TrainState:
    images = jnp.zeros((1, image_size, image_size, 1))
    variables = model.init(jax.random.key(seed), images, train=False)
    return TrainState(
      step=jnp.int32(0),
      params=variables["params"],
      batch_stats=variables.get("batch_stats", {}),
      opt_state=optimizer.init(variables["params"]),
    )

  return create()
