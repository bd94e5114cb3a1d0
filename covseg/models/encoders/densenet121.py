"""DenseNet-121 (Huang et al. 2017, https://arxiv.org/abs/1608.06993), as torchvision lays it out."""

import re
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from covseg.models.encoders.layers import GreyStem, conv, max_pool, norm

_LAYERS = (6, 12, 24, 16)
_GROWTH = 32


class DenseNet121(nn.Module):
  """DenseNet-121 without its classifier; 7.0 M parameters.

  Its features have 64, 256, 512, 1024 and 1024 channels.
  """

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> list[jax.Array]:
    x = GreyStem(64, 7, name="features_conv0")(images)
    x = nn.relu(norm(x, train, "features_norm0"))
    features = [x]
    x = max_pool(x)
    for block, layers in enumerate(_LAYERS, start=1):
      for layer in range(1, layers + 1):
        new = _DenseLayer(name=f"features_denseblock{block}_denselayer{layer}")(x, train)
        x = jnp.concatenate([x, new], axis=-1)
      if block == len(_LAYERS):
        break
      x = nn.relu(norm(x, train, f"features_transition{block}_norm"))
      features.append(x)
      x = conv(x, x.shape[-1] // 2, 1, name=f"features_transition{block}_conv")
      b, h, w, c = x.shape
      x = x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
    return [*features, norm(x, train, "features_norm5")]

  @staticmethod
  def names_for_import(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of torchvision or timm under torchvision's names."""
    # Older files of torchvision have denselayer1.norm.1.weight.
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name): x for name, x in state.items()}


class _DenseLayer(nn.Module):
  """The features that a layer adds, (B, H, W, 32)."""

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    x = conv(nn.relu(norm(x, train, "norm1")), 4 * _GROWTH, 1, name="conv1")
    return conv(nn.relu(norm(x, train, "norm2")), _GROWTH, 3, name="conv2")
