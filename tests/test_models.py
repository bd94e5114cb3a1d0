import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from covseg.models import NETWORKS, blocks, create_model

# At 32 base features and one input channel. U-Net: the 7,763,041 parameters of
# mateuszbuda/brain-segmentation-pytorch, which has three input channels, less 2 * 3 * 3 * 32.
PARAMETERS = {"unet": 7_762_465}


def _initialized(name, **fields):
  config = default.get_config().model
  config.name = name
  config.update(fields)
  model = create_model(config)
  images = jnp.zeros((1, 32, 32, 1))
  return model, jax.jit(lambda: model.init(jax.random.key(0), images, train=False))()


def test_every_network_is_tested():
  assert PARAMETERS.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_count(name):
  _, variables = _initialized(name)
  assert sum(x.size for x in jax.tree.leaves(variables["params"])) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (16, 64), (5, 3)])
def test_logits_have_the_size_of_the_images(name, size):
  model, variables = _initialized(name, base_features=2)
  logits = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, jnp.ones((2, *size, 1)))
  assert logits["infection"].shape == (2, *size, 1)
  assert logits["infection"].dtype == jnp.float32
  assert np.isfinite(logits["infection"]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_is_used_within_and_float32_outside(name):
  model, variables = _initialized(name, base_features=4)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}
  images = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
  full = jax.jit(lambda: model.apply(variables, images, train=False))()["infection"]
  half_model = model.clone(dtype="bfloat16")
  half = jax.jit(lambda: half_model.apply(variables, images, train=False))()["infection"]
  assert half.dtype == jnp.float32
  assert 0 < np.abs(half - full).max() < 0.05 * np.abs(full).max()
  _, updated = jax.eval_shape(
    lambda: half_model.apply(variables, images, train=True, mutable=["batch_stats"])
  )
  assert {x.dtype for x in jax.tree.leaves(updated)} == {np.dtype("float32")}


def test_up_convolution_is_a_transposed_convolution():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
  variables = blocks.UpConv(3).init(jax.random.key(0), x)
  kernel, bias = np.asarray(variables["params"]["kernel"]), rng.normal(size=3).astype(np.float32)
  expected = np.zeros((2, 10, 12, 3), np.float32) + bias
  for dy in range(2):
    for dx in range(2):
      expected[:, dy::2, dx::2] += x @ kernel[:, dy, dx]
  out = blocks.UpConv(3).apply({"params": {"kernel": kernel, "bias": bias}}, x)
  np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
