import jax
import numpy as np
import pytest

from covseg.models import depthwise, platforms


@pytest.mark.parametrize("padding", [None, "half"])
@pytest.mark.parametrize("size, stride, shape", [(3, 1, (9, 12)), (3, 2, (8, 7)), (5, 1, (8, 7)), (5, 2, (9, 12))])
def test_equals_xlas_grouped_convolution_and_its_gradients(shape, size, stride, padding):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, *shape, 6)).astype(np.float32)
  kernel = rng.normal(size=(size, size, 6)).astype(np.float32)
  padding = size // 2 if padding else None
  pads = [(padding, padding)] * 2 if padding else "SAME"
  g = rng.normal(size=(3, -(-shape[0] // stride), -(-shape[1] // stride), 6)).astype(np.float32)

  def xlas(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel = kernel[:, :, None]
    return jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), pads, dimension_numbers=numbers, feature_group_count=6
    )

  @jax.jit
  def with_gradients(x, kernel, g):
    ours, theirs = (
      jax.vjp(function, x, kernel) for function in (lambda x, k: depthwise.depthwise_conv(x, k, stride, padding), xlas)
    )
    return (ours[0], *ours[1](g)), (theirs[0], *theirs[1](g))

  for found, expected in zip(*with_gradients(x, kernel, g), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_for_export_it_is_traced_as_the_convolution_that_other_programs_know():
  x, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2), np.float32)
  with platforms.for_export():
    jaxpr = str(jax.make_jaxpr(depthwise.depthwise_conv)(x, kernel))
  assert "feature_group_count=2" in jaxpr
  assert "platform_index" not in jaxpr
