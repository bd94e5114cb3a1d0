"""Values of any type to 8 bits, the same in training and in `predict`, where a file does not say how."""

import numpy as np

from input_pipeline.limits import RefusedFilm

# The few values beyond these percentiles do not decide the grey levels of the others.
_PERCENTILES = (0.1, 99.9)


def to_grey(values: np.ndarray) -> np.ndarray:
  """uint8 (H, W) of values of any type, the same for a film stored with 8, 12, 14 or 16 bits.

  uint8 stays as it is. Whole numbers from 0 to 65535 are scaled by the least power of two that holds them: scanners
  store 10 or 12 bits in 16. A few pixels far above the rest do not count. Others are scaled by their percentiles.

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
    highest, most = (int(x).bit_length() for x in (values.max(), np.percentile(values, _PERCENTILES[1])))
    bits = max(8, highest if highest - most <= 1 else most)
    return (np.minimum(values, 2**bits - 1).astype(np.uint32) * 255 // (2**bits - 1)).astype(np.uint8)
  low, high = robust_range(values)
  return np.round(255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1)).astype(np.uint8)


def robust_range(values: np.ndarray) -> tuple[float, float]:
  """Lowest and highest value, without the few that lie apart."""
  low, high = np.percentile(values, _PERCENTILES)
  return (float(low), float(high)) if high > low else (float(values.min()), float(values.max()))
