import functools
import itertools
import threading
import time

import numpy as np
import pytest

from configs import heads
from covseg.models import create_model
from covseg.runtime import devices
from covseg.training import feeding, recipe, train
from covseg.training.optimizers import create_optimizer
from covseg.training.run import Run
from covseg.training.train_state import create_train_state
from covseg.workdir import Workdir
from input_pipeline import datasets
from input_pipeline.batches import TrainingOrder
from input_pipeline.covid_qu_ex import archive
from input_pipeline.films import FilmReader, load_films
from input_pipeline.streaming import batches_from_memory, streamed_batches
from tests.conftest import archive_members, write_zip


@pytest.fixture
def reader(tiny_config):
  builder = datasets.prepare(tiny_config.dataset)
  return FilmReader(builder, "train", tiny_config.dataset, 32)


@pytest.mark.parametrize("share", [slice(0, 5), slice(2, 5)])
@pytest.mark.parametrize("first_step", [0, 3])
@pytest.mark.parametrize("create_batches", [batches_from_memory, streamed_batches])
def test_batches_are_of_the_films_in_order(reader, create_batches, first_step, share):
  films = load_films(reader)
  order = TrainingOrder(films.masks.any(axis=(1, 2)), 5, seed=1, negative_share=0.5)
  batches = create_batches(reader, order, first_step=first_step, share=share)
  for step, batch in itertools.islice(zip(itertools.count(first_step), batches, strict=False), 7):
    assert (batch["image"] == films.images[order[step][share]]).all()
    assert (batch["mask"] == films.masks[order[step][share]]).all()


class _Reader:
  """A reader of films, again and again up to a number, that calls `before` with the number of each first."""

  def __init__(self, reader, before, num_films=None):
    self._reader, self._before, self._num_films = reader, before, num_films or len(reader)
    self.image_size, self.mask_size = reader.image_size, reader.mask_size
    self.has_lung_masks, self.report_notes = reader.has_lung_masks, reader.report_notes
    self.opacity_classes = reader.opacity_classes

  def __len__(self):
    return self._num_films

  def __getitem__(self, i):
    self._before(i)
    return self._reader[i % len(self._reader)]


def test_the_first_batch_does_not_wait_for_the_other_films(reader):
  order = TrainingOrder(np.ones(len(reader), bool), 4, seed=0)
  first_is_there = threading.Event()
  slow = _Reader(reader, lambda i: i in order[0] or first_is_there.wait(60))
  batches = batches_from_memory(slow, order, 0, slice(0, 4))
  assert len(next(batches)["image"]) == 4
  assert not first_is_there.is_set()
  first_is_there.set()
  assert (next(batches)["image"] == load_films(reader).images[order[1]]).all()


def test_a_batch_waits_for_films_that_the_first_epoch_did_not_use(reader):
  infected = np.arange(len(reader)) < 4
  order = TrainingOrder(infected, 4, seed=0, negative_share=0.5)  # Each epoch draws other films without infection.
  first_epoch = np.concatenate([order[step] for step in range(order.steps_per_epoch)])
  late = next(step for step in itertools.count(order.steps_per_epoch) if not set(order[step]) <= set(first_epoch))
  slow = _Reader(reader, lambda i: i in first_epoch or time.sleep(0.5))
  batches = batches_from_memory(slow, order, 0, slice(0, 4))
  batch = next(itertools.islice(batches, late, None))
  assert (batch["image"] == load_films(reader).images[order[late]]).all()


def test_a_damaged_film_is_told_of_before_its_batch(reader):
  order = TrainingOrder(np.ones(len(reader), bool), 4, seed=0)

  def break_down(i):
    if i == order[1][0]:
      raise ValueError("damaged")

  batches = batches_from_memory(_Reader(reader, break_down), order, 0, slice(0, 4))
  with pytest.raises(ValueError, match="damaged"):
    list(itertools.islice(batches, 2))


def test_films_that_are_no_longer_needed_are_not_read(reader):
  order = TrainingOrder(np.ones(len(reader), bool), 4, seed=0)
  begun, may_go_on = [], threading.Event()

  def note(i):
    begun.append(i)
    assert i in order[0] or may_go_on.wait(60)

  threads_before = set(threading.enumerate())
  batches = batches_from_memory(_Reader(reader, note, num_films=100), order, 0, slice(0, 4))
  next(batches)
  batches.close()
  may_go_on.set()
  for thread in set(threading.enumerate()) - threads_before:
    thread.join()
  assert len(begun) <= 4 + 32  # The first batch, and what as many threads as there can be had begun.


def test_infection_is_told_without_the_film_in_memory(reader):
  told = [reader.has_infection(i) for i in range(len(reader))]
  assert told == load_films(reader).masks.any(axis=(1, 2)).tolist()
  assert set(told) == {True, False}


