"""What is refused before it is decoded, so that no file takes more memory than there is."""

import contextlib
import threading
from collections.abc import Iterator

# Radiographs have up to 20 million pixels.
MAX_PIXELS = 50_000_000
MAX_BYTES = 2**29
_LARGE = 16_000_000
_large_film = threading.Lock()


class RefusedFilm(ValueError):
  """A file that is no film, or not of a kind that is read here; the message goes on after the file's name."""


@contextlib.contextmanager
def room_for(width: int, height: int) -> Iterator[None]:
  """Holds the right to decode a film of this size; large ones are decoded one after the other.

  Raises:
    RefusedFilm: it is empty or too large.
  """
  if not 0 < width * height <= MAX_PIXELS:
    raise RefusedFilm(f"is {width} x {height} pixels; up to {MAX_PIXELS // 10**6} million are read")
  with _large_film if width * height > _LARGE else contextlib.nullcontext():
    yield
