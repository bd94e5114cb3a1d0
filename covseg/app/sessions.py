"""The films that a page has been given, and what is predicted for them; nothing of it outlives the process."""

import dataclasses
import pathlib
import secrets
import shutil
import threading

import numpy as np

from covseg.prediction.prediction import Prediction
from covseg.prediction.predictor import FramedFilm, Predictor
from covseg.prediction.reading.film_files import Radiograph
from covseg.prediction.reading.film_search import printable, result_name
from input_pipeline.limits import room_for

MAX_FILMS = 500  # Of a page.
MAX_SESSIONS = 50
_LONGEST_NAME = 120


@dataclasses.dataclass(frozen=True)
class StoredFilm:
  """A film, whose pixels lie on disk, and the network's logits.

  Attributes:
    id: unguessable.
    name: of its results, unique in the session.
    predictor: what predicted the logits.
    framed: without the film's own pixels.
    pixels_file: those, uint8 (H, W).
    logits: as `Predictor.logits` returns them, of one film.
    truth: bool (H, W), the infection of a film whose truth is known; else None.
  """

  id: str
  name: str
  predictor: Predictor
  framed: FramedFilm
  pixels_file: pathlib.Path
  logits: dict[str, np.ndarray]
  truth: np.ndarray | None = None

  def prediction(self, threshold: float) -> Prediction:
    """The prediction at a threshold, the same that `python -m covseg predict` makes."""
    pixels = np.load(self.pixels_file)
    film = dataclasses.replace(self.framed.film, pixels=pixels)
    with room_for(*pixels.shape):
      return self.predictor.finish(dataclasses.replace(self.framed, film=film), self.logits, threshold)


class Session:
  """The films of one page."""

  def __init__(self, folder: pathlib.Path):
    folder.mkdir()
    self.folder = folder
    self.films: dict[str, StoredFilm] = {}
    self._lock = threading.Lock()

  def add(self, name: str, film: Radiograph, predictor: Predictor, truth: np.ndarray | None = None) -> StoredFilm:
    """Predicts for a film and keeps it.

    Raises:
      ValueError: the session is full.
    """
    if len(self.films) >= MAX_FILMS:
      raise ValueError(f"comes after {MAX_FILMS} others; save the results, and remove films before you add more")
    framed = predictor.frame(film)
    logits = {head: np.asarray(x)[0] for head, x in predictor.logits(framed.seen[None]).items()}
    film_id = secrets.token_urlsafe(12)
    file = self.folder / f"{film_id}.npy"
    np.save(file, film.pixels)
    without_pixels = dataclasses.replace(framed, film=dataclasses.replace(film, pixels=np.empty((0, 0), np.uint8)))
    with self._lock:
      stored = StoredFilm(film_id, self._unique(name), predictor, without_pixels, file, logits, truth)
      self.films[film_id] = stored
    return stored

  def remove(self, film_id: str) -> None:
    """Forgets a film."""
    self.films.pop(film_id).pixels_file.unlink()

  def _unique(self, name: str) -> str:
    """The last part of a file's name, or one like it whose results have names of their own."""
    name = printable(name.replace("\\", "/").rsplit("/", 1)[-1]).replace("\\", "_").lstrip(".")[-_LONGEST_NAME:]
    name = name or "film"
    taken = {result_name(film.name) for film in self.films.values()}
    stem, dot, suffix = name.rpartition(".")
    candidate, i = name, 2
    while result_name(candidate) in taken:
      candidate = f"{stem}_{i}.{suffix}" if dot else f"{name}_{i}"
      i += 1
    return candidate


class Sessions:
  """The sessions of all pages, in a folder; the oldest makes room for a new one."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._sessions: dict[str, Session] = {}
    self._lock = threading.Lock()

  def create(self) -> str:
    """Begins a session, and returns its unguessable name."""
    name = secrets.token_urlsafe(16)
    with self._lock:
      self._sessions[name] = Session(self._folder / name)
      while len(self._sessions) > MAX_SESSIONS:
        oldest = self._sessions.pop(next(iter(self._sessions)))
        shutil.rmtree(oldest.folder, ignore_errors=True)
    return name

  def get(self, name: str) -> Session | None:
    return self._sessions.get(name)
