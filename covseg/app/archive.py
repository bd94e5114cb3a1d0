"""The results of a page's films as one zip file."""

import contextlib
import dataclasses
import functools
import pathlib
import tempfile
import zipfile
from collections.abc import Sequence
from typing import IO

from covseg.app.sessions import StoredFilm
from covseg.prediction.predictor import Predictor
from covseg.prediction.reading.film_search import FoundFilm
from covseg.prediction.writing import prediction_files, predictions_table
from covseg.prediction.writing.prediction_files import Wanted


def write(films: Sequence[StoredFilm], threshold: float, file: IO[bytes], folder: pathlib.Path) -> None:
  """Writes what `python -m covseg predict --lungs --probabilities` writes, by way of a folder in `folder`."""
  model_name = functools.cache(_name_in_table)
  with tempfile.TemporaryDirectory(dir=folder) as temporary, zipfile.ZipFile(file, "w") as archive:
    results, lines = pathlib.Path(temporary), []
    for film in films:
      name = model_name(film.predictor, threshold)
      with contextlib.suppress(FileNotFoundError), film.prediction(threshold) as prediction:  # It has been removed.
        wanted = Wanted(lungs=prediction.lungs is not None, probabilities=True)
        prediction_files.write(results, FoundFilm("", film.name), prediction, wanted, name)
        lines.append(predictions_table.line(film.name, name, prediction))
    predictions_table.Journal(results, "").write_table(lines)
    for written in sorted(path for path in results.rglob("*") if path.is_file()):
      archive.write(written, written.relative_to(results))


def _name_in_table(loaded: Predictor, threshold: float) -> str:
  """The model's name and fingerprint, as `predict --set eval.threshold=...` writes them."""
  config = loaded.trained.config.copy_and_resolve_references()
  config.eval.threshold = threshold
  return f"{loaded.trained.name} {dataclasses.replace(loaded.trained, config=config).fingerprint}"
