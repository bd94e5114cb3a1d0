"""Films from files of others, of any kind that `pixels` reads, to grey pixels."""

import dataclasses
import os
import pathlib
import stat

import numpy as np

from input_pipeline import pixels
from input_pipeline.grey_levels import to_grey
from input_pipeline.limits import MAX_BYTES
from input_pipeline.turns import UPRIGHT, Turn


@dataclasses.dataclass(frozen=True)
class Radiograph:
  """One film as a file holds it.

  Attributes:
    pixels: uint8 (H, W), grey, bone white, as they are stored.
    turn: what brings the stored pixels upright, as far as the file tells.
    remarks: what is unusual or doubtful about the file.
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
  """The film in a file's content; see `pixels.decode` and `grey_levels` for how its values become grey levels.

  Raises:
    ValueError: it is no film that can be read; the message says why, and goes on after a file's name.
  """
  picture = pixels.decode(content)
  return Radiograph(to_grey(picture.values), picture.turn, picture.remarks, picture.is_dicom)


def from_array(values: np.ndarray) -> Radiograph:
  """The film in an array, bone white; see `pixels.from_array` for what it may be."""
  picture = pixels.from_array(values)
  return Radiograph(to_grey(picture.values), remarks=picture.remarks)
