"""A threshold for each film: that of the mask with the largest expected Dice."""

import jax
import jax.numpy as jnp
import numpy as np

# Logits. The best one is never above 0: its probability is half of the Dice that it reaches.
_CANDIDATES = np.arange(-4, 0.125, 0.125, dtype=np.float32)
# Candidates count the less, the further their expected Dice is below the largest: by e where it is 0.001.
_SHARPNESS = 1000.0


def of_films(logits: jax.Array) -> jax.Array:
  """Of logits of infection (B, H, W, 1), those above which a pixel belongs to its film's mask, (B, 1, 1, 1).

  The expected Dice of a mask is taken as twice the probability in the mask over the mask's area plus the probability in
  the whole film (RankSEG, Dai and Li 2023, as Wang and Dai 2025 approximate it). It is a mean of candidates, so that a
  small change of a film never makes it jump. Where no pixel has a probability over 0.5, it is 0: whether there is an
  infection is not decided here.
  """
  sample = logits[:, ::2, ::2]  # Its sums are nearly those of all pixels, in a tenth of the time.
  probabilities = jax.nn.sigmoid(sample)
  above = sample > _CANDIDATES[:, None, None, None, None]  # (C, B, H, W, 1), of C candidates.
  inside = jnp.where(above, probabilities, 0.0).sum(axis=(2, 3, 4))
  expected_dice = 2 * inside / (above.sum(axis=(2, 3, 4)) + probabilities.sum(axis=(1, 2, 3)))
  best = _CANDIDATES @ jax.nn.softmax(_SHARPNESS * expected_dice, axis=0)
  return jnp.where(logits.max(axis=(1, 2, 3)) > 0, best, 0.0)[:, None, None, None]
