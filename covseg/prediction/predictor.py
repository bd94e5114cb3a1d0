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

from covseg import DEFAULT_MODEL
from covseg.models.inference import predict, to_network
from covseg.prediction import plausibility
from covseg.prediction.framing import Frame, frame
from covseg.prediction.reading import film_files
from covseg.prediction.reading.film_files import Radiograph
from covseg.prediction.writing import overlay
from covseg.runtime import compilation
from covseg.severity import Severity, severity
from covseg.trained import trained_model
from covseg.trained.trained_model import TrainedModel

# Logits where the network saw nothing: a probability of 0 in any printed figure.
_NOTHING = -20.0


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a network says about one film. Arrays have the film's own size and orientation.

  Attributes:
    film: uint8 (H, W), the film as it was read, bone white.
    logits: float32 (H, W), of infection.
    threshold: probability above which a pixel is called infected.
    lungs: bool (H, W); None for a network that does not tell.
    severity: infected percent of the lungs and their parts; None where the lungs are not known.
    confidence: mean probability of the pixels called infected; None where there are none.
    warnings: what makes the film implausible, in words.
    is_dicom: whether the film's file is DICOM.
  """

  film: np.ndarray
  logits: np.ndarray
  threshold: float
  lungs: np.ndarray | None
  severity: Severity | None
  confidence: float | None
  warnings: tuple[str, ...]
  is_dicom: bool

  @functools.cached_property
  def mask(self) -> np.ndarray:
    """bool (H, W), True where infected."""
    return self.logits > _logit(self.threshold)

  @functools.cached_property
  def probability(self) -> np.ndarray:
    """float32 (H, W) in [0, 1], of infection."""
    return _sigmoid(self.logits)

  @property
  def infected_percent_of_film(self) -> float:
    return 100 * np.count_nonzero(self.mask) / self.mask.size

  def plot(self, axes: Any = None) -> Any:
    """The film with the outlines of infection and lungs, in matplotlib axes, which are returned."""
    if axes is None:
      import matplotlib.pyplot as plt

      _, axes = plt.subplots()
    axes.imshow(overlay.draw(self))
    axes.set_axis_off()
    return axes


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

  def predict(self, film: str | os.PathLike | np.ndarray) -> Prediction:
    """The prediction for one film.

    Args:
      film: a file, PNG, JPEG, TIFF or DICOM; or an array (H, W) or (H, W, 3), bone white, of uint8, of
        uint16, or of floats from 0 to 1.

    Raises:
      OSError, ValueError: it cannot be read, or is no film.
    """
    if isinstance(film, np.ndarray):
      radiograph = film_files.from_array(film)
    else:
      try:
        radiograph = film_files.read(pathlib.Path(film).expanduser())
      except ValueError as error:
        raise ValueError(f"{film} {error}.") from error
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
    """Logits of every head, float32 (B, h, w), of uint8 (B, h, w); computed while the caller goes on."""
    return self._apply(self._variables, seen)

  def finish(self, framed: FramedFilm, logits: dict[str, np.ndarray]) -> Prediction:
    """The prediction for a film, of the logits (h, w) of every head."""
    film, shape = framed.film, framed.film.pixels.shape
    infection = logits["infection"] > _logit(self._threshold)
    lungs = logits["lung"] > 0 if "lung" in logits else None
    on_film = {head: framed.frame.to_film(values, shape, _NOTHING) for head, values in logits.items()}
    return Prediction(
      film=film.pixels,
      logits=on_film["infection"],
      threshold=self._threshold,
      lungs=on_film["lung"] > 0 if "lung" in on_film else None,
      # In the network's square: there the film is upright, and shares of areas are the same.
      severity=None if lungs is None else severity(infection, lungs),
      confidence=float(_sigmoid(logits["infection"][infection]).mean()) if infection.any() else None,
      warnings=plausibility.warnings(film, framed.frame, framed.seen, infection, lungs),
      is_dicom=film.is_dicom,
    )


def load(model: str = DEFAULT_MODEL, changes: Sequence[str] = ()) -> Predictor:
  """The predictor of a trained model.

  Args:
    model: one that ships, a file that `python -m covseg release` wrote, or the workdir of a run; several,
      with commas between them, are averaged.
    changes: how it predicts, where that differs, such as "eval.threshold=0.3".

  Raises:
    FileNotFoundError, ValueError: there is no such model, or field of its configuration.
  """
  compilation.enable_cache()
  return Predictor(trained_model.load(model, changes))


def _logit(probability: float) -> float:
  return float(np.log(probability) - np.log1p(-probability))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-logits))
