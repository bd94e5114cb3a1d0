"""What the page shows of a film, as PNG files."""

import io

import numpy as np
from PIL import Image

from covseg.app.sessions import StoredFilm
from input_pipeline.limits import room_for

_LONGEST_SIDE, _THUMBNAIL_SIDE = 1400, 240


def png(stored: StoredFilm, kind: str, is_small: bool) -> bytes | None:
  """A picture of a film, scaled to what the page or its list shows, or None if there is none of this kind.

  Args:
    stored: the film.
    kind: "film"; "lungs" or "truth", white where they are; "probability", its higher byte in red, the lower in green.
    is_small: whether it is for the list.

  Raises:
    FileNotFoundError: the film has been removed.
  """
  scale = min(1, (_THUMBNAIL_SIDE if is_small else _LONGEST_SIDE) / max(stored.shape))
  size = tuple(max(1, round(scale * n)) for n in stored.shape[::-1])
  if kind == "film":
    with room_for(*stored.shape):
      image = Image.fromarray(np.load(stored.pixels_file)).resize(size, Image.Resampling.BILINEAR)
  elif kind == "probability":
    with stored.prediction(0.5) as prediction:
      scaled = Image.fromarray(prediction.probability).resize(size, Image.Resampling.BILINEAR)
    values = np.round(65535 * np.asarray(scaled)).astype(np.uint16)
    image = Image.fromarray(np.stack([values >> 8, values & 255, np.zeros_like(values)], axis=-1).astype(np.uint8))
  elif kind == "lungs" and stored.predictor.has_lungs:
    with stored.prediction(0.5) as prediction:
      image = _scaled_mask(prediction.lungs, size)
  elif kind == "truth" and stored.truth is not None:
    image = _scaled_mask(stored.truth, size)
  else:
    return None
  file = io.BytesIO()
  image.save(file, format="PNG", compress_level=1)
  return file.getvalue()


def _scaled_mask(mask: np.ndarray, size: tuple[int, int]) -> Image.Image:
  return Image.fromarray(np.uint8(255) * mask).resize(size, Image.Resampling.NEAREST)
