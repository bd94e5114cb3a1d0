"""What a training is made of, fixed from its start to its end."""

import dataclasses

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
  """

  config: ConfigDict
  workdir: Workdir
  model: nn.Module
  optimizer: optax.GradientTransformation
  mesh: Mesh
