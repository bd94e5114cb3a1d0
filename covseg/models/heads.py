"""What a network predicts from its features: pixels of infection and lungs, and whether a film shows an infection."""

import re
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from covseg.models import blocks
from covseg.models.batch_norm import BatchNorm

HEADS = ("infection", "lung", "involvement", "presence")
# Heads that predict no pixels.
HEADS_OF_FILMS = ("involvement", "presence")
# Names of the modules `Heads` in networks: one, or, with deep supervision, several.
SCOPE_OF_HEADS = re.compile(r"heads(_\d+)?")


class Heads(nn.Module):
  """What a network predicts: float32 logits {head: (B, H, W, 1)} of what is segmented, by 1x1 convolutions.

  Two heads predict no pixels. "presence" is of the whole film, (B, 1, 1, 1), from the means, maxima and standard
  deviations of all encoded features that the network passes on, each normalised over films. "involvement" is of each
  lung, (B, 1, 2, 1), the one on the left of the film first: whether it has an infection, from the means and maxima of
  the two coarsest of these features in that lung, as the head "lung" predicts it.
  """

  heads: tuple[str, ...]

  @nn.compact
  def __call__(self, x: jax.Array, encoded: Sequence[jax.Array]) -> dict[str, jax.Array]:
    """Logits of the decoder's features, (B, H, W, C), and of the encoder's, (B, h, w, c), from fine to coarse."""
    x, *encoded = (features.astype(jnp.float32) for features in (x, *encoded))
    logits = {}
    for head in self.heads:
      if head == "presence":
        features = jnp.concatenate([_pool_film(level) for level in encoded], axis=-1)
        # Its statistics may change wherever it learns, also where heads alone do; in evaluation they may not.
        features = BatchNorm(name="presence_norm")(features, train=self.is_mutable_collection("batch_stats"))
      elif head == "involvement":
        lungs = jax.nn.sigmoid(jax.lax.stop_gradient(logits["lung"]))
        features = jnp.concatenate([_pool_lungs(level, lungs) for level in encoded[-2:]], axis=-1)
      else:
        features = x
      logits[head] = nn.Conv(1, (1, 1), name=head)(features)
    return logits


def halves_at_centroid(lungs: jax.Array) -> jax.Array:
  """Masks of both lungs, (B, H, W, 1) in [0, 1], apart: (B, H, W, 2), the one on the left of the film first.

  They are cut at the column of their centroid, which lies between them; `severity.split_lungs` looks for connected
  parts, which no device does fast.
  """
  columns = jnp.arange(lungs.shape[2])[:, None]  # (W, 1)
  area = jnp.maximum(lungs.sum(axis=(1, 2), keepdims=True), 1e-6)
  is_left = columns < (lungs * columns).sum(axis=(1, 2), keepdims=True) / area
  return lungs * jnp.concatenate([is_left, ~is_left], axis=-1)


def _pool_film(features: jax.Array) -> jax.Array:
  """Mean, maximum and standard deviation over a film, (B, 1, 1, 3C), of features (B, h, w, C)."""
  mean, maximum, variance = (pool(features, axis=(1, 2), keepdims=True) for pool in (jnp.mean, jnp.max, jnp.var))
  deviation = jnp.sqrt(variance + 1e-6)  # The gradient of a root is infinite at 0.
  return jnp.concatenate([mean, maximum, deviation], axis=-1)


def _pool_lungs(features: jax.Array, lungs: jax.Array) -> jax.Array:
  """Mean and maximum in each lung, (B, 1, 2, 2C), of features (B, h, w, C) and lungs (B, H, W, 1)."""
  lungs = blocks.resize(halves_at_centroid(lungs), features.shape[1:3])
  means = jnp.einsum("bhwl,bhwc->blc", lungs, features)
  means /= jnp.maximum(lungs.sum(axis=(1, 2))[..., None], 1e-3)
  maxima = jnp.stack([(lungs[..., i : i + 1] * features).max(axis=(1, 2)) for i in (0, 1)], axis=1)
  return jnp.concatenate([means, maxima], axis=-1)[:, None]
