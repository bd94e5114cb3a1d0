"""The error for films that are not read, and the check of their size."""


class RefusedFilm(ValueError):
  """A file is whole, but no film that is read here; the message goes on after the file's name."""


def check_size(width: int, height: int, max_pixels: int) -> None:
  """Raises RefusedFilm for a film that is empty or too large to be decoded."""
  if not 0 < width * height <= max_pixels:
    raise RefusedFilm(f"is {width} x {height} pixels; up to {max_pixels // 10**6} million are read")
