"""A system's predictions for the films of a split, and how another system's masks are read from a folder."""

import concurrent.futures
import dataclasses
import logging
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from PIL import Image

from input_pipeline import pixels
from input_pipeline.films import Films
from input_pipeline.pixels import Picture
from input_pipeline.scaling import resize_mask
from input_pipeline.wording import first_of

logger = logging.getLogger(__name__)

_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Predictions:
  """A system's predictions for N films, in their order.

  Attributes:
    masks: bool (N, H, W), True where infected.
    probabilities: float16 (N, H, W) in [0, 1]; None of a system that gives masks only.
    lung_masks: bool (N, H, W); None of a system that does not predict the lungs.
    of_films: {head: float32 (N,)}, probabilities of heads that predict no pixels, as "involvement".
  """

  masks: np.ndarray
  probabilities: np.ndarray | None = None
  lung_masks: np.ndarray | None = None
  of_films: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def read_folder(folder: pathlib.Path, films: Films, threshold: float | None) -> Predictions:
  """The masks of another system: files of a folder, each named by the id of its film.

  Files of another size than the films are scaled to it, and files that name no film are left alone, both
  with a warning.

  Args:
    folder: where they are.
    films: what they are of.
    threshold: the probability above which a pixel is infected, for files that hold probabilities, from
      black for 0 to white for 1; None where they have to be masks: of 0 and 1, or of black and white.

  Raises:
    ValueError: films have no file, or two; or files are damaged, in colour, or hold more than a mask while
      `threshold` is None, or floats outside 0 to 1.
  """
  files = _files_of_films(folder, films.ids)
  size = films.masks.shape[1:]
  with concurrent.futures.ThreadPoolExecutor() as threads:
    found = list(threads.map(_read, files))
  problems = [picture if isinstance(picture, str) else "" for picture in found]
  damaged = _some(files, list(map(bool, problems)))
  if damaged:
    raise ValueError(f"{damaged} in {folder} cannot be read: the first {next(filter(None, problems))}.")
  other_size = _some(files, [picture.values.shape != size for picture in found])
  if other_size:
    logger.warning("%s in %s are not of %dx%d pixels, and are scaled to it.", other_size, folder, *size)
  if threshold is not None and not all(map(_is_black_and_white, found)):
    coloured = _some(files, ["is in colours" in picture.remarks for picture in found])
    if coloured:
      raise ValueError(
        f"{coloured} in {folder} are in colours; expected probabilities, from black for 0 to white for 1."
      )
    outside = [picture.values.dtype.kind == "f" and not _in_unit_range(picture.values) for picture in found]
    if any(outside):
      raise ValueError(
        f"{_some(files, outside)} in {folder} hold other values than from 0 to 1; expected probabilities, or whole "
        "numbers from black for 0 to white for 1."
      )
    logger.warning("The files in %s hold probabilities; a pixel above %g is infected.", folder, threshold)
    probabilities = np.stack([_as_probability(picture, size) for picture in found])
    return Predictions(probabilities > threshold, probabilities.astype(np.float16))
  masks, no_mask = [], {}
  for file, picture in zip(files, found, strict=True):
    try:
      masks.append(resize_mask(pixels.to_mask(picture), size[0]))
    except ValueError as error:
      no_mask[file] = error
  if no_mask:
    file, error = next(iter(no_mask.items()))
    raise ValueError(
      f"{_some(files, [f in no_mask for f in files])} in {folder} hold other values than the two of a mask; "
      f"{file.name} {error}. If they are probabilities, from black for 0 to white for 1, give the threshold: "
      "--threshold=0.5."
    )
  return Predictions(np.stack(masks))


def _files_of_films(folder: pathlib.Path, ids: Sequence[str]) -> list[pathlib.Path]:
  """The file of each film."""
  if not folder.is_dir():
    raise ValueError(f"--predictions={folder} is no folder.")
  pictures = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES]
  # As the ids of `folder`: systems write umlauts in two ways.
  names = [unicodedata.normalize("NFC", path.stem) for path in pictures]
  found = dict(zip(names, pictures, strict=True))
  wanted = set(ids)
  twice = _some(pictures, [name in wanted and found[name] != path for name, path in zip(names, pictures, strict=True)])
  if twice:
    raise ValueError(f"{twice} in {folder} are of films that have another file there, too; each film needs one.")
  if not found:
    raise ValueError(f"{folder} has no picture; each film needs one, named like {ids[0]}.png.")
  missing = _some([f"{film_id}.png" for film_id in ids], [film_id not in found for film_id in ids], "films")
  if missing:
    raise ValueError(
      f"{missing} have no prediction in {folder}, which has {len(found)} pictures such as "
      f"{next(iter(found.values())).name}. Where a system finds nothing, its mask is empty, not missing; "
      "--split and --cohort choose the films."
    )
  others = _some(list(found.values()), [film_id not in wanted for film_id in found])
  if others:
    logger.warning("%s in %s are named like no film of this split and cohort; left alone.", others, folder)
  return [found[film_id] for film_id in ids]


def _some(names: Sequence[object], chosen: Sequence[bool], kind: str = "files") -> str:
  """How many of the names are chosen, and the first ones, as in "5 of 9 files (a.png, b.png, c.png, ...)";
  empty if none is.
  """
  found = [getattr(name, "name", name) for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
  if not found:
    return ""
  return f"{len(found)} of {len(names)} {kind} ({first_of(found)})"


def _read(path: pathlib.Path) -> Picture | str:
  """The picture of a file; what is wrong with it, where it cannot be read."""
  try:
    return pixels.decode(path.read_bytes())
  except (OSError, ValueError) as error:
    return str(error)


def _is_black_and_white(picture: Picture) -> bool:
  """Whether the values are those of a mask: 0 and 1, or 0 and white."""
  levels = set(np.unique(picture.values).tolist())
  return levels <= {0, 1} or levels <= {0, _white(picture)}


def _white(picture: Picture) -> int:
  """The highest value of the picture's type; 1 of floats."""
  return 1 if picture.values.dtype.kind in "bf" else np.iinfo(picture.values.dtype).max


def _in_unit_range(values: np.ndarray) -> bool:
  return bool(values.min() >= 0 and values.max() <= 1)  # False of what is not a number.


def _as_probability(picture: Picture, size: tuple[int, int]) -> np.ndarray:
  """float32 of the size (H, W) in [0, 1] of a picture in which the highest value of its type is 1."""
  values = picture.turn.apply(picture.values)
  image = Image.fromarray(np.ascontiguousarray(values, np.float32) / _white(picture))
  return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
