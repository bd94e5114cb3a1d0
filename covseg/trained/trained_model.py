"""A trained network: one that ships, one from a file, one from the workdir of its run, or several."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from covseg import configuration
from covseg.models import create_model, inference, shapes_of
from covseg.models.ensemble import Ensemble
from covseg.runtime.command_line import UsageError
from covseg.trained import model_files
from covseg.trained.checkpoints import Checkpoints
from covseg.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class TrainedModel:
  """A network with its weights.

  Attributes:
    name: what the user called it by.
    config: the whole configuration it was trained with; of an ensemble, the first network's, with the
      largest image size of all.
    network: the Linen module.
    variables: {"params": ..., "batch_stats": ...}, what `network.apply` takes to predict.
    step: batches that the weights have learnt from; of an ensemble, of all.
    workdir: of the run that trained it; None of a model that ships, of a file, and of an ensemble.
  """

  name: str
  config: ConfigDict
  network: nn.Module
  variables: dict[str, Any]
  step: int
  workdir: Workdir | None = None

  def with_config(self, config: ConfigDict) -> "TrainedModel":
    """The same weights, which predict as another configuration says.

    Raises:
      ValueError: they cannot.
    """
    inference.check(config)
    network = self.network if config.model == self.config.model else create_model(config.model)
    return dataclasses.replace(self, config=config, network=network)

  @functools.cached_property
  def fingerprint(self) -> str:
    """16 hexadecimal digits that differ between any two sets of weights, and ways to predict with them."""
    way = self.config.eval.to_dict()
    del way["batch_size"]  # It decides how fast, not what.
    digest = hashlib.sha256(f"{self.network} {json.dumps(way)}".encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(self.variables):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def load(name: str, changes: Sequence[str] = ()) -> TrainedModel:
  """A model by name: one that ships, a file that `python -m covseg release` wrote, or a run's workdir.

  Args:
    name: what it is called; of a run, it is the best checkpoint. Several, with commas between them, are
      an ensemble: the mean of their logits. The `eval` fields of the first apply.
    changes: how it predicts, where that differs, "eval.FIELD=VALUE" or "model.prune_to=VALUE" each; of an
      ensemble, the first.

  Raises:
    FileNotFoundError, ValueError: there is none of that name, or it is damaged or not yet validated, or
      there is no such field or value.
  """
  first, *others = map(_load, names_of(name))
  first = _change(first, changes) if changes else first
  return ensemble(name, [first, *others]) if others else first


def names_of(models: str) -> list[str]:
  """The models that a text names: one, or several with commas between them.

  Raises:
    ValueError: a name is empty.
  """
  # A comma may be part of a path.
  names = [models] if pathlib.Path(models).expanduser().exists() else models.split(",")
  if "" in names:
    raise ValueError(f"The model {models!r}: expected a name, or several as in best,steady.")
  return names


def _change(trained: TrainedModel, changes: Sequence[str]) -> TrainedModel:
  config = trained.config.copy_and_resolve_references()
  for change in changes:
    configuration.override(config, change, [*(f"eval.{name}" for name in config.eval), "model.prune_to"])
  if not (config.eval.flip or any(change.startswith("eval.match_levels=") for change in changes)):
    config.eval.match_levels = 0.0  # It is of mirror images.
  try:
    return trained.with_config(config)
  except ValueError as error:
    raise UsageError(f"--set {', '.join(changes)}: {error}") from error


def ensemble(name: str, models: Sequence[TrainedModel]) -> TrainedModel:
  """Models as one that averages their logits, as an `Ensemble` does, and else predicts as the first does."""
  sizes = tuple(model.config.image_size for model in models)
  config = models[0].config.copy_and_resolve_references()
  config.image_size = max(sizes)
  variables = {
    kind: {f"networks_{i}": model.variables.get(kind, {}) for i, model in enumerate(models)}
    for kind in ("params", "batch_stats")
  }
  network = Ensemble(tuple(model.network for model in models), sizes)
  return TrainedModel(name, config, network, variables, step=sum(model.step for model in models))


def _load(name: str) -> TrainedModel:
  file = pathlib.Path(name).expanduser()
  if name in model_files.released():
    file = model_files.RELEASED / f"{name}.safetensors"
  if file.suffix == ".safetensors":
    config, variables, step = model_files.load(file)
    return TrainedModel(name, config, create_model(config.model), variables, step)
  workdir = Workdir(name)
  if not workdir.path.is_dir():
    found = "is no file of `release`, which ends in .safetensors" if file.exists() else "is no folder or file"
    raise FileNotFoundError(
      f"The model {name!r} {found}, and no such model ships (those that do: {', '.join(model_files.released())})."
    )
  config = workdir.read_config()
  network = create_model(config.model)
  with Checkpoints(workdir.checkpoints, read_only=True) as checkpoints:
    step = checkpoints.best_step
    if step is None:
      raise ValueError(f"{workdir.path} has no validated checkpoint yet; train it for an epoch.")
    variables = checkpoints.restore_variables(step, shapes_of(network), config.optimizer.ema_decay > 0)
  return TrainedModel(name, config, network, variables, step, workdir)
