"""Films from files of others: PNG, JPEG, TIFF and DICOM to grey pixels, whatever the file holds."""

import dataclasses
import io
import os
import pathlib
import stat
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from covseg.prediction.reading import dicom
from covseg.prediction.reading.limits import MAX_BYTES, MAX_PIXELS, RefusedFilm, room_for
from covseg.prediction.turns import EXIF_TURNS, UPRIGHT, Turn

_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WHITE_IS_ZERO = 0
# What is wrong with a file is said once, in the error.
warnings.filterwarnings("ignore", module=r"PIL\.")

_COLOUR = 10  # Levels of 255.
_PHOTOMETRIC_TAG, _ORIENTATION_TAG = 262, 274


@dataclasses.dataclass(frozen=True)
class Radiograph:
  """One film as a file holds it.

  Attributes:
    pixels: uint8 (H, W), grey, bone white, as they are stored; of TIFF, upright.
    turn: what brings the stored pixels upright, as far as the file tells.
    remarks: what in the file says that it is no frontal film of a chest.
    is_dicom: whether the file is DICOM.
  """

  pixels: np.ndarray
  turn: Turn = UPRIGHT
  remarks: tuple[str, ...] = ()
  is_dicom: bool = False


def read(path: pathlib.Path | str) -> Radiograph:
  """The film in a file; see `decode` and `read_bytes`."""
  return decode(read_bytes(path))


def read_bytes(path: pathlib.Path | str) -> bytes:
  """The content of a regular file.

  Raises:
    OSError: it cannot be read.
    ValueError: it is no regular file, empty, or larger than `limits.MAX_BYTES`.
  """
  status = os.stat(path)  # Before it is opened: opening a pipe would wait for ever.
  if not stat.S_ISREG(status.st_mode):
    raise ValueError("is no regular file")
  if not status.st_size:
    raise ValueError("is empty")
  if status.st_size > MAX_BYTES:
    raise ValueError(f"has {status.st_size} bytes; films of up to {MAX_BYTES} bytes are read")
  with open(path, "rb") as file:
    return file.read(MAX_BYTES)


def decode(content: bytes) -> Radiograph:
  """The film in a file's content.

  Films of 16 bits are scaled by the least power of two that holds their brightest pixel, those of 32
  bits or floats by their darkest and brightest.

  Raises:
    ValueError: it is no film that can be read; the message tells why, and goes on after a file's name.
  """
  if dicom.is_dicom(content):
    return Radiograph(*dicom.decode(content), is_dicom=True)
  if not content.startswith(_PICTURES):
    raise ValueError("is no PNG, JPEG, TIFF or DICOM file")
  try:
    with (
      Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "TIFF")) as image,
      room_for(*image.size),
    ):
      if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise RefusedFilm(f"has {image.n_frames} pages; one film a file is expected")
      # Of TIFF, Pillow brings the pixels upright itself.
      orientation = None if image.format == "TIFF" else image.getexif().get(_ORIENTATION_TAG)
      turn = EXIF_TURNS.get(orientation, UPRIGHT)
      remarks = ("is in colours",) if _is_coloured(image) else ()
      return Radiograph(_grey(image), turn, remarks)
  except RefusedFilm:
    raise
  except Image.DecompressionBombError as error:  # Pillow comes first where a film is several times too large.
    raise RefusedFilm(f"is too large; up to {MAX_PIXELS // 10**6} million pixels are read") from error
  except Exception as error:  # On damaged files, decoders raise errors of any kind.
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    reason = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else reason
    raise ValueError(f"is damaged: {reason}") from error


def from_array(values: np.ndarray) -> Radiograph:
  """The film in an array, bone white.

  Args:
    values: (H, W), (H, W, 1) or (H, W, 3), of uint8, of uint16, or of floats in [0, 1].

  Raises:
    ValueError: it is something else.
  """
  if values.ndim == 3 and values.shape[2] == 1:
    values = values[..., 0]
  is_film = values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)
  if (
    not is_film or not values.size or not (values.dtype in (np.uint8, np.uint16) or values.dtype.kind == "f")
  ):
    raise ValueError(
      f"The film is {values.dtype} of shape {values.shape}; expected (H, W) or (H, W, 3) of uint8, uint16, "
      "or floats from 0 to 1."
    )
  if values.dtype.kind == "f":
    if not (values.min() >= 0 and values.max() <= 1):
      raise ValueError(
        f"The film has values from {values.min()} to {values.max()}; expected floats from 0 to 1."
      )
    values = np.round(255 * values).astype(np.uint8)
  elif values.dtype == np.uint16:
    values = _of_16_bits(values)
  return Radiograph(np.asarray(Image.fromarray(values).convert("L")))


def _of_16_bits(values: np.ndarray) -> np.ndarray:
  """uint8 of whole numbers below 2**16."""
  # Not by what a file could hold: scanners store 10 or 12 bits in 16.
  highest = 2 ** max(8, int(values.max()).bit_length()) - 1
  return (values.astype(np.uint32) * 255 // highest).astype(np.uint8)


def _is_coloured(image: Image.Image) -> bool:
  """Whether the channels of an image differ, by more than the compression of a grey one brings about."""
  if image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F")):
    return False
  sample = np.asarray(image.convert("RGB"))[::4, ::4].astype(int)  # (h, w, 3)
  return np.ptp(sample, axis=-1).mean() > _COLOUR


def _grey(image: Image.Image) -> np.ndarray:
  """uint8 (H, W) of an image of any mode."""
  if not image.mode.startswith(("I", "F")):
    return np.asarray(image.convert("L"))
  values = np.asarray(image)
  if not np.isfinite(values).all():
    raise RefusedFilm("has pixels that are not finite")
  low, high = values.min(), values.max()
  if values.dtype.kind == "u" or (values.dtype.kind == "i" and low >= 0 and high < 2**16):
    grey = _of_16_bits(values)
  else:
    span = float(high) - float(low)
    grey = np.uint8(255 * ((values - float(low)) / span)) if span else np.zeros(values.shape, np.uint8)
  # Pillow turns these round where they have 8 bits, and only there.
  is_inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
  return 255 - grey if is_inverted else grey
