"""Building blocks that the networks share. Arrays are (B, H, W, C).

They compute in the type of their input, float32 or bfloat16; parameters, and the statistics of batch
norm, are float32.
"""

import math
import re
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from covseg.models.batch_norm import BatchNorm
from covseg.models.convolution import conv
from covseg.models.dense import dense
from covseg.models.upsampling import upsampled_conv3x3

NORMS = ("batch", "group")
HEADS = ("infection", "lung", "involvement", "presence")
# Heads that predict no pixels.
HEADS_OF_FILMS = ("involvement", "presence")
# Names of the modules `Heads` in networks: one, or, with deep supervision, several.
SCOPE_OF_HEADS = re.compile(r"heads(_\d+)?")


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


class Heads(nn.Module):
  """What a network predicts: float32 logits {head: (B, H, W, 1)} of what is segmented, by 1x1 convolutions.

  Two heads predict no pixels. "presence" is of the whole film, (B, 1, 1, 1), from the means and maxima of the
  coarsest features. "involvement" is of each lung, (B, 1, 2, 1), the one on the left of the film first: whether
  it has an infection, from the means and maxima of all coarse features in that lung, as the head "lung"
  predicts it.
  """

  heads: tuple[str, ...] = ("infection",)

  @nn.compact
  def __call__(self, x: jax.Array, coarse: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Logits of the finest features, (B, H, W, C), and of coarse ones, from fine to coarse."""
    x, *coarse = (features.astype(jnp.float32) for features in (x, *coarse))
    logits = {}
    for head in self.heads:
      if head == "presence":
        features = jnp.concatenate([pool(coarse[-1], axis=(1, 2), keepdims=True) for pool in (jnp.mean, jnp.max)], -1)
      elif head == "involvement":
        lungs = jax.nn.sigmoid(jax.lax.stop_gradient(logits["lung"]))
        features = jnp.concatenate([_pool_lungs(level, lungs) for level in coarse], axis=-1)
      else:
        features = x
      logits[head] = nn.Conv(1, (1, 1), name=head)(features)
    return logits


def split_lungs(lungs: jax.Array) -> jax.Array:
  """Masks of both lungs, (B, H, W, 1) in [0, 1], apart: (B, H, W, 2), the one on the left of the film first.

  They are cut at the column of their centroid, which lies between them.
  """
  columns = jnp.arange(lungs.shape[2])[:, None]  # (W, 1)
  area = jnp.maximum(lungs.sum(axis=(1, 2), keepdims=True), 1e-6)
  is_left = columns < (lungs * columns).sum(axis=(1, 2), keepdims=True) / area
  return lungs * jnp.concatenate([is_left, ~is_left], axis=-1)


def _pool_lungs(features: jax.Array, lungs: jax.Array) -> jax.Array:
  """Mean and maximum in each lung, (B, 1, 2, 2C), of features (B, h, w, C) and lungs (B, H, W, 1)."""
  lungs = resize(split_lungs(lungs), features.shape[1:3])
  means = jnp.einsum("bhwl,bhwc->blc", lungs, features)
  means /= jnp.maximum(lungs.sum(axis=(1, 2))[..., None], 1e-3)
  maxima = jnp.stack([(lungs[..., i : i + 1] * features).max(axis=(1, 2)) for i in (0, 1)], axis=1)
  return jnp.concatenate([means, maxima], axis=-1)[:, None]


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
