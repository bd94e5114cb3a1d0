"""The films of a split, read from records into arrays once."""

import concurrent.futures
import contextlib
import dataclasses
import io
import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from input_pipeline.exclusion import excluded_training_ids

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Films:
  """N films in memory.

  Attributes:
    images: uint8 (N, H, W), grey.
    masks: bool (N, H, W), True where infected.
    lung_masks: bool (N, H, W), True in the lungs; None where the dataset does not tell.
    ids: N names, unique in a split.
    labels: N names of classes; all empty where the dataset has none.
  """

  images: np.ndarray
  masks: np.ndarray
  lung_masks: np.ndarray | None
  ids: list[str]
  labels: list[str]

  def __len__(self) -> int:
    return len(self.images)

  def as_batch(self) -> dict[str, np.ndarray]:
    """{"image": images, "mask": masks}, and "lung_mask" where there are some."""
    batch = {"image": self.images, "mask": self.masks, "lung_mask": self.lung_masks}
    return {name: array for name, array in batch.items() if array is not None}

  def with_infection(self) -> "Films":
    """Those of the films that have an infection."""
    chosen = np.flatnonzero(self.masks.any(axis=(1, 2)))
    lung_masks = None if self.lung_masks is None else self.lung_masks[chosen]
    ids, labels = ([values[i] for i in chosen] for values in (self.ids, self.labels))
    return Films(self.images[chosen], self.masks[chosen], lung_masks, ids, labels)


class Film(NamedTuple):
  """One film, as in `Films`."""

  image: np.ndarray
  mask: np.ndarray
  lung_mask: np.ndarray | None
  id: str
  label: str

  def resized(self, image_size: int) -> "Film":
    """The same film at another size, image_size x image_size."""
    lung_mask = None if self.lung_mask is None else resize_mask(self.lung_mask, image_size)
    image, mask = resize_image(self.image, image_size), resize_mask(self.mask, image_size)
    return self._replace(image=image, mask=mask, lung_mask=lung_mask)


class FilmReader:
  """The films of a split on disk, read one at a time, at one size."""

  def __init__(
    self,
    builder: tfds.core.DatasetBuilder,
    split: str,
    config: ConfigDict,
    image_size: int,
    with_lungs: bool = True,
  ):
    """Opens the records.

    Args:
      builder: a prepared builder with `split`.
      split: name of the split, or a slice of one in TFDS syntax.
      config: `config.dataset`. image_key: feature of the image, 8- or 16-bit, grey or RGB, of any
        size. mask_key: feature of the mask, of the image's size; whatever is not zero is infected.
        lung_mask_key: feature of the mask of the lungs, where the dataset has one. exclude: list of
        training films that are left out.
      image_size: side of what is read, in pixels. Films of another size are scaled to it.
      with_lungs: whether masks of the lungs are read, where there are some.

    Raises:
      FileNotFoundError: there is no such list.
      ValueError: a feature is missing, the list names no film of the split, or the records are damaged.
    """
    self.image_size = image_size
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
      ValueError: a feature is no image, image and mask differ in size, or the records are damaged.
    """
    example = self._example(i)
    film_id = self._id(example, i)
    label = ""
    if "label" in self._features and isinstance(self._features["label"], tfds.features.ClassLabel):
      label = self._features["label"].int2str(int(example["label"]))
    image = _as_image(example[self._image_key], f"{film_id}: {self._image_key}")
    masks = [_as_mask(example[self._mask_key], f"{film_id}: {self._mask_key}")]
    if self.has_lung_masks:
      masks.append(_as_mask(example[self._lung_mask_key], f"{film_id}: {self._lung_mask_key}"))
    for mask in masks:
      if image.shape != mask.shape:
        raise ValueError(f"{film_id}: the image has {image.shape} pixels, its mask {mask.shape}.")
    lung_mask = masks[1] if self.has_lung_masks else None
    return Film(image, masks[0], lung_mask, film_id, label).resized(self.image_size)

  def has_infection(self, i: int) -> bool:
    """Whether any pixel of a film's infection mask is set; reads nothing else of it."""
    mask = _as_mask(self._example(i)[self._mask_key], self._mask_key)
    return bool(resize_mask(mask, self.image_size).any())

  def mask_levels(self, i: int) -> list[int]:
    """The values in the infection mask of a film as it is stored, before it is made a bool."""
    return np.unique(_as_pixels(self._example(i)[self._mask_key], self._mask_key)).tolist()

  def _example(self, i: int) -> dict[str, Any]:
    with self._error_if_damaged():
      return self._source[self._indices[i]]

  def _id(self, example: dict[str, Any], i: int) -> str:
    return _text(example["id"]) if "id" in self._features else f"{self._split}_{self._indices[i]:05d}"

  def _leave_out(self, path: str) -> None:
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


