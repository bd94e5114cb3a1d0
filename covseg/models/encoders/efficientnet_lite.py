"""EfficientNet-Lite (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).

EfficientNet (Tan and Le 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation, with ReLU6.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np

from covseg.models.batch_norm import BatchNorm
from covseg.models.dense import Dense
from covseg.models.depthwise import depthwise_conv
from covseg.models.encoders.layers import relu6

# Kernel size, stride of the first block, expansion, output features of each stage.
_STAGES = (
  (3, 1, 1, 16),
  (3, 2, 6, 24),
  (5, 2, 6, 40),
  (3, 2, 6, 80),
  (5, 1, 6, 112),
  (5, 2, 6, 192),
  (3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
  """The encoder without its classifier; 3.0 M parameters (Lite0) or 3.7 M (Lite1).

  Its features have 16, 24, 40, 112 and 320 channels. A grey image is an RGB one of equal channels, each
  normalised as (255 x - 127) / 128, so the first kernel is the sum of the RGB kernel over its channels.

  Attributes:
    repeats: blocks of each stage: (1, 2, 2, 3, 3, 4, 1) for Lite0, (1, 3, 3, 4, 4, 5, 1) for Lite1.
  """

  repeats: tuple[int, ...]

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
    x = (images * 255 - 127) / 128
    x = nn.Conv(32, (3, 3), strides=2, use_bias=False, dtype=x.dtype, name="stem")(x)
    x = relu6(_norm(x, train, "stem_norm"))
    features = []
    block = 0
    for repeats, (kernel_size, stride, expansion, width) in zip(self.repeats, _STAGES, strict=True):
      if stride == 2:
        features.append(x)
      for repeat in range(repeats):
        x = _InvertedResidual(kernel_size, stride if repeat == 0 else 1, expansion, width, name=f"block_{block}")(
          x, train
        )
        block += 1
    return [*features, x]

  def names_for_import(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of timm or efficientnet-lite-pytorch under the names of this module; torchvision has none."""
    if "conv_stem.weight" in state:
      state = {self._of_timm(name): x for name, x in state.items()}
    return {_in_our_names(name): x for name, x in state.items() if not name.startswith(("_conv_head.", "_bn1."))}

  def _of_timm(self, name: str) -> str:
    """blocks.1.0.conv_dw.weight -> _blocks.1._depthwise_conv.weight, as in efficientnet-lite-pytorch."""
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    layers = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1"}
    layers |= {"conv_pwl": "_project_conv", "bn3": "_bn2"}
    first_layers = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    match name.split("."):
      case ["blocks", stage, i, layer, leaf]:
        block = sum(self.repeats[: int(stage)]) + int(i)
        return f"_blocks.{block}.{(layers if block else first_layers).get(layer, layer)}.{leaf}"
      case [layer, leaf]:
        return f"{ends.get(layer, layer)}.{leaf}"
    return name


class _InvertedResidual(nn.Module):
  """Expansion, depthwise convolution and linear projection (Sandler et al. 2018, figure 3b)."""

  kernel_size: int
  stride: int
  expansion: int
  features: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    width = x.shape[-1] * self.expansion
    y = x
    if self.expansion > 1:
      y = Dense(width, name="expand")(y)
      y = relu6(_norm(y, train, "expand_norm"))
    shape = (self.kernel_size, self.kernel_size, width)
    init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=(0, 1), out_axis=(), batch_axis=2)
    y = depthwise_conv(y, self.param("depthwise", init, shape).astype(x.dtype), self.stride)
    y = relu6(_norm(y, train, "depthwise_norm"))
    y = Dense(self.features, name="project")(y)
    y = _norm(y, train, "project_norm")
    return x + y if x.shape == y.shape else y


def _norm(x: jax.Array, train: bool, name: str) -> jax.Array:
  return BatchNorm(epsilon=1e-3, name=name)(x, train)


def _in_our_names(name: str) -> str:
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
