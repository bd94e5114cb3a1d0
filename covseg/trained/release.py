"""A trained model for others to use, in one file: `python -m covseg release`."""

import dataclasses
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from covseg.runtime.command_line import UsageError
from covseg.trained import model_files, trained_model
from covseg.trained.trained_model import TrainedModel

# Kernels of separate trainings have a cosine of about 0, those of runs that go on from the same weights one near 1;
# small ones may have any.
_LEAST_COSINE, _LEAST_KERNEL = 0.2, 1000


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
    _check_related(models[0], other)
  variables = jax.tree.map(lambda *x: sum(x) / len(x), *(model.variables for model in models))
  return dataclasses.replace(models[0], variables=variables, step=sum(model.step for model in models))


def _check_related(first: TrainedModel, other: TrainedModel) -> None:
  """Raises ValueError if a kernel of two networks has nothing in common: the mean of such weights predicts nothing."""
  pairs = zip(jax.tree.leaves(first.variables["params"]), jax.tree.leaves(other.variables["params"]), strict=True)
  kernels = [(np.ravel(x), np.ravel(y)) for x, y in pairs if x.ndim == 4 and x.size >= _LEAST_KERNEL]
  cosines = [x @ y / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-12) for x, y in kernels]
  if min(cosines, default=1.0) < _LEAST_COSINE:
    raise ValueError(
      f"{first.name} and {other.name} were not trained on from the same weights, so the mean of their weights would "
      f"predict nothing (cosine {min(cosines):.2f} between two kernels). The mean of their predictions needs no file: "
      "--model=A,B."
    )
