"""Encoder weights from torchvision and timm: `python -m covseg import-weights`."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from covseg.models.encoders import ENCODERS
from covseg.models.encoders.layers import grey_kernel
from covseg.trained import encoder_weights

# Names in PyTorch of what Flax calls otherwise.
_LEAVES = {
  "kernel": "weight",
  "grey_kernel": "weight",
  "scale": "weight",
  "mean": "running_mean",
  "var": "running_var",
}
# What the encoders have no use for: classifiers, and batch norm's counts of batches.
_DROPPED = re.compile(r"(fc|_fc|classifier|_conv_head|_bn1)\.|.*\.num_batches_tracked$")


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
  state = read_state_dict(pathlib.Path(file))
  variables = convert(state, encoder, file)
  target = pathlib.Path(output).expanduser()
  target.parent.mkdir(parents=True, exist_ok=True)
  encoder_weights.save(target, variables, {"encoder": encoder, "source": pathlib.Path(file).name})
  size = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
  print(
    f"{target}: {encoder}, {size:,} parameters. Train from it with --config.model.encoder_weights={target}"
  )


def convert(state: Mapping[str, np.ndarray], encoder: str, source: str) -> dict[str, Any]:
  """Variables {"params": ..., "batch_stats": ...} of an encoder, of torchvision's or timm's state dict.

  Raises:
    ValueError: tensors are missing, extra or misshapen; it names them, and `source`.
  """
  state = {name: x for name, x in state.items() if not _DROPPED.match(name)}
  state = _in_torchvisions_names(state, encoder)
  module = ENCODERS[encoder]()
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)), train=False))
  leaves = flax.traverse_util.flatten_dict(shapes)
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


def _in_torchvisions_names(state: Mapping[str, np.ndarray], encoder: str) -> dict[str, np.ndarray]:
  """The tensors under torchvision's names; timm, and its own older files, differ here and there."""
  if encoder == "densenet121":  # As in denselayer1.norm.1.weight.
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): x for name, x in state.items()}
  if encoder == "efficientnet_lite0":
    return {_of_efficientnet_lite(name): x for name, x in state.items()}
  if encoder == "mobilenet_v2" and "conv_stem.weight" in state:
    return {_of_timms_mobilenet(name): x for name, x in state.items()}
  if encoder == "mobilenet_v2" and "features.1.conv.4.weight" in state:
    return {_of_older_mobilenet(name): x for name, x in state.items()}
  return dict(state)


def _of_timms_mobilenet(name: str) -> str:
  """blocks.1.0.conv_dw.weight -> features.2.conv.1.0.weight."""
  ends = {"conv_stem": "0.0", "bn1": "0.1", "conv_head": "18.0", "bn2": "18.1"}
  layers = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
  first_layers = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
  match name.split("."):
    case ["blocks", stage, i, layer, leaf]:
      block = 1 + sum((1, 2, 3, 4, 3, 3, 1)[: int(stage)]) + int(i)
      number = (first_layers if block == 1 else layers).get(layer, layer)
      return f"features.{block}.conv.{number}.{leaf}"
    case [layer, leaf] if layer in ends:
      return f"features.{ends[layer]}.{leaf}"
  return name


def _of_efficientnet_lite(name: str) -> str:
  """_blocks.3._depthwise_conv.weight -> block.3.depthwise, _bn0.bias -> stem.norm.bias."""
  norms = {"_bn0": "expand.norm", "_bn1": "depthwise.norm", "_bn2": "project.norm"}
  match name.split("."):
    case ["_blocks", i, "_depthwise_conv", "weight"]:
      return f"block.{i}.depthwise"
    case ["_blocks", i, layer, leaf]:
      return f"block.{i}.{norms.get(layer, layer.strip('_').removesuffix('_conv'))}.{leaf}"
    case ["_conv_stem", leaf]:
      return f"stem.{leaf}"
    case ["_bn0", leaf]:
      return f"stem.norm.{leaf}"
  return name


def _of_older_mobilenet(name: str) -> str:
  """features.2.conv.3.weight -> features.2.conv.1.0.weight: there, the layers of a block are in one row."""
  numbers = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
  first_numbers = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
  match name.split("."):
    case ["features", block, "conv", number, leaf]:
      number = (first_numbers if block == "1" else numbers).get(number, number)
      return f"features.{block}.conv.{number}.{leaf}"
  return name
