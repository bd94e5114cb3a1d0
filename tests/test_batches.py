import itertools

import numpy as np
import pytest

from input_pipeline import batches


def test_an_epoch_holds_every_film_once_in_an_order_of_its_own():
  orders = [batches.epoch_order(100, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
  assert all(sorted(order) == list(range(100)) for order in orders)
  assert len({tuple(order) for order in orders}) == 4
  assert (batches.epoch_order(100, 1, 1) == orders[3]).all()


def test_batches_are_the_same_wherever_the_pass_begins():
  whole = list(itertools.islice(batches.batch_orders(11, 3, seed=5, first_step=0), 10))
  for first_step in range(7):
    resumed = next(batches.batch_orders(11, 3, seed=5, first_step=first_step))
    assert (resumed == whole[first_step]).all()
  assert len(set(np.concatenate(whole[:3]))) == 9


def test_batch_larger_than_the_split_is_refused():
  with pytest.raises(ValueError, match="batch_size=12 is larger .* 11 films"):
    batches.steps_per_epoch(11, 12)


def test_evaluation_batches_cover_each_film_once_and_have_one_shape():
  images = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
  seen = []
  for batch, num_real in batches.eval_batches(images, images > 3, 3):
    assert batch["image"].shape == batch["mask"].shape == (3, 2, 2)
    seen.extend(batch["image"][:num_real, 0, 0])
  assert seen == list(range(7))
