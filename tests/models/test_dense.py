import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covseg.models.dense import dense


@pytest.mark.parametrize("channels", [(3, 8), (8, 3), (5, 5), (1, 4)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_and_gradients_are_those_of_a_matrix_product(channels, dtype):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(2, 5, 3, channels[0])), dtype)
  kernel = jnp.asarray(rng.normal(size=channels), dtype)
  weights = jnp.asarray(rng.normal(size=(2, 5, 3, channels[1])), dtype)

  def loss(product):
    of = lambda x, kernel: (product(x, kernel) * weights).sum()  # noqa: E731
    return jax.jit(jax.value_and_grad(of, argnums=(0, 1)))(x, kernel)

  tolerance = 1e-5 if dtype == "float32" else 0.05
  for a, b in zip(jax.tree.leaves(loss(dense)), jax.tree.leaves(loss(jnp.matmul)), strict=True):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a.astype("f"), b.astype("f"), rtol=tolerance, atol=tolerance)
