"""The weights that a run starts from, where they are not random."""

import pathlib
from typing import Any

import flax
import numpy as np
from ml_collections import ConfigDict

from covseg.models import encoders
from covseg.models.heads import SCOPE_OF_HEADS
from covseg.trained import encoder_weights, trained_model

_SHIPPED = pathlib.Path(encoders.__file__).parent / "weights"


def given_variables(config: ConfigDict, variables: dict[str, Any]) -> dict[str, Any]:
  """Those variables of a network that the configuration takes from elsewhere; the others start at random.

  `init_from`, another model, gives all but the heads that it lacks; `model.encoder_weights` the encoder.

  Args:
    config: the whole configuration.
    variables: {"params": ..., "batch_stats": ...} of the network, or their shapes.

  Raises:
    FileNotFoundError, ValueError: there are no such weights, or they are not of this network.
  """
  if config.init_from:
    return _from_model(trained_model.load(config.init_from), variables)
  path = _encoder_weights_file(config.model)
  if path is None:
    return {}
  encoder = encoder_weights.load(path, {part: tree["encoder"] for part, tree in variables.items()})
  return {part: {"encoder": encoder[part]} for part in variables}


def _encoder_weights_file(model: ConfigDict) -> pathlib.Path | None:
  """The file that `config.model.encoder_weights` names; None if it is empty.

  Raises:
    FileNotFoundError: there is no such file.
  """
  name = model.encoder_weights
  if not name:
    return None
  path = _SHIPPED / f"{model.encoder}.safetensors" if name == "imagenet" else pathlib.Path(name).expanduser()
  if not path.exists():
    shipped = ", ".join(sorted(file.stem for file in _SHIPPED.glob("*.safetensors")))
    raise FileNotFoundError(
      f"model.encoder_weights={name!r}: there is no file {path}. Weights ship for {shipped}; others are "
      "converted by python -m covseg import-weights."
    )
  return path


def _from_model(trained: trained_model.TrainedModel, variables: dict[str, Any]) -> dict[str, Any]:
  ours = flax.traverse_util.flatten_dict(variables, sep="/")
  theirs = flax.traverse_util.flatten_dict(trained.variables, sep="/")
  body, found = (
    {name: x.shape for name, x in tensors.items() if not SCOPE_OF_HEADS.fullmatch(name.split("/")[1])}
    for tensors in (ours, theirs)
  )
  encoder_weights.check_tensors(trained.name, found, body)
  # As numpy arrays: those of a run are on one device, and training may use several.
  taken = {name: np.asarray(x) for name, x in theirs.items() if name in ours}
  return flax.traverse_util.unflatten_dict(taken, sep="/")
