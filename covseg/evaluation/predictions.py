"""What a system says of the films of a split, and how another system's masks are read from a folder."""

import concurrent.futures
import dataclasses
import logging
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from input_pipeline.films import Films, resize_mask

logger = logging.getLogger(__name__)

_MASK_VALUES = ({0, 1}, {0, 255}, {0, 65535})


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What a system says of N films, in their order.

  Attributes:
    masks: bool (N, H, W), True where infected.
    probabilities: float16 (N, H, W) in [0, 1]; None of a system that gives masks only.
    lung_masks: bool (N, H, W); None of a system that does not tell the lungs.
  """

  masks: np.ndarray
  probabilities: np.ndarray | None = None
  lung_masks: np.ndarray | None = None


def read_folder(folder: pathlib.Path, films: Films, threshold: float | None) -> Predictions:
  """The masks of another system: PNG files of a folder, each named by the id of its film.

  Files of another size than the films are scaled to it, and files that name no film are left alone, both
  with a warning.

  Args:
    folder: where they are.
    films: what they are of.
    threshold: the probability above which a pixel is infected, for files that hold probabilities, from
      black for 0 to white for 1; None where they have to be masks: of 0 and 1, or of black and white.

  Raises:
    ValueError: films have no file; or files are damaged, in colour, or hold more than a mask while
      `threshold` is None.
  """
  files = _files_of_films(folder, films.ids)
  with concurrent.futures.ThreadPoolExecutor() as threads:
    pixels = list(threads.map(_read, files))
  damaged = _some(files, [p is None for p in pixels])
  if damaged:
    raise ValueError(f"{damaged} in {folder} are damaged, or no PNG of one channel.")
  size = films.images.shape[1:]
  other_size = _some(files, [p.shape != size for p in pixels])
  if other_size:
    logger.warning("%s in %s are not of %dx%d pixels, and are scaled to it.", other_size, folder, *size)

  no_mask = _some(files, [not _is_mask(p) for p in pixels])
  if not no_mask:
    return Predictions(np.stack([resize_mask(p > 0, size[0]) for p in pixels]))
  if threshold is None:
    raise ValueError(
      f"{no_mask} in {folder} hold other values than the two of a mask (0 and 255, or 0 and 1). If they "
      "are probabilities, from black for 0 to white for 1, say above which one is infected: --threshold=0.5."
    )
  logger.warning("%s in %s hold probabilities; a pixel above %g is infected.", no_mask, folder, threshold)
  probabilities = np.stack([_as_probability(p, size) for p in pixels])
  return Predictions(probabilities > threshold, probabilities.astype(np.float16))


def _files_of_films(folder: pathlib.Path, ids: Sequence[str]) -> list[pathlib.Path]:
  """The file of each film."""
  if not folder.is_dir():
    raise ValueError(f"--predictions={folder} is no folder.")
  found = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".png"}
  if not found:
    raise ValueError(f"{folder} has no PNG file; each film needs one, named like {ids[0]}.png.")
  wanted = set(ids)
  missing = _some([f"{film_id}.png" for film_id in ids], [film_id not in found for film_id in ids], "films")
  if missing:
    raise ValueError(
      f"{missing} have no prediction in {folder}, which has {len(found)} PNG files such as "
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
  return f"{len(found)} of {len(names)} {kind} ({', '.join([*found[:3], *['...'] * (len(found) > 3)])})"


def _read(path: pathlib.Path) -> np.ndarray | None:
  """Pixels (H, W), bool, uint8 or uint16, of a PNG file; None of a damaged one, or one in colour."""
  try:
    with Image.open(path) as image:
      pixels = np.asarray(image)
  except (OSError, SyntaxError):  # Pillow raises either for a damaged file.
    return None
  if pixels.ndim == 3:  # Grey written as RGB, or grey with an opacity.
    grey = pixels[..., :1] if pixels.shape[-1] == 2 else pixels[..., :3]
    pixels = grey[..., 0] if (grey == grey[..., :1]).all() else None
  return pixels.astype(np.uint16) if pixels is not None and pixels.dtype == np.int32 else pixels


def _is_mask(pixels: np.ndarray) -> bool:
  values = set(np.unique(pixels).tolist())
  return any(values <= known for known in _MASK_VALUES)


def _as_probability(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """float32 of the size (H, W) in [0, 1] of pixels in which the highest value is 1."""
  white = 1 if pixels.dtype == bool else np.iinfo(pixels.dtype).max
  image = Image.fromarray(pixels.astype(np.float32) / white)
  return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
