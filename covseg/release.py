"""A trained model for others to use, in one file: `python -m covseg release`."""

import json
import pathlib
from collections.abc import Sequence

from covseg import configuration, model_files, trained_model


def run(model: str, output: str, changes: Sequence[str]) -> None:
  """Writes a trained model into a file.

  Args:
    model: what `trained_model.load` takes.
    output: the file, NAME.safetensors.
    changes: fields that it predicts with, "eval.FIELD=VALUE" or "model.prune_to=VALUE".

  Raises:
    OSError, ValueError: there is no such model or field, or the file cannot be written.
  """
  path = pathlib.Path(output).expanduser()
  if path.suffix != ".safetensors":
    raise ValueError(f"--output={output} must end in .safetensors, by which commands know such a file.")
  trained = trained_model.load(model)
  fields = [*(f"eval.{name}" for name in trained.config.eval), "model.prune_to"]
  for change in changes:
    field, _, value = change.partition("=")
    if field not in fields:
      raise ValueError(f"--set {change}: expected FIELD=VALUE, of the fields {', '.join(fields)}.")
    try:
      trained.config.update_from_flattened_dict({field: json.loads(value)})
    except (TypeError, ValueError) as error:
      raise ValueError(f"--set {change}: {value!r} is not a value of this field ({error}).") from error
  configuration.check(trained.config)
  model_files.save(path, trained.config, trained.variables, trained.step)
  print(f"{path}: {path.stat().st_size / 1e6:.1f} MB. Use it with --model={path}")
