"""What a configuration may ask of training beyond the paper's: heads, averages, starting points."""

import contextlib
import importlib
import itertools
import json
import pathlib

import flax
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import configs
from covseg import configuration
from covseg.models import create_model, encoders, shapes_of
from covseg.runtime.command_line import UsageError
from covseg.trained import trained_model
from covseg.trained.checkpoints import Checkpoints
from covseg.trained.trained_model import TrainedModel
from covseg.training import initialization, recipe, train
from covseg.training.optimizers import create_optimizer
from covseg.training.train_state import create_train_state, shapes_of_train_state
from tests.random_variables import random_variables


@pytest.mark.parametrize("name", sorted(file.stem for file in pathlib.Path(configs.__file__).parent.glob("[a-z]*.py")))
def test_every_configuration_may_be_trained(name):
  recipe.check(importlib.import_module(f"configs.{name}").get_config())


def test_a_recipe_trains_and_is_evaluated_by_its_averages(recipe_run):
  trained = trained_model.load(str(recipe_run))
  optimizer = create_optimizer(trained.config.optimizer, steps_per_epoch=3, num_epochs=2)
  with Checkpoints(recipe_run / "checkpoints", read_only=True) as checkpoints:
    state, _ = checkpoints.restore(trained.step, shapes_of_train_state(trained.network, optimizer, keep_ema=True))
  jax.tree.map(np.testing.assert_array_equal, trained.variables["params"], state.ema_params)
  assert not np.array_equal(state.ema_params["heads"]["lung"]["kernel"], state.params["heads"]["lung"]["kernel"])
  logits = trained.network.apply(trained.variables, np.zeros((1, 32, 32, 1), np.float32), train=False)
  assert set(logits) == {"infection", "lung"}
  metrics = json.loads((recipe_run / "evaluation" / "test" / "metrics.json").read_text())
  assert metrics["per_image"]["num_images"] == 4


def test_a_run_goes_on_from_its_averages_bit_for_bit(recipe_run, tmp_path, monkeypatch):
  config = trained_model.load(str(recipe_run)).config
  halves, asked = tmp_path / "run", itertools.count()
  monkeypatch.setattr(train.evaluate, "evaluate_model", lambda *_, **__: None)
  with monkeypatch.context() as patch:  # Stops in the validation of the first epoch.
    patch.setattr(train, "stop_on_signal", lambda: contextlib.nullcontext(lambda *_: next(asked) >= 4))
    train.train_and_evaluate(config, str(halves))
  train.train_and_evaluate(config, str(halves))
  whole, resumed = (trained_model.load(str(path)) for path in (recipe_run, halves))
  assert whole.step == resumed.step == 6  # After the stop: else nothing of it would be compared.
  jax.tree.map(np.testing.assert_array_equal, whole.variables, resumed.variables)


def test_init_from_takes_all_but_the_heads_that_it_lacks(tiny_config, whole_run):
  tiny_config.model.heads = ("infection", "lung")
  tiny_config.init_from = str(whole_run)
  model = create_model(tiny_config.model)
  random = jax.jit(lambda: model.init(jax.random.key(7), np.zeros((1, 32, 32, 1), np.float32), train=False))()
  given = initialization.given_variables(tiny_config, random)
  optimizer = create_optimizer(tiny_config.optimizer)
  state = create_train_state(model, optimizer, 7, keep_ema=True, given=given)
  variables = state.variables()
  jax.tree.map(np.testing.assert_array_equal, variables["params"], state.params)
  theirs = trained_model.load(str(whole_run)).variables
  ours, heads = dict(variables["params"]), dict(variables["params"]["heads"])
  assert (heads["lung"]["kernel"] == random["params"]["heads"]["lung"]["kernel"]).all()
  assert (heads["infection"]["kernel"] == theirs["params"]["heads"]["infection"]["kernel"]).all()
  del ours["heads"]
  for name, tree in ours.items():
    jax.tree.map(np.testing.assert_array_equal, tree, theirs["params"][name])


def test_init_from_a_network_with_deep_supervision_takes_all_but_its_heads(tiny_config, monkeypatch):
  tiny_config.model.name, tiny_config.init_from = "unet_plus_plus", "other"
  other = create_model(tiny_config.model)
  variables = random_variables(other)
  monkeypatch.setattr(trained_model, "load", lambda _: TrainedModel("other", tiny_config, other, variables, 1))
  tiny_config.model.heads = ("infection", "lung")
  given = initialization.given_variables(tiny_config, shapes_of(create_model(tiny_config.model)))
  jax.tree.map(np.testing.assert_array_equal, given, variables)


