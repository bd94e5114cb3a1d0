"""Masks made soft by a teacher, and a training with them."""

import shutil

import jax
import numpy as np
import pytest

from covseg import configuration
from covseg.evaluation.predictions import Predictions
from covseg.models import create_model
from covseg.runtime import devices
from covseg.trained import model_files, trained_model
from covseg.training import feeding, recipe, teacher, train
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films
from tests.random_variables import random_variables
from tests.training.test_feeding import losses_of


@pytest.fixture
def reader(tiny_config):
  return FilmReader(datasets.prepare(tiny_config.dataset), "train", tiny_config.dataset, 32)


@pytest.fixture
def gated(tiny_config, tmp_path):
  """A released model at 48 px that, as it is configured, finds nothing in any film."""
  config = tiny_config.copy_and_resolve_references()
  config.image_size, config.model.heads, config.eval.least_presence = 48, ("infection", "presence"), 1.0
  path = tmp_path / "gated.safetensors"
  model_files.save(path, config, random_variables(create_model(config.model)), 1)
  return path


def test_soft_masks_lie_between_the_masks_and_what_the_teacher_predicts_at_its_size(tiny_config, reader, gated):
  films, seen = load_films(reader), load_films(FilmReader(reader.builder, "train", tiny_config.dataset, 48))
  tiny_config.loss.teacher, tiny_config.loss.teacher_weight = str(gated), 0.25
  soft = teacher.soft_masks(films, reader.builder, tiny_config, devices.create_mesh(4))
  trained = trained_model.load(str(gated))
  logits = trained.network.apply(trained.variables, seen.images[..., None] / np.float32(255), train=False)["infection"]
  predicted = jax.nn.sigmoid(jax.image.resize(logits[..., 0], films.masks.shape, "bilinear"))
  infected = films.masks.any(axis=(1, 2))
  assert infected.any() and not infected.all()
  expected = 255 * (0.75 * films.masks + 0.25 * np.asarray(predicted))[infected]
  np.testing.assert_allclose(soft[infected], expected, atol=0.75)  # Half a level, and float16.
  assert expected.min() > 1 and not soft[~infected].any()


def test_pixels_of_the_mask_stay_above_half_whatever_a_certain_teacher_predicts(
  tiny_config, reader, whole_run, monkeypatch
):
  films = load_films(reader)
  infected = films.masks[films.infected()]
  wrong = Predictions(~infected, (~infected).astype(np.float16))
  monkeypatch.setattr(teacher.Evaluator, "predict", lambda *_: wrong)
  tiny_config.loss.teacher = str(whole_run)
  soft = teacher.soft_masks(films, reader.builder, tiny_config, devices.create_mesh(4))
  assert ((soft / 255 > 0.5) == films.masks).all()


def test_films_without_infection_need_no_teacher(tiny_config, reader):
  films = load_films(reader)
  clear = films.of(np.setdiff1d(np.arange(len(films)), films.infected()))
  tiny_config.loss.teacher = "absent"
  soft = teacher.soft_masks(clear, reader.builder, tiny_config, devices.create_mesh(4))
  assert soft.shape == clear.masks.shape and len(clear) and not soft.any()


def test_training_with_soft_masks_is_the_same_however_it_is_fed(tiny_config, reader, whole_run, monkeypatch):
  tiny_config.loss.name, tiny_config.loss.teacher = "bce_dice", str(whole_run)
  from_memory = losses_of(tiny_config, reader, 20)
  with monkeypatch.context() as patch:
    patch.setattr(feeding.jax, "default_backend", lambda: "gpu")
    resident = losses_of(tiny_config, reader, 20)
  assert resident == pytest.approx(from_memory, rel=1e-3)
  # All of the masks' weight: the training without a teacher.
  tiny_config.loss.teacher_weight = 0.0
  of_masks = losses_of(tiny_config, reader, 20)
  tiny_config.loss.teacher, tiny_config.loss.teacher_weight = "", 0.5
  assert losses_of(tiny_config, reader, 20) == pytest.approx(of_masks, rel=1e-5)
  assert of_masks != pytest.approx(from_memory, rel=1e-2)


def test_a_teacher_and_films_beyond_memory_are_refused(tiny_config, whole_run, tmp_path):
  tiny_config.loss.teacher, tiny_config.dataset.memory_limit_gb = str(whole_run), 1e-6
  with pytest.raises(ValueError, match=r"loss.teacher needs the training films in memory.*memory_limit_gb"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"loss.teacher": "best", "loss.teacher_weight": 0.7}, "between 0 and 0.5"),
    ({"loss.teacher": "best", "loss.name": "lovasz_hinge"}, "for masks of 0 and 1"),
    ({"loss.teacher": "best", "loss.name": "focal"}, "for masks of 0 and 1"),
    ({"loss.teacher_weight": 0.3}, "no effect on loss.name='bce' with no teacher"),
  ],
)
def test_a_teacher_that_cannot_work_is_refused(tiny_config, changes, message):
  tiny_config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=message):
    recipe.check(tiny_config)


@pytest.mark.parametrize("field", ["loss.teacher", "init_from"])
def test_a_model_that_does_not_exist_is_refused_before_anything_is_written(tiny_config, tmp_path, field):
  tiny_config.update_from_flattened_dict({field: "bset"})
  with pytest.raises(FileNotFoundError, match="The model 'bset'"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_a_finished_run_needs_no_teacher(tiny_config, whole_run, tmp_path, monkeypatch):
  shutil.copytree(whole_run, tmp_path / "run")
  tiny_config.loss.teacher = "deleted"
  (tmp_path / "run" / "config.json").write_text(configuration.to_json(tiny_config))
  evaluated = []
  monkeypatch.setattr(train.evaluate, "evaluate_model", lambda *_, **__: evaluated.append(1))
  train.train_and_evaluate(tiny_config, str(tmp_path / "run"))
  assert evaluated
  tiny_config.num_epochs += 1
  with pytest.raises(FileNotFoundError, match="The model 'deleted'"):
    train.train_and_evaluate(tiny_config, str(tmp_path / "run"))


def test_a_released_model_does_not_name_its_teacher(tiny_config, gated, tmp_path):
  tiny_config.loss.teacher, tiny_config.loss.teacher_weight = "elsewhere", 0.1
  tiny_config.model.heads = ("infection", "presence")
  model_files.save(tmp_path / "student.safetensors", tiny_config, trained_model.load(str(gated)).variables, 1)
  loss = trained_model.load(str(tmp_path / "student.safetensors")).config.loss
  assert (loss.teacher, loss.teacher_weight) == ("", 0.5)
