"""Pictures of films, truths and predictions."""

import numpy as np
from PIL import Image

# Okabe and Ito's sky blue and orange, which colour-blind readers tell apart.
TRUTH_COLOR = np.array([86, 180, 233], np.uint8)
PREDICTION_COLOR = np.array([230, 159, 0], np.uint8)


def panel(images: np.ndarray, masks: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """A row per film: image, truth, prediction, and the outlines of both over the image.

  Args:
    images: uint8 (N, h, w).
    masks: bool (N, H, W), the truth.
    predictions: bool (N, H, W).

  Returns:
    uint8 (N * H, 4 * W, 3).
  """
  rows = [np.concatenate(tiles(*film), axis=1) for film in zip(images, masks, predictions, strict=True)]
  return np.concatenate(rows, axis=0)


def tiles(image: np.ndarray, mask: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
  """A film, its truth, its prediction, and the outlines of both over the film; uint8 (H, W, 3) each.

  The image, uint8 (h, w), is scaled to the masks, bool (H, W).
  """
  scaled = Image.fromarray(image).resize(mask.shape[::-1], Image.Resampling.BILINEAR)
  film = np.repeat(np.asarray(scaled)[..., None], 3, axis=-1)
  both = outlined(outlined(film, mask, TRUTH_COLOR), prediction, PREDICTION_COLOR)
  return [film, filled(film, mask, TRUTH_COLOR), filled(film, prediction, PREDICTION_COLOR), both]


def filled(film: np.ndarray, mask: np.ndarray, color: np.ndarray) -> np.ndarray:
  """RGB film (H, W, 3) with a mask tinted half-way in a colour."""
  tinted = film.copy()
  tinted[mask] = film[mask] // 2 + color // 2
  return tinted


def outlined(film: np.ndarray, mask: np.ndarray, color: np.ndarray) -> np.ndarray:
  """RGB film (H, W, 3) with the outline of a mask drawn."""
  drawn = film.copy()
  drawn[outline(mask)] = color
  return drawn


def outline(mask: np.ndarray) -> np.ndarray:
  """The inner border of a mask, bool (H, W), two pixels wide; the edge of the film is none."""
  inner = mask
  for _ in range(2):
    padded = np.pad(inner, 1, mode="edge")
    inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
  return mask & ~inner
