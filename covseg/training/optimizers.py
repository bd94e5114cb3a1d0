"""Optimizers and the course of their learning rate."""

import math
from collections.abc import Sequence

import jax
import optax
from ml_collections import ConfigDict

from covseg.configuration import check_choice, check_effects, check_ranges
from covseg.models.heads import SCOPE_OF_HEADS

OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "cosine", "step")
_RANGES = {
  "warmup_epochs": (0, None),
  "step_epochs": (1, None),
  "step_factor": (0, None),
  "weight_decay": (0, None),
  "clip_norm": (0, None),
  "encoder_factor": (0, 1),
  "accumulation_steps": (1, None),
  "ema_decay": (0, 1),
}
# Fields that only some choices read.
_OF_ADAMW = {"weight_decay"}
_OF_STEP = {"step_epochs", "step_factor"}


def check(config: ConfigDict, heads: Sequence[str], has_encoder: bool) -> None:
  """Raises ValueError if a field of `config.optimizer` is not known, cannot work, or has no effect."""
  check_choice("optimizer.name", config.name, OPTIMIZERS)
  check_choice("optimizer.schedule", config.schedule, SCHEDULES)
  if not (math.isfinite(config.learning_rate) and config.learning_rate > 0):
    raise ValueError(f"optimizer.learning_rate={config.learning_rate} must be a positive number.")
  check_ranges(config, "optimizer.", _RANGES)
  for head in config.only.split(",") if config.only else ():
    check_choice("optimizer.only", head, heads)
  used = set(config.keys())
  used -= set() if config.name == "adamw" else _OF_ADAMW
  used -= set() if config.schedule == "step" else _OF_STEP
  used -= set() if has_encoder and not config.only else {"encoder_factor"}
  check_effects(config, "optimizer.", used, f"{config.name} at a {config.schedule} rate for this network")


def create_schedule(config: ConfigDict, updates_per_epoch: float, num_epochs: int) -> optax.Schedule:
  """Learning rate by update: it rises in equal steps over `warmup_epochs`, then goes as `config.schedule` says.

  - constant: `learning_rate`;
  - cosine: from there to zero at the end of training (Loshchilov and Hutter 2017);
  - step: times `step_factor` every `step_epochs` epochs.
  """
  rate = config.learning_rate
  warmup = round(config.warmup_epochs * updates_per_epoch)
  if config.schedule == "cosine":
    schedule = optax.cosine_decay_schedule(rate, max(1, round(num_epochs * updates_per_epoch) - warmup))
  elif config.schedule == "step":
    falls = range(config.step_epochs, num_epochs, config.step_epochs)
    falls = {round(epoch * updates_per_epoch) - warmup: config.step_factor for epoch in falls}
    schedule = optax.piecewise_constant_schedule(rate, falls)
  else:
    schedule = optax.constant_schedule(rate)
  if warmup:
    schedule = optax.join_schedules([optax.linear_schedule(rate / warmup, rate, warmup), schedule], [warmup])
  return schedule


def create_optimizer(config: ConfigDict, steps_per_epoch: int = 1, num_epochs: int = 1) -> optax.GradientTransformation:
  """Optimizer of `config.optimizer`; the learning rate follows the length of training.

  Gradients are averaged over `accumulation_steps` batches, then clipped to a global norm of `clip_norm` (0:
  not at all). Parameters under "encoder" learn at `encoder_factor` times the rate, and not at all where that is 0.
  Where `only` names heads, all other parameters stay as they are. AdamW's decay spares what has one dimension: biases
  and the scales of norms.
  """
  schedule = create_schedule(config, steps_per_epoch / config.accumulation_steps, num_epochs)
  if config.name == "adam":
    optimizer = optax.adam(schedule)
  else:
    optimizer = optax.adamw(schedule, weight_decay=config.weight_decay, mask=_has_two_dimensions)
  if config.clip_norm:  # Of what learns, as the rest is left out around it.
    optimizer = optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)
  if config.only:
    parts = {True: optimizer, False: optax.set_to_zero()}
    optimizer = optax.multi_transform(parts, lambda params: _are_heads(params, config.only.split(",")))
  elif config.encoder_factor == 0:
    optimizer = optax.multi_transform({True: optax.set_to_zero(), False: optimizer}, _is_encoder)
  elif config.encoder_factor != 1:
    optimizer = optax.chain(optimizer, optax.masked(optax.scale(config.encoder_factor), _is_encoder))
  if config.accumulation_steps > 1:
    optimizer = optax.MultiSteps(optimizer, config.accumulation_steps).gradient_transformation()
  return optimizer


def _has_two_dimensions(params: optax.Params) -> optax.Params:
  return jax.tree.map(lambda p: p.ndim > 1, params)


def _is_encoder(params: optax.Params) -> optax.Params:
  return jax.tree.map_with_path(lambda path, _: path[0].key == "encoder", params)


def _are_heads(params: optax.Params, names: Sequence[str]) -> optax.Params:
  def is_part(path: tuple[jax.tree_util.DictKey, ...], _: jax.Array) -> bool:
    return bool(SCOPE_OF_HEADS.fullmatch(path[0].key)) and path[1].key in names

  return jax.tree.map_with_path(is_part, params)
