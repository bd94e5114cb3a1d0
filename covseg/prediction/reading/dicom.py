"""DICOM files to grey pixels: decompression, the value transformations, orientation.

What a file says about the patient is never read, and no value out of it enters an error message.
"""

import functools
import io
import struct
import warnings
from typing import Any

import numpy as np

from covseg.prediction.reading import decoding_apart
from covseg.prediction.reading.limits import RefusedFilm, room_for
from covseg.prediction.turns import UPRIGHT, Turn, from_patient_orientation

_DEFLATED = "1.2.840.10008.1.2.1.99"
_LATERAL_VIEWS = ("LL", "RL", "LLD", "RLD", "LAT", "LATERAL")
_RADIOGRAPHS = ("CR", "DX", "DR", "RF", "RG", "PX", "OT", "")  # OT: digitised film, among others.
# fmt: off
_TAGS = [
  "BitsAllocated", "BitsStored", "Columns", "HighBit", "Modality", "ModalityLUTSequence", "NumberOfFrames",
  "PatientOrientation", "PhotometricInterpretation", "PixelData", "PixelPaddingValue", "PixelRepresentation",
  "PlanarConfiguration", "PresentationIntentType", "PresentationLUTShape", "RescaleIntercept", "RescaleSlope",
  "Rows", "SamplesPerPixel", "VOILUTFunction", "VOILUTSequence", "ViewPosition", "WindowCenter",
  "WindowWidth",
]
# fmt: on


def is_dicom(content: bytes) -> bool:
  """Whether a file's content, or its first 132 bytes, look like DICOM, with or without preamble."""
  if content[128:132] == b"DICM":
    return True
  group, length = content[:2], content[4:8]
  return group in (b"\2\0", b"\x08\0") and (length[:2].isalpha() or length.endswith(b"\0\0"))


def decode(content: bytes) -> tuple[np.ndarray, Turn, tuple[str, ...]]:
  """The film of a DICOM file.

  Returns:
    uint8 (H, W) as stored, bone white, after the modality and VOI transformations; the turn that brings
    it upright; and what in the file says that it is no frontal film of a chest.

  Raises:
    ValueError: it is no film that can be read.
  """
  pydicom = _pydicom()
  try:
    dataset = _read(pydicom, content)
    _check(dataset)
    is_compressed = dataset.file_meta.TransferSyntaxUID.is_compressed
    with room_for(int(dataset.Columns), int(dataset.Rows)):
      grey = _grey(dataset, decoding_apart.pixel_array(content) if is_compressed else stored_pixels(content))
    return grey, _turn(dataset), tuple(_remarks(dataset))
  except RefusedFilm:
    raise
  except Exception as error:  # On damaged files, decoders raise errors of any kind.
    raise ValueError(f"is a damaged or unusual DICOM file ({type(error).__name__})") from error


def stored_pixels(content: bytes) -> np.ndarray:
  """The pixels of a DICOM file as they are stored, (H, W) or (H, W, 3).

  Raises:
    Exception: whatever the decoder does about a damaged file; some abort the process.
  """
  pydicom = _pydicom()
  return pydicom.pixels.pixel_array(_read(pydicom, content))


@functools.cache
def _pydicom() -> Any:
  """The library, kept from printing values of the files it reads."""
  try:
    import pydicom
    import pydicom.pixels
  except ImportError as error:
    raise RefusedFilm("is a DICOM file; install what reads them: pip install 'covseg[dicom]'") from error
  pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
  pydicom.config.logger.setLevel("CRITICAL")
  warnings.filterwarnings("ignore", module="pydicom")
  return pydicom


def _read(pydicom: Any, content: bytes) -> Any:
  """The elements of a file that its film depends on."""
  if content[128:132] == b"DICM":
    meta = pydicom.filereader.read_dataset(
      io.BytesIO(content[132:]), False, True, stop_when=lambda tag, *_: tag.group != 2
    )
    if meta.get("TransferSyntaxUID") == _DEFLATED:  # It could unpack to any size.
      raise RefusedFilm("is a deflated DICOM file; store it without deflation")
  dataset = pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=_TAGS)
  if "TransferSyntaxUID" not in dataset.file_meta:  # No preamble; pydicom has found out the encoding.
    is_implicit, is_little = dataset.original_encoding
    uid = pydicom.uid
    dataset.file_meta.TransferSyntaxUID = (
      uid.ImplicitVRLittleEndian
      if is_implicit
      else uid.ExplicitVRLittleEndian
      if is_little
      else uid.ExplicitVRBigEndian
    )
  return dataset


def _check(dataset: Any) -> None:
  """Raises RefusedFilm for what is not one film of a depth that can be decoded."""
  if "PixelData" not in dataset:
    raise RefusedFilm("is a DICOM file without an image")
  if int(dataset.get("NumberOfFrames") or 1) > 1:
    raise RefusedFilm(f"has {int(dataset.NumberOfFrames)} frames; one film a file is expected")
  if dataset.BitsAllocated not in (8, 16) or not 1 <= dataset.BitsStored <= dataset.BitsAllocated:
    raise RefusedFilm("stores neither 8 nor 16 bits a pixel")
  if not dataset.PhotometricInterpretation.startswith(("MONOCHROME", "RGB", "YBR")):
    raise RefusedFilm("is neither grey nor RGB nor YBR")
  if dataset.file_meta.TransferSyntaxUID.is_compressed:
    size = _compressed_size(bytes(dataset.PixelData[:65536]))
    width, height = int(dataset.Columns), int(dataset.Rows)
    if size and size != (width, height):
      raise RefusedFilm(
        f"says {width} x {height} pixels, and holds a compressed image of {size[0]} x {size[1]}"
      )


