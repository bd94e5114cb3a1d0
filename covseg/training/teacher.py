"""Soft masks: between those of the dataset and what trained networks predict for the same films."""

import numpy as np
import tensorflow_datasets as tfds
from jax.sharding import Mesh
from ml_collections import ConfigDict

from covseg.evaluation.evaluator import Evaluator
from covseg.trained import trained_model
from input_pipeline.films import FilmReader, Films, load_films

# Training films with a mask are known to have an infection, and soft masks need the network's own probabilities.
_FOR_SOFT_MASKS = ("eval.least_involvement=0", "eval.least_presence=0", "eval.own_threshold=False")
# Films whose masks are softened at once, so that few are in memory as float32.
_CHUNK = 256


def soft_masks(films: Films, builder: tfds.core.DatasetBuilder, config: ConfigDict, mesh: Mesh) -> np.ndarray:
  """Masks of infection, uint8 (N, H, W), 255 where certain: (1 - weight) mask + weight prediction.

  Films without infection keep their empty masks. Above half are the pixels of the mask, whatever the prediction.

  Args:
    films: the training films, with masks (N, H, W).
    builder: what they were read from; they are read again at the teacher's size.
    config: the configuration. loss.teacher: what `trained_model.load` takes. loss.teacher_weight: the weight.
    mesh: the devices that predict.

  Raises:
    FileNotFoundError, ValueError: there is no such teacher.
  """
  infected, soft = films.infected(), np.zeros(films.masks.shape, np.uint8)
  if not len(infected):
    return soft
  teacher = trained_model.load(config.loss.teacher, _FOR_SOFT_MASKS)
  reader = FilmReader(builder, "train", config.dataset, teacher.config.image_size, config.image_size, with_lungs=False)
  seen = load_films(reader)
  evaluator = Evaluator(teacher.config, teacher.network, mesh)
  predicted = evaluator.predict(teacher.variables, seen.of(seen.infected()), "teacher").probabilities
  weight = config.loss.teacher_weight
  for start in range(0, len(infected), _CHUNK):
    chosen = infected[start : start + _CHUNK]
    masks, levels = films.masks[chosen], 255 * weight * predicted[start : start + _CHUNK].astype(np.float32)
    soft[chosen] = np.where(masks, np.maximum(255 * (1 - weight) + levels, 128), np.minimum(levels, 127)).round()
  return soft
