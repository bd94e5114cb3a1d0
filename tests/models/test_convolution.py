import jax
import numpy as np
import pytest

from covseg.models import convolution
from covseg.runtime import compilation


def _value_and_gradients(conv, x, kernel, weights):
  def weighted_sum(x, kernel):
    y = conv(x, kernel)
    return (y * weights).sum(), y

  return jax.value_and_grad(weighted_sum, argnums=(0, 1), has_aux=True)(x, kernel)


@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 48)])
@pytest.mark.parametrize("features", [(1, 8), (3, 5), (24, 40), (200, 190)])
def test_convolution_and_gradients_are_those_of_plain_xla(size, features, kernel_size):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, features[0])).astype(np.float32)
  kernel = rng.normal(size=(kernel_size, kernel_size, *features)).astype(np.float32)
  output_size = [n + 3 - kernel_size for n in size]
  weights = rng.normal(size=(2, *output_size, features[1])).astype(np.float32)

  def plain(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), [(1, 1), (1, 1)], dimension_numbers=numbers)

  expected = jax.jit(_value_and_gradients, static_argnums=0)(plain, x, kernel, weights)
  ours = compilation.jit(_value_and_gradients, static_argnums=0)(convolution.conv, x, kernel, weights)
  for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(ours), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


def test_a_gpu_keeps_its_native_gradient():
  x = jax.ShapeDtypeStruct((2, 16, 16, 8), np.float32)
  kernel = jax.ShapeDtypeStruct((3, 3, 8, 8), np.float32)
  gradient = jax.jit(jax.grad(lambda x, k: convolution.conv(x, k).sum(), argnums=1))
  for platform, loops in (("cpu", True), ("cuda", False)):
    text = gradient.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.while" in text) == loops
