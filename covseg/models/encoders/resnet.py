"""ResNet (He et al. 2016, https://arxiv.org/abs/1512.03385), as torchvision lays it out."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np

from covseg.models.encoders.layers import GreyStem, conv, max_pool, norm

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ResNet(nn.Module):
  """ResNet without its classifier; 11.2, 21.3 or 23.5 M parameters.

  Its features have 64, 64, 128, 256 and 512 channels, at depth 50 they have 64, 256, 512, 1024 and 2048.

  Attributes:
    depth: 18, 34 or 50 layers.
  """

  depth: int

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
    x = nn.relu(norm(GreyStem(64, 7, name="conv1")(images), train, "bn1"))
    features = [x]
    x = max_pool(x)
    block = _Bottleneck if self.depth == 50 else _BasicBlock
    for layer, repeats in enumerate(_BLOCKS[self.depth]):
      for i in range(repeats):
        stride = 2 if layer > 0 and i == 0 else 1
        x = block(64 * 2**layer, stride, name=f"layer{layer + 1}_{i}")(x, train)
      features.append(x)
    return features

  @staticmethod
  def names_for_import(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of torchvision or timm under torchvision's names."""
    return dict(state)


class _BasicBlock(nn.Module):
  """Two 3x3 convolutions beside the identity."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = nn.relu(norm(conv(x, self.features, 3, stride=self.stride, name="conv1"), train, "bn1"))
    y = norm(conv(y, self.features, 3, name="conv2"), train, "bn2")
    return nn.relu(_shortcut(x, y, self.stride, train) + y)


class _Bottleneck(nn.Module):
  """A 1x1, a 3x3 (which has the stride, as in torchvision) and a 1x1 convolution beside the identity."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = nn.relu(norm(conv(x, self.features, 1, name="conv1"), train, "bn1"))
    y = nn.relu(norm(conv(y, self.features, 3, stride=self.stride, name="conv2"), train, "bn2"))
    y = norm(conv(y, 4 * self.features, 1, name="conv3"), train, "bn3")
    return nn.relu(_shortcut(x, y, self.stride, train) + y)


def _shortcut(x: jax.Array, y: jax.Array, stride: int, train: bool) -> jax.Array:
  """x in the shape of y; within a compact method."""
  if x.shape == y.shape:
    return x
  return norm(conv(x, y.shape[-1], 1, stride=stride, name="downsample_0"), train, "downsample_1")
