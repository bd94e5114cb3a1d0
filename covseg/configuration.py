"""How configurations are read and written, what their fields may hold, and how two of them differ."""

import ast
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import flax
from ml_collections import ConfigDict

from configs import default
from covseg.runtime.command_line import UsageError
from input_pipeline.wording import did_you_mean

# Fields that may change between the start of a run and its resumption: they say where things are, or how they
# are measured, but do not change what is trained.
_FREE_FIELDS = {
  "dataset.data_dir",
  "dataset.manual_dir",
  "dataset.memory_limit_gb",
  "eval.batch_size",
}


def free_fields(config: ConfigDict) -> set[str]:
  """Fields that may change between the start of a run and its resumption, or within a row of a comparison.

  The folder of the user's own films is no such field, as it is the dataset.
  """
  is_own = config.dataset.name not in ("covid_qu_ex", "cxr_phantom")
  return _FREE_FIELDS - ({"dataset.manual_dir"} if is_own else set())


def check_choice(field: str, value: Any, choices: Iterable[Any]) -> None:
  """Raises ValueError unless a field has one of its choices; the error suggests the closest one."""
  if value not in choices:
    choices = [str(choice) for choice in choices]
    raise ValueError(
      f"{field}={value!r} is not known; it is one of {', '.join(choices)}{did_you_mean(value, choices)}."
    )


def check_ranges(
  config: Mapping[str, Any], prefix: str, ranges: Mapping[str, tuple[float | None, float | None]]
) -> None:
  """Raises ValueError unless each field lies in its range, ends included; None for no bound."""
  for field, (low, high) in ranges.items():
    value = config[field]
    if not ((low is None or value >= low) and (high is None or value <= high)):
      bounds = f"at least {low}" if high is None else f"between {low} and {high}"
      raise ValueError(f"{prefix}{field}={value} must be {bounds}.")


def check_effects(config: ConfigDict, prefix: str, used: Iterable[str], by: str) -> None:
  """Raises ValueError where a field differs from its default that has no effect."""
  defaults = default.get_config()[prefix.rstrip(".")]
  for field in sorted({*config.keys()} - {*used}):
    if config[field] != defaults[field]:
      raise ValueError(f"{prefix}{field}={config[field]!r} has no effect on {by}, which has {', '.join(sorted(used))}.")


def override(config: ConfigDict, change: str, fields: Iterable[str]) -> None:
  """Sets one field as the flag --config.FIELD=VALUE of main.py does.

  Args:
    config: changed in place.
    change: "FIELD=VALUE"; a bool as True or true.
    fields: those that may be set.

  Raises:
    UsageError: there is no such field, or the value is not of its type.
  """
  field, _, text = change.partition("=")
  fields = list(fields)
  if field not in fields:
    raise UsageError(f"--set {change}: {field} is not one of {', '.join(fields)}{did_you_mean(field, fields)}.")
  *parents, name = field.split(".")
  section = config
  for parent in parents:
    section = section[parent]
  try:
    if isinstance(section[name], bool):
      value = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    else:
      value = ast.literal_eval(text)
    if value is None:  # Which fields of any type take.
      raise ValueError(text)
    section[name] = value
  except (KeyError, SyntaxError, TypeError, ValueError) as error:
    kind = type(section[name]).__name__
    raise UsageError(f"--set {change}: {text!r} is not a value of {field} ({kind}).") from error


def check_flags(arguments: Iterable[str]) -> None:
  """Raises UsageError where --config=FILE names no file, --config.FIELD no field, or a field lacks "config."."""
  known = flat(default.get_config())
  for argument in arguments:
    flag, _, value = argument.lstrip("-").partition("=")
    prefix, _, field = flag.partition(".")
    if flag == "config" and value and not pathlib.Path(value).is_file():
      raise UsageError(f"--config={value}: there is no such file.")
    if prefix != "config" and (name := next((name for name in (flag, field) if name in known), "")):
      raise UsageError(f"There is no flag --{flag}; a field is set as in --config.{name}=VALUE.")
    if prefix != "config" or not field or field in known:  # --config=FILE has no field.
      continue
    if of_group := next((name for name in known if name.startswith(f"{field}.")), ""):
      raise UsageError(f"--config.{field} is a group of fields; set one of them, as in --config.{of_group}=VALUE.")
    raise UsageError(f"--config.{field}: there is no such field{did_you_mean(field, known)}.")


def flat(config: ConfigDict) -> dict[str, Any]:
  """{"model.base_features": 32, ...} of all fields."""
  return flax.traverse_util.flatten_dict(json.loads(to_json(config)), sep=".")


def to_json(config: ConfigDict) -> str:
  """The configuration as JSON, as `config.json` holds it."""
  return json.dumps(config.to_dict(), indent=2)


def from_json(text: str) -> ConfigDict:
  """The configuration that `to_json` wrote, with the defaults of fields that have come since.

  Raises:
    ValueError: the text is no JSON, or no configuration, or has a field that there is not.
  """
  config = default.get_config()
  try:
    config.update(json.loads(text))
  except KeyError as error:
    raise ValueError(f"it has a field that this version does not know: {error.args[0]}") from error
  except (AttributeError, TypeError) as error:
    raise ValueError(f"it is no configuration: {error}") from error
  return config


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Lines "field: old -> new" of the fields that a resumed run must share with its beginning."""
  old_fields, new_fields = flat(old), flat(new)
  free = free_fields(new)
  if new.optimizer.schedule == "constant":
    free |= {"num_epochs"}
  places = (pathlib.Path(config.dataset.manual_dir).expanduser().absolute() for config in (old, new))
  if len(set(places)) == 1:  # However it is written.
    free |= {"dataset.manual_dir"}
  return [
    f"{field}: {old_fields.get(field, 'absent')!r} -> {new_fields.get(field, 'absent')!r}"
    for field in sorted(old_fields.keys() | new_fields.keys())
    if field not in free and old_fields.get(field) != new_fields.get(field)
  ]
