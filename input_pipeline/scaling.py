"""Films and masks at another size."""

import numpy as np
from PIL import Image


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
