"""The films of a split, read from records into arrays once."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from input_pipeline import pixels
from input_pipeline.duplicate_lists import excluded_training_ids
from input_pipeline.grey_levels import to_grey
from input_pipeline.pixels import Picture
from input_pipeline.scaling import resize_image, resize_mask
from input_pipeline.wording import first_of

logger = logging.getLogger(__name__)

_LEAST_KEPT = 0.5  # Part of a mask's area; of outlines that are not filled, hardly anything is kept.


@dataclasses.dataclass(frozen=True)
class Films:
  """N films in memory.

  Attributes:
    images: uint8 (N, h, w), grey, at the network's size.
    masks: bool (N, H, W), True where infected, at the size of the comparison.
    lung_masks: bool (N, H, W), True in the lungs; None where the dataset has none.
    ids: N names.
    labels: N names of classes; all empty where the dataset has none.
    has_opacity: bool (N,), whether the class of each is one of `dataset.opacities`; None where that names none.
  """

  images: np.ndarray
  masks: np.ndarray
  lung_masks: np.ndarray | None
  ids: list[str]
  labels: list[str]
  has_opacity: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.images)

  def as_batch(self) -> dict[str, np.ndarray]:
    """{"image": images, "mask": masks}, and "lung_mask" and "opacity" where there are some."""
    batch = {"image": self.images, "mask": self.masks, "lung_mask": self.lung_masks, "opacity": self.has_opacity}
    return {name: array for name, array in batch.items() if array is not None}

  def of(self, chosen: np.ndarray) -> "Films":
    """The films of these indices, int (M,)."""
    lungs, has_opacity = (None if array is None else array[chosen] for array in (self.lung_masks, self.has_opacity))
    ids, labels = ([values[i] for i in chosen] for values in (self.ids, self.labels))
    return Films(self.images[chosen], self.masks[chosen], lungs, ids, labels, has_opacity)

  def infected(self) -> np.ndarray:
    """Indices of the films with an infection, int (M,)."""
    return np.flatnonzero(self.masks.any(axis=(1, 2)))


class Film(NamedTuple):
  """One film, as in `Films`."""

  image: np.ndarray
  mask: np.ndarray
  lung_mask: np.ndarray | None
  id: str
  label: str
  opacity: bool | None = None


class FilmReader:
  """The films of a split on disk, read one at a time, at one size."""

  def __init__(
    self,
    builder: tfds.core.DatasetBuilder,
    split: str,
    config: ConfigDict,
    image_size: int,
    mask_size: int | None = None,
    with_lungs: bool = True,
    opacity_classes: Sequence[str] = (),
  ):
    """Opens the records.

    Args:
      builder: a prepared builder with `split`.
      split: name of the split, or a slice of one in TFDS syntax.
      config: `config.dataset`. image_key: feature of the image, of any kind that `pixels` reads and of any size.
        mask_key: feature of the mask; see `pixels.to_mask`. lung_mask_key: feature of the lung mask, where the dataset
        has one. exclude: list of training films that are left out.
      image_size: side of the images that are read, in pixels. Others are scaled to it.
      mask_size: the same of the masks; None for `image_size`.
      with_lungs: whether masks of the lungs are read, where there are some.
      opacity_classes: names of classes; `Film.opacity` tells whether a film is of one of them, and is None without any.

    Raises:
      FileNotFoundError: there is no such list.
      ValueError: a feature or a class is missing, the list names no film of the split, or the records are damaged.
    """
    self.builder = builder
    self.image_size, self.mask_size = image_size, mask_size or image_size
    self._notes: dict[str, set[str]] = collections.defaultdict(set)  # {what is unusual: ids of films}
    self._features = builder.info.features
    self._split, self._image_key, self._mask_key = split, config.image_key, config.mask_key
    self._lung_mask_key = config.lung_mask_key if with_lungs else ""
    self._damaged = (
      f"The records of {builder.info.full_name} in {builder.data_path} are damaged. Delete this folder; "
      "the next run builds them again."
    )
    for field in ("image_key", "mask_key"):
      if config[field] not in self._features:
        raise ValueError(
          f"dataset.{field}={config[field]!r}: {builder.name} has the features {', '.join(self._features)}."
        )
    has_labels = "label" in self._features and isinstance(self._features["label"], tfds.features.ClassLabel)
    self._classes = self._features["label"].names if has_labels else []
    self.opacity_classes = opacity_classes
    for name in opacity_classes:
      if name not in self._classes:
        classes = ", ".join(self._classes) or "none"
        raise ValueError(f"dataset.opacities names the class {name!r}; {builder.info.full_name} has {classes}.")
    # PNG files are decoded here, and only those that are needed.
    decoders = {
      key: tfds.decode.SkipDecoding()
      for key, feature in self._features.items()
      if isinstance(feature, tfds.features.Image)
    }
    with self._error_if_damaged():
      self._source = builder.as_data_source(split, decoders=decoders)
    self._indices = range(len(self._source))
    if config.exclude and split == "train":
      self._leave_out(config.exclude)

  def __len__(self) -> int:
    return len(self._indices)

  @property
  def has_lung_masks(self) -> bool:
    return self._lung_mask_key in self._features

  def __getitem__(self, i: int) -> Film:
    """A film: image uint8 (H, W), masks bool (H, W).

    Raises:
      ValueError: a feature is no image or no mask, or the records are damaged.
    """
    example = self._example(i)
    film_id = self._id(example, i)
    number = int(example["label"]) if self._classes else -1  # TFDS has -1 where the class is not known.
    label = self._classes[number] if number >= 0 else ""
    picture = _picture(example[self._image_key], f"{film_id}: {self._image_key}")
    for remark in picture.remarks:
      self._notes[remark].add(film_id)
    try:
      image = _upright(to_grey(picture.values), picture)
    except ValueError as error:
      raise ValueError(f"{film_id}: {self._image_key} {error}.") from error
    keys = [self._mask_key, *([self._lung_mask_key] if self.has_lung_masks else [])]
    masks = [_as_mask(example[key], f"{film_id}: {key}", picture) for key in keys]
    if any(mask.shape != image.shape for mask in masks):
      self._notes["has a mask of another shape, which is scaled to it"].add(film_id)
    infection, *rest = (resize_mask(mask, self.mask_size) for mask in masks)
    if infection.mean() < _LEAST_KEPT * masks[0].mean():
      self._notes[f"has a mask that loses most of its area at {self.mask_size} x {self.mask_size} pixels"].add(film_id)
    lungs = rest[0] if rest else None
    opacity = label in self.opacity_classes if self.opacity_classes else None
    return Film(resize_image(image, self.image_size), infection, lungs, film_id, label, opacity)

  def report_notes(self) -> None:
    """Warns, with a count, of what was unusual about the films that have been read."""
    notes, self._notes = self._notes, collections.defaultdict(set)  # Other threads may go on reading.
    for note, ids in notes.items():
      logger.warning("%s: %d of %d films (%s): each %s.", self._split, len(ids), len(self), first_of(sorted(ids)), note)

  def has_infection(self, i: int) -> bool:
    """Whether any pixel of a film's infection mask is set; reads nothing else of it."""
    return bool(resize_mask(_as_mask(*self._infection_mask(i)), self.mask_size).any())

  def mask_levels(self, i: int) -> list[int]:
    """The values in the infection mask of a film as it is stored, before it is made a bool."""
    return np.unique(_picture(*self._infection_mask(i)).values).tolist()

  def _infection_mask(self, i: int) -> tuple[bytes | np.ndarray, str]:
    """The stored infection mask of a film, and its name for errors."""
    example = self._example(i)
    return example[self._mask_key], f"{self._id(example, i)}: {self._mask_key}"

  def _example(self, i: int) -> dict[str, Any]:
    with self._error_if_damaged():
      return self._source[self._indices[i]]

  def _id(self, example: dict[str, Any], i: int) -> str:
    return _text(example["id"]) if "id" in self._features else f"{self._split}_{self._indices[i]:05d}"

  def _leave_out(self, path: str) -> None:
    if path == self.builder.name and hasattr(self.builder, "DUPLICATES"):
      path = str(self.builder.DUPLICATES)
    excluded = excluded_training_ids(path)
    ids = [self._id(self._example(i), i) for i in range(len(self))]
    kept = [i for i, film_id in enumerate(ids) if film_id not in excluded]
    if excluded and len(kept) in (0, len(ids)):
      raise ValueError(
        f"dataset.exclude={path} lists {len(excluded)} training films (the first is {min(excluded)}), which "
        f"leaves {len(kept)} of {len(ids)}; expected a list of some of them, made from this very dataset."
      )
    logger.info("%d of %d training films are left out (%s).", len(ids) - len(kept), len(ids), path)
    self._indices = kept

  @contextlib.contextmanager
  def _error_if_damaged(self) -> Iterator[None]:
    try:
      yield
    except (RuntimeError, OSError) as error:  # What array_record raises.
      raise ValueError(f"{self._damaged} ({error})") from error


