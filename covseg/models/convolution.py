"""The 3x3 and 2x2 convolutions of the networks, with gradients that are fast on a CPU, too."""

import jax
import jax.numpy as jnp

from covseg.models import platforms

# By the kernel's size: where input and output channels together are no more than this, XLA:CPU's gradient for the
# kernel is slower than the one below (3x3: by 1.4 to 2.6 times, U-Net at 256 and 128 pixels on 2 cores).
_NARROW = {2: 384, 3: 64}


@jax.custom_vjp
def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Convolution of stride 1 of an image with one pixel of zeros around it.

  Args:
    x: (B, H, W, C).
    kernel: (3, 3, C, F) or (2, 2, C, F).

  Returns:
    (B, H, W, F) of the former, (B, H + 1, W + 1, F) of the latter.
  """
  return _conv(x, kernel)


def _conv(x: jax.Array, kernel: jax.Array, padding: int = 1) -> jax.Array:
  after = padding
  if len(kernel) == 2 and padding:  # Input and output of equal size: XLA:CPU's own gradient for the kernel is faster.
    x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    after = 0
  pads = ((padding, after),) * 2
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _forward(x: jax.Array, kernel: jax.Array):
  return conv(x, kernel), (x, kernel)


def _backward(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  size = len(kernel)
  x_gradient = _conv(g, kernel[::-1, ::-1].swapaxes(2, 3), padding=size - 2)
  # By image does not go with images that lie on several devices.
  if x.shape[-1] + g.shape[-1] <= _NARROW[size] and jax.device_count() == 1:
    kernel_gradient = platforms.choose(x, g, cpu=_kernel_gradient_by_image, accelerator=_kernel_gradient)
  else:
    kernel_gradient = _kernel_gradient(x, g)
  return x_gradient, kernel_gradient


conv.defvjp(_forward, _backward)


def _kernel_gradient(x: jax.Array, g: jax.Array) -> jax.Array:
  """Gradient for the kernel, (K, K, C, F), as XLA derives it."""
  size = _kernel_size(x, g)
  kernel = jax.ShapeDtypeStruct((size, size, x.shape[-1], g.shape[-1]), x.dtype)
  (gradient,) = jax.linear_transpose(lambda kernel: _conv(x, kernel), kernel)(g)
  return gradient


def _kernel_gradient_by_image(x: jax.Array, g: jax.Array) -> jax.Array:
  """The same as one matrix product per image.

  With x shifted by each of the K columns and g by each of the K rows, the gradient is the product of
  pixels x (K, C) and pixels x (K, F): K * K small products in one of a size that is fast.
  """
  size = _kernel_size(x, g)
  _, h, _, c = x.shape
  w, f = g.shape[2:]
  rows_added = size - 2  # Above and below g, so that it has K - 1 rows more than x.

  def add_image(total: jax.Array, image: tuple[jax.Array, jax.Array]):
    x, g = image
    x = jnp.pad(x.transpose(2, 0, 1), ((0, 0), (0, 0), (1, 1)))  # (C, H, W + 2)
    g = jnp.pad(g, ((rows_added, rows_added), (0, 0), (0, 0)))
    columns = jnp.concatenate([x[:, :, i : i + w] for i in range(size)])  # (K C, H, W')
    rows = jnp.concatenate([g[i : i + h] for i in reversed(range(size))], axis=-1)  # (H, W', K F)
    product = jnp.matmul(columns.reshape(size * c, -1), rows.reshape(-1, size * f), preferred_element_type=jnp.float32)
    return total + product, None

  total, _ = jax.lax.scan(add_image, jnp.zeros((size * c, size * f)), (x, g))
  return total.reshape(size, c, size, f).transpose(2, 0, 1, 3).astype(x.dtype)


def _kernel_size(x: jax.Array, g: jax.Array) -> int:
  """K of the kernel: 3 if g is as high as x, 2 if it is a row higher."""
  return 3 - (g.shape[1] - x.shape[1])
