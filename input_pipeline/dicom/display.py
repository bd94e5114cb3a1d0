"""Stored DICOM values to grey levels: padding, the modality and VOI transformations, polarity (PS3.3 C.7.6.3, C.11).

Archives hold files whose headers contradict each other. Where one does, what is shown follows from what is most likely
meant, and a remark says so.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from input_pipeline.grey_levels import of_channels, robust_range
from input_pipeline.limits import RefusedFilm

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_FLAT = 4  # Levels by which compression may change a constant.
# A window that leaves less than this part of black to white, of a film of more than so many values, is a mistake.
_LEAST_SHOWN, _LEAST_STORED = 0.1, 32
_RLE = "1.2.840.10008.1.2.5"


def grey_levels(dataset: Any, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
  """uint8 (H, W), bone white, of stored pixels (H, W) or (H, W, 3), and remarks on what is doubtful.

  Raises:
    RefusedFilm: it is in colours of more than 8 bits.
    ValueError: its size is not that of its pixels.
  """
  if pixels.ndim == 3 and dataset.get("SamplesPerPixel") == 1:
    raise ValueError("is damaged: it has the pixels of several images of the size that it gives")
  if pixels.ndim == 3:
    if pixels.dtype != np.uint8:
      raise RefusedFilm("is in colours of more than 8 bits")
    # Some files call brightness and two colour differences red, green and blue; of a grey film, both are constant.
    if (np.abs(pixels[..., 1:].astype(np.int16) - 128) <= _FLAT).all() and np.ptp(pixels[..., 0]) > 2 * _FLAT:
      return np.ascontiguousarray(pixels[..., 0]), [
        "the file holds brightness and colour, and says red, green and blue"
      ]
    grey, _, colours = of_channels(pixels)
    return grey, list(colours)
  remarks: list[str] = []
  is_padding = _is_padding(dataset, pixels)  # Its value may have more bits than the film's.
  pixels, bits = _within_bits(dataset, pixels, remarks)
  is_padding |= _is_padding(dataset, pixels)
  # The transformations are computed for every value there can be, not for every pixel.
  low = -(2**15) if pixels.dtype.kind == "i" else 0
  values = np.arange(low, low + 2**16, dtype=np.float64)
  counts = np.bincount(pixels[~is_padding].astype(np.int32) - low, minlength=2**16)
  brightness = _displayed(dataset, values, counts, bits, remarks)
  is_inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
  shape = dataset.get("PresentationLUTShape")
  if shape and is_inverse != (shape == "INVERSE"):
    remarks.append(
      f"the file's Presentation LUT Shape contradicts {dataset.PhotometricInterpretation}, by which it is shown"
    )
  if is_inverse:
    brightness = 1 - brightness
  table = np.round(255 * np.clip(brightness, 0, 1)).astype(np.uint8)
  return np.where(is_padding, np.uint8(0), table[pixels.astype(np.int32) - low]), remarks


def _within_bits(dataset: Any, pixels: np.ndarray, remarks: list[str]) -> tuple[np.ndarray, int]:
  """Pixels with values moved down to bit 0, without bits that are not theirs, such as an overlay's; and their bits."""
  stored, high = int(dataset.BitsStored), int(dataset.get("HighBit") or dataset.BitsStored - 1)
  shift = high + 1 - stored
  syntax = dataset.file_meta.TransferSyntaxUID
  if syntax.is_compressed and syntax != _RLE:  # Which holds bits as they are.
    return pixels, stored
  if shift < 0 or high >= dataset.BitsAllocated:
    remarks.append("the file's High Bit is impossible, and is ignored")
    shift = 0
  raw = pixels.astype(np.int32)
  if shift and (raw & 0xFFFF).max() < 2**stored:
    remarks.append("the file's pixels are not where its High Bit says, which is ignored")
    shift = 0
  values = (raw >> shift) & (2**stored - 1)
  if pixels.dtype.kind == "i":
    values = np.where(values >= 2 ** (stored - 1), values - 2**stored, values)
  if not shift and pixels.dtype.kind == "u" and raw.max() >= 2**stored and _belong(raw, stored):
    remarks.append("the file's pixels have more bits than its Bits Stored, which is ignored")
    return pixels, int(dataset.BitsAllocated)
  return values.astype(pixels.dtype), stored


