import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covseg.models import platforms
from covseg.models.upsampling import upsampled_conv3x3
from covseg.runtime import compilation


def _written_out(x, skip, kernel):
  x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
  x = x if skip is None else jnp.concatenate([x, skip], axis=-1)
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 6)])
@pytest.mark.parametrize("of_x, of_skip, features", [(1, 1, 8), (5, 3, 4), (40, 24, 36), (6, 0, 3)])
def test_equals_the_convolution_of_pixels_repeated_and_its_gradients(size, of_x, of_skip, features):
  rng = np.random.default_rng(0)

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)

  x, kernel = normal(2, *size, of_x), normal(3, 3, of_x + of_skip, features)
  skip = normal(2, 2 * size[0], 2 * size[1], of_skip) if of_skip else None
  g = normal(2, 2 * size[0], 2 * size[1], features)

  def value_and_gradients(conv):
    y, transposed = jax.vjp(conv, x, skip, kernel)
    return y, transposed(g)

  expected = jax.jit(lambda: value_and_gradients(_written_out))()
  ours = compilation.jit(lambda: value_and_gradients(upsampled_conv3x3))()
  for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(ours), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


def test_half_precision_stays_what_it_is():
  x, kernel = jnp.ones((1, 4, 4, 3), jnp.bfloat16), jnp.ones((3, 3, 3, 2), jnp.bfloat16)
  y, transposed = jax.vjp(upsampled_conv3x3, x, None, kernel)
  assert {array.dtype for array in jax.tree.leaves((y, transposed(y)))} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("platform, convolutions", [("cpu", 1), ("cuda", 1)])
def test_an_accelerator_keeps_its_native_convolution(platform, convolutions):
  x, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
  lowered = jax.jit(upsampled_conv3x3).trace(x, None, kernel).lower(lowering_platforms=(platform,))
  assert lowered.as_text().count("stablehlo.convolution(") == convolutions


def test_for_export_it_is_one_convolution():
  x, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
  with platforms.for_export():
    jaxpr = str(jax.make_jaxpr(lambda *arguments: upsampled_conv3x3(*arguments))(x, None, kernel))
  assert jaxpr.count("conv_general_dilated") == 1
