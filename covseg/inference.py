"""What a network says of films: the probability of infection, and of lung, at each pixel."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict


def to_network(images: jax.Array) -> jax.Array:
  """float32 (B, H, W, 1) in [0, 1] of uint8 images (B, H, W)."""
  return images[..., None].astype(jnp.float32) / 255


def predict(
  model: nn.Module, config: ConfigDict, variables: Any, images: jax.Array, size: tuple[int, int]
) -> dict[str, jax.Array]:
  """Probabilities {head: float32 (B, H, W)} at a size (H, W).

  Args:
    model: the network.
    config: `config.eval`. flip: average over the films and their mirror images. lung_only: no infection
      where lung is less likely than not.
    variables: what `model.apply` takes.
    images: uint8 (B, h, w), at the network's size.
    size: (H, W) of the result.
  """
  inputs = to_network(images)
  logits = model.apply(variables, inputs, train=False)
  probabilities = {head: _probabilities(x, size) for head, x in logits.items()}
  if config.flip:
    mirrored = model.apply(variables, inputs[:, :, ::-1], train=False)
    mirrored = {head: _probabilities(x[:, :, ::-1], size) for head, x in mirrored.items()}
    probabilities = {head: (x + mirrored[head]) / 2 for head, x in probabilities.items()}
  if config.lung_only:
    probabilities["infection"] = jnp.where(probabilities["lung"] > 0.5, probabilities["infection"], 0)
  return probabilities


def _probabilities(logits: jax.Array, size: tuple[int, int]) -> jax.Array:
  logits = logits[..., 0]
  if logits.shape[1:] != size:
    logits = jax.image.resize(logits, (len(logits), *size), "bilinear")
  return jax.nn.sigmoid(logits)
