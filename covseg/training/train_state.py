"""What training carries from step to step, and how it starts."""

from collections.abc import Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from covseg.models import shapes_of
from covseg.runtime import compilation


@flax.struct.dataclass
class TrainState:
  """The whole state of a run; data order and random keys follow from (seed, step).

  Attributes:
    step: int32 (), batches that it has learnt from.
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


def create_train_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  seed: int,
  sharding: jax.sharding.Sharding | None = None,
  keep_ema: bool = False,
  given: Mapping[str, Any] | None = None,
) -> TrainState:
  """State before the first step, on the devices of a sharding, or on the default one.

  Variables in `given`, {"params": ..., "batch_stats": ...} or a part of that, replace random ones.
  """

  def create(given: Mapping[str, Any]) -> TrainState:
    images = jnp.zeros((1, 32, 32, 1))  # Variables do not depend on the size.
    variables = flatten_dict(model.init(jax.random.key(seed), images, train=False))
    return _first_state(unflatten_dict({**variables, **flatten_dict(given)}), optimizer, keep_ema)

  return compilation.jit_once(create, out_shardings=sharding)(given or {})


def shapes_of_train_state(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  sharding: jax.sharding.Sharding | None = None,
  keep_ema: bool = False,
) -> TrainState:
  """What `create_train_state` returns, with a `jax.ShapeDtypeStruct` in the place of each array; computes nothing."""
  shapes = jax.eval_shape(lambda variables: _first_state(variables, optimizer, keep_ema), shapes_of(model))
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def _first_state(variables: Mapping[str, Any], optimizer: optax.GradientTransformation, keep_ema: bool) -> TrainState:
  params, batch_stats = variables["params"], variables.get("batch_stats", {})
  return TrainState(
    step=jnp.int32(0),
    params=params,
    batch_stats=batch_stats,
    opt_state=optimizer.init(params),
    ema_params=params if keep_ema else None,
    ema_batch_stats=batch_stats if keep_ema else None,
  )
