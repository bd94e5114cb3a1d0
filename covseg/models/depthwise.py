"""The depthwise convolution, as fast on a CPU as on an accelerator."""

import jax
import jax.numpy as jnp


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

  size = kernel.shape[0]
  h, w = x.shape[1:3]
  pads = jax.lax.padtype_to_pads((h, w), (size, size), (stride, stride), "SAME")
  if padding is not None:
    pads = [(padding, padding)] * 2

  def shifted_products(x: jax.Array, kernel: jax.Array) -> jax.Array:
    b, _, _, c = x.shape
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = ((n - 1) // stride * stride + 1 for n in (h, w))  # From the first output to the last.
    out = jnp.zeros((), x.dtype)
    for i in range(size):
      for j in range(size):
        window = jax.lax.slice(x, (0, i, j, 0), (b, i + rows, j + columns, c), (1, stride, stride, 1))
        out += window * kernel[i, j]
    return out

  def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
      x,
      kernel[:, :, None],
      (stride, stride),
      pads,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
      feature_group_count=x.shape[-1],
    )

  return jax.lax.platform_dependent(x, kernel, cpu=shifted_products, default=grouped)
