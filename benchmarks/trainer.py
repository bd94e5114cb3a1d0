"""One system of `time_to_dice.py` in a process of its own; it answers each line of standard input with its seconds."""

import argparse
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.process import answer
from configs import fast
from covseg.runtime import command_line
from covseg.training.optimizers import create_schedule

_ENCODER = pathlib.Path(__file__).parents[1] / "covseg/models/encoders/weights/efficientnet_lite0.safetensors"


def recipe(batch_size: int, num_epochs: int, seed: int) -> ConfigDict:
  """What both train by: `configs/fast.py` without the lung head, and flips alone."""
  config = fast.get_config()
  config.seed, config.batch_size, config.num_epochs = seed, batch_size, num_epochs
  config.model.heads = ("infection",)
  for name, transform in config.augment.items():
    transform.probability = 0.5 if name == "flip" else 0.0
  return config


class Covseg:
  """This project, by its own functions."""

  def __init__(self, config: ConfigDict, steps_per_epoch: int):
    import jax

    from covseg.models import create_model, shapes_of
    from covseg.models.inference import predict, to_network
    from covseg.runtime import compilation, devices
    from covseg.training.initialization import given_variables
    from covseg.training.optimizers import create_optimizer
    from covseg.training.train_state import create_train_state
    from covseg.training.train_step import create_train_step

    compilation.set_up()
    model = create_model(config.model)
    optimizer = create_optimizer(config.optimizer, steps_per_epoch, config.num_epochs)
    self._mesh = devices.create_mesh(config.batch_size)
    sharding = devices.replicated(self._mesh)
    given = given_variables(config, shapes_of(model))
    self._state = create_train_state(model, optimizer, config.seed, sharding, keep_ema=True, given=given)
    self._step = create_train_step(config, model, optimizer)
    self._split = devices.split_over_batch
    self._predict = compilation.jit(
      lambda variables, images: jax.nn.sigmoid(predict(model, config.eval, variables, to_network(images))["infection"])
    )

  def step(self, images: np.ndarray, masks: np.ndarray) -> Any:
    """Updates the network; the loss (1,) of uint8 images (B, H, W) and bool masks (B, H, W)."""
    self._state, loss = self._step(self._state, self._split(self._mesh, {"image": images, "mask": masks}))
    return loss

  def probabilities(self, images: np.ndarray) -> np.ndarray:
    """float32 (B, H, W) of uint8 images (B, H, W)."""
    return np.asarray(self._predict(self._state.variables(), images))


class Torch:
  """segmentation_models_pytorch as its users train it: channels_last, AdamW, averages by `lerp`."""

  def __init__(self, config: ConfigDict, steps_per_epoch: int):
    import copy

    import torch

    from benchmarks import networks_torch

    torch.manual_seed(config.seed)
    self._torch, self._config, self._steps = torch, config, 0
    network = networks_torch.create("tf_efficientnet_lite0", base_features=0)
    _load_encoder(network.encoder)
    self._network = network.to(memory_format=torch.channels_last)
    self._average = copy.deepcopy(network).eval()
    decayed, spared = [], []
    for parameter in network.parameters():
      (decayed if parameter.ndim > 1 else spared).append(parameter)
    decay = config.optimizer.weight_decay
    groups = [{"params": decayed, "weight_decay": decay}, {"params": spared, "weight_decay": 0.0}]
    self._optimizer = torch.optim.AdamW(groups, lr=1.0)
    self._schedule = create_schedule(config.optimizer, steps_per_epoch, config.num_epochs)

  def step(self, images: np.ndarray, masks: np.ndarray) -> Any:
    torch = self._torch
    self._network.train()
    rate = float(self._schedule(self._steps))
    for group in self._optimizer.param_groups:
      group["lr"] = rate
    images, masks = self._placed(images), torch.from_numpy(masks)[:, None].float()
    flipped = torch.rand(len(images), 1, 1, 1) < 0.5
    images, masks = (torch.where(flipped, x.flip(3), x) for x in (images, masks))
    self._optimizer.zero_grad()
    loss = self._loss(self._network(images), masks)
    loss.backward()
    self._optimizer.step()
    decay = min(self._config.optimizer.ema_decay, (1 + self._steps) / (10 + self._steps))
    ours, theirs = (list(network.state_dict().values()) for network in (self._average, self._network))
    with torch.no_grad():
      pairs = [(x, y) for x, y in zip(ours, theirs, strict=True) if x.is_floating_point()]
      torch._foreach_lerp_(*map(list, zip(*pairs, strict=True)), 1 - decay)
    self._steps += 1
    return loss.detach()

  def probabilities(self, images: np.ndarray) -> np.ndarray:
    with self._torch.no_grad():
      return self._torch.sigmoid(self._average(self._placed(images)))[:, 0].numpy()

  def _placed(self, images: np.ndarray):
    images = (self._torch.from_numpy(images)[:, None].float() - 127) / 128  # As the encoder's weights expect.
    return images.contiguous(memory_format=self._torch.channels_last)

  def _loss(self, logits, masks):
    """Binary cross-entropy and soft Dice, as `losses.bce_dice`."""
    bce = self._torch.nn.functional.binary_cross_entropy_with_logits(logits, masks)
    probabilities = self._torch.sigmoid(logits)
    overlap = (probabilities * masks).sum((1, 2, 3))
    dice = (2 * overlap + 2) / (probabilities.sum((1, 2, 3)) + masks.sum((1, 2, 3)) + 2)
    return bce + self._config.loss.dice_weight * (1 - dice).mean()


