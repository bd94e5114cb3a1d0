"""DICOM files as they are stored: their elements and their pixels.

What a file says about the patient is never read.
"""

import contextlib
import functools
import io
import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from input_pipeline.limits import RefusedFilm

_DEFLATED = "1.2.840.10008.1.2.1.99"
# fmt: off
_TAGS = [
  "BitsAllocated", "BitsStored", "Columns", "HighBit", "Modality", "ModalityLUTSequence", "NumberOfFrames",
  "PatientOrientation", "PhotometricInterpretation", "PixelData", "PixelPaddingRangeLimit", "PixelPaddingValue",
  "PixelRepresentation", "PlanarConfiguration", "PresentationIntentType", "PresentationLUTShape", "RescaleIntercept",
  "RescaleSlope", "Rows", "SamplesPerPixel", "VOILUTFunction", "VOILUTSequence", "ViewPosition", "WindowCenter",
  "WindowWidth",
]
# fmt: on


def is_dicom(content: bytes) -> bool:
  """Whether a file's content, or its first 132 bytes, look like DICOM, with or without preamble."""
  if content[128:132] == b"DICM":
    return True
  group, length = content[:2], content[4:8]
  return group in (b"\2\0", b"\x08\0") and (length[:2].isalpha() or length.endswith(b"\0\0"))


def stored_pixels(content: bytes) -> np.ndarray:
  """The pixels of a DICOM file as they are stored, (H, W) or (H, W, 3).

  Raises:
    Exception: whatever the decoder does about a damaged file; some abort the process.
  """
  with quiet():
    return _pydicom().pixels.pixel_array(read(content), correct_unused_bits=False)


def num_bytes(dataset: Any) -> int:
  """The length of the uncompressed pixels that the elements of a file ask for."""
  return _pydicom().pixels.utils.get_expected_length(dataset)


@functools.cache
def _pydicom() -> Any:
  """The library."""
  try:
    import pydicom
    import pydicom.pixels
  except ImportError as error:
    raise RefusedFilm("is a DICOM file; install what reads them: pip install 'covseg[dicom]'") from error
  return pydicom


_quiet_lock, _num_quiet, _before = threading.Lock(), 0, contextlib.ExitStack()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps pydicom and highdicom, within it, from printing values of files; their settings are then as they were.

  They are of the whole process, so the first thread in sets them, and the last one out sets them back.
  """
  global _num_quiet
  pydicom = _pydicom()
  with _quiet_lock:
    _num_quiet += 1
    if _num_quiet == 1:
      config = pydicom.config
      _before.callback(setattr, config.settings, "reading_validation_mode", config.settings.reading_validation_mode)
      _before.enter_context(warnings.catch_warnings())
      config.settings.reading_validation_mode = config.IGNORE
      for logger in (config.logger, logging.getLogger("highdicom")):
        _before.callback(logger.setLevel, logger.level)
        logger.setLevel("CRITICAL")
      warnings.filterwarnings("ignore", module="pydicom|highdicom")
  try:
    yield
  finally:
    with _quiet_lock:
      _num_quiet -= 1
      if not _num_quiet:
        _before.close()


def read(content: bytes) -> Any:
  """The elements of a file that its film depends on, a pydicom Dataset."""
  pydicom = _pydicom()
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
  if dataset.get("PhotometricInterpretation"):
    dataset.PhotometricInterpretation = str(dataset.PhotometricInterpretation).strip().upper()
  if dataset.get("SamplesPerPixel") == 3 and dataset.get("PlanarConfiguration") is None:
    dataset.PlanarConfiguration = 0
  if dataset.get("PhotometricInterpretation") == "RGB" and _is_subsampled_jpeg(
    bytes(dataset.get("PixelData", b"")[:65536])
  ):
    dataset.PhotometricInterpretation = "YBR_FULL_422"  # Red, green and blue are never subsampled.
  return dataset


def _is_subsampled_jpeg(data: bytes) -> bool:
  """Whether a JPEG stream has three components of different resolution."""
  _, _, sampling = jpeg_header(data) or (0, 0, b"")
  return len(sampling) == 3 and len(set(sampling)) > 1


def jpeg_header(data: bytes) -> tuple[int, int, bytes] | None:
  """Width, height, and how each component is sampled, in a JPEG or JPEG-LS stream; None where no header is found."""
  i = data.find(b"\xff\xd8\xff") + 2
  while 1 < i < len(data) - 10:
    marker, length = data[i + 1], int.from_bytes(data[i + 2 : i + 4])
    if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
      height, width, components = struct.unpack(">2HB", data[i + 5 : i + 10])
      return width, height, data[i + 11 : i + 11 + 3 * components : 3]
    i += 2 + length
  return None
