"""The films that a page has been given, and what is predicted for them; nothing of it outlives the process."""

import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import threading
from collections.abc import Iterator

import numpy as np

from covseg.prediction.prediction import Prediction
from covseg.prediction.predictor import FramedFilm, Predictor
from covseg.prediction.reading.film_files import Radiograph
from covseg.prediction.reading.film_search import printable, result_name
from input_pipeline.limits import room_for

MAX_FILMS = 500  # Of a page.
MAX_FILMS_OF_ALL = 2000
MAX_SESSIONS = 50
_LONGEST_NAME_BYTES = 200  # File systems take 255, and results have longer names than their films.


@dataclasses.dataclass(frozen=True)
class StoredFilm:
  """A film, whose pixels lie on disk, and the network's logits.

  Attributes:
    id: unguessable.
    name: of its results, unique in the session.
    predictor: what predicted the logits.
    framed: without the film's own pixels.
    shape: (H, W) of the film.
    pixels_file: its pixels, uint8 (H, W).
    logits: as `Predictor.logits` returns them, of one film.
    truth: bool (H, W), the infection of a film whose truth is known; else None.
  """

  id: str
  name: str
  predictor: Predictor
  framed: FramedFilm
  shape: tuple[int, int]
  pixels_file: pathlib.Path
  logits: dict[str, np.ndarray]
  truth: np.ndarray | None = None

  @contextlib.contextmanager
  def prediction(self, threshold: float) -> Iterator[Prediction]:
    """The prediction at a threshold, the same that `python -m covseg predict` makes; one large one at a time.

    Raises:
      FileNotFoundError: the film has been removed.
    """
    with room_for(*self.shape):
      film = dataclasses.replace(self.framed.film, pixels=np.load(self.pixels_file))
      yield self.predictor.finish(dataclasses.replace(self.framed, film=film), self.logits, threshold)


class Session:
  """The films of one page."""

  def __init__(self, folder: pathlib.Path):
    folder.parent.mkdir(mode=0o700, exist_ok=True)  # A cleaner of temporary files may have removed it.
    folder.mkdir()
    self.folder = folder
    self.films: dict[str, StoredFilm] = {}
    self._lock = threading.Lock()

  def add(self, name: str, film: Radiograph, predictor: Predictor, truth: np.ndarray | None = None) -> StoredFilm:
    """Predicts for a film and keeps it.

    Raises:
      OSError: there is no room for it.
      ValueError: the session is full.
    """
    if len(self.films) >= MAX_FILMS:
      raise ValueError(f"comes after {MAX_FILMS} others; save the results, and remove films before you add more")
    framed = predictor.frame(film)
    logits = {head: np.asarray(x)[0] for head, x in predictor.logits(framed.seen[None]).items()}
    film_id = secrets.token_urlsafe(12)
    file = self.folder / f"{film_id}.npy"
    try:
      np.save(file, film.pixels)
    except OSError:
      file.unlink(missing_ok=True)
      raise
    without_pixels = dataclasses.replace(framed, film=dataclasses.replace(film, pixels=np.empty((0, 0), np.uint8)))
    with self._lock:
      name = self._unique(name)
      stored = StoredFilm(film_id, name, predictor, without_pixels, film.pixels.shape, file, logits, truth)
      self.films[film_id] = stored
    return stored

  def remove(self, film_id: str) -> None:
    """Forgets a film, if it is there."""
    with self._lock:
      film = self.films.pop(film_id, None)
    if film:
      film.pixels_file.unlink(missing_ok=True)

  def _unique(self, name: str) -> str:
    """The last part of a file's name, or one like it whose results have names of their own."""
    name = printable(name.replace("\\", "/").rsplit("/", 1)[-1]).replace("\\", "_")
    name = name.encode()[-_LONGEST_NAME_BYTES:].decode(errors="ignore").lstrip(".") or "film"
    # Some file systems do not tell capitals.
    taken = {result_name(film.name).casefold() for film in self.films.values()}
    stem, dot, suffix = name.rpartition(".")
    candidate, i = name, 2
    while result_name(candidate).casefold() in taken:
      candidate = f"{stem}_{i}.{suffix}" if dot else f"{name}_{i}"
      i += 1
    return candidate


class Sessions:
  """The sessions of all pages, in a folder; the one that has rested longest makes room for a new one."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._sessions: dict[str, Session] = {}
    self._lock = threading.Lock()

  def create(self) -> str:
    """Begins a session, and returns its unguessable name."""
    name = secrets.token_urlsafe(16)
    with self._lock:
      self._sessions[name] = Session(self._folder / name)
      resting = list(self._sessions)[:-MAX_SESSIONS]
    for session in resting:
      self.end(session)
    return name

  def get(self, name: str) -> Session | None:
    with self._lock:
      if name in self._sessions:
        self._sessions[name] = self._sessions.pop(name)  # The last to make room.
      return self._sessions.get(name)

  def end(self, name: str) -> None:
    """Forgets a session and its films, if it is there."""
    with self._lock:
      session = self._sessions.pop(name, None)
    if session:
      shutil.rmtree(session.folder, ignore_errors=True)

  def num_films(self) -> int:
    with self._lock:
      return sum(len(session.films) for session in self._sessions.values())