def _compressed_size(data: bytes) -> tuple[int, int] | None:
  """Width and height in the header of a JPEG, JPEG-LS or JPEG 2000 stream; None where none is found."""
  start = data.find(b"\xff\x4f\xff\x51")
  if start >= 0 and len(data) >= start + 24:  # JPEG 2000: reference grid and its offset.
    x1, y1, x0, y0 = struct.unpack(">4I", data[start + 8 : start + 24])
    return x1 - x0, y1 - y0
  i = data.find(b"\xff\xd8\xff") + 2
  while 1 < i < len(data) - 9:
    marker, length = data[i + 1], int.from_bytes(data[i + 2 : i + 4])
    if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
      height, width = struct.unpack(">2H", data[i + 5 : i + 9])
      return width, height
    i += 2 + length
  return None


def _grey(dataset: Any, pixels: np.ndarray) -> np.ndarray:
  """uint8 (H, W) of the stored pixels, (H, W) or (H, W, 3)."""
  if pixels.ndim == 3:
    if pixels.dtype != np.uint8:
      raise RefusedFilm("is in colours of more than 8 bits")
    return np.round(pixels @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
  # The transformations are computed for every value there can be, not for every pixel.
  low = -(2**15) if pixels.dtype.kind == "i" else 0
  values = np.arange(low, low + 2**16)
  counts = np.bincount(pixels.ravel().astype(np.int32) - low, minlength=2**16)
  padding = dataset.get("PixelPaddingValue")
  is_film = (counts > 0) & (values != padding) if isinstance(padding, int) else counts > 0
  brightness = _displayed(dataset, values.astype(np.float64), is_film)
  is_inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
  if is_inverse or dataset.get("PresentationLUTShape") == "INVERSE":
    brightness = 1 - brightness
  if isinstance(padding, int):
    brightness[values == padding] = 0
  table = np.round(255 * np.clip(brightness, 0, 1)).astype(np.uint8)
  return table[pixels.astype(np.int32) - low]


def _displayed(dataset: Any, values: np.ndarray, is_film: np.ndarray) -> np.ndarray:
  """Stored values after the modality and VOI transformations, float (N,), 0 to 1 in the window.

  Where a file names neither window nor table, 8 bits are shown as they are, and more from the lowest to
  the highest value of the film.
  """
  if dataset.get("ModalityLUTSequence"):
    values, _ = _looked_up(dataset, dataset.ModalityLUTSequence[0], values)
  elif "RescaleSlope" in dataset:
    values = values * float(dataset.RescaleSlope) + float(dataset.get("RescaleIntercept") or 0)
  if dataset.get("VOILUTSequence"):
    values, highest = _looked_up(dataset, dataset.VOILUTSequence[0], values)
    return values / highest
  center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
  if center is not None and width is not None and width >= 1:
    return _window(dataset.get("VOILUTFunction") or "LINEAR", center, width, values)
  if dataset.BitsStored <= 8 and "RescaleSlope" not in dataset and not dataset.get("ModalityLUTSequence"):
    return values / (2**dataset.BitsStored - 1)
  low, high = values[is_film].min(initial=np.inf), values[is_film].max(initial=-np.inf)
  return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _window(function: str, center: float, width: float, values: np.ndarray) -> np.ndarray:
  """PS3.3 C.11.2.1.2 and C.11.2.1.3."""
  if function == "SIGMOID":
    return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
  if function == "LINEAR":  # Not LINEAR_EXACT.
    center, width = center - 0.5, max(width - 1, 1e-6)
  return np.clip((values - center) / width + 0.5, 0, 1)


def _looked_up(dataset: Any, table: Any, values: np.ndarray) -> tuple[np.ndarray, int]:
  """Values through a LUT, whose ends go on for ever, and the highest that its bits hold. PS3.3 C.11.1.1."""
  count, first, bits = table.LUTDescriptor
  entries = table.LUTData
  if isinstance(entries, bytes):
    entries = np.frombuffer(entries, "<u2" if dataset.original_encoding[1] else ">u2")
  entries = np.asarray(entries)[: count or 2**16]
  return entries[np.clip(np.round(values - first), 0, len(entries) - 1).astype(int)], 2**bits - 1


def _first(value: Any) -> float | None:
  """A number, or the first of several; None of nothing."""
  if value is None or isinstance(value, str | bytes):
    return None
  values = np.atleast_1d(np.asarray(value, float))
  return float(values[0]) if len(values) and np.isfinite(values[0]) else None


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
  if dataset.get("PresentationIntentType") == "FOR PROCESSING":
    remarks.append("the file is for processing, not for presentation")
  return remarks