def crc32(*arrays: np.ndarray) -> int:
  """Checksum of the values of arrays, one after another."""
  checksum = 0
  for array in arrays:
    checksum = zlib.crc32(np.ascontiguousarray(array), checksum)
  return checksum


def load_films(reader: FilmReader) -> Films:
  """All films of a reader, read in parallel."""
  films, readings = start_loading(reader, range(len(reader)))
  try:
    for reading in readings:
      reading.result()
  finally:  # Without effect, unless one has failed.
    for reading in readings:
      reading.cancel()
  reader.report_notes()
  return films


def start_loading(reader: FilmReader, order: Iterable[int]) -> tuple[Films, list[concurrent.futures.Future]]:
  """Films that threads go on to read, in an order; each is there when its future, in that order, is done."""
  images = np.empty((len(reader), reader.image_size, reader.image_size), np.uint8)
  masks = np.empty((len(reader), reader.mask_size, reader.mask_size), bool)
  lung_masks = np.empty_like(masks) if reader.has_lung_masks else None
  has_opacity = np.empty(len(reader), bool) if reader.opacity_classes else None
  ids, labels = [""] * len(reader), [""] * len(reader)

  def load(i: int) -> None:
    film = reader[i]
    images[i], masks[i], ids[i], labels[i] = film.image, film.mask, film.id, film.label
    if lung_masks is not None:
      lung_masks[i] = film.lung_mask
    if has_opacity is not None:
      has_opacity[i] = film.opacity

  threads = concurrent.futures.ThreadPoolExecutor()
  readings = [threads.submit(load, i) for i in order]
  threads.shutdown(wait=False)  # What was submitted is still read.
  return Films(images, masks, lung_masks, ids, labels, has_opacity), readings


def _picture(value: bytes | np.ndarray, name: str) -> Picture:
  """The picture of an encoded image, or of an array (H, W), (H, W, 1) or (H, W, 3)."""
  if not isinstance(value, bytes):
    return pixels.from_array(value, name)
  try:
    return pixels.decode(value)
  except ValueError as error:
    raise ValueError(f"{name} {error}.") from error


def _upright(values: np.ndarray, picture: Picture) -> np.ndarray:
  return np.ascontiguousarray(picture.turn.apply(values))


def _as_mask(value: bytes | np.ndarray, name: str, film: Picture | None = None) -> np.ndarray:
  """bool (H, W), upright, of an encoded mask or of an array, of a film."""
  picture = _picture(value, name)
  try:
    return pixels.to_mask(picture, film)
  except ValueError as error:
    raise ValueError(f"{name} {error}.") from error


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
