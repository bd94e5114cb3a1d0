"""The depthwise convolution, as fast on a CPU as on an accelerator."""

import functools

import jax
import jax.numpy as jnp

from covseg.models import platforms

Pads = tuple[tuple[int, int], tuple[int, int]]  # Before and after, of rows and of columns.


def depthwise_conv(x: jax.Array, kernel: jax.Array, stride: int = 1, padding: int | None = None) -> jax.Array:
  """Each channel convolved with its own kernel, padded with zeros.

  On a CPU as a sum of shifted products: XLA:CPU takes 20 to 50 times as long for a grouped convolution
  and its gradients.

  Args:
    x: (B, H, W, C).
    kernel: (K, K, C).
    stride: of the output, in pixels.
    padding: pixels on each side, K // 2, as in PyTorch; None for TensorFlow's "SAME", which has fewer of
      them on the left and at the top where the stride is 2.

  Returns:
    (B, ceil(H / stride), ceil(W / stride), C).
  """
  pads = ((padding, padding),) * 2
  if padding is None:
    pads = tuple(jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (stride, stride), "SAME"))

  def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
      x,
      kernel[:, :, None],
      (stride, stride),
      pads,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=x.shape[-1],
    )

  return platforms.choose(x, kernel, cpu=functools.partial(_shifted_products, stride, pads), accelerator=grouped)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _shifted_products(stride: int, pads: Pads, x: jax.Array, kernel: jax.Array) -> jax.Array:
  windows = _windows(x, kernel.shape[0], stride, pads)
  return sum(window * weight for window, weight in zip(windows, _weights(kernel), strict=True))


def _forward(stride: int, pads: Pads, x: jax.Array, kernel: jax.Array):
  return _shifted_products(stride, pads, x, kernel), (x, kernel)


def _backward(stride: int, pads: Pads, saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = saved
  size = kernel.shape[0]
  if stride == 1:  # The products of the mirrored kernel with shifted gradients, which XLA:CPU fuses.
    transposed = tuple((size - 1 - before, size - 1 - after) for before, after in pads)
    windows = _windows(g, size, 1, transposed)
    x_gradient = sum(window * weight for window, weight in zip(windows, _weights(kernel[::-1, ::-1]), strict=True))
  else:
    to_input = jax.linear_transpose(lambda x: _windows(x, size, stride, pads), x)
    (x_gradient,) = to_input([g * weight for weight in _weights(kernel)])
  if jax.device_count() > 1:  # By image does not go with images that lie on several devices.
    sums = jnp.stack([(window * g).sum(axis=(0, 1, 2)) for window in _windows(x, size, stride, pads)])
    return x_gradient, sums.reshape(kernel.shape)

  def add_image(total: jax.Array, image: tuple[jax.Array, jax.Array]):
    x, g = image
    sums = [(window[0] * g).sum(axis=(0, 1)) for window in _windows(x[None], size, stride, pads)]
    return total + jnp.stack(sums), None

  # An image at a time, or XLA would write every window of the whole batch to memory.
  total, _ = jax.lax.scan(add_image, jnp.zeros((size * size, x.shape[-1]), x.dtype), (x, g))
  return x_gradient, total.reshape(kernel.shape)


_shifted_products.defvjp(_forward, _backward)


def _windows(x: jax.Array, size: int, stride: int, pads: Pads) -> list[jax.Array]:
  """What each of size x size kernel weights is multiplied with, of the output's size."""
  b, h, w, c = x.shape
  x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
  rows, columns = ((n - 1) // stride * stride + 1 for n in (h, w))  # From the first output to the last.
  return [
    jax.lax.slice(x, (0, i, j, 0), (b, i + rows, j + columns, c), (1, stride, stride, 1))
    for i in range(size)
    for j in range(size)
  ]


def _weights(kernel: jax.Array) -> list[jax.Array]:
  return list(kernel.reshape(-1, kernel.shape[-1]))
