"""Several trained networks as one."""

import dataclasses

import jax
import numpy as np
import pytest

from covseg.trained import model_files, release, trained_model
from tests.random_variables import random_variables

IMAGES = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)


def _logits(trained, head="infection"):
  return np.asarray(trained.network.apply(trained.variables, IMAGES, train=False)[head])


def test_an_ensemble_is_the_mean_of_the_logits_of_its_models_each_at_its_size(whole_run, recipe_run):
  first, second = trained_model.load(str(whole_run)), trained_model.load(str(recipe_run))
  ensemble = trained_model.load(f"{whole_run},{recipe_run}", ["eval.threshold=0.3"])
  assert (ensemble.config.image_size, ensemble.config.eval.threshold) == (32, 0.3)
  np.testing.assert_allclose(_logits(ensemble), (_logits(first) + _logits(second)) / 2, rtol=1e-5, atol=1e-5)

  small = dataclasses.replace(second, config=second.config.copy_and_resolve_references())
  small.config.image_size = 16
  seen = jax.image.resize(IMAGES, (2, 16, 16, 1), "bilinear")
  theirs = second.network.apply(second.variables, seen, train=False)["infection"]
  theirs = jax.image.resize(theirs, (2, 32, 32, 1), "bilinear")
  mixed = trained_model.ensemble("mixed", [first, small])
  np.testing.assert_allclose(_logits(mixed), (_logits(first) + theirs) / 2, rtol=1e-4, atol=1e-5)


def test_an_ensemble_tells_what_any_of_its_models_tells(whole_run, recipe_run):
  """The one has no lung head."""
  alone, both = (trained_model.load(name) for name in (str(recipe_run), f"{whole_run},{recipe_run}"))
  np.testing.assert_allclose(_logits(both, "lung"), _logits(alone, "lung"), rtol=1e-5, atol=1e-5)


def test_of_several_models_the_mean_of_their_weights_is_released(whole_run, tmp_path):
  first = trained_model.load(str(whole_run))
  doubled = jax.tree.map(lambda x: 2 * x, first.variables)
  model_files.save(tmp_path / "doubled.safetensors", first.config, doubled, first.step)
  names = f"{whole_run},{tmp_path}/doubled.safetensors"
  release.run(names, str(tmp_path / "mean.safetensors"), ["eval.threshold=0.3"])
  mean = trained_model.load(str(tmp_path / "mean.safetensors"))
  assert (mean.config.eval.threshold, mean.step) == (0.3, 2 * first.step)
  for x, y in zip(jax.tree.leaves(mean.variables), jax.tree.leaves(first.variables), strict=True):
    np.testing.assert_allclose(x, 1.5 * y, rtol=2e-3, atol=1e-6)  # Of float16.


def test_a_path_with_a_comma_is_released(whole_run, tmp_path):
  (tmp_path / "a, b").symlink_to(whole_run)
  release.run(str(tmp_path / "a, b"), str(tmp_path / "model.safetensors"), [])
  assert trained_model.load(str(tmp_path / "model.safetensors")).step == trained_model.load(str(whole_run)).step


def test_weights_of_different_networks_are_not_averaged(whole_run, recipe_run, tmp_path):
  with pytest.raises(ValueError, match="different networks"):
    release.run(f"{whole_run},{recipe_run}", str(tmp_path / "mean.safetensors"), [])
  assert not list(tmp_path.iterdir())


def test_weights_of_separate_trainings_are_not_averaged(whole_run, tmp_path):
  first = trained_model.load(str(whole_run))
  other = random_variables(first.network)
  model_files.save(tmp_path / "other.safetensors", first.config, other, first.step)
  with pytest.raises(ValueError, match="were not trained on from the same weights"):
    release.run(f"{whole_run},{tmp_path}/other.safetensors", str(tmp_path / "mean.safetensors"), [])
  assert not (tmp_path / "mean.safetensors").exists()


def test_an_ensemble_is_not_trained(whole_run):
  network = trained_model.load(f"{whole_run},{whole_run}").network
  with pytest.raises(ValueError, match="train each by itself"):
    network.init(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32), train=True)


@pytest.mark.parametrize("name", ["", "best,", ",best"])
def test_a_name_that_is_missing_is_told(name):
  with pytest.raises(ValueError, match="expected a name, or several"):
    trained_model.load(name)
