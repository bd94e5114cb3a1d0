"""Fits the distribution of frontal chest films that `frontal.py` measures distances from.

python -m covseg.prediction.fit_frontal --manual_dir=FOLDER
"""

import argparse

import numpy as np
import safetensors.numpy

from configs import default
from covseg.prediction import frontal, predictor
from input_pipeline import datasets
from input_pipeline.cxr_phantom import phantom
from input_pipeline.films import FilmReader, load_films
from input_pipeline.scaling import resize_image, resize_mask

_COMPONENTS = 48
# Of the films that it was fitted on, 2.2 % lie farther out.
_QUANTILE = 0.978
# Synthetic films among them, so that the films of the quickstart get no warning.
_NUM_PHANTOMS = 40


def fit(films: np.ndarray, lungs: np.ndarray) -> dict[str, np.ndarray]:
  """The distribution of frontal films, uint8 (N, h, w), and of the lungs found on them, bool (N, h, w)."""
  features = np.stack([frontal.features(*pair) for pair in zip(films, lungs, strict=True)])
  mean = features.mean(axis=0)
  _, singular, directions = np.linalg.svd(features - mean, full_matrices=False)
  variances = singular**2 / len(features)
  model = {
    "mean": mean.astype(np.float32),
    "directions": directions[:_COMPONENTS].astype(np.float16),
    "variances": variances[:_COMPONENTS].astype(np.float32),
    "rest": variances[_COMPONENTS:].mean(keepdims=True).astype(np.float32),
  }
  bound = np.quantile(frontal.squared_distances(model, features), _QUANTILE)
  return {**model, "bound": np.array([bound], np.float32)}


def run(manual_dir: str) -> None:
  """Fits the distribution on the training films of COVID-QU-Ex in a folder, and replaces the file that ships."""
  config = default.get_config()
  config.dataset.update({"manual_dir": manual_dir, "cohort": "all"})
  model = predictor.load()
  reader = FilmReader(datasets.prepare(config.dataset), "train", config.dataset, model.trained.config.image_size)
  films = load_films(reader).images
  lungs = np.concatenate([np.asarray(model.logits(film[None])["lung"]) > 0 for film in films])
  phantoms = [phantom.draw((i,), infected=i % 2 == 0) for i in range(_NUM_PHANTOMS)]
  drawn = np.stack([resize_image(film.image, films.shape[1]) for film in phantoms])
  drawn_lungs = np.stack([resize_mask(film.lung_mask, films.shape[1]) for film in phantoms])
  found = fit(np.concatenate([films, drawn]), np.concatenate([lungs, drawn_lungs]))
  safetensors.numpy.save_file(found, frontal.FILE)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description="Fits the distribution of frontal chest films.")
  parser.add_argument("--manual_dir", required=True, help="folder of COVID-QU-Ex")
  run(parser.parse_args().manual_dir)