def _belong(raw: np.ndarray, stored: int) -> bool:
  """Whether bits above those stored are the film's own, and not an overlay's, of raw pixels int32 (H, W).

  Between neighbours that differ in them, a film changes by less than half of what the stored bits hold, mostly. An
  overlay changes it by all of that or more.
  """
  steps = [np.abs(np.diff(raw, axis=axis))[np.diff(raw >> stored, axis=axis) != 0] for axis in (0, 1)]
  steps = np.concatenate(steps)
  return steps.size > 0 and np.mean(steps < 2 ** (stored - 1)) > 0.5


def _is_padding(dataset: Any, pixels: np.ndarray) -> np.ndarray:
  """Which pixels, by their stored values, are no part of the film: bool (H, W)."""
  bits, is_signed = int(dataset.BitsAllocated), pixels.dtype.kind == "i"

  def value(name: str) -> int | None:
    found = _number(dataset, name)
    if found is None:
      return None
    # Often written as unsigned where pixels are signed.
    return int(found) - 2**bits if is_signed and found >= 2 ** (bits - 1) else int(found)

  first = value("PixelPaddingValue")
  if first is None:
    return np.zeros(pixels.shape, bool)
  last = value("PixelPaddingRangeLimit")
  first, last = sorted((first, first if last is None else last))
  areas, _ = ndimage.label((pixels >= first) & (pixels <= last))
  # Away from the edge it is a value of the film, as of bone that saturates the detector.
  at_edge = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
  return np.isin(areas, at_edge[at_edge > 0])


def _displayed(
  dataset: Any, values: np.ndarray, counts: np.ndarray, bits_stored: int, remarks: list[str]
) -> np.ndarray:
  """Stored values after the modality and VOI transformations, float (N,), 0 to 1 in the window.

  Where a file names neither window nor table, 8 bits are shown as they are, and more by their percentiles.

  Args:
    dataset: the header.
    values: float (N,), every value there can be.
    counts: pixels of the film that have each.
    bits_stored: of each pixel.
    remarks: to which what is doubtful is added.
  """
  modality = _table(dataset, "ModalityLUTSequence", remarks, is_signed=values[0] < 0)
  slope, intercept = _number(dataset, "RescaleSlope", remarks), _number(dataset, "RescaleIntercept", remarks)
  if slope == 0:
    remarks.append("the file's Rescale Slope is 0, and is ignored")
    slope = None
  is_stored = modality is None and slope in (None, 1) and intercept in (None, 0)
  if modality is not None:
    values = _looked_up(modality, values)
  else:
    values = values * (1 if slope is None else slope) + (intercept or 0)
  voi = _table(dataset, "VOILUTSequence", remarks, is_signed=values[counts > 0].min(initial=0) < 0)
  if voi is not None:
    first, entries, bits = voi
    held = int(entries.max()).bit_length()
    if held > bits:
      remarks.append("the file's VOI table has larger values than it says, which are shown")
    bits = max(held, 8)
    return _looked_up((first, entries, bits), values) / (2**bits - 1)
  center, width = (_number(dataset, name, remarks) for name in ("WindowCenter", "WindowWidth"))
  function = str(dataset.get("VOILUTFunction") or "LINEAR")
  if function not in _FUNCTIONS:
    remarks.append("the file's VOI LUT Function is unknown, and taken for LINEAR")
    function = "LINEAR"
  if center is not None and width is not None and (width >= 1 or (width > 0 and function != "LINEAR")):
    shown = _window(function, center, width, values)
    if not _is_empty(shown, values, counts):
      return shown
    remarks.append("the file's window leaves almost nothing of the film, and is ignored")
  elif center is not None or width is not None:
    remarks.append("the file's window cannot be used, and is ignored")
  if bits_stored <= 8 and is_stored:
    lowest = -(2 ** (bits_stored - 1)) if dataset.PixelRepresentation else 0
    return (values - lowest) / (2**bits_stored - 1)
  if not counts.any():
    return np.zeros_like(values)
  low, high = robust_range(np.repeat(values, counts))
  return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _is_empty(shown: np.ndarray, values: np.ndarray, counts: np.ndarray) -> bool:
  """Whether a window leaves almost no contrast of a film that has some; arguments as in `_displayed`."""
  ranks = counts.cumsum()
  ends = np.searchsorted(ranks, [0.001 * ranks[-1], 0.999 * ranks[-1]])  # The darkest and brightest, but for a few.
  return bool(np.ptp(shown[ends]) < _LEAST_SHOWN and np.ptp(values[ends]) > _LEAST_STORED)


