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
    changes: fields of `config.eval` that it predicts with, "eval.FIELD=VALUE".

  Raises:
    OSError, ValueError: there is no such model or field, or the file cannot be written.
  """
  path = pathlib.Path(output).expanduser()
  if path.suffix != ".safetensors":
    raise ValueError(f"--output={output} must end in .safetensors, by which commands know such a file.")
  trained = trained_model.load(model)
  for change in changes:
    field, _, value = change.partition("=")
    group, _, name = field.partition(".")
    if group != "eval" or name not in trained.config.eval:
      raise ValueError(
        f"--set {change}: expected eval.FIELD=VALUE, of the fields {', '.join(trained.config.eval)}."
      )
    try:
      trained.config.eval[name] = json.loads(value)
    except (TypeError, ValueError) as error:
      raise ValueError(f"--set {change}: {value!r} is not a value of this field ({error}).") from error
  configuration.check(trained.config)
  model_files.save(path, trained.config, trained.variables, trained.step)
  print(f"{path}: {path.stat().st_size / 1e6:.1f} MB. Use it with --model={path}")
