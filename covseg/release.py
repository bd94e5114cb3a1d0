"""A trained model for others to use, in one file: `python -m covseg release`."""

import pathlib
from collections.abc import Sequence

from covseg import model_files, trained_model
from covseg.models.ensemble import Ensemble


def run(model: str, output: str, changes: Sequence[str]) -> None:
  """Writes a trained model into a file.

  Args:
    model: what `trained_model.load` takes.
    output: the file, NAME.safetensors.
    changes: as `trained_model.load` takes them.

  Raises:
    OSError, ValueError: there is no such model or field, it is an ensemble, or the file cannot be written.
  """
  path = pathlib.Path(output).expanduser()
  if path.suffix != ".safetensors":
    raise ValueError(f"--output={output} must end in .safetensors, by which commands know such a file.")
  trained = trained_model.load(model, changes)
  if isinstance(trained.network, Ensemble):
    raise ValueError(f"--model={model} is an ensemble; release each of its networks, and name them together.")
  model_files.save(path, trained.config, trained.variables, trained.step)
  print(f"{path}: {path.stat().st_size / 1e6:.1f} MB. Use it with --model={path}")