def _window(function: str, center: float, width: float, values: np.ndarray) -> np.ndarray:
  """PS3.3 C.11.2.1.2 and C.11.2.1.3."""
  if function == "SIGMOID":
    return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
  if function == "LINEAR":
    center, width = center - 0.5, max(width - 1, 1e-6)
  return np.clip((values - center) / width + 0.5, 0, 1)


def _table(dataset: Any, name: str, remarks: list[str], is_signed: bool) -> tuple[int, np.ndarray, int] | None:
  """First value, entries and bits of the LUT in a sequence's first item; None where there is none.

  `is_signed` tells whether the values that are looked up may be negative.
  """
  if not dataset.get(name):
    return None
  item = dataset[name].value[0]
  descriptor, entries = item.get("LUTDescriptor"), item.get("LUTData")
  if descriptor is None or entries is None or len(entries) == 0 or len(descriptor) != 3:
    remarks.append(f"the file's {'VOI' if name.startswith('VOI') else 'Modality'} LUT has no table, and is ignored")
    return None
  count, first, bits = (int(x) for x in descriptor)
  if isinstance(entries, bytes):
    size = 1 if bits <= 8 and len(entries) < 2 * (count or 2**16) else 2
    order = "<" if dataset.original_encoding[1] else ">"
    entries = np.frombuffer(entries[: len(entries) // size * size], f"{order}u{size}")
  if is_signed and first >= 2**15:  # Often written as unsigned.
    first -= 2**16
  return first, np.asarray(entries, np.int64)[: count or 2**16], bits


def _looked_up(table: tuple[int, np.ndarray, int], values: np.ndarray) -> np.ndarray:
  """Values through a LUT, whose ends go on for ever. PS3.3 C.11.1.1."""
  first, entries, _ = table
  return entries[np.clip(np.round(values - first), 0, len(entries) - 1).astype(int)].astype(np.float64)


def _number(dataset: Any, name: str, remarks: list[str] | None = None) -> float | None:
  """The number, or the first of several, in an element; None where there is none that can be read.

  Decimal strings are read as they are written, also with a comma.
  """
  from pydicom.datadict import dictionary_VR

  element = dataset.get_item(name) if name in dataset else None
  value = None if element is None else element.value
  # In files of implicit VR, the dictionary tells what bytes are.
  if isinstance(value, bytes) and (element.VR or dictionary_VR(element.tag)) in ("DS", "IS"):
    value = value.decode("ascii", "replace")
  elif isinstance(value, bytes):
    value = dataset[name].value
  if isinstance(value, str):
    value = value.split("\\")
  first = value if value is None or np.ndim(value) == 0 else next(iter(value), None)
  text = str(first if first is not None else "").strip(" \0").replace(",", ".")
  if not text:
    return None
  try:
    number = float(text)
  except ValueError:
    number = float("nan")
  if np.isfinite(number):
    return number
  if remarks is not None:
    words = "".join(f" {c}" if c.isupper() else c for c in name).strip()
    remarks.append(f"the file's {words} cannot be read, and is ignored")
  return None
