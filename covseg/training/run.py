"""What a training is made of, fixed from its start to its end."""

import dataclasses
from typing import Any

import flax.linen as nn
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from covseg.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Run:
  """A training; its state is `TrainState`.

  Attributes:
    config: the whole configuration.
    workdir: where it leaves its files.
    model: the network.
    optimizer: with the course of its learning rate.
    mesh: the devices.
    given: variables that it starts from, of other models; those that are absent start at random.
  """

  config: ConfigDict
  workdir: Workdir
  model: nn.Module
  optimizer: optax.GradientTransformation
  mesh: Mesh
  given: dict[str, Any]
