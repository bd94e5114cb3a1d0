"""Nearest-neighbour upsampling, and the convolution that follows it, at half the cost on a CPU."""

import jax
import jax.numpy as jnp

from covseg.models import platforms
from covseg.models.convolution import conv


def upsample(x: jax.Array) -> jax.Array:
  """Each pixel repeated over 2x2, (B, H, W, C) -> (B, 2H, 2W, C)."""
  b, h, w, c = x.shape
  x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
  return x.reshape(b, 2 * h, 2 * w, c)


def upsampled_conv3x3(x: jax.Array, skip: jax.Array | None, kernel: jax.Array) -> jax.Array:
  """3x3 convolution, with zero padding, of upsampled features and of a skip beside them.

  On a CPU, the upsampled features are never written: of x, an output pixel sees 2x2 pixels, so it takes 4 products a
  channel in place of 9.

  Args:
    x: (B, H, W, C).
    skip: (B, 2H, 2W, S); None for no skip.
    kernel: (3, 3, C + S, F).

  Returns:
    (B, 2H, 2W, F).
  """
  return platforms.choose(x, skip, kernel, cpu=_without_upsampling, accelerator=_as_written)


def _as_written(x: jax.Array, skip: jax.Array | None, kernel: jax.Array) -> jax.Array:
  x = upsample(x)
  return conv(x if skip is None else jnp.concatenate([x, skip], axis=-1), kernel)


def _without_upsampling(x: jax.Array, skip: jax.Array | None, kernel: jax.Array) -> jax.Array:
  b, h, w, c = x.shape
  f = kernel.shape[-1]
  # The 2x2 pixels of x around a corner decide the 2x2 output pixels around it.
  weights = _around_corners(_around_corners(kernel[:, :, :c].astype(jnp.float32), 0), 1)  # (2, 2, C, 2, 2, F)
  y = conv(x, weights.reshape(2, 2, c, 4 * f).astype(x.dtype))  # (B, H + 1, W + 1, 4F)
  y = y.reshape(b, h + 1, w + 1, 2, 2, f).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h + 2, 2 * w + 2, f)
  y = y[:, 1:-1, 1:-1]
  return y if skip is None else y + conv(skip, kernel[:, :, c:])


def _around_corners(kernel: jax.Array, axis: int) -> jax.Array:
  """Weights of two pixels before upsampling, (..., 2, ..., 2, F), from those of three after it, (..., 3, ..., F).

  Last axis but one: for the output pixel before the border between the two pixels, and for the one after it.
  """
  first, second, third = jnp.split(kernel, 3, axis)
  before = jnp.concatenate([first + second, third], axis)
  after = jnp.concatenate([first, second + third], axis)
  return jnp.stack([before, after], axis=-2)
