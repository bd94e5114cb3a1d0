"""How far a film and the lungs found on it are from frontal chest films: lateral films and CT slices are far.

A normal distribution of the training films of COVID-QU-Ex, and of a few synthetic ones, fitted by

  python -m covseg.prediction.frontal --manual_dir=FOLDER

in which the directions of least variance share theirs (probabilistic principal components, Tipping and Bishop 1999). It
does not know a film's grey levels but by their order, so noise, compression and exposure hardly move it.
"""

import functools
import pathlib

import numpy as np
import safetensors.numpy
from PIL import Image

from covseg.prediction.chest_pattern import brightness_ranks

_FILE = pathlib.Path(__file__).parent / "frontal.safetensors"
_SIZE = 16
_COMPONENTS = 48
# Lungs of a whole square count twice as much as a standard deviation of brightness.
_LUNG_WEIGHT = 2.0
# Of the films that it was fitted on, 2.2 % lie farther out.
_QUANTILE = 0.978
# Synthetic films among them, so that the films of the quickstart get no warning.
_NUM_PHANTOMS = 40


def distance(seen: np.ndarray, lungs: np.ndarray) -> float:
  """Distance of a film from frontal chest films; over 1 for 2 % of these, and for most other pictures.

  Args:
    seen: uint8 (h, w), upright, as the network saw it.
    lungs: bool (h, w), as it found them.
  """
  model = _model()
  return float(_squared_distances(model, _features(seen, lungs)[None])[0] / model["bound"][0])


def fit(films: np.ndarray, lungs: np.ndarray) -> dict[str, np.ndarray]:
  """The distribution of frontal films, uint8 (N, h, w), and of the lungs found on them, bool (N, h, w)."""
  features = np.stack([_features(*pair) for pair in zip(films, lungs, strict=True)])
  mean = features.mean(axis=0)
  _, singular, directions = np.linalg.svd(features - mean, full_matrices=False)
  variances = singular**2 / len(features)
  model = {
    "mean": mean.astype(np.float32),
    "directions": directions[:_COMPONENTS].astype(np.float16),
    "variances": variances[:_COMPONENTS].astype(np.float32),
    "rest": variances[_COMPONENTS:].mean(keepdims=True).astype(np.float32),
  }
  bound = np.quantile(_squared_distances(model, features), _QUANTILE)
  return {**model, "bound": np.array([bound], np.float32)}


def _features(seen: np.ndarray, lungs: np.ndarray) -> np.ndarray:
  """float (512,): the share of lung in each of 16x16 squares, and the ranks of their brightness."""
  share = Image.fromarray(lungs.astype(np.uint8) * 255).resize((_SIZE, _SIZE), Image.Resampling.BOX)
  ranks = _SIZE * brightness_ranks(seen)  # Of variance 1.
  return np.concatenate([_LUNG_WEIGHT * np.asarray(share).ravel() / 255, ranks.ravel()])


def _squared_distances(model: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
  """Mahalanobis distances, squared, (N,), of (N, 512)."""
  centered = features - model["mean"]
  directions = model["directions"].astype(np.float64)
  along = centered @ directions.T
  across = (centered**2).sum(axis=1) - (along**2).sum(axis=1)
  return (along**2 / model["variances"]).sum(axis=1) + across / model["rest"]


@functools.cache
def _model() -> dict[str, np.ndarray]:
  return safetensors.numpy.load_file(_FILE)


def _fit_file(manual_dir: str) -> None:
  from configs import default
  from covseg.prediction.predictor import load
  from input_pipeline import datasets
  from input_pipeline.cxr_phantom import phantom
  from input_pipeline.films import FilmReader, load_films, resize_image, resize_mask

  config = default.get_config()
  config.dataset.update({"manual_dir": manual_dir, "cohort": "all"})
  predictor = load()
  reader = FilmReader(datasets.prepare(config.dataset), "train", config.dataset, predictor.trained.config.image_size)
  films = load_films(reader).images
  lungs = np.concatenate([np.asarray(predictor.logits(film[None])["lung"]) > 0 for film in films])
  phantoms = [phantom.draw((i,), infected=i % 2 == 0) for i in range(_NUM_PHANTOMS)]
  drawn = np.stack([resize_image(film.image, films.shape[1]) for film in phantoms])
  drawn_lungs = np.stack([resize_mask(film.lung_mask, films.shape[1]) for film in phantoms])
  safetensors.numpy.save_file(fit(np.concatenate([films, drawn]), np.concatenate([lungs, drawn_lungs])), _FILE)


if __name__ == "__main__":
  import argparse

  parser = argparse.ArgumentParser(description="Fits the distribution of frontal chest films.")
  parser.add_argument("--manual_dir", required=True, help="folder of COVID-QU-Ex")
  _fit_file(parser.parse_args().manual_dir)
