"""A threshold for each film: that of the mask with the largest expected Dice."""

import jax
import jax.numpy as jnp
import numpy as np

# Logits. The best one is never above 0: its probability is half of the Dice that it reaches.
_CANDIDATES = np.arange(-4, 0.125, 0.125, dtype=np.float32)
# A candidate whose expected Dice is smaller by 0.001 has a weight smaller by a factor of e.
_SHARPNESS = 1000.0


def of_films(logits: jax.Array) -> jax.Array:
  """The threshold of each film, a logit from -4 to 0, float32 (B, 1, 1, 1).

  The expected Dice of a mask is twice the sum of the probabilities in it, over its area plus the sum of those in the
  whole film. This takes probabilities as calibrated and pixels as independent ("RankSEG", Dai and Li 2023, arXiv
  2206.13086, in the approximation of "RankSEG-RMA", Wang and Dai 2025). The threshold is a weighted mean of candidates,
  so it changes smoothly with the film. Where no pixel has a probability over 0.5, it is 0 and the mask stays empty:
  whether there is an infection is not decided here.

  Args:
    logits: of infection, float32 (B, H, W, 1).
  """
  sample = logits[:, ::2, ::2]  # Its sums are nearly those of all pixels, in a tenth of the time.
  probabilities = jax.nn.sigmoid(sample)
  above = sample > _CANDIDATES[:, None, None, None, None]  # (C, B, H, W, 1), of C candidates.
  inside = jnp.where(above, probabilities, 0.0).sum(axis=(2, 3, 4))
  areas = above.sum(axis=(2, 3, 4)) + probabilities.sum(axis=(1, 2, 3))
  expected_dice = 2 * inside / jnp.maximum(areas, 1e-6)
  best = _CANDIDATES @ jax.nn.softmax(_SHARPNESS * expected_dice, axis=0)
  return jnp.where(logits.max(axis=(1, 2, 3)) > 0, best, 0.0)[:, None, None, None]
