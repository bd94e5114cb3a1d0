import numpy as np

from covseg.drawing import pictures


def test_attention_tints_the_film_where_it_is():
  film = np.full((1, 3, 3), 100, np.uint8)
  drawn = pictures.attended(film, np.array([[0, 0.5, 1]]))
  np.testing.assert_array_equal(drawn[0, 0], 100)
  np.testing.assert_array_equal(drawn[0, 1], np.round(0.7 * 100 + 0.3 * pictures.PREDICTION_COLOR))
  np.testing.assert_array_equal(drawn[0, 2], np.round(0.4 * 100 + 0.6 * pictures.PREDICTION_COLOR))
