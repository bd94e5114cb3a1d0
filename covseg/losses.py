"""Losses over logits and masks: keyword arguments, one value per image."""

import jax
import optax


def bce(*, logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Binary cross-entropy of each image, the mean over its pixels.

  Args:
    logits: float32 (B, H, W, 1).
    masks: float32 (B, H, W, 1), 0 or 1.

  Returns:
    float32 (B,).
  """
  return optax.sigmoid_binary_cross_entropy(logits, masks).mean(axis=(1, 2, 3))


LOSSES = {"bce": bce}
