"""Trained models as single files: safetensors with the configuration in the header.

Kernels are kept in float16, what has one dimension (biases, norms) in float32, so that a file is half as
large as the weights.
"""

import os
import pathlib
from typing import Any

import flax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from ml_collections import ConfigDict

from configs import default
from covseg import configuration
from covseg.models import create_model, shapes_of
from covseg.trained import encoder_weights
from covseg.workdir import write_whole

RELEASED = pathlib.Path(__file__).parent / "released"


def released() -> list[str]:
  """Names of the models that ship with the project."""
  return sorted(file.stem for file in RELEASED.glob("*.safetensors"))


def save(path: pathlib.Path, config: ConfigDict, variables: dict[str, Any], step: int) -> None:
  """Writes a trained model into a file. Fields that name files of this machine are reset."""
  tensors = {
    name: np.asarray(x, np.float16 if x.ndim > 1 else np.float32)
    for name, x in flax.traverse_util.flatten_dict(variables, sep="/").items()
  }
  config = config.copy_and_resolve_references()
  config.dataset.data_dir = config.dataset.manual_dir = config.init_from = ""  # They are of one machine.
  if config.dataset.exclude != config.dataset.name:  # Else it is the list that ships with the dataset.
    config.dataset.exclude = ""
  config.model.encoder_weights = config.loss.teacher = ""
  config.loss.teacher_weight = default.get_config().loss.teacher_weight
  about = {"config": configuration.to_json(config), "step": str(step)}
  write_whole(path, safetensors.numpy.save(tensors, metadata=about))


def load(path: str | os.PathLike) -> tuple[ConfigDict, dict[str, Any], int]:
  """Configuration, variables (float32) and step of a file that `save` wrote.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is damaged, or not of this kind, or of a later version of this project.
  """
  try:
    with safetensors.safe_open(path, "numpy") as file:
      about = file.metadata() or {}
      tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config, step = configuration.from_json(about["config"]), int(about["step"])
  except KeyError as error:
    raise ValueError(
      f"{path} is not a model that covseg wrote: its header has no {error}. If it has the weights of an encoder, train "
      "from it with --config.model.encoder_weights."
    ) from error
  except (safetensors.SafetensorError, ValueError) as error:
    raise ValueError(f"{path} is not a model that covseg wrote: {error}") from error
  shapes = shapes_of(create_model(config.model))
  expected = {name: x.shape for name, x in flax.traverse_util.flatten_dict(shapes, sep="/").items()}
  encoder_weights.check_tensors(path, {name: x.shape for name, x in tensors.items()}, expected)
  tensors = {name: jnp.asarray(x, jnp.float32) for name, x in tensors.items()}
  return config, flax.traverse_util.unflatten_dict(tensors, sep="/"), step
