"""Encoder weights from torchvision and timm: `python -m covseg import-weights`."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from covseg.models import shapes_of
from covseg.models.encoders import ENCODERS
from covseg.models.encoders.layers import grey_kernel
from covseg.runtime.command_line import UsageError
from covseg.trained import encoder_weights
from input_pipeline.wording import did_you_mean

# Names in PyTorch of what Flax calls otherwise.
_LEAVES = {
  "kernel": "weight",
  "grey_kernel": "weight",
  "scale": "weight",
  "mean": "running_mean",
  "var": "running_var",
}
# What the encoders have no use for: classifiers, and batch norm's counts of batches.
_DROPPED = re.compile(r"(fc|_fc|classifier)\.|.*\.num_batches_tracked$")


def run(file: str, encoder: str, output: str) -> None:
  """Converts a file of weights, and prints what became of it.

  Args:
    file: state dict of torchvision or timm, .safetensors, or .pth, which takes PyTorch to read.
    encoder: a name in `ENCODERS`.
    output: the safetensors file to write.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file cannot be read, or its tensors are not those of the encoder; it names them.
  """
  if encoder not in ENCODERS:
    raise UsageError(f"--encoder={encoder} is not one of {', '.join(ENCODERS)}{did_you_mean(encoder, ENCODERS)}.")
  state = read_state_dict(pathlib.Path(file))
  variables = convert(state, encoder, file)
  target = pathlib.Path(output).expanduser()
  encoder_weights.save(target, variables, {"encoder": encoder, "source": pathlib.Path(file).name})
  size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  print(f"{target}: {encoder}, {size:,} parameters. Train from it with --config.model.encoder_weights={target}")


def convert(state: Mapping[str, np.ndarray], encoder: str, source: str) -> dict[str, Any]:
  """Variables {"params": ..., "batch_stats": ...} of an encoder, of torchvision's or timm's state dict.

  Raises:
    ValueError: tensors are missing, extra or misshapen; it names them, and `source`.
  """
  state = {name: x for name, x in state.items() if not _DROPPED.match(name)}
  module = ENCODERS[encoder]()
  state = module.names_for_import(state)
  leaves = flax.traverse_util.flatten_dict(shapes_of(module))
  expected = {_name_in_torch(path): _shape_in_torch(path, leaf.shape) for path, leaf in leaves.items()}
  encoder_weights.check_tensors(source, {name: array.shape for name, array in state.items()}, expected)
  arrays = {path: _from_torch(path, state[_name_in_torch(path)], leaf.shape) for path, leaf in leaves.items()}
  return flax.traverse_util.unflatten_dict(arrays)


def read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
  """Tensors of a file by name; nothing that it contains is executed.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is not a file of tensors, or takes PyTorch, which is not installed.
  """
  if not path.is_file():
    raise FileNotFoundError(f"There is no file {path}.")
  if path.suffix == ".safetensors":
    try:
      return load_file(path)
    except SafetensorError as error:
      raise ValueError(f"{path} is not a safetensors file: {error}") from error
  try:
    import torch
  except ImportError as error:
    raise ValueError(
      f"To read {path} takes PyTorch (pip install torch), unless it is saved as .safetensors."
    ) from error
  try:
    state = torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # Of many kinds: of pickle, zip and PyTorch.
    raise ValueError(f"{path} is not a file of tensors that PyTorch can read safely: {error}") from error
  if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
    state = state["state_dict"]
  if not (isinstance(state, Mapping) and all(isinstance(tensor, torch.Tensor) for tensor in state.values())):
    raise ValueError(f"{path} holds no state dict, tensors by name, but {type(state).__name__}.")
  return {name: tensor.float().numpy() for name, tensor in state.items()}


def _name_in_torch(path: tuple[str, ...]) -> str:
  """params, layer1_0, conv1, kernel -> layer1.0.conv1.weight."""
  _, *modules, leaf = path
  return ".".join([*(name.replace("_", ".") for name in modules), _LEAVES.get(leaf, leaf)])


def _shape_in_torch(path: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
  match shape:
    case (height, width, _, features) if _is_stem(path):
      return features, 3, height, width
    case (height, width, channels, features):
      return features, channels, height, width
    case (height, width, channels):  # Depthwise.
      return channels, 1, height, width
    case (channels, features):
      return features, channels, 1, 1
  return shape


def _from_torch(path: tuple[str, ...], array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  array = array.astype(np.float32)
  if array.ndim < 4:
    return array
  array = array.transpose(2, 3, 1, 0)  # (F, C, K, K) -> (K, K, C, F)
  if path[-1] == "grey_kernel":
    return grey_kernel(array)
  return array.sum(axis=2, keepdims=True) if _is_stem(path) else array.reshape(shape)


def _is_stem(path: tuple[str, ...]) -> bool:
  """Whether this is the kernel that sees the image, in RGB there and in grey here."""
  return path[-1] == "grey_kernel" or path[1:] == ("stem", "kernel")
