"""Synthetic frontal chest films with lung and infection masks, drawn from a seed.

They imitate what makes the real task hard, not what makes a film beautiful: exposure varies between
films and across each of them, and heart, hila, ribs and breast shadows are as bright as an infection
is. What tells an infection apart is its mottled texture, so a brightness threshold fails.
"""

import dataclasses

import numpy as np
from PIL import Image

SIZE = 256
# Pixel coordinates in [-1, 1]: x to the right of the picture, y downwards.
_Y, _X = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE), indexing="ij")


@dataclasses.dataclass(frozen=True)
class Phantom:
  """A film, uint8 (256, 256), and its masks, bool (256, 256)."""

  image: np.ndarray
  infection_mask: np.ndarray
  lung_mask: np.ndarray


def draw(seed: tuple[int, ...], infected: bool) -> Phantom:
  """The film that belongs to a seed; the same one on every machine.

  Args:
    seed: any integers.
    infected: whether the lungs hold infections; without, the infection mask is empty.
  """
  rng = np.random.default_rng(seed)
  lungs = _lungs(rng)
  lung_mask = lungs > 0.5

  body = _soft_step(1 - (_X / rng.uniform(0.9, 1.1)) ** 2 - (_Y / 1.4) ** 4, 0.1)
  density = 0.75 * body - 0.42 * lungs
  density += 0.28 * _blob(0.0, 0.0, 0.12, 2.0)  # the spine
  heart_x, heart_y = rng.uniform(0.08, 0.2), rng.uniform(0.25, 0.4)
  density += rng.uniform(0.2, 0.35) * _blob(heart_x, heart_y, 0.28, 0.32)
  for side in (-1, 1):  # hila and breast shadows
    density += rng.uniform(0.08, 0.22) * _blob(0.22 * side, rng.uniform(-0.1, 0.1), 0.13, 0.2)
    density += rng.uniform(0.0, 0.25) * _blob(0.5 * side, rng.uniform(0.3, 0.6), 0.35, 0.3)
  density += rng.uniform(0.06, 0.14) * _ribs(rng) * body
  density += rng.uniform(0.02, 0.05) * _noise(rng, 20)  # vessels
  density += rng.uniform(0.05, 0.15) * _noise(rng, 3)  # scatter, uneven exposure

  infection_mask = np.zeros((SIZE, SIZE), bool)
  if infected:
    infection_mask = _infection(rng, lung_mask)
    edge = _smooth(infection_mask.astype(np.float32), 64)
    density += edge * (rng.uniform(0.05, 0.15) + rng.uniform(0.1, 0.16) * _noise(rng, 32))

  density += rng.uniform(0.01, 0.03) * rng.standard_normal((SIZE, SIZE))
  low, high = np.quantile(density, (0.01, 0.99))
  film = np.clip((density - low) / (high - low), 0, 1) ** rng.uniform(0.7, 1.4)
  film = rng.uniform(0.0, 0.1) + rng.uniform(0.7, 0.9) * film
  return Phantom((255 * film).round().astype(np.uint8), infection_mask, lung_mask)


def _lungs(rng: np.random.Generator) -> np.ndarray:
  """Soft map of both lungs, float (256, 256) in [0, 1]: ellipses with an uneven outline."""
  lungs = np.zeros((SIZE, SIZE))
  for side in (-1, 1):
    x = (_X - side * rng.uniform(0.42, 0.48)) / rng.uniform(0.27, 0.34)
    y = (_Y - rng.uniform(-0.05, 0.05)) / rng.uniform(0.62, 0.78)
    tilt = side * rng.uniform(0.05, 0.2)
    x = x + tilt * y
    angle = np.arctan2(y, x)
    outline = 1 + sum(rng.uniform(-0.06, 0.06) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4))
    radius = (np.abs(x) ** 2.4 + np.abs(y) ** 2.4) ** (1 / 2.4)
    lungs = np.maximum(lungs, _soft_step(outline - radius, 0.06))
  return lungs


def _ribs(rng: np.random.Generator) -> np.ndarray:
  """Curved bands across the chest, float (256, 256) in [0, 1]."""
  height = _Y - rng.uniform(0.35, 0.6) * np.abs(_X) ** 1.5 + 0.1 * _X * rng.uniform(-1, 1)
  wave = np.cos(2 * np.pi * height * rng.uniform(3.5, 4.5) + rng.uniform(0, 2 * np.pi))
  return _soft_step(wave - 0.3, 0.4) * (np.abs(_X) > 0.1)


def _infection(rng: np.random.Generator, lung_mask: np.ndarray) -> np.ndarray:
  """Bool (256, 256): patches inside the lungs, of 2 to 60 % of their area, more of them low down."""
  share = np.clip(rng.lognormal(np.log(0.16), 0.7), 0.02, 0.6)
  field = _noise(rng, rng.integers(5, 8)) + rng.uniform(0, 0.8) * _Y + rng.uniform(-0.6, 0.6) * _X
  return lung_mask & (field > np.quantile(field[lung_mask], 1 - share))


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
  """Smooth noise of mean 0 and deviation 1, float (256, 256), with about `cells` bumps a side."""
  coarse = rng.standard_normal((cells, cells)).astype(np.float32)
  fine = np.asarray(Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
  return (fine - fine.mean()) / fine.std()


def _smooth(image: np.ndarray, cells: int) -> np.ndarray:
  """The image through a grid of cells x cells and back, which softens its edges."""
  small = Image.fromarray(image).resize((cells, cells), Image.Resampling.BOX)
  return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _blob(x: float, y: float, width: float, height: float) -> np.ndarray:
  return np.exp(-(((_X - x) / width) ** 2) - ((_Y - y) / height) ** 2)


def _soft_step(distance: np.ndarray, softness: float) -> np.ndarray:
  return 1 / (1 + np.exp(-np.clip(4 * distance / softness, -50, 50)))
