"""What a network predicts for one film of a user's own."""

import dataclasses
import functools
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import expit, logit

from covseg.drawing import overlay
from covseg.severity import Severity


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a network predicts for one film. Arrays have the film's own size and orientation.

  Attributes:
    film: uint8 (H, W), the film as it was read, bone white.
    logits: float32 (H, W), of infection.
    threshold: probability above which a pixel is called infected.
    lungs: bool (H, W); None for a network without a lung head.
    severity: infected percent of the lungs and their parts; None where the lungs are not known.
    involvement: probability that a lung is infected, of the worse one; None for a network without that head.
    confidence: mean probability of the pixels called infected; None where there are none.
    warnings: what makes the film implausible, in words.
    is_dicom: whether the film's file is DICOM.
  """

  film: np.ndarray
  logits: np.ndarray
  threshold: float
  lungs: np.ndarray | None
  severity: Severity | None
  involvement: float | None
  confidence: float | None
  warnings: tuple[str, ...]
  is_dicom: bool

  @functools.cached_property
  def mask(self) -> np.ndarray:
    """bool (H, W), True where infected."""
    return self.logits > logit(self.threshold)

  @functools.cached_property
  def probability(self) -> np.ndarray:
    """float32 (H, W) in [0, 1], of infection."""
    return expit(self.logits)

  @property
  def infected_percent_of_film(self) -> float:
    return 100 * np.count_nonzero(self.mask) / self.mask.size

  def plot(self, axes: Any = None) -> Any:
    """The film with the outlines of infection and lungs, in matplotlib axes, which are returned."""
    if axes is None:
      import matplotlib.pyplot as plt

      _, axes = plt.subplots()
    axes.imshow(self.overlay())
    axes.set_axis_off()
    return axes

  def overlay(self) -> Image.Image:
    """The film with the outlines of infection and lungs, and below it, in words, what was found."""
    lines = [*self.in_words(), *(f"Warning: {warning}" for warning in self.warnings)]
    return overlay.draw(self.film, self.mask, self.lungs, lines)

  def in_words(self) -> list[str]:
    """How much is infected, a line for all and a line for each lung that is known."""
    severity = self.severity
    if severity is None or severity.percent is None:
      return [f"Infected: {self.infected_percent_of_film:.1f} % of the film"]
    lines = [f"Infected: {severity.percent:.0f} % of the lungs"]
    if self.involvement is not None:
      lines.append(f"Probability that a lung is infected: {self.involvement:.2f}")
    for side in ("right", "left"):
      if getattr(severity, side) is not None:
        zones = ", ".join(
          f"{zone} {_percent(getattr(severity, f'{side}_{zone}'))}" for zone in ("upper", "middle", "lower")
        )
        lines.append(f"{side.capitalize()} lung {_percent(getattr(severity, side))}: {zones}")
    return lines


def _percent(value: float | None) -> str:
  return "-" if value is None else f"{value:.0f} %"
