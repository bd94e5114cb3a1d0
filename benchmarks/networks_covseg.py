"""This project's networks, fed and trained by its own functions."""

import time

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import default, efficientnet_lite0_unet, resnet_unet
from covseg.models import create_model
from covseg.models.inference import to_network
from covseg.runtime import compilation, devices
from covseg.training import feeding
from covseg.training.optimizers import create_optimizer
from covseg.training.run import Run
from covseg.training.train_state import create_train_state
from covseg.training.train_step import create_train_step
from covseg.workdir import Workdir
from input_pipeline.batches import TrainingOrder
from input_pipeline.films import Film


def config_of(network: str, base_features: int) -> ConfigDict:
  """The configuration of "unet", "efficientnet_lite0" or "resnet34"; `base_features` are the U-Net's."""
  files = {"unet": default, "efficientnet_lite0": efficientnet_lite0_unet, "resnet34": resnet_unet}
  config = files[network].get_config()
  config.model.encoder_weights = ""
  if network == "unet":
    config.model.base_features = base_features
  return config


class System:
  """What `worker.py` measures."""

  def __init__(self, network: str, base_features: int, bfloat16: bool):
    compilation.set_up()
    self.about = f"covseg on JAX {jax.__version__}, {jax.devices()[0].device_kind} x {jax.device_count()}"
    self._config = config_of(network, base_features)
    self._config.model.dtype = "bfloat16" if bfloat16 else "float32"
    self._model = create_model(self._config.model)
    self._optimizer = create_optimizer(self._config.optimizer)
    self._step = create_train_step(self._config, self._model, self._optimizer)
    self._state = self._mesh = self._take_steps = None
    self._infer = compilation.jit(
      lambda variables, images: jax.nn.sigmoid(
        self._model.apply(variables, to_network(images), train=False)["infection"]
      )
    )

  def place(self, images: np.ndarray, masks: np.ndarray):
    if self._state is None:
      self._mesh = devices.create_mesh(len(images))
      sharding = devices.replicated(self._mesh)
      self._state = create_train_state(self._model, self._optimizer, 0, sharding)
    return devices.split_over_batch(self._mesh, {"image": images, "mask": masks})

  def train_step(self, batch) -> jax.Array:
    self._state, loss = self._step(self._state, batch)
    return loss

  def infer(self, batch) -> jax.Array:
    return self._infer(self._state.variables(), batch["image"])

  def epoch(self, images: np.ndarray, masks: np.ndarray, batch_size: int) -> float:
    if self._take_steps is None:  # Compiled before the clock starts, as the other systems are.
      self._config.image_size, self._config.batch_size = images.shape[1], batch_size
      order = TrainingOrder(np.ones(len(images), bool), batch_size, seed=0)
      self._take_steps = feeding.create_take_steps(
        Run(self._config, Workdir("unused"), self._model, self._optimizer, self._mesh, given={}),
        _InMemory(images, masks),
        order,
        int(self._state.step),
        self._state,
      )
      self._state, losses = self._take_steps(self._state, 1)
      self.wait(losses)
    steps_left = len(images) // batch_size
    began = time.perf_counter()
    while steps_left:
      self._state, losses = self._take_steps(self._state, steps_left)
      steps_left -= len(losses)
    self.wait(losses)
    return time.perf_counter() - began

  def wait(self, result: jax.Array) -> None:
    jax.block_until_ready(result)

  def device_bytes(self) -> int:
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


class _InMemory:
  """Arrays in the place of a reader of records."""

  has_lung_masks = False
  opacity_classes = ()

  def __init__(self, images: np.ndarray, masks: np.ndarray):
    self._images, self._masks = images, masks
    self.image_size = self.mask_size = images.shape[1]

  def __len__(self) -> int:
    return len(self._images)

  def report_notes(self) -> None:
    pass

  def __getitem__(self, i: int) -> Film:
    return Film(self._images[i], self._masks[i], None, str(i), "")
