import numpy as np
import pytest

from covseg.prediction import plausibility
from covseg.prediction.framing import frame
from covseg.prediction.reading.film_files import Radiograph
from tests.film_makers import film, real_films

_NOTHING = np.zeros((64, 64), bool)


def _warnings(pixels, infection=_NOTHING, lungs=None, **fields):
  radiograph = Radiograph(np.asarray(pixels, np.uint8), **fields)
  framed = frame(radiograph.pixels)
  return " | ".join(
    plausibility.warnings(radiograph, framed, framed.to_network(radiograph.pixels, 64), infection, lungs)
  )


def _lungs(height=40, width=14, gap=8):
  lungs = _NOTHING.copy()
  lungs[10 : 10 + height, 32 - gap // 2 - width : 32 - gap // 2] = True
  lungs[10 : 10 + height, 32 + gap // 2 : 32 + gap // 2 + width] = True
  return lungs


def test_a_chest_film_has_no_warnings():
  assert _warnings(film(128), lungs=_lungs()) == ""


_Y, _X = np.mgrid[-1:1:256j, -1:1:256j]


@pytest.mark.parametrize(
  ("pixels", "warning"),
  [
    (np.full((200, 200), 90), "blank"),
    (np.random.default_rng(0).integers(0, 256, (200, 200)), "does not look like"),
    (127 + 120 * np.sin(9 * _X) * np.cos(7 * _Y), "does not look like"),
    (255 - film(128), "inverted"),
    (film(40), "only 40 x 40 pixels"),
    (film(128) // 64 * 85, "only 4 levels of grey"),
    (np.repeat(film(128), 2, axis=1), "not the shape"),
    (np.rot90(film(128)), "turned by 270 degrees"),
  ],
)
def test_other_pictures_are_flagged(pixels, warning):
  assert warning in _warnings(pixels)


def test_what_the_file_says_is_passed_on():
  assert "lateral" in _warnings(film(128), remarks=("the file's View Position is lateral",))


@pytest.mark.parametrize(
  ("lungs", "warning"),
  [
    (_NOTHING, "the lungs found take 0 %"),
    (~_NOTHING, "the lungs found take 100 %"),
    (_lungs() & (np.arange(64) < 32), "one lung only"),
  ],
)
def test_implausible_lungs_are_flagged(lungs, warning):
  assert warning in _warnings(film(128), lungs=lungs)


def test_infection_outside_the_lungs_is_flagged():
  assert "outside the lungs" in _warnings(film(128), infection=~_lungs(), lungs=_lungs())


def test_hardly_a_real_film_is_flagged(real_data):
  flagged = [bool(_warnings(pixels)) for pixels in real_films(real_data, 100)]
  assert np.mean(flagged) < 0.03
