import jax
import numpy as np
import pytest
import scipy.ndimage

from configs import default
from input_pipeline.augmentation import TRANSFORMS, augment

_GEOMETRIC = ("rotation", "scale", "shift", "crop", "elastic")


def _config(*names):
  config = default.get_config().augment
  for name in names:
    config[name].probability = 1.0
  return config


def _disks(batch=6, size=64):
  """Images whose mask is where they are bright, a disk off the middle."""
  y, x = np.mgrid[:size, :size]
  mask = ((y - 24) ** 2 + (x - 36) ** 2 < 144)[None, ..., None].repeat(batch, axis=0)
  return np.where(mask, 0.9, 0.1).astype(np.float32), mask.astype(np.float32)


def _augmented(config, seed=0):
  return jax.tree.map(np.asarray, jax.jit(lambda k: augment(config, k, *_disks()))(jax.random.key(seed)))


def test_every_transform_has_a_probability_and_a_strength():
  config = default.get_config().augment
  assert set(config) == set(TRANSFORMS)
  assert all(set(config[name]) == {"probability", "strength"} for name in TRANSFORMS)


def test_nothing_changes_without_probabilities():
  for before, after in zip(_disks(), _augmented(_config()), strict=True):
    assert (before == after).all()


@pytest.mark.parametrize("name", _GEOMETRIC)
def test_the_mask_moves_with_the_image(name):
  images, masks = _augmented(_config(name))
  assert set(np.unique(masks)) == {0, 1}
  bright = images > 0.5
  assert len({image.tobytes() for image in images}) == len(images)  # Each in its own way.
  for image, mask in zip(bright, masks == 1, strict=True):
    assert (image != mask).sum() < 0.05 * mask.sum()


@pytest.mark.parametrize("name", ["brightness", "contrast", "gamma", "noise"])
def test_grey_values_change_without_the_mask(name):
  images, masks = _augmented(_config(name))
  before, masks_before = _disks()
  assert (masks == masks_before).all()
  assert all((image != before[0]).any() for image in images)
  assert images.min() >= 0
  assert images.max() <= 1


def test_flips_mirror_some_films_exactly():
  config = _config()
  config.flip.probability = 0.5
  images, masks = _augmented(config)
  before, masks_before = _disks()
  kept = [np.allclose(image, before[0], atol=1e-5) for image in images]
  mirrored = [np.allclose(image, before[0][:, ::-1], atol=1e-5) for image in images]
  assert all(a != b for a, b in zip(kept, mirrored, strict=True))
  assert any(kept)
  assert any(mirrored)
  for i in range(len(masks)):
    assert (masks[i] == (masks_before[0] if kept[i] else masks_before[0][:, ::-1])).all()


def test_symmetry_puts_the_clean_lung_in_the_place_of_the_infected_one():
  lungs = np.zeros((12, 40, 40, 1), np.float32)
  lungs[:, 5:35, 4:18] = lungs[:, 5:35, 22:36] = 1  # The column between them is 20.
  infection = np.zeros_like(lungs)
  infection[:4, 10:20, 24:30] = 1  # The right one is infected.
  infection[4:8, 10:20, 8:14] = 1  # The left one is.
  infection[8:, 10:20, 24:34] = infection[8:, 12:20, 8:14] = 1  # Both are, differently.
  images = np.random.default_rng(0).random((12, 40, 40, 1), np.float32)
  masks = np.concatenate([infection, lungs], axis=-1)
  config = _config("symmetry")
  symmetric = jax.jit(lambda key, images, masks: augment(config, key, images, masks))
  films, moved = map(np.asarray, symmetric(jax.random.key(0), images, masks))
  np.testing.assert_allclose(films, films[:, :, ::-1], atol=1e-5)
  np.testing.assert_allclose(films[:4, :, :20], images[:4, :, :20], atol=1e-5)
  np.testing.assert_allclose(films[4:8, :, 20:], images[4:8, :, 20:], atol=1e-5)
  assert not moved[:8, ..., 0].any()
  assert set(moved[8:, ..., 0].sum(axis=(1, 2))) == {2 * 10 * 10, 2 * 8 * 6}  # Now one, now the other.
  assert (moved[..., 1] == masks[..., 1]).all()


def test_rotation_is_by_degrees_about_the_middle():
  config = _config("rotation")
  config.rotation.strength = 10.0
  _, masks = _augmented(config)
  turned = []
  for mask in masks[..., 0]:
    y, x = (axis.mean() - 31.5 for axis in np.nonzero(mask))
    turned.append(np.rad2deg(np.arctan2(y, x) - np.arctan2(24 - 31.5, 36 - 31.5)))
    assert np.hypot(y, x) == pytest.approx(np.hypot(7.5, 4.5), abs=0.5)
  assert 3 < np.abs(turned).max() < 11


def test_blur_is_a_gaussian_filter_of_up_to_its_part_of_the_side():
  config = _config("blur")
  config.blur.strength = 0.05
  (before, masks_before), (images, masks) = _disks(), _augmented(config)
  assert (masks == masks_before).all()
  np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), before.mean(axis=(1, 2, 3)), rtol=1e-3)
  deviations = np.linspace(0, 0.05 * 64, 641)
  filtered = [scipy.ndimage.gaussian_filter(before[0, ..., 0], s) for s in deviations]
  errors = np.array([[np.abs(image - x)[10:-10, 10:-10].max() for x in filtered] for image in images[..., 0]])
  assert (errors.min(axis=1) < 5e-3).all()
  assert np.median(deviations[errors.argmin(axis=1)]) > 0.01 * 64  # The filters went up to 0.05.


def test_shift_stays_within_its_part_of_the_side():
  config = _config("shift")
  config.shift.strength = 0.1
  _, masks = _augmented(config)
  moved = [np.array([a.mean() for a in np.nonzero(m)]) - [24, 36] for m in masks[..., 0]]
  assert 1 < np.abs(moved).max() <= 0.1 * 64 + 0.5


def test_crop_enlarges_what_it_keeps():
  config = _config("crop")
  config.crop.strength = 0.2
  _, masks = _augmented(config)
  factors = np.sqrt(masks.sum(axis=(1, 2, 3)) / _disks()[1][0].sum())
  assert factors.min() > 0.98
  assert 1.05 < factors.max() < 1 / 0.8 + 0.03


def test_the_same_key_gives_the_same_films():
  config = _config(*(set(TRANSFORMS) - {"symmetry"}))
  assert (_augmented(config)[0] == _augmented(config)[0]).all()
  assert (_augmented(config)[0] != _augmented(config, seed=1)[0]).any()
