"""How far a film and the lungs found on it are from frontal chest films: lateral films and CT slices are far.

A normal distribution of the training films of COVID-QU-Ex, and of a few synthetic ones, fitted by `fit_frontal.py`, in
which the directions of least variance share theirs (probabilistic principal components, Tipping and Bishop 1999). It
does not know a film's grey levels but by their order, so noise, compression and exposure hardly move it.
"""

import functools
import pathlib

import numpy as np
import safetensors.numpy
from PIL import Image

from covseg.prediction.chest_pattern import brightness_ranks

FILE = pathlib.Path(__file__).parent / "frontal.safetensors"
_SIZE = 16
# Lungs of a whole square count twice as much as a standard deviation of brightness.
_LUNG_WEIGHT = 2.0


def distance(seen: np.ndarray, lungs: np.ndarray) -> float:
  """Distance of a film from frontal chest films; over 1 for 2 % of these, and for most other pictures.

  Args:
    seen: uint8 (h, w), upright, as the network saw it.
    lungs: bool (h, w), as it found them.
  """
  model = _model()
  return float(squared_distances(model, features(seen, lungs)[None])[0] / model["bound"][0])


def features(seen: np.ndarray, lungs: np.ndarray) -> np.ndarray:
  """float (512,): the share of lung in each of 16x16 squares, and the ranks of their brightness."""
  share = Image.fromarray(lungs.astype(np.uint8) * 255).resize((_SIZE, _SIZE), Image.Resampling.BOX)
  ranks = _SIZE * brightness_ranks(seen)  # Of variance 1.
  return np.concatenate([_LUNG_WEIGHT * np.asarray(share).ravel() / 255, ranks.ravel()])


def squared_distances(model: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
  """Mahalanobis distances, squared, (N,), of (N, 512)."""
  centered = features - model["mean"]
  directions = model["directions"].astype(np.float64)
  along = centered @ directions.T
  across = (centered**2).sum(axis=1) - (along**2).sum(axis=1)
  return (along**2 / model["variances"]).sum(axis=1) + across / model["rest"]


@functools.cache
def _model() -> dict[str, np.ndarray]:
  return safetensors.numpy.load_file(FILE)
