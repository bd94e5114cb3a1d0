"""One update of the state, and many in one dispatch."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from covseg import compilation
from covseg.evaluate import to_network
from covseg.losses import LOSSES
from covseg.train_state import TrainState

Batch = dict[str, jax.Array]  # {"image": uint8 (B, H, W), "mask": bool (B, H, W)}


@functools.cache
def create_train_step(
  model: nn.Module, optimizer: optax.GradientTransformation, loss_name: str
) -> Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]:
  """Jitted function of a state and a batch.

  It returns the next state and the batch's loss, float32 (1,); the state passed in is given up.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
    state, loss = _update(model, optimizer, loss_name, state, batch)
    return state, loss[None]

  return compilation.jit(train_step, donate_argnums=0)


@functools.cache
def create_resident_train_steps(
  model: nn.Module, optimizer: optax.GradientTransformation, loss_name: str
) -> Callable[[TrainState, Batch, jax.Array, int], tuple[TrainState, jax.Array]]:
  """Jitted function of a state, all films, the order of K batches, int32 (K, B), and a number of steps.

  With the films on the device, it takes that many steps, K at most, without the host, and returns the
  state after them and their losses, float32 (K,); the state passed in is given up.
  """

  def train_steps(state: TrainState, films: Batch, order: jax.Array, num_steps: int):
    def step(i: jax.Array, carried: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
      state, losses = carried
      batch = {name: array[order[i]] for name, array in films.items()}
      state, loss = _update(model, optimizer, loss_name, state, batch)
      return state, losses.at[i].set(loss)

    return jax.lax.fori_loop(0, num_steps, step, (state, jnp.zeros(len(order))))

  return compilation.jit(train_steps, donate_argnums=0)


def _update(
  model: nn.Module,
  optimizer: optax.GradientTransformation,
  loss_name: str,
  state: TrainState,
  batch: Batch,
) -> tuple[TrainState, jax.Array]:
  """The state after one step, and the mean loss of the batch, float32 ()."""

  def mean_loss(params: Any) -> tuple[jax.Array, Any]:
    logits, updated = model.apply(
      {"params": params, "batch_stats": state.batch_stats},
      to_network(batch["image"]),
      train=True,
      mutable=["batch_stats"],
    )
    masks = batch["mask"][..., None].astype(jnp.float32)  # (B, H, W, 1)
    losses = LOSSES[loss_name](logits=logits["infection"], masks=masks)  # (B,)
    return losses.mean(), updated["batch_stats"]

  (loss, batch_stats), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
  updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
  state = state.replace(
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    batch_stats=batch_stats,
    opt_state=opt_state,
  )
  return state, loss
