"""Masks made soft by a teacher, and a training with them."""

import jax
import numpy as np
import pytest

from covseg.runtime import devices
from covseg.trained import trained_model
from covseg.training import feeding, recipe, teacher
from input_pipeline import datasets
from input_pipeline.films import FilmReader, load_films
from tests.training.test_feeding import losses_of


@pytest.fixture
def reader(tiny_config):
  return FilmReader(datasets.prepare(tiny_config.dataset), "train", tiny_config.dataset, 32)


def test_soft_masks_lie_between_the_masks_and_what_the_teacher_predicts(tiny_config, reader, whole_run):
  films = load_films(reader)
  tiny_config.loss.teacher, tiny_config.loss.teacher_weight = str(whole_run), 0.25
  soft = teacher.soft_masks(films, reader.builder, tiny_config, devices.create_mesh(4))
  trained = trained_model.load(str(whole_run))
  logits = trained.network.apply(trained.variables, films.images[..., None] / np.float32(255), train=False)["infection"]
  predicted = np.asarray(jax.nn.sigmoid(logits))[..., 0]
  infected = films.masks.any(axis=(1, 2))
  assert infected.any() and not infected.all()
  expected = 255 * (0.75 * films.masks + 0.25 * predicted)[infected]
  np.testing.assert_allclose(soft[infected], expected, atol=0.75)  # Half a level, and float16.
  assert not soft[~infected].any()


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


def test_a_teacher_and_films_beyond_memory_are_refused(tiny_config, reader, whole_run):
  tiny_config.loss.teacher, tiny_config.dataset.memory_limit_gb = str(whole_run), 1e-6
  with pytest.raises(ValueError, match=r"loss.teacher needs the training films in memory.*memory_limit_gb"):
    losses_of(tiny_config, reader, 1)


@pytest.mark.parametrize(
  "changes, message",
  [
    ({"loss.teacher": "best", "loss.teacher_weight": 0.7}, "between 0 and 0.5"),
    ({"loss.teacher": "best", "loss.name": "lovasz_hinge"}, "for masks of 0 and 1"),
    ({"loss.teacher_weight": 0.3}, "no effect"),
  ],
)
def test_a_teacher_that_cannot_work_is_refused(tiny_config, changes, message):
  tiny_config.update_from_flattened_dict(changes)
  with pytest.raises(ValueError, match=message):
    recipe.check(tiny_config)
