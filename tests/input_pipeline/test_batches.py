import numpy as np
import pytest

from input_pipeline import batches


def _epoch(order, epoch):
  first = epoch * order.steps_per_epoch
  return np.concatenate([order[first + step] for step in range(order.steps_per_epoch)])


def test_an_epoch_holds_every_film_once_in_an_order_of_its_own():
  orders = [batches.TrainingOrder(np.ones(100, bool), 4, seed) for seed in (0, 1)]
  epochs = [_epoch(order, epoch) for order in orders for epoch in (0, 1)]
  assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 4
  assert (_epoch(batches.TrainingOrder(np.ones(100, bool), 4, 1), 1) == epochs[3]).all()


def test_films_left_over_from_full_batches_wait_for_another_epoch():
  order = batches.TrainingOrder(np.ones(11, bool), 3, seed=5)
  assert order.steps_per_epoch == 3
  assert len(set(_epoch(order, 0))) == 9


def test_a_share_of_the_films_without_infection_is_drawn_anew_for_each_epoch():
  infected = np.arange(60) < 20
  order = batches.TrainingOrder(infected, 5, seed=0, negative_share=0.25)
  epochs = [_epoch(order, epoch) for epoch in range(8)]
  for epoch in epochs:
    assert sorted(epoch[infected[epoch]]) == list(range(20))
    assert len(set(epoch)) == len(epoch) == 30
  assert len({i for epoch in epochs for i in epoch}) > 50


def test_batch_larger_than_the_split_is_refused():
  with pytest.raises(ValueError, match="batch_size=12 is larger .* 11 films"):
    batches.TrainingOrder(np.ones(11, bool), 12, seed=0)


def test_evaluation_batches_cover_each_film_once_and_have_one_shape():
  images = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
  seen = []
  for batch, num_real in batches.eval_batches(images, images > 3, 3):
    assert batch["image"].shape == batch["mask"].shape == (3, 2, 2)
    seen.extend(batch["image"][:num_real, 0, 0])
  assert seen == list(range(7))
