import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from covseg.training.optimizers import create_optimizer, create_schedule


@pytest.fixture
def config():
  config = default.get_config().optimizer
  config.learning_rate = 0.1
  return config


def _rates(config, epochs, updates_per_epoch=4):
  schedule = create_schedule(config, updates_per_epoch, epochs)
  return np.array([float(schedule(i)) for i in range(epochs * updates_per_epoch)])


def test_constant_rate(config):
  assert _rates(config, 2) == pytest.approx(0.1)


def test_cosine_rises_over_the_warm_up_and_falls_to_zero_at_the_end(config):
  config.schedule, config.warmup_epochs = "cosine", 1.0
  rates = _rates(config, 5)
  np.testing.assert_allclose(rates[:4], [0.025, 0.04375, 0.0625, 0.08125], rtol=1e-5)
  np.testing.assert_allclose(rates[4:], 0.05 * (1 + np.cos(np.pi * np.arange(16) / 16)), rtol=1e-4)


def test_step_falls_by_its_factor_at_the_start_of_every_nth_epoch(config):
  config.schedule, config.step_epochs, config.step_factor = "step", 2, 0.5
  np.testing.assert_allclose(_rates(config, 5), np.repeat([0.1, 0.1, 0.05, 0.05, 0.025], 4), rtol=1e-6)


def _updates(config, gradients, params):
  optimizer = create_optimizer(config)
  state = optimizer.init(params)
  for gradient in gradients:
    updates, state = optimizer.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return params


def _ones(value=1.0):
  return {"encoder": {"kernel": jnp.full((2, 2), value)}, "heads": {"bias": jnp.full(2, value)}}


def test_adam_takes_a_first_step_of_the_rate(config):
  params = _updates(config, [_ones(3.0)], _ones())
  np.testing.assert_allclose(params["heads"]["bias"], 0.9, rtol=1e-5)


@pytest.mark.parametrize("factor, moved", [(0.25, 0.025), (0.0, 0.0)])
def test_encoder_learns_at_its_part_of_the_rate(config, factor, moved):
  config.encoder_factor = factor
  params = _updates(config, [_ones()], _ones())
  np.testing.assert_allclose(params["encoder"]["kernel"], 1 - moved, rtol=1e-5)
  np.testing.assert_allclose(params["heads"]["bias"], 0.9, rtol=1e-5)


def test_adamw_decays_kernels_but_not_biases(config):
  config.name, config.weight_decay = "adamw", 0.5
  params = _updates(config, [_ones(0.0)], _ones())
  np.testing.assert_allclose(params["encoder"]["kernel"], 1 - 0.1 * 0.5, rtol=1e-5)
  np.testing.assert_allclose(params["heads"]["bias"], 1.0)


def test_accumulated_batches_make_the_update_of_their_mean(config):
  together = _updates(config, [_ones(2.0)], _ones())
  config.accumulation_steps = 2
  apart = _updates(config, [_ones(1.0), _ones(3.0)], _ones())
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), together, apart)
  assert (_updates(config, [_ones(1.0)], _ones())["heads"]["bias"] == 1).all()


def test_large_gradients_are_clipped_to_the_norm(config):
  config.clip_norm = 1e-12  # Far below Adam's epsilon, so that the step is visibly smaller.
  params = _updates(config, [_ones()], _ones())
  assert np.abs(1 - params["heads"]["bias"]).max() < 1e-4


@pytest.mark.parametrize("scope", ["heads", "heads_3"])  # Of U-Net++ there are four.
@pytest.mark.parametrize("only", ["presence", "presence,lung"])
def test_some_heads_learn_alone(scope, only):
  config = default.get_config().optimizer
  config.only = only
  heads = {name: {"bias": jnp.ones(2)} for name in ("infection", "lung", "presence")}
  params = {"encoder": {"kernel": jnp.ones(3)}, scope: heads}
  optimizer = create_optimizer(config)
  updates, _ = optimizer.update(params, optimizer.init(params), params)
  moved = jax.tree.map(lambda x: bool(np.any(x)), updates)
  assert moved == {"encoder": {"kernel": False}, scope: {name: {"bias": name in only} for name in heads}}


def test_what_does_not_learn_does_not_count_for_the_clipped_norm():
  config = default.get_config().optimizer
  config.only, config.clip_norm = "presence", 1.0
  params = {"encoder": {"kernel": jnp.ones(3)}, "heads": {"presence": {"bias": jnp.ones(2)}}}
  found = []
  for size in (0.0, 1e6):
    gradients = {"encoder": {"kernel": size * jnp.ones(3)}, "heads": {"presence": {"bias": 1e-8 * jnp.ones(2)}}}
    optimizer = create_optimizer(config)
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    found.append(updates["heads"]["presence"]["bias"])
  np.testing.assert_array_equal(*found)
