"""Values of any type to 8 bits, the same in training and in `predict`, where a file does not say how."""

import numpy as np

from input_pipeline.limits import RefusedFilm

# The few values beyond these percentiles do not decide the grey levels of the others.
_PERCENTILES = (0.1, 99.9)
# Nor does up to this part of the pixels, as of letters or a marker, at least twice as bright as all others. A film on a
# large black plate may itself be little more.
_LARGEST_MARKER = 0.05
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601.
_COLOUR = 10  # Mean difference of channels, in levels of 255, from which a picture counts as coloured.


def to_grey(values: np.ndarray) -> np.ndarray:
  """uint8 (H, W) of values of any type, the same for a film stored with 8, 12, 14 or 16 bits.

  uint8 stays as it is. Whole numbers from 0 to 65535 are scaled by the least power of two that holds them: scanners
  store 10 or 12 bits in 16. Pixels far above the rest, such as a marker's, do not count. Others are scaled by their
  percentiles.

  Raises:
    RefusedFilm: there are values that are not finite.
  """
  if values.dtype == np.uint8:
    return values
  if values.dtype == bool:
    return values.astype(np.uint8) * 255
  if not np.isfinite(values).all():
    raise RefusedFilm("has pixels that are not finite")
  if values.dtype.kind in "ui" and values.min() >= 0 and values.max() < 2**16:
    white = white_of(values)
    return (np.minimum(values, white).astype(np.uint32) * 255 // white).astype(np.uint8)
  low, high = robust_range(values)
  return np.round(255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def white_of(values: np.ndarray) -> int:
  """White of whole numbers, (H, W) from 0 to 65535: 1 less than the least power of two that holds them, at least 255.

  The brightest 0.1 % are ignored, and up to 5 % that are at least twice as bright as all others, such as a marker.
  """
  above = {bits: np.count_nonzero(values >= 2**bits) for bits in range(8, 17)}
  highest = next(bits for bits in above if not above[bits])
  for bits in range(8, highest - 1):
    between, beyond = above[bits] - above[bits + 1], above[bits + 1]
    if above[bits] <= _LARGEST_MARKER * values.size and between <= beyond / 10:  # Soft borders lie between.
      return 2**bits - 1
  most = next(bits for bits in above if above[bits] <= (1 - _PERCENTILES[1] / 100) * values.size)
  return 2 ** (highest if highest - most <= 1 else most) - 1


def of_channels(channels: np.ndarray) -> tuple[np.ndarray, bool, tuple[str, ...]]:
  """Values (H, W) of channels (H, W, 1 or 3), of the same dtype; whether the channels differ anywhere; and a remark
  where they do so on average, beyond compression.
  """
  if (channels == channels[..., :1]).all():
    return np.ascontiguousarray(channels[..., 0]), False, ()
  highest = 255 if channels.dtype == np.uint8 else channels.max()
  difference = np.ptp(channels[::4, ::4].astype(np.float32), axis=-1).mean()
  values = np.round(channels @ _LUMA).astype(channels.dtype)
  return values, True, ("is in colours",) if difference > _COLOUR * highest / 255 else ()


def robust_range(values: np.ndarray) -> tuple[float, float]:
  """Lowest and highest value, without the few that lie apart."""
  low, high = np.percentile(values, _PERCENTILES)
  return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))
