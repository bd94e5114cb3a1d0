"""What a model predicts for films: logits of infection and lung at each pixel, and of the film."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from covseg.configuration import check_ranges
from covseg.models import ensemble, levels, thresholds
from covseg.models.ensemble import Ensemble, Logits
from covseg.models.heads import HEADS_OF_FILMS

_PART = (0, 1)
_RANGES = {
  "image_size": (16, None),
  "batch_size": (1, None),
  "match_levels": _PART,
  "least_presence": _PART,
  "least_involvement": _PART,
}
_HEAD_OF = {"lung_only": "lung", "least_presence": "presence", "least_involvement": "involvement"}


def check(config: ConfigDict) -> None:
  """Raises ValueError if a field of `config.eval` cannot work with the heads of `config.model`."""
  check_ranges(config.eval, "eval.", _RANGES)
  if not 0 < config.eval.threshold < 1:
    raise ValueError(f"eval.threshold={config.eval.threshold} must lie between 0 and 1.")
  if config.eval.match_levels and not config.eval.flip:
    raise ValueError("eval.match_levels needs eval.flip=True.")
  for field, head in _HEAD_OF.items():
    if config.eval[field] and head not in config.model.heads:
      raise ValueError(f"eval.{field} needs a network with the head {head!r}; see model.heads.")


def to_network(images: jax.Array) -> jax.Array:
  """float32 (B, H, W, 1) in [0, 1] of uint8 images (B, H, W)."""
  return images[..., None].astype(jnp.float32) / 255


def predict(
  model: nn.Module, config: ConfigDict, variables: Any, inputs: jax.Array, masks_only: bool = False
) -> dict[str, jax.Array]:
  """Logits of films, {"infection": float32 (B, H, W)} at the network's size, and those of its other heads.

  "lung" is (B, H, W), too. "presence" is of the film, (B,), and "involvement" of its worse lung, (B,).

  Args:
    model: the network.
    config: `config.eval`. flip: average over the films and their mirror images; of an `Ensemble`, the first network
      sees both, the others one each. match_levels: part of the way that the grey levels of mirror images are moved,
      see `levels.match`. lung_only: infection is no likelier than lung. own_threshold: after that, logits are
      moved so that the film's own threshold, see `thresholds.of_films`, lies at 0. least_presence: where the
      presence head's probability is below it, infection is no likelier than that, nor than 0.5. least_involvement: the
      same by the involvement head, of the lung that is likelier to be infected.
    variables: what `model.apply` takes.
    inputs: float32 (B, H, W, 1) in [0, 1].
    masks_only: of pixels, only whether infection is likelier than the threshold is used. Where heads of films already
      empty every mask of the batch, nothing is predicted for mirror images.
  """
  if config.flip:
    matched = levels.match(inputs, config.match_levels) if config.match_levels else inputs
    logits = _of_both(model, config, variables, inputs, matched[:, :, ::-1], masks_only)
  else:
    logits = model.apply(variables, inputs, train=False)
  if config.lung_only:
    logits["infection"] = jnp.minimum(logits["infection"], logits["lung"])
  if config.own_threshold:
    logits["infection"] -= thresholds.of_films(logits["infection"])
  logits["infection"] = jnp.minimum(logits["infection"], _upper_bound(config, logits))
  return {head: x.max(axis=(1, 2, 3)) if head in HEADS_OF_FILMS else x[..., 0] for head, x in logits.items()}


def _upper_bound(config: ConfigDict, logits: Logits) -> jax.Array | float:
  """The largest logits of infection, (B, 1, 1, 1), that heads of films let pass; infinity where they let all pass."""
  bound = jnp.inf
  for head, least in (("presence", config.least_presence), ("involvement", config.least_involvement)):
    if head in logits:
      of_film = logits[head].max(axis=(1, 2), keepdims=True)  # Of the worse lung.
      is_unlikely = jax.nn.sigmoid(of_film) < least
      bound = jnp.minimum(bound, jnp.where(is_unlikely, jnp.minimum(of_film, 0.0), jnp.inf))
  return bound


def _of_both(
  model: nn.Module, config: ConfigDict, variables: Any, images: jax.Array, mirrored: jax.Array, masks_only: bool
) -> Logits:
  """Logits of films, from images of them and mirror images, both (B, H, W, 1); shaped as the network's."""

  def apply(x: jax.Array, of_ensemble: str) -> list[Logits]:
    if isinstance(model, Ensemble):
      return model.apply(variables, x, method=of_ensemble)
    return [model.apply(variables, x, train=False)]

  of_films = apply(images, "of_films")
  of_mirrored = functools.partial(apply, mirrored, "of_mirrored")
  if not masks_only:
    return ensemble.mean_of_views(of_films, of_mirrored())
  nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(of_mirrored))
  are_empty = jax.nn.sigmoid(_upper_bound(config, ensemble.mean(of_films))) <= config.threshold
  return ensemble.mean_of_views(of_films, jax.lax.cond(are_empty.all(), lambda: nothing, of_mirrored))


def probabilities(logits: dict[str, jax.Array], size: tuple[int, int]) -> dict[str, jax.Array]:
  """Probabilities of logits {head: (B, H, W) or (B,)}; those of pixels are scaled to a size, (B, *size), bilinear."""

  def of_head(x: jax.Array) -> jax.Array:
    is_scaled = x.ndim > 1 and x.shape[1:] != size
    return jax.nn.sigmoid(jax.image.resize(x, (len(x), *size), "bilinear") if is_scaled else x)

  return {head: of_head(x) for head, x in logits.items()}
