import pathlib

import jax
import numpy as np
import pytest

from covseg import compilation


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 48)])
@pytest.mark.parametrize("features", [(1, 8), (3, 5), (24, 16)])
def test_fast_kernels_give_the_convolution_and_gradients_of_the_plain_ones(size, features):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, features[0])).astype(np.float32)
  kernel = rng.normal(size=(3, 3, *features)).astype(np.float32)
  weights = rng.normal(size=(2, *size, features[1])).astype(np.float32)

  def value_and_gradients(x, kernel):
    def weighted_sum(x, kernel):
      y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
      return (y * weights).sum(), y

    return jax.value_and_grad(weighted_sum, argnums=(0, 1), has_aux=True)(x, kernel)

  plain = jax.jit(value_and_gradients)(x, kernel)
  fast = compilation.jit(value_and_gradients)(x, kernel)
  for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(fast), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_an_option_that_this_jaxlib_lacks_is_done_without(monkeypatch, caplog):
  monkeypatch.setattr(compilation, "_CPU_OPTIONS", {"xla_cpu_no_such_option": "1"})
  compilation._compiler_options.cache_clear()
  assert compilation.jit(lambda x: x + 1)(1) == 2
  assert "lacks the fast CPU kernels" in caplog.text
  compilation._compiler_options.cache_clear()


def test_the_cache_of_the_environment_is_kept(monkeypatch, tmp_path):
  before = jax.config.jax_compilation_cache_dir
  try:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    compilation.enable_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.enable_cache()
    folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
    assert folder.is_relative_to(tmp_path / "cache" / "covseg")
  finally:
    jax.config.update("jax_compilation_cache_dir", before)
