"""From a film of any size to the network's square and back.

The films of COVID-QU-Ex were scaled to squares whatever their sides were, without padding: so are these.
What was padded onto a film, rows and columns of one value, is cut off before; 30 of the 466 validation films
with an infection have some, and are segmented no worse without.
"""

import dataclasses

import numpy as np
from PIL import Image

from covseg.prediction import chest_pattern
from input_pipeline.scaling import resize_image
from input_pipeline.turns import UPRIGHT, Turn

# A film is turned when it looks that much more like a chest film then. Of the 4,660 films of COVID-QU-Ex for
# training and validation, one is, and it does lie on its head. Of validation films turned by quarters, 98 %
# are found.
_CLEARLY_MORE = 0.2

# A frame may have been put around another.
_MAX_FRAMES = 4


@dataclasses.dataclass(frozen=True)
class Frame:
  """The part of a film that the network sees.

  Attributes:
    turn: brings the film upright.
    rows, columns: of the upright film.
    likeness: to a frontal chest film; see `chest_pattern`.
    is_negative: whether its negative looks clearly more like one.
  """

  turn: Turn
  rows: slice
  columns: slice
  likeness: float
  is_negative: bool

  def to_network(self, pixels: np.ndarray, image_size: int) -> np.ndarray:
    """uint8 (image_size, image_size) of a film, uint8 (H, W)."""
    part = self.turn.apply(pixels)[self.rows, self.columns]
    return resize_image(np.ascontiguousarray(part), image_size)

  def to_film(self, values: np.ndarray, shape: tuple[int, int], outside: float) -> np.ndarray:
    """float32 `shape`, that of the film, of the network's float32 (h, w); bilinear.

    Args:
      values: of the network's square.
      shape: (H, W) of the film.
      outside: value where the network saw nothing.
    """
    upright_shape = shape[::-1] if self.turn.quarters % 2 else shape
    upright = np.full(upright_shape, outside, np.float32)
    height, width = upright[self.rows, self.columns].shape
    part = Image.fromarray(np.ascontiguousarray(values, np.float32))
    upright[self.rows, self.columns] = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))
    return self.turn.undo(upright)


def frame(pixels: np.ndarray, turn: Turn = UPRIGHT) -> Frame:
  """The frame of a film, uint8 (H, W), that `turn` brings upright as far as its file tells."""
  upright = turn.apply(pixels)
  rows, columns = _without_padding(upright)
  ranks = chest_pattern.brightness_ranks(np.ascontiguousarray(upright[rows, columns]))
  likeness = chest_pattern.likeness(ranks)
  quarters = int(np.argmax(likeness))
  is_negative = -likeness.min() > likeness.max() and -likeness.min() > likeness[0] + _CLEARLY_MORE
  if turn == UPRIGHT and not is_negative and likeness[quarters] > likeness[0] + _CLEARLY_MORE:
    turn, likeness = Turn(quarters), np.roll(likeness, -quarters)
    rows, columns = _without_padding(turn.apply(pixels))
  return Frame(turn, rows, columns, float(likeness[0]), bool(is_negative))


def _without_padding(film: np.ndarray) -> tuple[slice, slice]:
  """The rows and columns between the outer ones that have one value; all, if the whole film has."""
  top, left, (bottom, right) = 0, 0, film.shape
  for _ in range(_MAX_FRAMES):
    part = film[top:bottom, left:right]
    rows = np.flatnonzero(part.min(axis=1) != part.max(axis=1))
    columns = np.flatnonzero(part.min(axis=0) != part.max(axis=0))
    if not len(rows) or not len(columns) or len(rows) + len(columns) == sum(part.shape):
      break
    top, bottom = top + rows[0], top + rows[-1] + 1
    left, right = left + columns[0], left + columns[-1] + 1
  return slice(top, bottom), slice(left, right)
