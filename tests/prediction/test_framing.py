import numpy as np
import pytest

from covseg.prediction import framing
from input_pipeline.turns import Turn
from tests.film_makers import film, real_films

_FILM = film(96)


def test_a_square_film_is_seen_as_it_is():
  frame = framing.frame(_FILM)
  assert np.array_equal(frame.to_network(_FILM, 96), _FILM)


@pytest.mark.parametrize("turn", [Turn(q, m) for q in range(4) for m in (False, True)])
def test_a_mask_comes_back_to_where_it_was(turn):
  padded = np.pad(_FILM[:80], ((3, 5), (20, 0)))
  stored = turn.undo(padded)
  frame = framing.frame(stored, turn)
  mask = framing.Frame.to_network(frame, stored, 96) > 128
  back = frame.to_film(mask, stored.shape, outside=0) > 0.5
  assert back.shape == stored.shape
  assert np.mean(back == (stored > 128)) > 0.97


def test_what_was_padded_on_changes_nothing_and_has_nothing():
  plain = framing.frame(_FILM).to_network(_FILM, 64)
  padded = np.pad(np.pad(_FILM, ((0, 10), (0, 17))), ((10, 20), (0, 0)), constant_values=255)
  frame = framing.frame(padded)
  assert np.array_equal(frame.to_network(padded, 64), plain)
  values = frame.to_film(np.ones((64, 64)), padded.shape, outside=-20)
  assert values[10:-30, :-17].min() == 1
  assert values.sum() == _FILM.size - 20 * (padded.size - _FILM.size)


def test_to_film_is_the_bilinear_resize_of_the_evaluation():
  import jax

  logits = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
  expected = jax.image.resize(logits, (96, 96), "bilinear")
  np.testing.assert_allclose(framing.frame(_FILM).to_film(logits, (96, 96), 0), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
@pytest.mark.parametrize("level", [0, 255])
def test_films_of_hardly_any_pixels_and_of_one_value_have_a_frame(size, level):
  blank = np.full(size, level, np.uint8)
  frame = framing.frame(blank)
  assert frame.to_network(blank, 32).shape == (32, 32)
  assert frame.to_film(np.zeros((32, 32)), size, 0).shape == size


def test_real_films_stay_as_they_lie_and_come_upright_when_turned(real_data):
  films = real_films(real_data, 60)
  assert not any(framing.frame(film).turn.quarters for film in films)
  turned = [framing.frame(np.rot90(film, k)).turn.quarters == 4 - k for film in films for k in (1, 2, 3)]
  assert np.mean(turned) > 0.95
  assert np.mean([framing.frame(255 - film).is_negative for film in films]) > 0.95
  assert np.mean([framing.frame(film).likeness for film in films]) > 0.5


def test_a_file_that_tells_how_it_lies_is_believed():
  assert framing.frame(np.rot90(_FILM), Turn(2)).turn == Turn(2)
