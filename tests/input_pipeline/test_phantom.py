import hashlib

import numpy as np
import pytest

from input_pipeline.cxr_phantom import phantom


@pytest.fixture(scope="module")
def films():
  return [phantom.draw((7, i), infected=i % 5 != 0) for i in range(50)]


def test_infections_lie_inside_the_lungs_and_vary_in_extent(films):
  shares = []
  for i, film in enumerate(films):
    assert not (film.infection_mask & ~film.lung_mask).any()
    assert film.infection_mask.any() == (i % 5 != 0)
    shares.append(film.infection_mask.sum() / film.lung_mask.sum())
  infected = np.array(shares)[np.array(shares) > 0]
  assert infected.min() < 0.06
  assert infected.max() > 0.4


def test_exposure_varies(films):
  means = [film.image.mean() for film in films]
  assert np.ptp(means) > 30
  assert all(np.ptp(film.image) > 100 for film in films)


def test_no_brightness_threshold_within_the_lungs_finds_the_infections(films):
  infected = [film for film in films if film.infection_mask.any()]

  def dice(film, called):
    overlap = (called & film.infection_mask).sum()
    return 2 * overlap / (called.sum() + film.infection_mask.sum())

  for polarity in (1, -1):
    per_threshold = [
      [dice(f, (polarity * f.image.astype(int) >= polarity * t) & f.lung_mask) for f in infected]
      for t in range(0, 256, 4)
    ]
    assert np.mean(per_threshold, axis=1).max() < 0.5  # one threshold for all films
    assert np.mean(np.max(per_threshold, axis=0)) < 0.5  # the best threshold of each film


def test_a_seed_gives_the_same_film_every_time():
  draws = [phantom.draw((1, 2), infected=True) for _ in range(2)]
  other = phantom.draw((1, 3), infected=True)
  digests = [hashlib.sha256(film.image.tobytes()).digest() for film in (*draws, other)]
  assert digests[0] == digests[1] != digests[2]
