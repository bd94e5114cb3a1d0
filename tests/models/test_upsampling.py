import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covseg.models import platforms
from covseg.models.upsampling import upsampled_conv3x3
from covseg.runtime import compilation
from tests.conftest import ROOT


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


def test_half_precision_is_near_float32_and_stays_what_it_is():
  rng = np.random.default_rng(0)
  x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in ((1, 4, 4, 3), (3, 3, 3, 2)))
  y, transposed = jax.vjp(upsampled_conv3x3, x, None, kernel)
  gradients = transposed(y)
  assert {array.dtype for array in jax.tree.leaves((y, gradients))} == {jnp.dtype(jnp.bfloat16)}
  x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
  expected, of_expected = jax.vjp(_written_out, x, None, kernel)
  for a, b in zip((y, *jax.tree.leaves(gradients)), (expected, *jax.tree.leaves(of_expected(expected))), strict=True):
    np.testing.assert_allclose(a.astype(jnp.float32), b, atol=0.02 * np.abs(b).max())


@pytest.mark.parametrize("platform, kernels", [("cpu", ["2x2x2x8", "3x3x1x2"]), ("cuda", ["3x3x3x2"])])
def test_an_accelerator_keeps_its_native_convolution(platform, kernels):
  x, skip, kernel = (np.ones(shape, np.float32) for shape in ((1, 4, 4, 2), (1, 8, 8, 1), (3, 3, 3, 2)))
  lowered = jax.jit(upsampled_conv3x3).trace(x, skip, kernel).lower(lowering_platforms=(platform,)).as_text()
  convolutions = [line for line in lowered.splitlines() if "stablehlo.convolution(" in line]
  assert all(f"tensor<{kernel}xf32>) ->" in line for kernel, line in zip(kernels, convolutions, strict=True))


def test_for_export_it_is_one_convolution():
  x, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
  with platforms.for_export():
    # A function of its own: what JAX has traced before, it does not trace again.
    jaxpr = str(jax.make_jaxpr(lambda *arguments: upsampled_conv3x3(*arguments))(x, None, kernel))
  assert jaxpr.count("conv_general_dilated") == 1


def test_gradients_are_the_same_on_several_devices():
  program = """
import jax, numpy as np
from covseg.models.upsampling import upsampled_conv3x3
from covseg.runtime import devices
from tests.models.test_upsampling import _written_out
mesh = devices.create_mesh(4)
assert mesh.size == 4
rng = np.random.default_rng(0)
x, skip, g = (rng.normal(size=(4, n, n, c)).astype(np.float32) for n, c in ((3, 5), (6, 2), (6, 6)))
kernel = rng.normal(size=(3, 3, 7, 6)).astype(np.float32)
gradients = jax.jit(lambda conv, x, skip, g: jax.vjp(conv, x, skip, kernel)[1](g), static_argnums=0)
shared = gradients(upsampled_conv3x3, *devices.split_over_batch(mesh, (x, skip, g)))
assert len(shared[0].sharding.device_set) == 4
for a, b in zip(gradients(_written_out, x, skip, g), shared, strict=True):
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
"""
  flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
  subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env={**os.environ, **flags})