def _load_encoder(encoder) -> None:
  """The ImageNet weights that ship with covseg, into timm's encoder: its layers come in the same order."""
  import torch
  from safetensors.numpy import load_file
  from torch import nn

  tensors = load_file(_ENCODER)
  blocks = 1 + max(int(name.split("block_")[1].split("/")[0]) for name in tensors if "block_" in name)
  parts = ["stem", *(f"block_{i}/{layer}" for i in range(blocks) for layer in ("expand", "depthwise", "project"))]

  def tensor(name: str):
    return next((x for key, x in tensors.items() if key.endswith(name)), None)

  convs = (m for m in encoder.modules() if isinstance(m, nn.Conv2d))
  norms = (m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d))
  with torch.no_grad():
    for part in parts:
      kernel = tensor(f"/{part}/kernel") if "depthwise" not in part else tensor(f"/{part}")
      if kernel is None:  # The first block does not expand.
        continue
      conv, norm = next(convs), next(norms)
      kernel = kernel.astype(np.float32)
      if part == "stem":
        kernel = kernel.transpose(3, 2, 0, 1)
      elif kernel.ndim == 3:  # Depthwise, (K, K, C).
        kernel = kernel.transpose(2, 0, 1)[:, None]
      else:
        kernel = kernel.reshape(kernel.shape[-2:]).T[:, :, None, None]
      if kernel.shape != tuple(conv.weight.shape):
        raise ValueError(f"{part}: {kernel.shape} is not the shape of {conv}.")
      conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
      leaves = {"scale": norm.weight, "bias": norm.bias, "mean": norm.running_mean, "var": norm.running_var}
      for leaf, target in leaves.items():
        target.copy_(torch.from_numpy(tensor(f"/{part}_norm/{leaf}").astype(np.float32)))
      norm.eps = 1e-3


def main() -> None:
  began = time.perf_counter()
  parser = argparse.ArgumentParser()
  parser.add_argument("system", choices=("covseg", "torch"))
  parser.add_argument("--films", type=pathlib.Path, required=True)
  parser.add_argument("--seed", type=int, required=True)
  parser.add_argument("--epochs", type=int, required=True)
  parser.add_argument("--batch_size", type=int, required=True)
  arguments = parser.parse_args()
  if arguments.system == "covseg":
    command_line.use_huge_pages()  # As main.py does.
  with np.load(arguments.films / "films.npz") as films:
    images, masks, validation = films["images"], films["masks"], films["validation"]
  config = recipe(arguments.batch_size, arguments.epochs, arguments.seed)
  steps = len(images) // arguments.batch_size
  trainer = {"covseg": Covseg, "torch": Torch}[arguments.system](config, steps)
  answer(seconds=time.perf_counter() - began)
  rng = np.random.default_rng(arguments.seed)
  for line in sys.stdin:
    what, *path = line.split()
    began = time.perf_counter()
    if what == "epoch":
      order = rng.permutation(len(images))[: steps * arguments.batch_size]
      for chosen in order.reshape(steps, arguments.batch_size):
        loss = trainer.step(images[chosen], masks[chosen])
      if not np.isfinite(np.asarray(loss)).all():
        raise FloatingPointError(f"The loss is {loss}.")
    else:
      batches = _batches(validation, arguments.batch_size)
      found = np.concatenate([trainer.probabilities(batch) for batch in batches])[: len(validation)]
      np.save(path[0], found.astype(np.float16))
    answer(seconds=time.perf_counter() - began)


def _batches(films: np.ndarray, size: int) -> Iterator[np.ndarray]:
  """The films in batches of one size, the last with some repeated."""
  for start in range(0, len(films), size):
    yield np.resize(films[start : start + size], (size, *films.shape[1:]))


if __name__ == "__main__":
  main()
