"""Grey levels that depend less on how a film was exposed, windowed and stored."""

import jax
import jax.numpy as jnp
import numpy as np

from input_pipeline.acquisition import piecewise_linear

# Grey levels at equal quantiles: means over the 1,864 COVID-19 training films of COVID-QU-Ex, at 192 px.
TARGET = np.array([
  0.121, 0.248, 0.297, 0.334, 0.364, 0.391, 0.416, 0.439, 0.461, 0.482, 0.502,
  0.521, 0.540, 0.558, 0.575, 0.592, 0.608, 0.624, 0.639, 0.654, 0.669, 0.685,
  0.699, 0.714, 0.729, 0.744, 0.759, 0.774, 0.790, 0.805, 0.820, 0.837, 0.873,
])  # fmt: skip
# Part of each side that does not decide the levels: frames, collimation and text lie there.
_MARGIN = 0.1
_POINTS = 48  # A side, of the grid of pixels that are sorted.


def match(images: jax.Array, part: float) -> jax.Array:
  """Images, float32 (B, H, W, 1) in [0, 1], whose levels are moved by a part in [0, 1] to `TARGET` at equal quantiles.

  Between quantiles they move piecewise linearly; a level that fills several quantiles moves to the lowest of them. With
  part=1, gamma, contrast and equalisation have no effect, as long as they keep levels apart.
  """
  points = jnp.pad(jnp.pad(quantiles(images), ((0, 0), (1, 0))), ((0, 0), (0, 1)), constant_values=1.0)
  matched = piecewise_linear(images, points, np.diff(TARGET, prepend=0, append=1)[None])
  return images + part * (matched - images)


def quantiles(images: jax.Array) -> jax.Array:
  """Grey levels at as many equal steps as `TARGET` has, float32 (B, Q), of the middle of images (B, H, W, 1)."""
  _, h, w, _ = images.shape
  rows, columns = (np.linspace(_MARGIN * n, (1 - _MARGIN) * n - 1, _POINTS).astype(int) for n in (h, w))
  values = jnp.sort(images[:, rows][:, :, columns, 0].reshape(images.shape[0], -1))
  return values[:, np.linspace(0, values.shape[1] - 1, len(TARGET)).astype(int)]
