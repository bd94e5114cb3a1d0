"""Films of DICOM files: what is refused, decompression, orientation.

What a file says about the patient is never read. Sizes, frames and the kind of pixels are the only values
that enter an error message.
"""

import struct
from typing import Any

import numpy as np

from input_pipeline.dicom import decoding_apart, display, file
from input_pipeline.limits import RefusedFilm, room_for
from input_pipeline.turns import UPRIGHT, Turn, from_patient_orientation

# fmt: off
_REQUIRED = (
  "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation",
  "SamplesPerPixel",
)
# fmt: on
_LATERAL_VIEWS = ("LL", "RL", "LLD", "RLD", "LAT", "LATERAL")
_RADIOGRAPHS = ("CR", "DX", "DR", "RF", "RG", "PX", "OT", "")  # OT: digitised film, among others.


def decode(content: bytes) -> tuple[np.ndarray, Turn, tuple[str, ...]]:
  """The film of a DICOM file.

  Returns:
    uint8 (H, W) as stored, bone white, after the modality and VOI transformations; the turn that brings
    it upright; and remarks: what in the file says that it is no frontal film of a chest, or is doubtful.

  Raises:
    ValueError: it is no film that can be read.
  """
  try:
    with file.quiet():
      dataset = file.read(content)
      _check(dataset, content)
      is_compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
      with room_for(int(dataset.Columns), int(dataset.Rows)):
        stored = decoding_apart.pixel_array(content) if is_compressed else file.stored_pixels(content)
        grey, doubts = display.grey_levels(dataset, stored)
      return grey, _turn(dataset), (*_remarks(dataset), *doubts)
  except (RefusedFilm, MemoryError):
    raise
  except Exception as error:  # On damaged files, decoders raise errors of any kind.
    raise ValueError(f"is a damaged or unusual DICOM file ({type(error).__name__})") from error


def _check(dataset: Any, content: bytes) -> None:
  """Raises RefusedFilm for what is not one film of a depth that can be decoded."""
  if "PixelData" not in dataset:
    is_cut = b"\xe0\x7f\x10\x00" in content
    raise RefusedFilm("is a DICOM file that is cut off" if is_cut else "is a DICOM file without an image")
  missing = [name for name in _REQUIRED if dataset.get(name) in (None, "")]
  if missing:
    raise RefusedFilm(f"is a DICOM file that lacks {', '.join(missing)}")
  if int(dataset.get("NumberOfFrames") or 1) > 1:
    raise RefusedFilm(f"has {int(dataset.NumberOfFrames)} frames; one film a file is expected")
  if dataset.BitsAllocated not in (8, 16) or not 1 <= dataset.BitsStored <= dataset.BitsAllocated:
    raise RefusedFilm("stores neither 8 nor 16 bits a pixel")
  if not dataset.PhotometricInterpretation.startswith(("MONOCHROME1", "MONOCHROME2", "RGB", "YBR")):
    raise RefusedFilm("is neither grey nor RGB nor YBR")
  if not dataset.file_meta.TransferSyntaxUID.is_compressed:
    if len(dataset.PixelData or b"") < file.num_bytes(dataset):
      raise RefusedFilm("is a DICOM file that is cut off")
  else:
    size = _compressed_size(bytes(dataset.PixelData[:65536]))
    expected = int(dataset.Columns), int(dataset.Rows), int(dataset.SamplesPerPixel)
    if size and size != expected:
      said, held = (
        f"{width} x {height} pixels with {samples} channel{'s' * (samples > 1)}"
        for width, height, samples in (expected, size)
      )
      raise RefusedFilm(f"says {said}, and holds a compressed image of {held}")


def _compressed_size(data: bytes) -> tuple[int, int, int] | None:
  """Width, height and channels in the header of a JPEG, JPEG-LS or JPEG 2000 stream; None where none is found."""
  start = data.find(b"\xff\x4f\xff\x51")
  if start >= 0 and len(data) >= start + 42:  # JPEG 2000: reference grid and its offset.
    x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
    return x1 - x0, y1 - y0, int.from_bytes(data[start + 40 : start + 42])
  found = file.jpeg_header(data)
  return (found[0], found[1], len(found[2])) if found else None


def _turn(dataset: Any) -> Turn:
  """The turn that Patient Orientation asks for; none where it says nothing of use."""
  try:
    rightwards, downwards = (letters[0] for letters in dataset.get("PatientOrientation"))
    return from_patient_orientation(rightwards, downwards)
  except (TypeError, ValueError, IndexError):
    return UPRIGHT


def _remarks(dataset: Any) -> list[str]:
  remarks = []
  if str(dataset.get("Modality") or "").upper() not in _RADIOGRAPHS:
    remarks.append("the file's Modality is not that of a radiograph")
  if str(dataset.get("ViewPosition") or "").upper() in _LATERAL_VIEWS:
    remarks.append("the file's View Position is lateral")
  letters = [str(value or "")[:1] for value in dataset.get("PatientOrientation") or ()]
  if len(letters) == 2 and set(letters) <= {*"LRAPHF"} and {"A", "P"} & set(letters):
    remarks.append("the file's Patient Orientation is not that of a frontal film")
  if dataset.get("PresentationIntentType") == "FOR PROCESSING":
    remarks.append("the file is for processing, not for presentation")
  return remarks
