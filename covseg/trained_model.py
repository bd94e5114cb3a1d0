"""A trained network, from the workdir of its run."""

import dataclasses
import functools
import hashlib
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from covseg.checkpoints import Checkpoints
from covseg.models import create_model
from covseg.optimizers import create_optimizer
from covseg.train_state import create_train_state
from covseg.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class TrainedModel:
  """A network with its weights.

  Attributes:
    name: what the user called it by.
    config: the whole configuration it was trained with.
    network: the Linen module.
    variables: {"params": ..., "batch_stats": ...}, what `network.apply` takes to predict.
    step: updates that the weights have seen.
  """

  name: str
  config: ConfigDict
  network: nn.Module
  variables: dict[str, Any]
  step: int

  @functools.cached_property
  def fingerprint(self) -> str:
    """16 hexadecimal digits that differ between any two sets of weights."""
    digest = hashlib.sha256(str(self.network).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(self.variables):
      digest.update(jax.tree_util.keystr(path).encode())
      digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]


def load(name: str) -> TrainedModel:
  """The best checkpoint of the run in the workdir `name`.

  Raises:
    ValueError: there is no such run, or it has no validated checkpoint.
  """
  workdir = Workdir(name)
  config = workdir.read_config()
  network = create_model(config.model)
  with Checkpoints(workdir.checkpoints, read_only=True) as checkpoints:
    if checkpoints.best_step is None:
      raise ValueError(f"{workdir.path} has no validated checkpoint yet; train it for an epoch.")
    like = create_train_state(
      network,
      create_optimizer(config.optimizer),
      config.seed,
      config.image_size,
      keep_ema=config.optimizer.ema_decay > 0,
    )
    best, _ = checkpoints.restore(checkpoints.best_step, like)
  return TrainedModel(name, config, network, best.variables(), int(best.step))