def test_init_from_another_network_names_what_does_not_fit(tiny_config, whole_run, tmp_path):
  tiny_config.model.base_features = 3
  tiny_config.init_from = str(whole_run)
  shapes = shapes_of(create_model(tiny_config.model))
  with pytest.raises(ValueError, match=r"misshapen: params/Conv3x3|misshapen: .*DoubleConv_0"):
    initialization.given_variables(tiny_config, shapes)
  with pytest.raises(ValueError, match="misshapen"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_pretrained_encoder_is_what_training_starts_from(tiny_config):
  tiny_config.model.update(
    {"name": "encoder_decoder", "encoder": "efficientnet_lite0", "base_features": 32, "encoder_weights": "imagenet"}
  )
  recipe.check(tiny_config)
  model = create_model(tiny_config.model)
  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 32, 32, 1), "f"), train=False))
  given = initialization.given_variables(tiny_config, shapes)
  shipped = load_file(pathlib.Path(encoders.__file__).parent / "weights" / "efficientnet_lite0.safetensors")
  state = create_train_state(model, create_optimizer(tiny_config.optimizer), 0, keep_ema=True, given=given)
  variables = {"params": state.params, "batch_stats": state.batch_stats}
  for tree in (variables, state.variables()):  # The averages are the second.
    encoder = flax.traverse_util.flatten_dict({part: leaves["encoder"] for part, leaves in tree.items()}, sep="/")
    assert encoder.keys() == shipped.keys()
    for name, x in encoder.items():
      np.testing.assert_array_equal(x, shipped[name].astype(np.float32))
  tiny_config.model.encoder_weights = "missing.safetensors"
  with pytest.raises(FileNotFoundError, match="no file missing.safetensors.*ship for efficientnet_lite0"):
    initialization.given_variables(tiny_config, shapes)


@pytest.mark.parametrize(
  "field, value, message",
  [
    ("optimizer.schedule", "cosin", "did you mean 'cosine'"),
    ("loss.name", "dice", "bce_dice"),
    ("model.heads", ("lung",), "infection"),
    ("augment.flip.probability", 1.5, "between 0 and 1"),
    ("eval.lung_only", True, "head 'lung'"),
    ("eval.least_presence", 0.1, "head 'presence'"),
    ("eval.match_levels", 0.5, "needs eval.flip=True"),
    ("model.heads", ("infection", "lungs"), "then others of"),
    ("model.decoder_features", (), "widths of at least 1"),
    ("model.encoder_weights", "imagenet", "has no effect on unet"),
    ("loss.focal_gamma", 3.0, "has no effect on loss.name='bce'"),
    ("loss.lung_weight", 1.0, "has no effect on loss.name='bce'"),
    ("optimizer.weight_decay", 0.1, "has no effect on adam"),
    ("optimizer.step_factor", 0.5, "has no effect on adam at a constant rate"),
    ("optimizer.encoder_factor", 0.5, "has no effect on adam"),
  ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(tiny_config, tmp_path, field, value, message):
  tiny_config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_num_epochs_may_grow_only_where_the_rate_does_not_depend_on_it(tiny_config):
  longer = tiny_config.copy_and_resolve_references()
  longer.num_epochs = 9
  assert configuration.differences(tiny_config, longer) == []
  tiny_config.optimizer.schedule = longer.optimizer.schedule = "cosine"
  assert configuration.differences(tiny_config, longer) == ["num_epochs: 2 -> 9"]


def test_the_folder_of_ones_own_films_is_the_dataset_and_that_of_an_archive_is_not(tiny_config):
  moved = tiny_config.copy_and_resolve_references()
  for name, different in (("covid_qu_ex", []), ("folder", ["dataset.manual_dir: 'films' -> 'other'"])):
    tiny_config.dataset.name = moved.dataset.name = name
    tiny_config.dataset.manual_dir, moved.dataset.manual_dir = "films", "other"
    assert configuration.differences(tiny_config, moved) == different
    moved.dataset.manual_dir = str(pathlib.Path("films").absolute())
    assert configuration.differences(tiny_config, moved) == []


@pytest.mark.parametrize(
  ("argument", "message"),
  [
    ("--config.num_epoch=3", r"--config.num_epoch: there is no such field .did you mean 'num_epochs'"),
    ("--config.augmentation.flip.probability=1", "did you mean 'augment.flip.probability'"),
    ("-config.zzz", "--config.zzz: there is no such field.$"),
    ("--config.model=unet", "--config.model is a group of fields"),
  ],
)
def test_a_flag_that_names_no_field_is_told_with_the_nearest_one(argument, message):
  with pytest.raises(UsageError, match=message):
    configuration.check_flags(["main.py", "--config=configs/unet.py", "--config.seed=3", argument])
