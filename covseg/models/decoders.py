"""Decoders: an encoder's features at strides 2, 4, 8, 16 and 32 in, one array of features out."""

import flax.linen as nn
import jax

from covseg.models import blocks
from covseg.models.upsampling import upsample


class UNetDecoder(nn.Module):
  """Features of stride 1 where it has five levels, of stride 2 where it has four.

  Attributes:
    features: channels of each level, from stride 16 to finer ones.
  """

  features: tuple[int, ...]

  @nn.compact
  def __call__(self, encoded: list[jax.Array], train: bool) -> jax.Array:
    *skips, x = encoded
    for features in self.features:
      x = blocks.DoubleConv(features)(skips.pop() if skips else None, train, coarse=x)
    return x


class FPNDecoder(nn.Module):
  """Features of stride 4: a feature pyramid (Lin et al. 2017, https://arxiv.org/abs/1612.03144) whose levels
  are scaled up to it and added (Kirillov et al. 2019, https://arxiv.org/abs/1901.02446).

  The pyramid has 256 channels, the result 128, a fifth of which is dropped in training.
  """

  @nn.compact
  def __call__(self, encoded: list[jax.Array], train: bool) -> jax.Array:
    total = top = None
    for level in (5, 4, 3, 2):  # Of stride 2**level.
      x = encoded[level - 1]
      lateral = nn.Dense(256, dtype=x.dtype, name=f"lateral_{level}")(x)
      top = lateral if top is None else lateral + upsample(top)
      y = self._scale_up(top, level)
      total = y if total is None else total + y
    # Of an image, a channel is dropped everywhere or nowhere.
    return nn.Dropout(0.2, broadcast_dims=(1, 2), deterministic=not train)(total)

  def _scale_up(self, x: jax.Array, level: int) -> jax.Array:
    """A level of the pyramid at stride 4, by a convolution before each doubling; at least by one."""
    for i in range(max(1, level - 2)):
      x = blocks.Conv3x3(128, name=f"conv_{level}_{i}")(x)
      x = nn.GroupNorm(32, epsilon=1e-5, dtype=x.dtype, name=f"norm_{level}_{i}")(x)
      x = nn.relu(x)
      if level > 2:
        x = blocks.resize(x, (2 * x.shape[1], 2 * x.shape[2]), align_corners=True)
    return x


DECODERS = {"unet": UNetDecoder, "fpn": FPNDecoder}
