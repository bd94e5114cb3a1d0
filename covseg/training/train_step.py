"""One update of the state, and many in one dispatch."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from covseg.models.inference import to_network
from covseg.runtime import compilation
from covseg.training.losses import network_loss
from covseg.training.train_state import TrainState
from input_pipeline.augmentation import augment

Batch = dict[str, jax.Array]  # `input_pipeline.batches.Batch` on the device.
Update = Callable[[TrainState, Batch], tuple[TrainState, jax.Array]]

MASKS = {"infection": "mask", "lung": "lung_mask"}  # Of each head that segments, in a batch.


def create_train_step(config: ConfigDict, model: nn.Module, optimizer: optax.GradientTransformation) -> Update:
  """Jitted function of a state and a batch.

  It returns the next state and the batch's loss, float32 (1,); the state passed in is donated: do not use it again.
  """
  update = _create_update(config, model, optimizer)

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
    state, loss = update(state, batch)
    return state, loss[None]

  return compilation.jit(train_step, donate_argnums=0)


def create_resident_train_steps(
  config: ConfigDict, model: nn.Module, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Batch, jax.Array, int], tuple[TrainState, jax.Array]]:
  """Jitted function of a state, all films, the order of K batches, int32 (K, B), and a number of steps.

  With the films on the device, it takes that many steps, K at most, without the host, and returns the
  state after them and their losses, float32 (K,); the state passed in is donated: do not use it again.
  """
  update = _create_update(config, model, optimizer)

  def train_steps(state: TrainState, films: Batch, order: jax.Array, num_steps: int):
    def step(i: jax.Array, carried: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
      state, losses = carried
      batch = {name: array[order[i]] for name, array in films.items()}
      state, loss = update(state, batch)
      return state, losses.at[i].set(loss)

    return jax.lax.fori_loop(0, num_steps, step, (state, jnp.zeros(len(order))))

  return compilation.jit(train_steps, donate_argnums=0)


def _create_update(config: ConfigDict, model: nn.Module, optimizer: optax.GradientTransformation) -> Update:
  """Function of a state and a batch: the state after one step, and the batch's mean loss, float32 ()."""
  heads = tuple(head for head in MASKS if head in config.model.heads)
  ema_decay, only = config.optimizer.ema_decay, config.optimizer.only
  # Where heads alone learn, batch norm of the rest keeps its statistics; of heads, "presence" alone has some.
  mutable = ["batch_stats"] if not only or "presence" in only.split(",") else []

  def update(state: TrainState, batch: Batch) -> tuple[TrainState, jax.Array]:
    augment_key, dropout_key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), state.step))
    masks = jnp.stack([_as_target(batch[MASKS[head]]) for head in heads], axis=-1)  # (B, H, W, M)
    had_infection = masks[..., 0].any(axis=(1, 2))
    images, masks = augment(config.augment, augment_key, to_network(batch["image"]), masks)
    masks = {head: masks[..., i : i + 1] for i, head in enumerate(heads)}

    def mean_loss(params: Any) -> tuple[jax.Array, Any]:
      outputs, updated = model.apply(
        {"params": params, "batch_stats": state.batch_stats},
        images,
        train=not only,
        mutable=mutable,
        rngs={"dropout": dropout_key},
      )
      loss = network_loss(config.loss, outputs, masks, had_infection, batch.get("opacity"))
      return loss.mean(), updated.get("batch_stats", state.batch_stats)

    (loss, batch_stats), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    averages = {}
    if ema_decay:
      # Less at first, or the average would long remember how training began.
      decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
      averages = {
        "ema_params": optax.incremental_update(params, state.ema_params, 1 - decay),
        "ema_batch_stats": optax.incremental_update(batch_stats, state.ema_batch_stats, 1 - decay),
      }
    state = state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state, **averages)
    return state, loss

  return update


def _as_target(mask: jax.Array) -> jax.Array:
  return mask.astype(jnp.float32) / (255 if mask.dtype == jnp.uint8 else 1)