def load_films(reader: FilmReader, image_size: int | None = None) -> Films:
  """All films of a reader, read in parallel, and scaled from its size to another one if that is given."""
  films, readings = start_loading(reader, image_size or reader.image_size, range(len(reader)))
  for reading in readings:
    reading.result()
  return films


def start_loading(
  reader: FilmReader, image_size: int, order: Iterable[int]
) -> tuple[Films, list[concurrent.futures.Future]]:
  """Films that threads go on to read, in an order; each is there when its future, in that order, is done."""
  size = (len(reader), image_size, image_size)
  images, masks = np.empty(size, np.uint8), np.empty(size, bool)
  lung_masks = np.empty(size, bool) if reader.has_lung_masks else None
  ids, labels = [""] * len(reader), [""] * len(reader)

  def load(i: int) -> None:
    film = reader[i].resized(image_size)
    images[i], masks[i], ids[i], labels[i] = film.image, film.mask, film.id, film.label
    if lung_masks is not None:
      lung_masks[i] = film.lung_mask

  threads = concurrent.futures.ThreadPoolExecutor()
  readings = [threads.submit(load, i) for i in order]
  threads.shutdown(wait=False)  # What was submitted is still read.
  return Films(images, masks, lung_masks, ids, labels), readings


def resize_image(image: np.ndarray, image_size: int) -> np.ndarray:
  """uint8 (H, W) scaled to uint8 (image_size, image_size), bilinear, without aliasing."""
  if image.shape == (image_size, image_size):
    return image
  resized = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
  return np.asarray(resized)


def resize_mask(mask: np.ndarray, image_size: int) -> np.ndarray:
  """bool (H, W) scaled to bool (image_size, image_size): True where at least half is covered."""
  if mask.shape == (image_size, image_size):
    return mask
  grey = Image.fromarray(mask.astype(np.uint8) * 255)
  return np.asarray(grey.resize((image_size, image_size), Image.Resampling.BOX)) >= 128


def _as_image(value: bytes | np.ndarray, name: str) -> np.ndarray:
  """uint8 (H, W), grey, of an encoded image or of an array (H, W), (H, W, 1) or (H, W, 3)."""
  if isinstance(value, bytes):
    with Image.open(io.BytesIO(value)) as image:
      is_16_bit = image.mode.startswith("I")
      value = np.asarray(image, np.uint16) if is_16_bit else np.asarray(image.convert("L"))
  if value.dtype == np.uint16:
    value = (value // 257).astype(np.uint8)
  if value.ndim == 3 and value.shape[-1] == 1:
    value = value[..., 0]
  if value.dtype != np.uint8 or value.ndim not in (2, 3) or value.shape[2:] not in ((), (3,)):
    raise ValueError(
      f"{name} is {value.dtype} of shape {value.shape}; expected an image, (H, W), (H, W, 1) or "
      "(H, W, 3), of uint8 or uint16."
    )
  return np.asarray(Image.fromarray(value).convert("L"))


def _as_mask(value: bytes | np.ndarray, name: str) -> np.ndarray:
  """bool (H, W) of an encoded mask or of an array (H, W) or (H, W, 1): True where not zero."""
  return _as_pixels(value, name) != 0


def _as_pixels(value: bytes | np.ndarray, name: str) -> np.ndarray:
  """Values (H, W) of an encoded mask or of an array (H, W) or (H, W, 1)."""
  if isinstance(value, bytes):
    with Image.open(io.BytesIO(value)) as image:
      value = np.asarray(image)
  if value.ndim == 3 and value.shape[-1] == 1:
    value = value[..., 0]
  if value.ndim != 2:
    raise ValueError(f"{name} has the shape {value.shape}; expected a mask, (H, W) or (H, W, 1).")
  return value


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
