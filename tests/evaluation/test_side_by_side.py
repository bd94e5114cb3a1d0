"""Changed films that several processes score."""

import functools
import os

import numpy as np
import pytest

from covseg.evaluation import robustness, side_by_side
from covseg.trained import trained_model
from tests.film_makers import film

CHANGES = [functools.partial(robustness.changed, name="noise", severity=8), iter, np.flip]


def _end(images):
  os._exit(1)


@pytest.fixture
def score_each(whole_run, monkeypatch):
  monkeypatch.setattr(side_by_side, "_FEWEST_FILMS", 1)
  monkeypatch.setattr(side_by_side, "_num_cores", lambda: 2)
  images = np.stack([film(64), film(64).T, 255 - film(64)])
  return functools.partial(side_by_side.score_each, trained_model.load(str(whole_run)), images, images > 150)


def test_processes_score_as_one_does_and_in_the_same_order(score_each, monkeypatch):
  by_two = list(score_each(CHANGES))
  monkeypatch.setattr(side_by_side, "_num_cores", lambda: 1)
  by_one = list(score_each(CHANGES))
  assert len(by_one) == len(CHANGES)
  for one, two in zip(by_one, by_two, strict=True):
    assert np.array_equal(one.counts, two.counts) and one.counts.any()
  assert not np.array_equal(by_one[1].counts, by_one[2].counts)


def test_a_process_that_ends_is_named(score_each):
  with pytest.raises(ChildProcessError, match="may have run out of memory"):
    list(score_each([_end]))
