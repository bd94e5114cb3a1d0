import numpy as np
import pytest

from input_pipeline.scaling import resize_image, resize_mask


def test_resizing_keeps_size_mean_and_half_covered_pixels():
  assert resize_image(np.zeros((6, 8), np.uint8), 6).shape == (6, 6)
  large = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
  assert resize_image(large, 64).mean() == pytest.approx(large.mean(), abs=1)
  assert resize_image(large, 256) is large
  mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1]], bool)
  assert resize_mask(mask, 2).tolist() == [[True, False], [True, True]]
