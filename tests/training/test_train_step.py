"""What an accelerator would be given to run, as far as it can be told without one."""

import importlib
import re

import jax
import jax.numpy as jnp
import pytest

from covseg.models import create_model
from covseg.training.optimizers import create_optimizer
from covseg.training.train_state import create_train_state
from covseg.training.train_step import MASKS, create_resident_train_steps


@pytest.fixture(scope="module", params=["unet", "best_stage2"])
def program(request):
  """StableHLO, for a GPU, of many training steps of a recipe in bfloat16 over films on the device."""
  config = importlib.import_module(f"configs.{request.param}").get_config()
  config.image_size, config.batch_size, config.model.dtype = 32, 4, "bfloat16"
  config.optimizer.ema_decay = 0.9
  model = create_model(config.model)
  optimizer = create_optimizer(config.optimizer, steps_per_epoch=4, num_epochs=2)
  state = create_train_state(model, optimizer, config.seed, keep_ema=True)
  films = {"image": jax.ShapeDtypeStruct((8, 32, 32), jnp.uint8)}
  for head in set(config.model.heads) & set(MASKS):
    films[MASKS[head]] = jax.ShapeDtypeStruct((8, 32, 32), jnp.bool_)
  order = jax.ShapeDtypeStruct((16, 4), jnp.int32)
  steps = create_resident_train_steps(config, model, optimizer)
  return state, steps.trace(state, films, order, 16).lower(lowering_platforms=("cuda",)).as_text()


def test_convolutions_but_those_of_the_heads_compute_in_bfloat16_and_the_state_is_float32(program):
  state, text = program
  convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
  of_heads = [line for line in convolutions if "x1xf32>" in line]
  assert len(convolutions) > 30 > 10 > len(of_heads)  # Forward, and both gradients.
  assert not any("xf32>" in line for line in set(convolutions) - set(of_heads))
  assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} == {"float32", "int32"}


def test_many_steps_run_in_one_loop_without_the_host_and_give_up_the_state(program):
  state, text = program
  assert "stablehlo.while" in text
  assert not re.search(r"custom_call @\S*(callback|infeed|outfeed)", text)
  given_up = text.count("tf.aliasing_output") + text.count("jax.buffer_donor")
  assert given_up == len(jax.tree.leaves(state))
