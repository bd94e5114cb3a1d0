"""Predictions for a user's own films, in Python.

import covseg

model = covseg.load()
result = model.predict("film.png")
result.plot()
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.special import expit, logit

from covseg.models.inference import predict, to_network
from covseg.prediction import plausibility
from covseg.prediction.framing import Frame, frame
from covseg.prediction.prediction import Prediction
from covseg.prediction.reading import film_files
from covseg.prediction.reading.film_files import Radiograph
from covseg.runtime import compilation
from covseg.severity import severity
from covseg.trained import DEFAULT_MODEL, trained_model
from covseg.trained.trained_model import TrainedModel

# Modes of PIL images whose values are grey levels or red, green and blue.
_PLAIN_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F", "RGB")
# Logits where the network saw nothing: a probability of 0 in any printed figure.
_NOTHING = -20.0


@dataclasses.dataclass(frozen=True)
class FramedFilm:
  """A film that is ready for the network.

  Attributes:
    film: as its file holds it.
    frame: the part that the network sees.
    seen: uint8 (h, w), what the network sees.
  """

  film: Radiograph
  frame: Frame
  seen: np.ndarray


class Predictor:
  """A trained network with all that lies between it and films of any kind."""

  def __init__(self, trained: TrainedModel):
    self.trained = trained
    self._threshold = trained.config.eval.threshold

    def apply(variables: Any, images: jax.Array) -> dict[str, jax.Array]:
      return predict(trained.network, trained.config.eval, variables, to_network(images))

    self._apply = compilation.jit(apply)
    self._variables = jax.device_put(trained.variables)

  @functools.cached_property
  def has_lungs(self) -> bool:
    """Whether the network tells lungs."""
    size = self.trained.config.image_size
    film = jax.ShapeDtypeStruct((1, size, size), np.uint8)
    return "lung" in jax.eval_shape(self._apply, self._variables, film)

  def predict(self, film: str | os.PathLike | ArrayLike) -> Prediction:
    """The prediction for one film.

    Args:
      film: a file of any kind that `pixels` reads; or what `numpy.asarray` makes an array of, (H, W), (H, W, 1) or
        (H, W, 3), bone white, of whole numbers, or of floats from 0 to 1.

    Raises:
      OSError, ValueError: it cannot be read, or is no film.
    """
    if isinstance(film, str | os.PathLike):
      try:
        radiograph = film_files.read(pathlib.Path(film).expanduser())
      except ValueError as error:
        raise ValueError(f"{film} {error}.") from error
    else:
      if isinstance(film, Image.Image) and film.mode not in _PLAIN_MODES:  # As a palette, whose indices are no levels.
        film = film.convert("RGB")
      radiograph = film_files.from_array(np.asarray(film))
    framed = self.frame(radiograph)
    logits = self.logits(framed.seen[None])
    return self.finish(framed, {head: np.asarray(values)[0] for head, values in logits.items()})

  def frame(self, film: Radiograph) -> FramedFilm:
    """A film made ready for the network."""
    framed = frame(film.pixels, film.turn)
    return FramedFilm(film, framed, framed.to_network(film.pixels, self.trained.config.image_size))

  def warm_up(self, batch_size: int) -> None:
    """Compiles the network for batches of a size, or loads what was compiled before."""
    size = self.trained.config.image_size
    jax.block_until_ready(self.logits(np.zeros((batch_size, size, size), np.uint8)))

  def logits(self, seen: np.ndarray) -> dict[str, jax.Array]:
    """Logits of uint8 (B, h, w), as `inference.predict` returns them; computed while the caller goes on."""
    return self._apply(self._variables, seen)

  def finish(self, framed: FramedFilm, logits: dict[str, np.ndarray], threshold: float | None = None) -> Prediction:
    """The prediction for a film, of the logits of every head, (h, w) or (); None for the model's own threshold."""
    threshold = self._threshold if threshold is None else threshold
    film, shape = framed.film, framed.film.pixels.shape
    infection = logits["infection"] > logit(threshold)
    lungs = logits["lung"] > 0 if "lung" in logits else None
    on_film = {head: framed.frame.to_film(x, shape, _NOTHING) for head, x in logits.items() if x.ndim}
    return Prediction(
      film=film.pixels,
      logits=on_film["infection"],
      threshold=threshold,
      lungs=on_film["lung"] > 0 if "lung" in on_film else None,
      # In the network's square: there the film is upright, and shares of areas are the same.
      severity=None if lungs is None else severity(infection, lungs),
      involvement=float(expit(logits["involvement"])) if "involvement" in logits else None,
      confidence=float(expit(logits["infection"][infection]).mean()) if infection.any() else None,
      warnings=plausibility.warnings(film, framed.frame, framed.seen, infection, lungs),
      is_dicom=film.is_dicom,
    )


def load(model: str | os.PathLike = DEFAULT_MODEL, changes: Sequence[str] = ()) -> Predictor:
  """The predictor of a trained model. It sets up JAX as `compilation.set_up` says.

  Args:
    model: one that ships, a file that `python -m covseg release` wrote, or the workdir of a run; several,
      with commas between them, are averaged as `trained_model.load` says.
    changes: how it predicts, where that differs, such as "eval.threshold=0.3".

  Raises:
    FileNotFoundError, ValueError: there is no such model, or field of its configuration.
  """
  compilation.set_up()
  return Predictor(trained_model.load(os.fspath(model), changes))
