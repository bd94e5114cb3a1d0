"""What a configuration may hold, checked where it enters, and how two of them differ."""

import difflib
import json
import math
from collections.abc import Iterable
from typing import Any

from ml_collections import ConfigDict

from configs import default
from covseg.models import NETWORKS, create_model
from covseg.models.blocks import HEADS, NORMS
from covseg.models.encoder_decoder import DECODERS
from covseg.models.encoders import RESNETS
from covseg.training.losses import LOSSES
from covseg.training.optimizers import OPTIMIZERS, SCHEDULES
from input_pipeline.augmentation import TRANSFORMS

# Fields that may change between the start of a run and its resumption: they say where things are, or
# how they are measured, but do not change what is trained. So may num_epochs where the rate is constant.
_FREE_FIELDS = {
  "dataset.data_dir",
  "dataset.manual_dir",
  "dataset.memory_limit_gb",
  "eval.batch_size",
}


def check(config: ConfigDict) -> None:
  """Raises ValueError if a field has a value that cannot work; it names the field and the choices."""
  choices = {
    "model.name": NETWORKS,
    "model.norm": NORMS,
    "model.dtype": ("float32", "bfloat16"),
    "model.encoder": RESNETS,
    "model.decoder": DECODERS,
    "loss.name": LOSSES,
    "optimizer.name": OPTIMIZERS,
    "optimizer.schedule": SCHEDULES,
  }
  fields = flat(config)
  for field, known in choices.items():
    if fields[field] not in known:
      raise ValueError(
        f"{field}={fields[field]!r} is not known; it is one of {', '.join(known)}"
        f"{_did_you_mean(fields[field], known)}."
      )
  at_least = {
    "image_size": 16,
    "batch_size": 1,
    "num_epochs": 1,
    "model.base_features": 1,
    "optimizer.step_epochs": 1,
    "optimizer.accumulation_steps": 1,
    "eval.image_size": 16,
    "eval.batch_size": 1,
  }
  for field, least in at_least.items():
    if fields[field] < least:
      raise ValueError(f"{field}={fields[field]} is too small; it is at least {least}.")
  if not 0 <= fields["model.dropout"] < 1:
    raise ValueError(f"model.dropout={fields['model.dropout']} must be at least 0 and less than 1.")
  if not 0 <= fields["model.prune_to"] <= 4:
    raise ValueError(f"model.prune_to={fields['model.prune_to']} is not one of 0, 1, 2, 3, 4.")
  rate = fields["optimizer.learning_rate"]
  if not (math.isfinite(rate) and rate > 0):
    raise ValueError(f"optimizer.learning_rate={rate} must be a positive number.")
  if not 0 < fields["eval.threshold"] < 1:
    raise ValueError(f"eval.threshold={fields['eval.threshold']} must lie between 0 and 1.")
  heads = fields["model.heads"]
  if heads[:1] != ["infection"] or sorted(set(heads)) != sorted(heads) or not {*heads} <= {*HEADS}:
    raise ValueError(
      f"model.heads={heads!r} is not known; it is 'infection', and others of {HEADS} after it."
    )
  if fields["eval.lung_only"] and "lung" not in heads:
    raise ValueError("eval.lung_only takes a network with a lung head, model.heads=('infection', 'lung').")
  if fields["eval.least_presence"] and "presence" not in heads:
    raise ValueError("eval.least_presence takes a network with a presence head; see model.heads.")
  parts = [
    "dataset.negative_share",
    "optimizer.ema_decay",
    "optimizer.encoder_factor",
    "model.dropout",
    "eval.least_presence",
    *(f"augment.{name}.probability" for name in TRANSFORMS),
  ]
  for field in parts:
    if not 0 <= fields[field] <= 1:
      raise ValueError(f"{field}={fields[field]} must lie between 0 and 1.")
  model = create_model(config.model)  # Raises where a field does not go with the network.
  if fields["optimizer.encoder_factor"] != 1 and not hasattr(model, "encoder"):
    raise ValueError(f"optimizer.encoder_factor has no effect on {config.model.name}: it has no encoder.")


def flat(config: ConfigDict) -> dict[str, Any]:
  """{"model.base_features": 32, ...} of all fields."""
  return _flat(json.loads(to_json(config)))


def to_json(config: ConfigDict) -> str:
  """The configuration as JSON, as `config.json` holds it."""
  return json.dumps(config.to_dict(), indent=2)


def from_json(text: str) -> ConfigDict:
  """The configuration that `to_json` wrote, with the defaults of fields that have come since.

  Raises:
    ValueError: the text is no JSON, or has a field that there is not.
  """
  config = default.get_config()
  try:
    config.update(json.loads(text))
  except KeyError as error:
    raise ValueError(f"it has a field that this version does not know: {error.args[0]}") from error
  return config


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Lines "field: old -> new" of the fields that a resumed run must share with its beginning."""
  old_fields, new_fields = flat(old), flat(new)
  free = _FREE_FIELDS
  if new.optimizer.schedule == "constant":
    free = free | {"num_epochs"}
  return [
    f"{field}: {old_fields.get(field, 'absent')!r} -> {new_fields.get(field, 'absent')!r}"
    for field in sorted(old_fields.keys() | new_fields.keys())
    if field not in free and old_fields.get(field) != new_fields.get(field)
  ]


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  flattened = {}
  for name, value in fields.items():
    if isinstance(value, dict):
      flattened.update(_flat(value, f"{prefix}{name}."))
    else:
      flattened[prefix + name] = value
  return flattened


def _did_you_mean(name: str, known: Iterable[str]) -> str:
  near = difflib.get_close_matches(name, known, n=1)
  return f" (did you mean {near[0]!r}?)" if near else ""
