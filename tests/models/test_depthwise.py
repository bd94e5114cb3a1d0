import jax
import numpy as np
import pytest

from covseg.models import depthwise, platforms


@pytest.mark.parametrize("padding", [None, "half"])
@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("shape", [(9, 12), (8, 7)])
def test_equals_xlas_grouped_convolution_and_its_gradients(shape, size, stride, padding):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, *shape, 6)).astype(np.float32)
  kernel = rng.normal(size=(size, size, 6)).astype(np.float32)
  padding = size // 2 if padding else None
  pads = [(padding, padding)] * 2 if padding else "SAME"

  def xlas(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel = kernel[:, :, None]
    return jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), pads, dimension_numbers=numbers, feature_group_count=6
    )

  expected, of_xla = jax.vjp(xlas, x, kernel)
  out, of_ours = jax.vjp(lambda x, k: depthwise.depthwise_conv(x, k, stride, padding), x, kernel)
  g = rng.normal(size=expected.shape).astype(np.float32)
  np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
  for a, b in zip(of_ours(g), of_xla(g), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_for_export_it_is_traced_as_the_convolution_that_other_programs_know():
  x, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2), np.float32)
  with platforms.for_export():
    jaxpr = str(jax.make_jaxpr(depthwise.depthwise_conv)(x, kernel))
  assert "feature_group_count=2" in jaxpr
  assert "platform_index" not in jaxpr