def _order(config, reader):
  return TrainingOrder(np.ones(len(reader), bool), config.batch_size, config.seed)


def _run(config, model, optimizer, mesh):
  return Run(config, Workdir("unused"), model, optimizer, mesh, given={})


def losses_of(config, reader, num_steps):
  model, optimizer = create_model(config.model), create_optimizer(config.optimizer)
  mesh = devices.create_mesh(config.batch_size)
  state = create_train_state(model, optimizer, 0, devices.replicated(mesh))
  state = state.replace(step=state.step + 1)  # Not the start of an epoch.
  take_steps = feeding.create_take_steps(_run(config, model, optimizer, mesh), reader, _order(config, reader), 1, state)
  losses = []
  while len(losses) < num_steps:
    state, new = take_steps(state, num_steps - len(losses))
    losses.extend(new.tolist())
  return losses


def test_every_way_of_feeding_gives_the_same_training(tiny_config, reader, monkeypatch):
  from_memory = losses_of(tiny_config, reader, 20)
  tiny_config.dataset.memory_limit_gb = 1e-6
  assert losses_of(tiny_config, reader, 20) == from_memory
  tiny_config.dataset.memory_limit_gb = 8.0
  with monkeypatch.context() as patch:
    # As on an accelerator: the films on the device, many steps in one dispatch.
    patch.setattr(feeding.jax, "default_backend", lambda: "gpu")
    resident = losses_of(tiny_config, reader, 20)
  assert resident == pytest.approx(from_memory, rel=1e-3)


def test_opacities_of_classes_are_fed_in_every_way(tiny_config, tmp_path, monkeypatch):
  write_zip(tmp_path / "archive.zip", archive_members({"Train": 3, "Val": 1}, archive.LABELS))
  tiny_config.dataset.name, tiny_config.dataset.manual_dir = "covid_qu_ex", str(tmp_path)
  tiny_config.dataset.cohort, tiny_config.dataset.opacities = "all", ("Non-COVID",)
  tiny_config.model.heads = ("infection", "lung", "involvement")
  reader = train._open_splits(tiny_config)["train"]
  films, order = load_films(reader), _order(tiny_config, reader)
  assert films.has_opacity.tolist() == [label == "Non-COVID" for label in films.labels]
  for create_batches in (batches_from_memory, streamed_batches):
    batch = next(create_batches(reader, order, first_step=0, share=slice(0, 4)))
    assert batch["opacity"].tolist() == films.has_opacity[order[0]].tolist()
  from_memory = losses_of(tiny_config, reader, 3)
  without = FilmReader(reader.builder, "train", tiny_config.dataset, 32)
  assert losses_of(tiny_config, without, 3) != pytest.approx(from_memory, rel=1e-2)
  with monkeypatch.context() as patch:
    patch.setattr(feeding.jax, "default_backend", lambda: "gpu")
    assert losses_of(tiny_config, reader, 3) == pytest.approx(from_memory, rel=1e-3)


def test_opacities_of_an_unknown_class_are_refused(tiny_config):
  tiny_config.dataset.opacities = ("Non-COVID",)
  with pytest.raises(ValueError, match="'Non-COVID'; tiny_films/1.0.0 has none"):
    train._open_splits(tiny_config)
  # A model that was trained so is evaluated on datasets without that class, too.
  test = FilmReader(datasets.prepare(tiny_config.dataset), "test", tiny_config.dataset, 32)
  assert load_films(test).has_opacity is None


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("model.heads", ("infection", "lung"), "no effect without the head 'involvement'"),
    ("loss.involvement_weight", 0.0, "loss.involvement_weight above 0"),
    ("augment.symmetry.probability", 0.5, "symmetry.probability=0"),
    ("dataset.cohort", "covid_normal", "cohort=all, not covid_normal"),
  ],
)
def test_opacities_that_could_teach_nothing_or_wrong_things_are_refused(field, value, message):
  config = heads.get_config()
  recipe.check(config)
  section, _, name = field.rpartition(".")
  functools.reduce(lambda part, key: part[key], section.split("."), config)[name] = value
  with pytest.raises(ValueError, match=message):
    recipe.check(config)


def test_films_on_the_device_train_many_steps_in_one_dispatch(tiny_config, reader, monkeypatch):
  monkeypatch.setattr(feeding.jax, "default_backend", lambda: "gpu")
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  mesh = devices.create_mesh(tiny_config.batch_size)
  state = create_train_state(model, optimizer, 0, devices.replicated(mesh))
  order = _order(tiny_config, reader)
  take_steps = feeding.create_take_steps(_run(tiny_config, model, optimizer, mesh), reader, order, 0, state)
  state, losses = take_steps(state, 20)
  assert (len(losses), int(state.step)) == (16, 16)
  state, losses = take_steps(state, 4)  # No step beyond the end of the epoch.
  assert (len(losses), int(state.step)) == (4, 20)
