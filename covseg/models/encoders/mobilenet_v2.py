"""MobileNetV2 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), as torchvision lays it out."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np

from covseg.models.depthwise import depthwise_conv
from covseg.models.encoders.layers import GreyStem, conv, norm, relu6

# Expansion, output features, repeats, stride of the first.
_STAGES = (
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
  """MobileNetV2 of width 1 without its classifier; 2.2 M parameters.

  Its features have 16, 24, 32, 96 and 1280 channels.
  """

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
    x = relu6(norm(GreyStem(32, 3, name="features_0_0")(images), train, "features_0_1"))
    features, index = [], 1
    for expansion, width, repeats, stride in _STAGES:
      if stride == 2:
        features.append(x)
      for i in range(repeats):
        block = _InvertedResidual(expansion, width, stride if i == 0 else 1, name=f"features_{index}")
        x = block(x, train)
        index += 1
    x = conv(x, 1280, 1, name=f"features_{index}_0")
    return [*features, relu6(norm(x, train, f"features_{index}_1"))]

  @staticmethod
  def names_for_import(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of torchvision, of an older version of it, or timm under torchvision's names."""
    if "conv_stem.weight" in state:
      return {_of_timm(name): x for name, x in state.items()}
    if "features.1.conv.4.weight" in state:
      return {_of_older_torchvision(name): x for name, x in state.items()}
    return dict(state)


class _InvertedResidual(nn.Module):
  """Expansion, depthwise convolution and linear projection (figure 3b of the paper)."""

  expansion: int
  features: int
  stride: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y, index = x, 0
    if self.expansion > 1:
      y = conv(y, self.expansion * x.shape[-1], 1, name="conv_0_0")
      y, index = relu6(norm(y, train, "conv_0_1")), 1
    y = _Depthwise(self.stride, name=f"conv_{index}_0")(y)
    y = relu6(norm(y, train, f"conv_{index}_1"))
    y = norm(conv(y, self.features, 1, name=f"conv_{index + 1}"), train, f"conv_{index + 2}")
    return x + y if x.shape == y.shape else y


class _Depthwise(nn.Module):
  """3x3 depthwise convolution."""

  stride: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=(0, 1), out_axis=(), batch_axis=(2, 3))
    kernel = self.param("kernel", init, (3, 3, 1, x.shape[-1])).astype(x.dtype)
    return depthwise_conv(x, kernel[:, :, 0], self.stride, padding=1)


def _of_timm(name: str) -> str:
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


def _of_older_torchvision(name: str) -> str:
  """features.2.conv.3.weight -> features.2.conv.1.0.weight: there, the layers of a block are in one row."""
  numbers = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
  first_numbers = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
  match name.split("."):
    case ["features", block, "conv", number, leaf]:
      number = (first_numbers if block == "1" else numbers).get(number, number)
      return f"features.{block}.conv.{number}.{leaf}"
  return name
