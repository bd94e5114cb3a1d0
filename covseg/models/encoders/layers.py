"""Layers of encoders that come from PyTorch: their padding is symmetric, also where the stride is 2."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from covseg.models.batch_norm import BatchNorm

# Mean and standard deviation of ImageNet, of red, green and blue, and of grey between them.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = 0.449, 0.226


class GreyStem(nn.Module):
  """First convolution, of stride 2, of grey images (B, H, W, 1) in [0, 1] -> (B, H/2, W/2, features).

  With the kernel that `grey_kernel` makes of an RGB kernel, it equals the RGB convolution of the image
  repeated in three channels, each normalised by its mean and standard deviation on ImageNet, at the cost of
  one channel. The kernel's first plane is for the image, normalised as grey; its second one is for a plane of
  ones, the same for all images: it makes up for the three means, which are not that of grey. No bias could
  take its place at the border, where zeros pad.
  """

  features: int
  kernel_size: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      k, _, _, features = shape
      kernel = nn.initializers.he_normal()(key, (k, k, 1, features))
      return jnp.concatenate([kernel, jnp.zeros_like(kernel)], axis=2)

    shape = (self.kernel_size, self.kernel_size, 2, self.features)
    kernel = self.param("grey_kernel", init, shape).astype(images.dtype)
    ones = jnp.ones_like(images[:1])  # Of one image: it is the same for all.
    return _strided(((images - GREY_MEAN) / GREY_STD), kernel[:, :, :1]) + _strided(ones, kernel[:, :, 1:])


def grey_kernel(rgb: np.ndarray) -> np.ndarray:
  """Kernel (K, K, 2, F) of `GreyStem`, float32, that does what an RGB kernel (K, K, 3, F) does.

  As (grey - mean) / std = (z * GREY_STD + GREY_MEAN - mean) / std in each channel, for z normalised as grey.
  """
  rgb = rgb.astype(np.float64)
  mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
  planes = np.stack([GREY_STD / std, (GREY_MEAN - mean) / std])  # (2, 3)
  return np.einsum("pc,hwcf->hwpf", planes, rgb).astype(np.float32)


def _strided(x: jax.Array, kernel: jax.Array) -> jax.Array:
  pad = len(kernel) // 2
  numbers = ("NHWC", "HWIO", "NHWC")
  return jax.lax.conv_general_dilated(x, kernel, (2, 2), [(pad, pad)] * 2, dimension_numbers=numbers)


def conv(x: jax.Array, features: int, size: int, *, stride: int = 1, name: str) -> jax.Array:
  """Convolution without bias, padded by half its size."""
  init = nn.initializers.he_normal()
  return nn.Conv(features, (size, size), stride, size // 2, use_bias=False, kernel_init=init, dtype=x.dtype, name=name)(
    x
  )


def norm(x: jax.Array, train: bool, name: str) -> jax.Array:
  """Batch norm."""
  return BatchNorm(name=name)(x, train)


def max_pool(x: jax.Array) -> jax.Array:
  """Maximum of 3x3 windows at stride 2, (B, 2H, 2W, C) -> (B, H, W, C), of values that are not negative.

  Rows first, then columns, of strided slices; see `blocks.max_pool` for why.
  """
  _, h, w, _ = x.shape
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  x = jnp.maximum(jnp.maximum(x[:, 0:h:2], x[:, 1 : h + 1 : 2]), x[:, 2 : h + 2 : 2])
  return jnp.maximum(jnp.maximum(x[:, :, 0:w:2], x[:, :, 1 : w + 1 : 2]), x[:, :, 2 : w + 2 : 2])


def relu6(x: jax.Array) -> jax.Array:
  """min(max(x, 0), 6). Unlike `jnp.clip`, it has a gradient that does not divide."""
  six = jnp.full((), 6, x.dtype)
  return jnp.where(x > 0, jnp.where(x < six, x, six), jnp.zeros((), x.dtype))
