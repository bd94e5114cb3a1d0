"""The benchmarks call functions of the project as it is today."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks import networks_covseg, startup, trainer
from benchmarks.process import Process
from covseg.training import run_log, train

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 32, 32)).astype(np.uint8)
MASKS = IMAGES > 200


def test_the_system_that_is_compared_trains_and_predicts():
  system = networks_covseg.System("unet", base_features=2, bfloat16=False)
  batch = system.place(IMAGES[:4], MASKS[:4])
  assert np.isfinite(system.train_step(batch)).all()
  assert np.asarray(system.infer(batch)).shape == (4, 32, 32, 1)
  assert system.epoch(IMAGES, MASKS, batch_size=4) > 0


def test_the_trainer_of_minutes_to_a_dice_learns(tiny_config):
  config = trainer.recipe(batch_size=4, num_epochs=2, seed=0)
  config.model = tiny_config.model
  system = trainer.Covseg(config, steps_per_epoch=2)
  losses = [float(system.step(IMAGES[:4], MASKS[:4])[0]) for _ in range(8)]
  assert losses[-1] < losses[0]
  assert system.probabilities(IMAGES[:4]).shape == (4, 32, 32)


def test_the_trainer_starts_from_the_weights_that_ship():
  config = trainer.recipe(batch_size=4, num_epochs=2, seed=0)
  system = trainer.Covseg(config, steps_per_epoch=2)
  (expected,) = (x for name, x in load_file(trainer._ENCODER).items() if name.endswith("/block_3/project/kernel"))
  found = system._state.params["encoder"]["block_3"]["project"]["kernel"]
  np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_what_the_start_is_timed_by_exists():
  for module, name in ((train, "create_take_steps"), (run_log.RunLog, "steps")):
    assert f".{name} =" in startup._UNTIL_FIRST_STEPS
    assert callable(getattr(module, name))


def test_a_system_that_ends_early_says_why():
  with pytest.raises(RuntimeError, match="invalid choice: 'nothing'"):
    Process("benchmarks.worker", ["nothing"])
