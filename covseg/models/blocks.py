"""Building blocks that the networks share. Arrays are (B, H, W, C).

They compute in the type of their input, float32 or bfloat16; parameters, and the statistics of batch
norm, are float32.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from covseg.models.batch_norm import BatchNorm
from covseg.models.convolution import conv
from covseg.models.dense import dense
from covseg.models.upsampling import upsampled_conv3x3

NORMS = ("batch", "group")


class Conv3x3(nn.Module):
  """3x3 convolution of stride 1 with zero padding and no bias."""

  features: int

  @nn.compact
  def __call__(self, x: jax.Array | None, coarse: jax.Array | None = None) -> jax.Array:
    """The convolution, (B, H, W, features), of x, or of coarse features that are upsampled first, or of both.

    Args:
      x: (B, H, W, C); None for coarse features alone.
      coarse: (B, H/2, W/2, D), whose channels come before those of x.
    """
    inputs = [features for features in (coarse, x) if features is not None]
    shape = (3, 3, sum(features.shape[-1] for features in inputs), self.features)
    kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(inputs[0].dtype)
    return conv(x, kernel) if coarse is None else upsampled_conv3x3(coarse, x, kernel)


class DoubleConv(nn.Module):
  """Twice a 3x3 convolution, norm and ReLU.

  Attributes:
    features: its channels.
    norm: "batch", or "group" (Wu and He 2018), with the largest number of groups that divides 8 and the channels.
  """

  features: int
  norm: str = "batch"

  @nn.compact
  def __call__(self, x: jax.Array | None, train: bool, coarse: jax.Array | None = None) -> jax.Array:
    """(B, H, W, features) of x and coarse features, as `Conv3x3` takes them."""
    for i in range(2):
      # The norm has a shift of its own, so the convolution needs no bias.
      x = Conv3x3(self.features)(x, None if i else coarse)
      if self.norm == "group":
        x = nn.GroupNorm(math.gcd(8, self.features), epsilon=1e-5, dtype=x.dtype)(x)
      else:
        x = BatchNorm()(x, train)
      x = nn.relu(x)
    return x


class UpConv(nn.Module):
  """2x2 transposed convolution of stride 2, (B, H, W, C) -> (B, 2H, 2W, features).

  Its windows do not overlap, so it is a dense layer whose output is spread over 2x2 pixels; on a CPU
  the gradients of that are several times as fast.
  """

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, h, w, c = x.shape
    init = nn.initializers.lecun_normal(in_axis=0, out_axis=(1, 2, 3))
    kernel = self.param("kernel", init, (c, 2, 2, self.features))
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    kernel, bias = kernel.reshape(c, -1).astype(x.dtype), bias.astype(x.dtype)
    x = dense(x, kernel).reshape(b, h, w, 2, 2, self.features) + bias
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, self.features)


def resize(x: jax.Array, size: tuple[int, int], align_corners: bool = False) -> jax.Array:
  """(B, H, W, C) at another size, bilinear, with antialiasing, as matrix products that take any batch.

  Args:
    x: what is resized.
    size: the new H and W.
    align_corners: whether the centres of the corner pixels stay in the corners, as PyTorch calls it; else
      the corners of those pixels do, as in `jax.image.resize`. Only for a size that is no smaller.
  """
  if x.shape[1:3] == size:
    return x

  def weights(n: int, m: int) -> np.ndarray:
    """(m, n) of n pixels in each of m."""
    middles = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    positions = np.linspace(0, n - 1, m) if align_corners else middles
    of_pixels = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(n)) / max(1, n / m))
    return (of_pixels / of_pixels.sum(axis=1, keepdims=True)).astype(x.dtype)

  return jnp.einsum("bhwc,ih,jw->bijc", x, *map(weights, x.shape[1:3], size))


def max_pool(x: jax.Array) -> jax.Array:
  """Maximum of each 2x2 window, (B, 2H, 2W, C) -> (B, H, W, C).

  As the maximum of four strided slices, whose gradient on a CPU takes an eighth of the time of that of
  `nn.max_pool`. It differs only where pixels of a window are equal: they share the gradient.
  """
  a, b, c, d = (x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
  return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d))


def pad_to_multiple(images: jax.Array, divisor: int) -> jax.Array:
  """Images (B, H, W, C) with their last rows and columns repeated until `divisor` divides H and W."""
  _, h, w, _ = images.shape
  # Not by jnp.pad, whose edges the ONNX converter gets wrong.
  images = jnp.concatenate([images, *[images[:, -1:]] * (-h % divisor)], axis=1)
  return jnp.concatenate([images, *[images[:, :, -1:]] * (-w % divisor)], axis=2)
