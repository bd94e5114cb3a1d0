"""What training carries from step to step, and how it starts."""

from collections.abc import Callable
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from covseg.runtime import compilation


@flax.struct.dataclass
class TrainState:
  """The whole state of a run; data order and random keys follow from (seed, step).

  Attributes:
    step: int32 (), updates made so far.
    params: parameters of the network.
    batch_stats: running means and variances of batch norm.
    opt_state: state of the optimizer.
    ema_params: exponential moving average of `params`; None where it is not kept.
    ema_batch_stats: the same of `batch_stats`.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  ema_params: Any = None
  ema_batch_stats: Any = None

  def variables(self) -> dict[str, Any]:
    """What `model.apply` takes to evaluate: the averages, if they are kept."""
    if self.ema_params is None:
      return {"params": self.params, "batch_stats": self.batch_stats}
    return {"params": self.ema_params, "batch_stats": self.ema_batch_stats}

  def with_variables(self, variables: dict[str, Any]) -> "TrainState":
    """The same state with other parameters and statistics, as those that training starts from."""
    state = self.replace(params=variables["params"], batch_stats=variables.get("batch_stats", {}))
    if self.ema_params is None:
      return state
    return state.replace(
      ema_params=jax.tree.map(jnp.copy, state.params),  # Donated arrays must not be shared.
      ema_batch_stats=jax.tree.map(jnp.copy, state.batch_stats),
    )


def create_train_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  seed: int,
  image_size: int,
  sharding: jax.sharding.Sharding | None = None,
  keep_ema: bool = False,
) -> TrainState:
  """State before the first step, on the devices of a sharding, or on the default one."""
  return compilation.jit_once(_creator(model, optimizer, seed, image_size, keep_ema), out_shardings=sharding)()


def shapes_of_train_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  image_size: int,
  sharding: jax.sharding.Sharding | None = None,
  keep_ema: bool = False,
) -> TrainState:
  """The same with a `jax.ShapeDtypeStruct` in the place of each array; nothing is computed."""
  shapes = jax.eval_shape(_creator(model, optimizer, 0, image_size, keep_ema))
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def _creator(
  model: nn.Module, optimizer: optax.GradientTransformation, seed: int, image_size: int, keep_ema: bool
) -> Callable[[], TrainState]:
  def create() -> TrainState:
    images = jnp.zeros((1, image_size, image_size, 1))
    variables = model.init(jax.random.key(seed), images, train=False)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(
      step=jnp.int32(0),
      params=params,
      batch_stats=batch_stats,
      opt_state=optimizer.init(params),
      ema_params=params if keep_ema else None,
      ema_batch_stats=batch_stats if keep_ema else None,
    )

  return create
