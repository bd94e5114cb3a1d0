"""Films to try on the page: a synthetic one, and those of a dataset, with their truth."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from configs import default
from input_pipeline import datasets
from input_pipeline.cxr_phantom import phantom
from input_pipeline.films import FilmReader

_NUM_FILMS = 12


@dataclasses.dataclass(frozen=True)
class Example:
  """A film, uint8 (H, W), and where it is infected, bool (H, W)."""

  name: str
  film: np.ndarray
  truth: np.ndarray

  @property
  def file_name(self) -> str:
    return f"{self.name.replace(' ', '_')}.png"


def examples_of(dataset_fields: Mapping[str, str] | None) -> list[Example]:
  """A synthetic film, and a few of a dataset's validation films, spread over the split.

  Args:
    dataset_fields: fields of `config.dataset` that differ from the defaults; None for no dataset.

  Raises:
    FileNotFoundError, ValueError: the data is not there, or not as it should be.
  """
  drawn = phantom.draw((0,), infected=True)
  examples = [Example("synthetic film", drawn.image, drawn.infection_mask)]
  if dataset_fields is None:
    return examples
  config = default.get_config()
  config.dataset.update(dataset_fields)
  reader = FilmReader(
    datasets.prepare(config.dataset), "validation", config.dataset, config.eval.image_size, with_lungs=False
  )
  for i in np.linspace(0, len(reader) - 1, min(_NUM_FILMS, len(reader))).astype(int):
    film = reader[i]
    examples.append(Example(film.id, film.image, film.mask))
  return examples
