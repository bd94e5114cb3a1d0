"""Warnings about what does not look like a frontal chest film, for which a network still gives a mask."""

import numpy as np

from covseg.prediction import frontal
from covseg.prediction.framing import Frame
from covseg.prediction.reading.film_files import Radiograph
from covseg.severity import split_lungs

# The bounds leave out about one in 200 films of COVID-QU-Ex, or fewer.
_LEAST_LIKENESS = 0.2
_LEAST_CONTRAST = 6  # Standard deviation, in 255 levels of grey.
_FEWEST_LEVELS = 32  # Films of COVID-QU-Ex have 86 or more.
_LEAST_SIDE = 100
_LONGEST_SHAPE = 1.7
_LUNG_SHARE = (0.04, 0.56)
_LEAST_LUNG = 0.2


def warnings(
  film: Radiograph, frame: Frame, seen: np.ndarray, infection: np.ndarray, lungs: np.ndarray | None
) -> tuple[str, ...]:
  """What is implausible about a film and what a network made of it, in words; empty if nothing is.

  Args:
    film: as its file holds it.
    frame: the part of it that the network saw.
    seen: uint8 (h, w), what the network saw.
    infection: bool (h, w), what it called infected.
    lungs: bool (h, w), what it called lung; None for a network without a lung head.
  """
  found = _of_picture(film, frame, seen)
  if lungs is not None:
    found += _of_lungs(infection, lungs)
    if not found and frontal.distance(seen, lungs) > 1:
      found.append("looks unlike the frontal chest films it was trained on, as lateral films and CT slices do")
  return (*film.remarks, *found)


def _of_picture(film: Radiograph, frame: Frame, seen: np.ndarray) -> list[str]:
  found = []
  part = film.pixels.shape if frame.turn.quarters % 2 == 0 else film.pixels.shape[::-1]
  height, width = (len(range(*s.indices(n))) for s, n in zip((frame.rows, frame.columns), part, strict=True))
  if min(height, width) < _LEAST_SIDE:
    found.append(f"only {width} x {height} pixels")
  if max(height, width) > _LONGEST_SHAPE * min(height, width):
    found.append(f"{width} x {height} pixels are not the shape of a chest film")
  if seen.std() < _LEAST_CONTRAST:
    return [*found, "blank or almost so"]
  step = max(1, min(film.pixels.shape) // 128)
  if (levels := len(np.unique(film.pixels[::step, ::step]))) < _FEWEST_LEVELS:
    found.append(f"only {levels} levels of grey")
  if frame.is_negative:
    found.append("looks inverted: bone should be white")
  elif frame.likeness < _LEAST_LIKENESS:
    found.append("does not look like a frontal chest film")
  if frame.turn != film.turn:
    found.append(f"was not upright, and turned by {90 * frame.turn.quarters} degrees counter-clockwise")
  return found


def _of_lungs(infection: np.ndarray, lungs: np.ndarray) -> list[str]:
  share = lungs.mean()
  if not _LUNG_SHARE[0] <= share <= _LUNG_SHARE[1]:
    return [f"the lungs found take {100 * share:.0f} % of the film"]
  found = []
  areas = sorted(lung.sum() for lung in split_lungs(lungs))
  if areas[0] < _LEAST_LUNG * areas[1]:
    found.append("one lung only was found")
  if 2 * (infection & ~lungs).sum() > infection.sum():
    found.append("most of what is called infected lies outside the lungs found")
  return found
