"""What a model says of films: logits of infection, and of lung, at each pixel."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

_NO_INFECTION = -10.0  # Logit of a probability of 0.00005.


def to_network(images: jax.Array) -> jax.Array:
  """float32 (B, H, W, 1) in [0, 1] of uint8 images (B, H, W)."""
  return images[..., None].astype(jnp.float32) / 255


def predict(model: nn.Module, config: ConfigDict, variables: Any, inputs: jax.Array) -> dict[str, jax.Array]:
  """Logits of films, {"infection": float32 (B, H, W)} at the network's size, and "lung" if it has that head.

  Args:
    model: the network.
    config: `config.eval`. flip: average over the films and their mirror images. lung_only: infection is
      no likelier than lung. least_presence: in films of which the presence head says with a smaller
      probability that they have an infection, it is no likelier than that. least_percent: films of which
      less is above `threshold` have no infection.
    variables: what `model.apply` takes.
    inputs: float32 (B, H, W, 1) in [0, 1].
  """
  logits = model.apply(variables, inputs, train=False)
  if config.flip:
    mirrored = model.apply(variables, inputs[:, :, ::-1], train=False)
    logits = {head: (x + mirrored[head][:, :, ::-1]) / 2 for head, x in logits.items()}
  presence = logits.pop("presence", None)
  if presence is not None:
    is_unlikely = jax.nn.sigmoid(presence) < config.least_presence
    bounded = jnp.minimum(logits["infection"], presence)
    logits["infection"] = jnp.where(is_unlikely, bounded, logits["infection"])
  if config.lung_only:
    logits["infection"] = jnp.minimum(logits["infection"], logits["lung"])
  logits = {head: x[..., 0] for head, x in logits.items()}
  if config.least_percent:
    called = logits["infection"] > jax.scipy.special.logit(config.threshold)
    num_pixels = called.shape[1] * called.shape[2]
    too_little = called.sum(axis=(1, 2), keepdims=True) < config.least_percent / 100 * num_pixels
    logits["infection"] = jnp.where(
      too_little, jnp.minimum(logits["infection"], _NO_INFECTION), logits["infection"]
    )
  return logits


def probabilities(logits: dict[str, jax.Array], size: tuple[int, int]) -> dict[str, jax.Array]:
  """Probabilities {head: float32 (B, *size)} of logits {head: (B, H, W)}, scaled to a size, bilinear."""

  def of_head(x: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(x if x.shape[1:] == size else jax.image.resize(x, (len(x), *size), "bilinear"))

  return {head: of_head(x) for head, x in logits.items()}
