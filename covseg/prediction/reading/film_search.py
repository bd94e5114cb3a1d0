"""The films among files and folders, and the names that their results get."""

import collections
import dataclasses
import hashlib
import logging
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from input_pipeline import pixels
from input_pipeline.wording import first_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".dcm", ".dicom", ".dic")
# Of pictures that are not read here, and of what may hold some.
# fmt: off
_OTHER_SUFFIXES = (
  ".avif", ".dcm.gz", ".fits", ".heic", ".heif", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".mha", ".mhd", ".nii",
  ".nii.gz", ".npy", ".nrrd", ".pbm", ".pdf", ".pgm", ".ppm", ".psd", ".zip",
)
# fmt: on
# Folders that `predict` writes, beside its table.
RESULT_FOLDERS = ("masks", "overlays", "lungs", "probabilities", "segmentations")
RESULT_TABLES = re.compile(r"predictions(-\d+-of-\d+)?\.csv|\.predictions(-\d+-of-\d+)?\.jsonl")  # Tables and journals.


@dataclasses.dataclass(frozen=True)
class FoundFilm:
  """A file that is or should be a film.

  Attributes:
    path: of the file.
    name: of its results: relative, with /, unique in a run.
    problem: why it is not to be read; empty if it is.
  """

  path: str
  name: str
  problem: str = ""

  @property
  def place(self) -> str:
    """Digest of the whole path."""
    return hashlib.sha256(os.fsencode(os.path.abspath(self.path))).hexdigest()[:16]


def find(paths: list[str], output: pathlib.Path, names_before: Mapping[str, str]) -> list[FoundFilm]:
  """All films among files and folders, the same in every run, sorted within a folder.

  In folders, files count that are called like a film or begin like one; hidden ones do not, nor does `output`, nor what
  an earlier run has written. Links are followed where they lead to a file in the same folder.

  Args:
    paths: files and folders.
    output: folder of the results.
    names_before: {place: name} of films that have a name from earlier runs.

  Raises:
    FileNotFoundError: a path does not exist.
  """
  found = []
  paths = _each_once(paths, lambda path: path)
  names = [os.path.basename(os.path.abspath(path)) for path in paths]
  counts = collections.Counter(names)
  for path, name in zip(paths, names, strict=True):
    if not os.path.lexists(path):
      raise FileNotFoundError(f"{path} does not exist; name films, or folders of films.")
    if counts[name] > 1:  # As in */film.dcm: the whole path, as it is given, tells them apart.
      name = "/".join(part for part in pathlib.PurePath(path).parts if part not in ("/", ".."))
    if not os.path.isdir(path):
      found.append(FoundFilm(path, name))
      continue
    # With several arguments, a folder's name comes before those of its films.
    prefix = f"{name}/" if len(paths) > 1 and name else ""
    found.extend(FoundFilm(film.path, prefix + film.name, film.problem) for film in _walk(path, output))
  found = _each_once(found, lambda film: film.path)
  found = [dataclasses.replace(film, name=names_before.get(film.place, film.name)) for film in found]
  return _with_unique_names(found, names_before)


def has_results(folder: pathlib.Path) -> bool:
  """Whether `predict` has written, or begun to write, its results into a folder."""
  return folder.is_dir() and any(RESULT_TABLES.fullmatch(name) for name in os.listdir(folder))


def result_name(name: str) -> str:
  """Name of a film's mask: its own, as PNG."""
  return name if name.lower().endswith(".png") else f"{name}.png"


def printable(name: str) -> str:
  """A file's name on one line, whatever bytes it has."""
  name = os.fsencode(name).decode("utf-8", "backslashreplace")
  return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _each_once(items: Iterable[T], path_of: Callable[[T], str]) -> list[T]:
  """The items, but of those with one path, as A and ./A, the first alone."""
  found: dict[str, T] = {}
  for item in items:
    found.setdefault(os.path.abspath(path_of(item)), item)
  return list(found.values())


def _walk(top: str, output: pathlib.Path) -> Iterator[FoundFilm]:
  home, left_out = os.path.realpath(top), os.path.realpath(output)
  folders, others = [top], []
  while folders:  # Not by recursion: folders may lie deeper than Python's stack.
    folder = folders.pop()
    try:
      entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
      yield FoundFilm(folder, os.path.relpath(folder, top), f"cannot be listed: {error.strerror}")
      continue
    subfolders, holds_results = [], any(RESULT_TABLES.fullmatch(entry.name) for entry in entries)
    for entry in entries:
      if entry.name.startswith(".") or (holds_results and entry.name in RESULT_FOLDERS):
        continue
      if entry.is_dir(follow_symlinks=False):
        if os.path.realpath(entry.path) != left_out:
          subfolders.append(entry.path)
      elif os.path.isdir(entry.path):
        name = printable(os.path.relpath(entry.path, top))
        logger.warning("%s is a link to a folder, which is not followed; name that folder itself.", name)
      elif _may_be_film(entry):
        target = os.path.realpath(entry.path)
        is_outside = entry.is_symlink() and os.path.commonpath([home, target]) != home
        problem = "is a link out of the folder; name the file itself" if is_outside else ""
        yield FoundFilm(entry.path, os.path.relpath(entry.path, top), problem)
      elif entry.name.lower().endswith(_OTHER_SUFFIXES):
        others.append(printable(os.path.relpath(entry.path, top)))
    folders.extend(reversed(subfolders))
  if others:
    logger.warning(
      "%d files in %s are left out, as such files are not read here: %s", len(others), top, first_of(others)
    )


def _may_be_film(entry: os.DirEntry) -> bool:
  if entry.name.lower().endswith(_SUFFIXES):
    return True
  if os.path.splitext(entry.name)[1].lower() in (".txt", ".csv", ".json") or entry.name == "DICOMDIR":
    return False
  try:
    if not entry.is_file():
      return False
    with open(entry.path, "rb") as file:
      return pixels.is_picture(file.read(132))
  except PermissionError:
    return True  # It may be a film, and whoever reads it says what is wrong.
  except OSError:
    return False


def _with_unique_names(films: list[FoundFilm], names_before: Mapping[str, str]) -> list[FoundFilm]:
  """The films, with a problem where another one's results have the same name, or one that some file systems, which
  ignore case, take for the same. The name belongs to the film that has it from earlier runs, else to the first.
  """
  owners: dict[str, str] = {}
  for film in sorted(films, key=lambda film: film.place not in names_before):
    owners.setdefault(result_name(film.name).casefold(), film.place)
  problem = "has the name of another film (case is ignored); give it its own --output"
  return [
    film if owners[result_name(film.name).casefold()] == film.place else dataclasses.replace(film, problem=problem)
    for film in films
  ]
