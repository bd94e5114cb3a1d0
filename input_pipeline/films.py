"""The films of a split, read from records into arrays once."""

import concurrent.futures
import dataclasses
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


@dataclasses.dataclass(frozen=True)
class Films:
  """N films in memory.

  Attributes:
    images: uint8 (N, H, W), grey.
    masks: bool (N, H, W), True where infected.
    ids: N names, unique in a split.
    labels: N names of classes; all empty where the dataset has none.
  """

  images: np.ndarray
  masks: np.ndarray
  ids: list[str]
  labels: list[str]

  def __len__(self) -> int:
    return len(self.images)


def load_films(
  builder: tfds.core.DatasetBuilder, split: str, image_key: str, mask_key: str, image_size: int
) -> Films:
  """All films of a split, brought to image_size x image_size.

  Args:
    builder: a prepared builder with `split`.
    split: name of the split, or a slice of one in TFDS syntax.
    image_key: feature of the image: 8- or 16-bit, grey or RGB, of any size.
    mask_key: feature of the mask, of the image's size; whatever is not zero is infected.
    image_size: side of the arrays, in pixels. Films of another size are scaled to it.

  Raises:
    ValueError: a feature is missing or is no image, or the records are damaged.
  """
  features = builder.info.features
  for field, key in (("image_key", image_key), ("mask_key", mask_key)):
    if key not in features:
      raise ValueError(f"dataset.{field}={key!r}: {builder.name} has the features {', '.join(features)}.")
  # PNG files are decoded here, in parallel, and only those that are needed.
  decoders = {
    key: tfds.decode.SkipDecoding()
    for key, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  }
  try:
    source = builder.as_data_source(split, decoders=decoders)
    examples = source.__getitems__(range(len(source)))
  except (RuntimeError, OSError) as error:  # What array_record raises.
    raise ValueError(
      f"The records of {builder.info.full_name} in {builder.data_path} are damaged ({error}). Delete "
      "this folder; the next run builds them again."
    ) from error
  images = np.empty((len(examples), image_size, image_size), np.uint8)
  masks = np.empty((len(examples), image_size, image_size), bool)
  ids, labels = [""] * len(examples), [""] * len(examples)

  def load(i: int) -> None:
    example = examples[i]
    ids[i] = _text(example["id"]) if "id" in features else f"{split}_{i:05d}"
    if "label" in features and isinstance(features["label"], tfds.features.ClassLabel):
      labels[i] = features["label"].int2str(int(example["label"]))
    image = _as_image(example[image_key], f"{ids[i]}: {image_key}")
    mask = _as_mask(example[mask_key], f"{ids[i]}: {mask_key}")
    if image.shape != mask.shape:
      raise ValueError(f"{ids[i]}: the image has {image.shape} pixels, its mask {mask.shape}.")
    images[i] = resize_image(image, image_size)
    masks[i] = resize_mask(mask, image_size)

  with concurrent.futures.ThreadPoolExecutor() as threads:
    list(threads.map(load, range(len(examples))))
  return Films(images, masks, ids, labels)


def resized(films: Films, image_size: int) -> Films:
  """The same films at another size, image_size x image_size."""
  if films.images.shape[1:] == (image_size, image_size):
    return films
  images = np.stack([resize_image(image, image_size) for image in films.images])
  masks = np.stack([resize_mask(mask, image_size) for mask in films.masks])
  return dataclasses.replace(films, images=images, masks=masks)


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
  if isinstance(value, bytes):
    with Image.open(io.BytesIO(value)) as image:
      value = np.asarray(image)
  if value.ndim == 3 and value.shape[-1] == 1:
    value = value[..., 0]
  if value.ndim != 2:
    raise ValueError(f"{name} has the shape {value.shape}; expected a mask, (H, W) or (H, W, 1).")
  return value != 0


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
