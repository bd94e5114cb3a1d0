import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from covseg.models.batch_norm import BatchNorm


@pytest.mark.parametrize("shape", [(4, 7, 5, 6), (2, 1, 3, 1), (8, 16, 16, 3)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_statistics_and_gradients_are_those_of_flax(shape, dtype):
  rng = np.random.default_rng(0)
  x, weights = jnp.asarray(rng.normal(3, 2, shape), dtype), rng.normal(size=shape).astype("f")
  ours = BatchNorm(epsilon=1e-3)
  plain = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-3, dtype=dtype)
  variables = ours.init(jax.random.key(0), x, True)
  variables = jax.tree.map(lambda v: v + 0.1 * rng.normal(size=v.shape).astype("f"), variables)

  def loss(apply):
    def of(params, x):
      y, updated = apply({**variables, "params": params}, x)
      return (y.astype("float32") * weights).sum(), (y, updated)

    return jax.jit(jax.value_and_grad(of, argnums=(0, 1), has_aux=True))(variables["params"], x)

  found = loss(lambda v, x: ours.apply(v, x, True, mutable=["batch_stats"]))
  expected = loss(lambda v, x: plain.apply(v, x, mutable=["batch_stats"]))
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  tolerance = 1e-4 if dtype == "float32" else 0.05
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a.astype("float32"), b.astype("float32"), rtol=tolerance, atol=tolerance)

  evaluated = ours.apply(variables, x, False)
  expected = nn.BatchNorm(use_running_average=True, epsilon=1e-3, dtype=dtype).apply(variables, x)
  np.testing.assert_allclose(evaluated.astype("f"), expected.astype("f"), rtol=tolerance, atol=tolerance)
