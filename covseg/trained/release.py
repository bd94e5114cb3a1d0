"""A trained model for others to use, in one file: `python -m covseg release`."""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax

from covseg.runtime.command_line import UsageError
from covseg.trained import model_files, trained_model
from covseg.trained.trained_model import TrainedModel


def run(model: str, output: str, changes: Sequence[str]) -> None:
  """Writes a trained model into a file.

  Args:
    model: what `trained_model.load` takes; of several, the weights are averaged.
    output: the file, NAME.safetensors.
    changes: as `trained_model.load` takes them.

  Raises:
    OSError, ValueError: there is no such model or field, several are not of one network, or the file cannot
      be written.
  """
  path = pathlib.Path(output).expanduser()
  if path.suffix != ".safetensors":
    raise UsageError(f"--output={output} must end in .safetensors, by which commands know such a file.")
  trained = _average([trained_model.load(name, changes) for name in trained_model.names_of(model)])
  model_files.save(path, trained.config, trained.variables, trained.step)
  print(f"{path}: {path.stat().st_size / 1e6:.1f} MB. Use it with --model={path}")


def _average(models: Sequence[TrainedModel]) -> TrainedModel:
  """The first of some models with the mean of all their weights (Wortsman et al. 2022, "Model soups").

  It is a good model where all were trained on from the same weights.
  """
  for other in models[1:]:
    if (other.network, other.config.image_size) != (models[0].network, models[0].config.image_size):
      raise ValueError(
        f"The weights of {models[0].name} and {other.name} are of different networks and cannot be averaged. "
        "Their predictions can be: name both as the model that predicts, --model=A,B."
      )
  variables = jax.tree.map(lambda *x: sum(x) / len(x), *(model.variables for model in models))
  return dataclasses.replace(models[0], variables=variables, step=sum(model.step for model in models))
