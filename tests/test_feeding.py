import itertools

import numpy as np
import pytest

from covseg import devices, feeding
from covseg.models import create_model
from covseg.optimizers import create_optimizer
from covseg.train_state import create_train_state
from input_pipeline import datasets
from input_pipeline.batches import TrainingOrder
from input_pipeline.films import FilmReader, load_films
from input_pipeline.streaming import streamed_batches


@pytest.fixture
def reader(tiny_config):
  builder = datasets.prepare(tiny_config.dataset)
  return FilmReader(builder, "train", tiny_config.dataset, 64)


@pytest.mark.parametrize("share", [slice(0, 5), slice(2, 5)])
@pytest.mark.parametrize("first_step", [0, 3])
def test_streamed_batches_are_those_from_memory(reader, first_step, share):
  films = load_films(reader, 32)
  order = TrainingOrder(films.masks.any(axis=(1, 2)), 5, seed=1, negative_share=0.5)
  streamed = streamed_batches(reader, 32, order, first_step=first_step, share=share)
  for step, batch in itertools.islice(zip(itertools.count(first_step), streamed, strict=False), 7):
    assert (batch["image"] == films.images[order[step][share]]).all()
    assert (batch["mask"] == films.masks[order[step][share]]).all()


def test_infection_is_told_without_the_film_in_memory(reader):
  told = [reader.has_infection(i) for i in range(len(reader))]
  assert told == load_films(reader).masks.any(axis=(1, 2)).tolist()
  assert set(told) == {True, False}


def _order(config, reader):
  return TrainingOrder(np.ones(len(reader), bool), config.batch_size, config.seed)


def _losses(config, reader, num_steps):
  model, optimizer = create_model(config.model), create_optimizer(config.optimizer)
  mesh = devices.create_mesh(config.batch_size)
  state = create_train_state(model, optimizer, 0, config.image_size, devices.replicated(mesh))
  state = state.replace(step=state.step + 1)  # Not the start of an epoch.
  take_steps = feeding.create_take_steps(
    config, model, optimizer, mesh, reader, _order(config, reader), state
  )
  losses = []
  while len(losses) < num_steps:
    state, new = take_steps(state, num_steps - len(losses))
    losses.extend(new.tolist())
  return losses


def test_every_way_of_feeding_gives_the_same_training(tiny_config, reader, monkeypatch):
  from_memory = _losses(tiny_config, reader, 20)
  tiny_config.dataset.memory_limit_gb = 1e-6
  assert _losses(tiny_config, reader, 20) == from_memory
  tiny_config.dataset.memory_limit_gb = 8.0
  with monkeypatch.context() as patch:
    # As on an accelerator: the films on the device, many steps in one dispatch.
    patch.setattr(feeding.jax, "default_backend", lambda: "gpu")
    resident = _losses(tiny_config, reader, 20)
  assert resident == pytest.approx(from_memory, rel=1e-3)


def test_films_on_the_device_train_many_steps_in_one_dispatch(tiny_config, reader, monkeypatch):
  monkeypatch.setattr(feeding.jax, "default_backend", lambda: "gpu")
  model, optimizer = create_model(tiny_config.model), create_optimizer(tiny_config.optimizer)
  mesh = devices.create_mesh(tiny_config.batch_size)
  state = create_train_state(model, optimizer, 0, tiny_config.image_size, devices.replicated(mesh))
  order = _order(tiny_config, reader)
  take_steps = feeding.create_take_steps(tiny_config, model, optimizer, mesh, reader, order, state)
  state, losses = take_steps(state, 20)
  assert (len(losses), int(state.step)) == (16, 16)
  state, losses = take_steps(state, 4)  # No step beyond the end of the epoch.
  assert (len(losses), int(state.step)) == (4, 20)
